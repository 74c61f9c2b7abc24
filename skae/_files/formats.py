"""The files that are read in blocks: what each library's own object says of its rows, and how it reads them.

The libraries are optional. An object of one is recognised without importing any.
"""

import os
import sys
import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from skae._files.array import FileArray
from skae._files.pages import Pages

# Size in bytes from which a single chunk or row group is too large.
_LARGE = 2**25

_FLOATS = [np.float32, np.float64]

_FILL = "Fill missing entries before they are written to the file."


@dataclass(eq=False)
class _Chunked:
    """A dataset that gives out rows by its slices."""

    source: Any

    # Pages that are read at a time, and their bytes if they have several chunks.
    n_readers: ClassVar[int]
    page_bytes: ClassVar[int] = 2**21

    @property
    def shape(self):
        return self.source.shape or ()

    @property
    def dtypes(self):
        return [self.source.dtype]

    @property
    def header(self):
        return np.empty((1, self.shape[1]))

    def column(self, number):
        return str(number)

    def edges(self, n_rows):
        """Return the edges of pages of about so many rows, between chunks if there are any."""
        chunk = self.source.chunks[0] if self.source.chunks else 1
        return np.append(np.arange(0, self.shape[0], chunk * max(1, n_rows // chunk)), self.shape[0])

    def read(self, start, stop, dtype):
        return np.ascontiguousarray(self.source[start:stop], dtype=dtype)


@dataclass(eq=False)
class _HDF5(_Chunked):
    """A dataset of h5py, which reads one slice at a time whatever asks for more."""

    n_readers: ClassVar[int] = 1

    def __post_init__(self):
        if not self.source.id:
            raise ValueError("The file of X is closed: keep it open while X is used.")


@dataclass(eq=False)
class _Zarr(_Chunked):
    """An array of zarr."""

    # Each one takes some MB, and one thread of the library hands out the work of all.
    n_readers: ClassVar[int] = min(8, os.cpu_count() or 1)


@dataclass(eq=False)
class _Parquet:
    """A ParquetFile of pyarrow, without the index columns of a pandas frame."""

    source: Any

    # The library's own threads share the columns of a page.
    n_readers: ClassVar[int] = 1
    # A column costs some microseconds at each reading, whatever its length.
    page_bytes: ClassVar[int] = 2**23

    def __post_init__(self):
        schema, metadata = self.source.schema_arrow, self.source.metadata
        index = (schema.pandas_metadata or {}).get("index_columns", [])
        self._fields = [field for field in schema if field.name not in index]
        self._is_uniform = len({field.type for field in self._fields}) == 1 and self.dtypes[0].kind != "b"
        # The first row of each row group, and the number of rows.
        self._edges = np.cumsum(
            [0, *(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))]
        )

    @property
    def shape(self):
        return self.source.metadata.num_rows, len(self._fields)

    @property
    def dtypes(self):
        return [self._dtype(field) for field in self._fields]

    def _dtype(self, field):
        try:
            dtype = np.dtype(field.type.to_pandas_dtype())
        except (NotImplementedError, TypeError):
            dtype = np.dtype(object)
        if dtype.kind not in "biuf":
            raise ValueError(
                f"Column {field.name!r} of X has the type {field.type}, but must be numeric. Encode it first, or write "
                "a file without it."
            )
        return dtype

    @property
    def header(self):
        import pyarrow

        return pyarrow.schema(self._fields).remove_metadata().empty_table()

    def column(self, number):
        return repr(self._fields[number].name)

    def edges(self, n_rows):
        """Return the edges of pages of about so many rows, between row groups."""
        ends, kept = np.unique(self._edges), [0]
        while kept[-1] < len(ends) - 1:
            last = np.searchsorted(ends, ends[kept[-1]] + n_rows, side="right") - 1
            kept.append(max(int(last), kept[-1] + 1))
        return ends[kept]

    def read(self, start, stop, dtype):
        groups = np.flatnonzero((self._edges[:-1] >= start) & (self._edges[1:] <= stop)).tolist()
        names = [field.name for field in self._fields]
        table = self.source.read_row_groups(groups, columns=names).select(names).combine_chunks()
        for number, values in enumerate(table.columns):
            if values.null_count:
                raise ValueError(
                    f"Input X contains NaN: column {self.column(number)} has null entries in the rows from {start} to "
                    f"{stop - 1}. {_FILL}"
                )
        if self._is_uniform:  # the library transposes faster than NumPy, column by column
            (batch,) = table.to_batches()
            return batch.to_tensor().to_numpy().astype(dtype, copy=False)
        result = np.empty(table.shape, dtype)
        for number, values in enumerate(table.columns):
            result[:, number] = values.to_numpy()
        return result


# The classes that are read in blocks: where they are, and how.
_FORMATS = [
    ("h5py", "Dataset", _HDF5),
    ("zarr", "Array", _Zarr),
    ("pyarrow.parquet", "ParquetFile", _Parquet),
]


def in_blocks(X):
    """Return the FileArray of X if it is an object of a library that reads files, or else X."""
    for module, name, form in _FORMATS:
        if isinstance(X, getattr(sys.modules.get(module), name, ())):
            return _file_array(form(X))
    return X


def _file_array(source):
    shape = source.shape
    if len(shape) != 2:
        raise ValueError(f"Expected 2D array, got an array of the shape {shape} in a file instead.")
    for length, what in zip(shape, ("sample", "feature"), strict=True):
        if not length:
            raise ValueError(f"Found array with 0 {what}(s) (shape={shape}) while a minimum of 1 is required.")
    stored = np.result_type(*source.dtypes)
    if stored.kind not in "biuf":
        raise ValueError(f"X has the dtype {stored}, but must be of real numbers.")
    dtype = stored if stored in _FLOATS else np.dtype(np.float64)

    def read(start, stop):
        with np.errstate(over="ignore"):  # a longdouble beyond float64 is infinite, and refused
            rows = source.read(start, stop, dtype)
        _check_finite(rows, start, source)
        return rows

    row_bytes = shape[1] * dtype.itemsize
    edges = source.edges(max(1, source.page_bytes // row_bytes))
    _warn_of_large(int(np.diff(edges).max()), row_bytes)
    return FileArray(Pages(read, edges, row_bytes, source.n_readers), shape[1], dtype, source.header)


def _check_finite(rows, start, source):
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(rows.sum()) or np.isfinite(rows).all():
            return
    row, column = np.argwhere(~np.isfinite(rows))[0]
    what, advice = ("NaN", _FILL) if np.isnan(rows[row, column]) else ("infinity", "Such rows must be left out.")
    raise ValueError(f"Input X contains {what}: row {start + row}, column {source.column(column)}. {advice}")


def _warn_of_large(n_rows, row_bytes):
    if n_rows * row_bytes > _LARGE and n_rows > 1:
        warnings.warn(
            f"X is stored in chunks or row groups of up to {n_rows} rows, {n_rows * row_bytes / 2**20:.0f} MB each, of "
            f"which several are in memory at a time. Write the file in pieces of about {max(1, 2**22 // row_bytes)} "
            "rows.",
            UserWarning,
            stacklevel=6,
        )
