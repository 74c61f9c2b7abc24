"""Early stopping: rows that are held out, and what their reconstruction loss says of a search."""

from dataclasses import dataclass
from math import ceil

import numpy as np

from skae.moments import block_sum
from skae.network import output
from skae.rows import dense_rows, less

# The share of what there is to gain over the mean that matters.
_GIVEN_UP = 0.01


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Rows that are not trained on, and how long to wait for their loss to fall.

    Parameters
    ----------
    X : {ndarray, CSR} of shape (n_samples, n_features)

    weights : ndarray of shape (n_samples,)

    patience : int
        Iterations without progress after which a search stops.
    """

    X: object
    weights: np.ndarray
    patience: int

    def loss(self, architecture, threads, parameters):
        """Return the weighted mean reconstruction loss of the rows as they are, without penalties."""
        dtype = self.X.dtype
        weights, intercepts = ([part.astype(dtype) for part in parts] for parts in parameters[:2])
        layers, offset = architecture.layers(weights, intercepts), parameters.offset.astype(dtype)

        def part(rows):
            raw = output(layers, less(self.X[rows], offset))
            losses = architecture.loss.loss_gradient(dense_rows(self.X, rows), raw, np.empty_like(raw))
            return self.weights[rows] @ losses

        return float(block_sum(part, self.X, threads) / self.weights.sum())


def draw_held_out(n_samples, fraction, seed):
    """Return which of so many rows to hold out, (n_samples,) of bool."""
    n_held_out = ceil(fraction * n_samples)
    if n_held_out == n_samples:
        raise ValueError(
            "early_stopping=True needs rows to train on and rows to hold out, but "
            f"validation_fraction={fraction:g} holds out all of n_samples={n_samples} (of positive weight). Give more "
            "samples, or a smaller validation_fraction."
        )
    is_held_out = np.zeros(n_samples, dtype=bool)
    is_held_out[np.random.default_rng(seed).permutation(n_samples)[:n_held_out]] = True
    return is_held_out


class Patience:
    """The watcher that keeps the best iterate, and stops when there has been no progress for a while.

    Parameters
    ----------
    patience : int
        Iterations to wait.

    threshold : float
        Progress is a validation loss that has fallen by more than this since the last progress.

    reference : float
        What a perfect reconstruction gains over the mean.

    Attributes
    ----------
    best, latest : Iterate
        The one of the lowest validation loss, and the last one.
    """

    def __init__(self, patience, threshold, reference):
        self._patience, self._threshold, self._reference = patience, threshold, reference
        self._lowest = self._mark = np.inf
        self._n_waited = 0
        self.best = self.latest = None

    def consider(self, iterate):
        """Take an iterate for the best, or not."""
        loss = iterate.validation_loss
        if self.best is None or loss < self._lowest:
            self.best = iterate
            self._lowest = np.inf if np.isnan(loss) else loss
        if loss < self._mark - self._threshold:
            self._mark, self._n_waited = loss, 0
        self.latest = iterate

    def __call__(self, iterate):
        self._n_waited += 1
        self.consider(iterate)
        return self._n_waited >= self._patience

    @property
    def outvotes_penalties(self):
        """Whether, past the best iterate, the rows trained on were reconstructed worse too, and the objective fell.

        Then no overfitting was found: the search was giving up reconstruction for its penalties.
        """
        given_up = self.latest.terms[0] - self.best.terms[0]
        gained = self.best.objective - self.latest.objective
        return bool(min(given_up, gained) > _GIVEN_UP * self._reference)
