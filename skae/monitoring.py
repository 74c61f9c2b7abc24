"""What can be known of a search while it runs: its iterates, the loss of held-out rows, and a log."""

import time
from dataclasses import dataclass
from functools import cached_property
from math import ceil

import numpy as np

from skae.moments import block_sum
from skae.network import output
from skae.rows import dense_rows, less

# With verbose=1, the iterations between two lines of the log.
_LOG_BLOCK = 10


class Iterate:
    """Where a search stands after an iteration. What costs something is worked out when it is asked for.

    Parameters
    ----------
    number : int
        The iteration, from 1.

    theta : ndarray of shape (n_parameters,)
        Of the solver, not to be kept alive by a copy of its own.

    objective : float

    terms : list of float
        What the objective is the sum of: the mean reconstruction loss, and each penalty.

    gradient_norm : float
        As in SolverResult.

    parameters : callable() -> Parameters

    validation_loss : callable(Parameters) -> float, default=None
        None if no rows are held out.
    """

    def __init__(self, number, theta, objective, terms, gradient_norm, parameters, validation_loss=None):
        self.number = number
        self.theta = theta
        self.objective = objective
        self.terms = terms
        self.gradient_norm = gradient_norm
        self._parameters = parameters
        self._validation_loss = validation_loss

    @cached_property
    def parameters(self):
        return self._parameters()

    @cached_property
    def validation_loss(self):
        return None if self._validation_loss is None else self._validation_loss(self.parameters)


class Trace:
    """A search's callback: keeps its curve, shows every iterate to the watchers, and stops when one of them says so.

    Parameters
    ----------
    watchers : list of callable(Iterate) -> bool
        True is a request to stop. All of them see an iterate before the search does.

    Attributes
    ----------
    loss_curve, reconstruction_curve, validation_loss_curve : list of float
        The objective, its first term, and the loss of held-out rows after each iteration; the last one stays empty if
        there are none.
    """

    def __init__(self, watchers):
        self._watchers = watchers
        self.loss_curve, self.reconstruction_curve, self.validation_loss_curve = [], [], []

    def add(self, iterate):
        """Note an iterate; StopIteration is a watcher's request."""
        self.loss_curve.append(iterate.objective)
        self.reconstruction_curve.append(iterate.terms[0])
        if iterate.validation_loss is not None:
            self.validation_loss_curve.append(iterate.validation_loss)
        requests = [watch(iterate) for watch in self._watchers]
        if any(requests):
            raise StopIteration


@dataclass(frozen=True)
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


def hold_out(X, weights, fraction, patience, rng):
    """Return the rows to train on and their weights, copies in the order of X, and the rest as HeldOut."""
    n_samples = X.shape[0]
    n_held_out = ceil(fraction * n_samples)
    if n_held_out == n_samples:
        raise ValueError(
            "early_stopping=True needs rows to train on and rows to hold out, but "
            f"validation_fraction={fraction:g} holds out all of n_samples={n_samples} (of positive weight). Give more "
            "samples, or a smaller validation_fraction."
        )
    is_held_out = np.zeros(n_samples, dtype=bool)
    is_held_out[rng.permutation(n_samples)[:n_held_out]] = True
    return X[~is_held_out], weights[~is_held_out], HeldOut(X[is_held_out], weights[is_held_out], patience)


class Patience:
    """The watcher of early stopping: keeps the best iterate, and stops when there has been none for a while.

    Parameters
    ----------
    patience : int

    threshold : float
        Progress is a loss that has fallen by more than this since the last progress.

    Attributes
    ----------
    best : Iterate
        Of the lowest validation loss.
    """

    def __init__(self, patience, threshold):
        self._patience = patience
        self._threshold = threshold
        self._mark, self._n_waited = np.inf, 0
        self.best = None

    def __call__(self, iterate):
        loss = iterate.validation_loss
        if self.best is None or not loss >= self.best.validation_loss:
            self.best = iterate
        self._n_waited += 1
        if loss < self._mark - self._threshold:
            self._mark, self._n_waited = loss, 0
        return self._n_waited >= self._patience


class Log:
    """The watcher that prints: a header, then an aligned line a block of iterations.

    Parameters
    ----------
    name : str
        What every line starts with.

    terms : list of str
        Names of the objective's terms.

    every_iteration : bool
        Whether a block is one iteration.
    """

    def __init__(self, name, terms, every_iteration):
        self._name = name
        self._columns = ["objective", *terms, "gradient", "validation"]
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
        values = [iterate.objective, *iterate.terms, iterate.gradient_norm]
        cells = [f"{value:.5g}" for value in values]
        cells.append("-" if iterate.validation_loss is None else f"{iterate.validation_loss:.5g}")
        self._print(iterate.number, cells, f"{time.perf_counter() - self._start:.2f}")

    def _print(self, number, cells, seconds):
        widths = [max(11, len(column)) for column in self._columns]
        aligned = "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        print(f"[{self._name}] {number:>9}  {aligned}  {seconds:>7}")
