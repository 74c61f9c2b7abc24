"""The log of a fit, which `verbose` prints."""

import time
from collections import Counter

from skae._solvers.history import Watcher

# With verbose=1, the iterations between two lines of the log.
_LOG_BLOCK = 10


class Log(Watcher):
    """Prints a header, then an aligned line a block of iterations.

    Parameters
    ----------
    name : str
        Start of every line.

    terms : list of str
        Names of the objective's terms.

    every_iteration : bool
        Whether a block is one iteration.
    """

    def __init__(self, name, terms, every_iteration):
        self._name = name
        self._columns = ["objective", *_numbered(terms), "fall", "validation"]
        self._every = 1 if every_iteration else _LOG_BLOCK
        self._latest = self._printed = None

    def open(self):
        self._start = time.perf_counter()
        self._print("iteration", self._columns, "seconds")

    def __call__(self, iterate):
        self._latest = iterate
        if iterate.number == 1 or iterate.number % self._every == 0:
            self._print_latest()

    def close(self):
        """Print the last iterate, if that has not been done."""
        if self._latest is not self._printed:
            self._print_latest()

    def _print_latest(self):
        iterate = self._printed = self._latest
        values = [iterate.objective, *iterate.terms, iterate.fall]
        cells = [f"{value:.5g}" for value in values]
        cells.append("-" if iterate.validation_loss is None else f"{iterate.validation_loss:.5g}")
        self._print(iterate.number, cells, f"{time.perf_counter() - self._start:.2f}")

    def _print(self, number, cells, seconds):
        widths = [max(12, len(column)) for column in self._columns]  # -1.2345e+300
        aligned = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        print(f"[{self._name}] {number:>9}  {aligned}  {seconds:>7}", flush=True)


def _numbered(names):
    """Yield the names, with a number from the second of equal ones on."""
    seen = Counter()
    for name in names:
        seen[name] += 1
        yield name if seen[name] == 1 else f"{name}_{seen[name]}"
