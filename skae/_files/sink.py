"""Where a result goes, block by block: a new array, or one that the caller has, in memory or in a file."""

from contextlib import contextmanager

import numpy as np

from skae._compat import output_container

# A file with larger chunks than so many times the usual block is written across its chunks.
_MOST_TIMES = 4


class Sink:
    """An array that takes a result.

    Attributes
    ----------
    result : array
        Has `shape` and `dtype`, and takes rows by `result[slice] = rows`.
    """

    def __init__(self, result):
        self.result = result

    def block_rows(self, n_rows):
        """Return how many rows to write at a time, about `n_rows`."""
        chunk = (getattr(self.result, "chunks", None) or (1,))[0]
        return chunk * max(1, n_rows // chunk) if chunk <= _MOST_TIMES * n_rows else n_rows

    @contextmanager
    def block(self, rows):
        """Yield an array for the result of a slice of the rows."""
        if isinstance(self.result, np.ndarray):
            yield self.result[rows]
        else:
            block = np.empty((rows.stop - rows.start, *self.result.shape[1:]), self.result.dtype)
            yield block
            self.result[rows] = block


def sink_for(shape, dtype, estimator, given):
    """Return the Sink for a result of a shape and dtype: the array that is given for it, or a new one if it is None.

    Raises ValueError if that cannot take the result, or the estimator returns frames.
    """
    if given is None:
        return Sink(np.empty(shape, dtype))
    container = output_container(estimator)
    if container != "default":
        raise ValueError(
            f"out cannot be a frame, but set_output asks for {container!r}: set_output(transform='default')."
        )
    got = getattr(given, "shape", None), getattr(given, "dtype", None)
    if got != (shape, dtype):
        raise ValueError(
            f"out must be an array of shape {shape} and dtype {dtype}, but is a {type(given).__name__}"
            f"{'' if got[0] is None else f' of shape {got[0]} and dtype {got[1]}'}."
        )
    if isinstance(given, np.ndarray) and not given.flags.writeable:
        raise ValueError("out is read-only: map a file with mode='r+' or 'w+'.")
    return Sink(given)
