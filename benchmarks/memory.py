"""Peak memory of a fit, of `transform` and of `reconstruct`, over X.

Every case runs in a process of its own, which loads X from a .npy file (so that loading needs no more than X itself),
warms up on a few hundred rows, gives freed memory back to the system, and then notes what its resident memory is and
how far above that it goes. On Linux the peak is the kernel's own (VmHWM, reset through /proc/self/clear_refs), so
nothing is missed between samples. Elsewhere it is ru_maxrss, which cannot be reset: a lower bound. A mapped file's
pages count as resident memory too; they are all touched before the noting, so that they are in both figures.

The bound for a fit is (2 maxcor + 16) doubles a parameter (all weights and intercepts) + 64 MB, and one array of
rows x n_components in X's dtype where a statistic of all rows needs it: for KL, and for varpro. For `transform` and
`reconstruct` it is the output + 64 MB.
"""

import ctypes
import gc
import json
import resource
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from statistics import median

import numpy as np
from common import load, parser, print_columns, print_header, print_row

from skae import AutoencoderTransformer
from skae.penalties import KLSparsity

MB = 2**20
FITS = {
    "lbfgs": {"solver": "lbfgs"},
    "lbfgs, KL": {"solver": "lbfgs", "penalties": (KLSparsity(1.0),)},
    # One iteration on minibatches, and then L-BFGS.
    "kfac": {"solver": "kfac", "tol": 10.0},
    "kfac, KL, tied": {"solver": "kfac", "tol": 10.0, "penalties": (KLSparsity(1.0),), "tied_weights": True},
    "varpro": {"solver": "varpro"},
    "varpro, KL": {"solver": "varpro", "penalties": (KLSparsity(1.0),)},
    "svd": {"solver": "svd", "activation": "identity"},
}
METHODS = ("transform", "reconstruct")


def main():
    arguments = parse()
    if arguments.child:
        print(json.dumps(peak_over_x(**json.loads(arguments.child))))
        return
    how = "the kernel's peak, reset before" if _can_reset_peak() else "ru_maxrss, a lower bound"
    print_header(
        f"Peak memory over X: {arguments.data}, float32, {arguments.units} units, {arguments.iterations} iterations, "
        f"medians of {arguments.repeats}; measured by {how}"
    )
    print_columns("what", "X", "rows", "size of X (MB)", "peak over X (MB)", "bound (MB)", "within")
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for n_rows in arguments.rows:
            path = Path(folder) / f"{n_rows}.npy"
            np.save(path, load(arguments.data, n_rows))
        for mapped, sizes, cases in (
            (False, arguments.rows, [*FITS]),
            (True, arguments.rows[-1:], [*FITS, *METHODS]),
        ):
            for case in cases:
                for n_rows in sizes:
                    path = Path(folder) / f"{n_rows}.npy"
                    peaks[case, mapped, n_rows] = measure(case, path, mapped, n_rows, arguments)
    print_verdict(peaks, arguments)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[10_000, 30_000, 60_000])
    arguments.add_argument("--units", type=int, default=64)
    arguments.add_argument("--iterations", type=int, default=12, help="more than maxcor (default: %(default)s)")
    arguments.add_argument("--maxcor", type=int, default=10)
    arguments.add_argument("--repeats", type=int, default=1)
    arguments.add_argument("--child", help="a case in JSON, to run in this process; for the script's own use")
    return arguments.parse_args()


def measure(case, path, mapped, n_rows, arguments):
    """Print a row; return the peak over X, the part of the bound that does not depend on the rows, and the bound."""
    task = {"case": case, "path": str(path), "mapped": mapped, "units": arguments.units}
    task |= {"iterations": arguments.iterations, "maxcor": arguments.maxcor}
    command = [sys.executable, __file__, "--child", json.dumps(task)]
    answers = [
        json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        for _ in range(arguments.repeats)
    ]
    peak, size = median(answer["peak"] for answer in answers), answers[0]["size"]
    flat, of_rows = bound(case, n_rows, answers[0]["n_features"], arguments)
    print_row(
        case,
        "mapped file" if mapped else "in memory",
        n_rows,
        f"{size / MB:.0f}",
        f"{peak / MB:.0f}",
        f"{(flat + of_rows) / MB:.0f}",
        "yes" if peak <= flat + of_rows else "NO",
    )
    return peak, flat, of_rows


def bound(case, m, n, arguments):
    """Return the bytes that do not depend on the number of rows, and those that do."""
    k, itemsize = arguments.units, np.dtype(np.float32).itemsize
    if case in METHODS:
        return 64 * MB, m * itemsize * (k if case == "transform" else n)
    n_parameters = 2 * n * k + n + k
    needs_all_rows = "KL" in case or "varpro" in case
    return (2 * arguments.maxcor + 16) * 8 * n_parameters + 64 * MB, m * k * itemsize * needs_all_rows


def print_verdict(peaks, arguments):
    within = [peak <= flat + of_rows for peak, flat, of_rows in peaks.values()]
    print(f"\nPeak within the bound: in {sum(within)} of {len(within)} cases.")
    first, last = arguments.rows[0], arguments.rows[-1]
    for case in FITS:
        (small, _, of_few), (large, _, of_many) = (peaks[case, False, n_rows] for n_rows in (first, last))
        print(
            f"  {case}: from {first} to {last} rows the peak grows by {(large - small) / MB:.1f} MB, "
            f"of which {(of_many - of_few) / MB:.1f} MB are rows x n_components."
        )


# What follows runs in the process of a case.


def peak_over_x(case, path, mapped, units, iterations, maxcor):
    """Return the peak over X of a case, the size of X, both in bytes, and the number of features."""
    X = np.load(path, mmap_mode="r" if mapped else None)
    for start in range(0, len(X), 1000):
        X[start : start + 1000].sum()
    options = {"maxcor": maxcor, "tol": 0, "random_state": 0} | FITS.get(case, FITS["varpro"])
    fitted = AutoencoderTransformer(units, max_iter=2, **options).fit(np.array(X[:300]))
    if case in METHODS:
        run = getattr(fitted, case)
        run(X[:300])
    else:
        run = AutoencoderTransformer(units, max_iter=iterations, **options).fit
    _give_back_freed_memory()
    can_reset = _can_reset_peak()
    before = _status("VmRSS") if can_reset else _largest_ever()
    result = run(X)
    peak = (_status("VmHWM") if can_reset else _largest_ever()) - before
    del result
    return {"peak": peak, "size": X.nbytes, "n_features": X.shape[1]}


def _give_back_freed_memory():
    """What the warm-up freed and the C library kept must not pass for memory in use before the case runs."""
    gc.collect()
    with suppress(AttributeError, OSError, TypeError):  # the C library is another one than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def _can_reset_peak():
    """Reset the process's peak, and return whether that worked."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field))


def _largest_ever():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
