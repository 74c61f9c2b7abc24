"""Fits to files of h5py, zarr and pyarrow: peak memory at a size beyond memory's bound, and time against an array.

The files are made by this script: rows of a random linear map of 32 factors, clipped to [0, 1] and rounded to 256
levels, as pixels are. A format is a library and how it stores: "hdf5" (contiguous, not compressed; "hdf5 lzf" and
"hdf5 gzip" are), "zarr" (chunks of 512 rows, its default compression; "zarr lz4", "zarr plain"), "parquet" (row groups
of 2,048 rows, its default compression; "parquet plain" without it and without dictionaries, "parquet 512" in small row
groups).

1. Large files (--gb): every case runs in a process of its own, with few iterations. Passes are the rows that were read,
   over those of the file: a fit needs some before and after its search, for equal rows, statistics, and gains. The peak
   is the kernel's, as in memory.py, above what the process has after a small fit; the bound is that of memory.py. It
   does not count what is kept for each row whatever its width: the last column is the excess in bytes a row, which
   matters for narrow rows (--features 10 --gb 0.4). The format "memory" is an array in memory, X itself left out.
2. Small files (--small-gb), which fit into memory: the same fit from the array and from the file, in turn, in one
   process. Medians of the ratios of neighbouring pairs, after one fit that brings the file into the page cache, so
   that the disk keeps up. CPU seconds are those of all threads of the process: the load of the machine moves them
   less. Costs are in nanoseconds of CPU an entry: of the fit from the array, over the entries that its passes read,
   and of decoding alone.
"""

import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from unittest import mock

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import zarr
from common import parser, print_columns, print_header, print_row
from memory import FITS, MB, _can_reset_peak, _give_back_freed_memory, _status, bound

from skae import AutoencoderTransformer
from skae._files.formats import in_blocks
from skae._files.pages import Pages

CHUNK_ROWS, GROUP_ROWS = 512, 2048
EARLY = {f"{case}, early stopping": {**FITS[case], "early_stopping": True} for case in ("lbfgs", "kfac", "varpro")}
# How a library writes a format, if not by its defaults; chunks are of 512 rows.
OPTIONS = {
    "hdf5 lzf": {"compression": "lzf"},
    "hdf5 gzip": {"compression": "gzip"},
    "zarr lz4": {"compressors": zarr.codecs.BloscCodec(cname="lz4")},
    "zarr plain": {"compressors": None},
    "parquet plain": {"compression": "none", "use_dictionary": False},
}
CASES = ("lbfgs", "lbfgs, KL", "kfac", "varpro", "svd", "transform", "reconstruct", "score")


def main():
    arguments = parse()
    if arguments.child:
        print(json.dumps(run_case(**json.loads(arguments.child))))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.gb:
            large_files(Path(folder), arguments)
        if arguments.small_gb:
            small_files(Path(folder), arguments)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--gb", type=float, default=8.0, help="size of the large file; 0 leaves it out")
    arguments.add_argument("--small-gb", type=float, default=0.2, help="size of the small file; 0 leaves it out")
    arguments.add_argument("--formats", nargs="+", default=["hdf5", "zarr", "parquet"])
    arguments.add_argument("--cases", nargs="+", default=[*CASES], help='also: "lbfgs, early stopping" ...')
    arguments.add_argument("--folder", help="where the files are made (default: the system's)")
    arguments.add_argument("--features", type=int, default=784)
    arguments.add_argument("--units", type=int, default=64)
    arguments.add_argument("--small-units", type=int, nargs="+", default=[16, 64, 256], help="of fits to small files")
    arguments.add_argument("--iterations", type=int, default=2, help="of a fit to the large file")
    arguments.add_argument("--small-iterations", type=int, default=10, help="of a fit to the small file")
    arguments.add_argument("--maxcor", type=int, default=10)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--child", help="a case in JSON, to run in this process; for the script's own use")
    return arguments.parse_args()


def large_files(folder, arguments):
    n_features = arguments.features
    n_rows = int(arguments.gb * 1e9 / (4 * n_features))
    print_header(
        f"Files of {n_rows} x {n_features} float32 ({arguments.gb:g} GB), {arguments.units} units, at most "
        f"{arguments.iterations} iterations"
    )
    columns = (
        "format",
        "what",
        "passes",
        "seconds",
        "s a pass",
        "peak (MB)",
        "bound (MB)",
        "within",
        "over it (B a row)",
    )
    print_columns(*columns)
    for form in arguments.formats:
        path = make(folder, form, (n_rows, n_features))
        for case in arguments.cases:
            task = {"case": case, "form": form, "path": str(path), "units": arguments.units}
            task |= {"iterations": arguments.iterations, "maxcor": arguments.maxcor}
            command = [sys.executable, __file__, "--child", json.dumps(task)]
            answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            # Results of `transform` and `reconstruct` go to a file.
            flat, of_rows = (64 * MB, 0) if case not in FITS | EARLY else bound(case, n_rows, n_features, arguments)
            peak, limit = answer["peak"], flat + of_rows
            print_row(
                form,
                case,
                *times_of(answer),
                f"{peak / MB:.0f}",
                f"{limit / MB:.0f}",
                "yes" if peak <= limit else "NO",
                f"{max(0, peak - limit) / n_rows:.0f}",
            )
        remove(path)


def times_of(answer):
    """Return the passes over a file, the seconds, and the seconds a pass."""
    passes, seconds = answer["passes"], answer["seconds"]
    return [f"{passes:.1f}", f"{seconds:.0f}", f"{seconds / passes:.1f}"] if passes else ["-", f"{seconds:.0f}", "-"]


def small_files(folder, arguments):
    shape = int(arguments.small_gb * 1e9 / (4 * arguments.features)), arguments.features
    print_header(
        f"A fit to a file over one to an array: {shape[0]} x {shape[1]} float32, at most {arguments.small_iterations} "
        f"iterations, medians of {arguments.repeats} pairs"
    )
    columns = ("decode (ns)", "what", "units", "fit (ns)", "ratio of CPU", "ratio of seconds", "least", "largest")
    print_columns("format", *columns, "passes", "same fit")
    for form in arguments.formats:
        path = make(folder, form, shape)
        X = np.concatenate(list(blocks_of_rows(shape, rows_together(form))))
        assert X.dtype == np.float32
        with opened(path, form) as source:
            decoding = min(cost(read_once, source)[0] for _ in range(arguments.repeats))
            for case in (case for case in arguments.cases if case in FITS):
                for units in arguments.small_units:
                    options = {"max_iter": arguments.small_iterations, "random_state": 0, "tol": 0} | FITS[case]
                    row = compare(AutoencoderTransformer(units, **options), X, source, arguments.repeats)
                    print_row(form, f"{decoding / X.size * 1e9:.1f}", case, units, *row)
        remove(path)


def compare(model, X, source, repeats):
    """Return a row of the table: fits to an array and to the file of the same rows."""
    model.fit(source)
    pairs = []
    with count_rows_read() as n_read:
        for _ in range(repeats):
            of_array, from_array = cost(model.fit, X), model.loss_
            pairs.append((*of_array, *cost(model.fit, source)))
    cpu, ratios = [b / a for a, _, b, _ in pairs], [b / a for _, a, _, b in pairs]
    passes = sum(n_read) / len(X) / repeats
    return (
        f"{median(a for a, *_ in pairs) / passes / X.size * 1e9:.1f}",
        f"{median(cpu):.2f}",
        f"{median(ratios):.2f}",
        f"{min(ratios):.2f}",
        f"{max(ratios):.2f}",
        f"{passes:.1f}",
        "yes" if np.isclose(from_array, model.loss_, rtol=1e-6) else f"{from_array:.6g}, {model.loss_:.6g}",
    )


def cost(function, *given):
    """Return the CPU seconds of all threads and the seconds of a call."""
    cpu, start = process_time(), perf_counter()
    function(*given)
    return process_time() - cpu, perf_counter() - start


def read_once(source):
    pages = in_blocks(source)._pages
    for number in range(len(pages)):
        pages[number]


def rows_together(form):
    """Return how many rows are written at a time."""
    return {"parquet 512": 512}.get(form, GROUP_ROWS if form.startswith("parquet") else CHUNK_ROWS)


def blocks_of_rows(shape, size=CHUNK_ROWS):
    """Yield blocks of rows."""
    n_rows, n_features = shape
    loadings = np.random.default_rng(0).normal(size=(32, n_features)).astype(np.float32)
    for number, start in enumerate(range(0, n_rows, size)):
        rng = np.random.default_rng([1, number])
        factors = rng.standard_normal((min(size, n_rows - start), 32), dtype=np.float32)
        block = np.clip(0.3 * (factors @ loadings) / np.float32(np.sqrt(32)) + 0.2, 0, 1)
        yield np.round(block * 255) / np.float32(255)


def make(folder, form, shape):
    """Make a file, and return its path."""
    path = folder / form
    if form.startswith("parquet"):
        schema = pa.schema([(f"pixel{number}", pa.float32()) for number in range(shape[1])])
        with pq.ParquetWriter(path, schema, **OPTIONS.get(form, {})) as writer:
            for block in blocks_of_rows(shape, rows_together(form)):
                writer.write_table(pa.table([*block.T], schema=schema))
        return path
    with opened(path, form, shape) as result:
        for number, block in enumerate(blocks_of_rows(shape)):
            start = number * CHUNK_ROWS
            result[start : start + len(block)] = block
    return path


class opened:
    """A file's array: an existing one, or a new one of a shape."""

    def __init__(self, path, form, shape=None):
        self.file, options = None, OPTIONS.get(form, {})
        if form.startswith("parquet"):
            self.array = self.file = pq.ParquetFile(path)
        elif form == "memory":
            self.array = np.lib.format.open_memmap(path, "w+", "f4", shape) if shape else np.load(path)
        elif form.startswith("zarr"):
            options = {"shape": shape, "chunks": (CHUNK_ROWS, shape[1]), "dtype": "f4"} | options if shape else {}
            self.array = zarr.create_array(path, **options) if shape else zarr.open_array(path, mode="r")
        else:
            self.file = h5py.File(path, "w" if shape else "r")
            options = {"chunks": (CHUNK_ROWS, shape[1])} | options if shape and options else options
            self.array = self.file.create_dataset("X", shape, "f4", **options) if shape else self.file["X"]

    def __enter__(self):
        return self.array

    def __exit__(self, *details):
        if self.file is not None:
            self.file.close()


def remove(path):
    if path.is_dir():
        for part in sorted(path.rglob("*"), reverse=True):
            part.rmdir() if part.is_dir() else part.unlink()
        path.rmdir()
    else:
        path.unlink()


def run_case(case, form, path, units, iterations, maxcor):
    """Return the peak above what the process has after a small fit, the seconds and the passes over the file."""
    options = {"maxcor": maxcor, "tol": 0, "random_state": 0} | (FITS | EARLY).get(case, FITS["varpro"])
    with opened(path, form) as X:
        fitted = AutoencoderTransformer(units, max_iter=2, **options).fit(np.array(in_blocks(X)[:CHUNK_ROWS]))
        width = {"transform": units, "reconstruct": in_blocks(X).shape[1]}.get(case)
        n_rows = X.metadata.num_rows if form.startswith("parquet") else X.shape[0]
        _give_back_freed_memory()
        _can_reset_peak()
        before, start = _status("VmRSS"), perf_counter()
        with count_rows_read() as n_read:
            if width:
                with opened(f"{path}.out", "hdf5", (n_rows, width)) as out:
                    getattr(fitted, case)(X, out=out)
            elif case == "score":
                fitted.score(X)
            else:
                AutoencoderTransformer(units, max_iter=iterations, **options).fit(X)
        seconds = perf_counter() - start
        peak = _status("VmHWM") - before
    Path(f"{path}.out").unlink(missing_ok=True)
    return {"peak": peak, "seconds": seconds, "passes": sum(n_read) / n_rows}


@contextmanager
def count_rows_read():
    """Yield a list to which the number of rows of every page that is read inside is added."""
    numbers, decoded = [], Pages._decoded

    def counted(pages, number):
        rows = decoded(pages, number)
        numbers.append(len(rows))
        return rows

    with mock.patch.object(Pages, "_decoded", counted):
        yield numbers


if __name__ == "__main__":
    main()
