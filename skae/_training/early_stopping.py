"""Early stopping: held-out rows, and the iterate that their reconstruction loss chooses."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from skae._rows.blocks import Rows
from skae._solvers.history import Watcher
from skae._weights import Weights

# Changes of the loss below this share of its unit do not matter.
_NEGLIGIBLE = 0.01

# Rows among which those to hold out are drawn together.
_CHUNK_ROWS = 2**22


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows that are not trained on.

    Parameters
    ----------
    rows : Rows of shape (n_samples, n_features)

    weights : Weights of shape (n_samples,)
    """

    rows: Rows
    weights: Weights


@dataclass(frozen=True)
class HeldOutDraw:
    """A random choice of rows to hold out, which any process makes again without an array of one entry a row.

    The same share of each 2^22 rows that follow each other is held out.

    Parameters
    ----------
    n_samples : int

    fraction : float

    seed : int
    """

    n_samples: int
    fraction: float
    seed: int

    def __post_init__(self):
        if ceil(self.fraction * self.n_samples) == self.n_samples:
            raise ValueError(
                "early_stopping=True needs rows to train on and rows to hold out, but "
                f"validation_fraction={self.fraction:g} holds out all of n_samples={self.n_samples} (distinct rows of "
                "positive weight). Give more samples, or a smaller validation_fraction."
            )

    def mask(self):
        """Return which rows are held out, (n_samples,) of bool."""
        return next(self.masks([(0, self.n_samples)]))

    def masks(self, stretches):
        """Yield which rows of stretches, each a first row and a count, are held out; those in order cost least."""
        number, of_chunk = None, None
        for first, count in stretches:
            mask, done = np.empty(count, dtype=bool), 0
            while done < count:
                if number != (first + done) // _CHUNK_ROWS:
                    number = (first + done) // _CHUNK_ROWS
                    of_chunk = self._mask_of(number)
                part = of_chunk[first + done - number * _CHUNK_ROWS :][: count - done]
                mask[done : done + len(part)] = part
                done += len(part)
            yield mask

    def _mask_of(self, number):
        """Return the mask of a chunk of rows."""
        start = number * _CHUNK_ROWS
        stop = min(start + _CHUNK_ROWS, self.n_samples)
        n_held_out = ceil(self.fraction * stop) - ceil(self.fraction * start)
        order, mask = np.arange(stop - start, dtype=np.int32), np.zeros(stop - start, dtype=bool)
        np.random.default_rng([self.seed, number]).shuffle(order)
        mask[order[:n_held_out]] = True
        return mask


class Patience(Watcher):
    """Keeps the best iterate, and stops the run when the lowest validation loss so far falls by too little.

    Parameters
    ----------
    n_iter_no_change : int
        Iterations over which the fall is measured.

    tol : float
        Fall below which to stop, in units of `loss_unit`.

    loss_unit : float

    Attributes
    ----------
    best, latest : Iterate
        The one of the lowest validation loss, and the last one.

    has_ended : bool
        Whether it has asked to stop.
    """

    def __init__(self, n_iter_no_change, tol, loss_unit):
        self._n_iter_no_change, self._threshold, self._loss_unit = n_iter_no_change, tol * loss_unit, loss_unit
        self._lowest = []
        self.best = self.latest = None
        self.has_ended = False

    def consider(self, iterate):
        """Compare an iterate with the best one so far."""
        lowest = self._lowest[-1] if self._lowest else np.inf
        if self.best is None or iterate.validation_loss < lowest:
            self.best = iterate
        self._lowest.append(np.fmin(iterate.validation_loss, lowest))
        self.latest = iterate

    def __call__(self, iterate):
        self.consider(iterate)
        if len(self._lowest) <= self._n_iter_no_change:
            return False
        before, now = self._lowest[-self._n_iter_no_change - 1], self._lowest[-1]
        # Two infinite losses are equal: there has been no fall either.
        self.has_ended = bool(now == before or before - now < self._threshold)
        return self.has_ended

    @property
    def precedes_penalties(self):
        """Whether, after the best iterate, the objective fell although the training rows' own loss rose.

        The search was trading reconstruction for its penalties then. This is not overfitting.
        """
        rise = self.latest.terms[0] - self.best.terms[0]
        fall = self.best.objective - self.latest.objective
        return bool(min(rise, fall) > _NEGLIGIBLE * self._loss_unit)
