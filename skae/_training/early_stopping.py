"""Early stopping: rows that are held out, and what their reconstruction loss says of a search."""

from dataclasses import dataclass
from math import ceil

import numpy as np

# The share of what there is to gain over the mean that matters.
_GIVEN_UP = 0.01


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows that are not trained on.

    Parameters
    ----------
    X : {ndarray, CSR} of shape (n_samples, n_features)

    weights : ndarray of shape (n_samples,)
    """

    X: object
    weights: np.ndarray


def draw_held_out(n_samples, fraction, seed):
    """Return which of so many rows to hold out, (n_samples,) of bool."""
    n_held_out = ceil(fraction * n_samples)
    if n_held_out == n_samples:
        raise ValueError(
            "early_stopping=True needs rows to train on and rows to hold out, but "
            f"validation_fraction={fraction:g} holds out all of n_samples={n_samples} (distinct rows of "
            "positive weight). Give more samples, or a smaller validation_fraction."
        )
    is_held_out = np.zeros(n_samples, dtype=bool)
    is_held_out[np.random.default_rng(seed).permutation(n_samples)[:n_held_out]] = True
    return is_held_out


class Patience:
    """The watcher that keeps the best iterate, and stops when the lowest validation loss falls by too little.

    Parameters
    ----------
    n_iter_no_change : int
        Iterations over which the fall is measured.

    threshold : float
        Fall below which to stop.

    reference : float
        Gain of a perfect reconstruction over the mean.

    Attributes
    ----------
    best, latest : Iterate
        The one of the lowest validation loss, and the last one.

    has_ended : bool
        Whether it has asked to stop.
    """

    def __init__(self, n_iter_no_change, threshold, reference):
        self._n_iter_no_change, self._threshold, self._reference = n_iter_no_change, threshold, reference
        self._lowest = []
        self.best = self.latest = None
        self.has_ended = False

    def consider(self, iterate):
        """Take an iterate for the best, or not."""
        lowest = self._lowest[-1] if self._lowest else np.inf
        if self.best is None or iterate.validation_loss < lowest:
            self.best = iterate
        self._lowest.append(np.fmin(iterate.validation_loss, lowest))
        self.latest = iterate

    def __call__(self, iterate):
        if not iterate.is_whole:
            return False
        self.consider(iterate)
        if len(self._lowest) <= self._n_iter_no_change:
            return False
        before, now = self._lowest[-self._n_iter_no_change - 1], self._lowest[-1]
        # Not even a finite one yet: there has been no fall either.
        self.has_ended = bool(now == before or before - now < self._threshold)
        return self.has_ended

    @property
    def outvotes_penalties(self):
        """Whether, past the best iterate, the rows trained on were reconstructed worse too, and the objective fell.

        Then no overfitting was found: the search was giving up reconstruction for its penalties.
        """
        given_up = self.latest.terms[0] - self.best.terms[0]
        gained = self.best.objective - self.latest.objective
        return bool(min(given_up, gained) > _GIVEN_UP * self._reference)
