"""What a fit minimises, and the statistics of its rows that a search goes by."""

from dataclasses import dataclass, replace

import numpy as np

from skae._network.architecture import Architecture
from skae._network.propagation import output
from skae._rows.blocks import dense_rows, less
from skae._rows.moments import block_sum, column_means, row_offset, scale_about, variances
from skae._rows.threads import RowThreads
from skae.losses import Loss

# Rows are outliers if each has this many times the median row's gain, if they are at most this share of all, and if
# together they have more than half of what there is to gain. Where they have nearly all of it the others are noise.
_OUTLYING, _MOST_OUTLIERS, _NOISE = 10.0, 0.02, 1e-6

# A spread of codes of fewer roundings than this is none.
_ROUNDINGS = 64


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be minimised.

    Attributes
    ----------
    architecture : Architecture

    penalties : tuple of Penalty

    X : {ndarray, CSR} of shape (n_samples, n_features)
        The targets.

    draws : list of {ndarray, CSR} of shape (n_samples, n_features)
        The inputs: [X], or corruptions of it.

    weights : ndarray of shape (n_samples,)
        Positive, in float64.

    n_distinct : int
        Number of distinct rows of X.

    mean : ndarray of shape (n_features,)
        Weighted means of X.

    scale : float
        Root mean square of the deviations of X from its mean.

    loss : Loss
        The architecture's, of targets less `origin` and raw outputs less `raw_origin`.

    origin, raw_origin : ndarray of shape (n_features,)
        The mean where it is far from zero and the loss has such a form, else zeros.

    gain : float
        Mean loss of the mean as the reconstruction, less that of perfect ones.

    least, omitted : float
        Mean loss of perfect reconstructions; mean of the terms that `loss` leaves out.

    reference : float
        Unit of the tolerances: what a perfect reconstruction gains over the mean. Outliers are left out of it. 1.0
        where it is zero or out of range.

    typical_scale : float
        As `scale`, with outliers left out. 0.0 where `reference` is not what it says.

    outliers : ndarray of int
        Rows that have most of the gain though they are few.
    """

    architecture: Architecture
    penalties: tuple
    X: object
    draws: list
    weights: np.ndarray
    n_distinct: int
    mean: np.ndarray
    scale: float
    loss: Loss
    origin: np.ndarray
    raw_origin: np.ndarray
    gain: float
    least: float
    omitted: float
    reference: float
    typical_scale: float
    outliers: np.ndarray

    @property
    def is_corrupted(self):
        return self.draws[0] is not self.X

    def subset(self, rows, threads):
        """Return the problem on some rows, an array of indices, with all else as it is."""
        draws = [draw[rows] for draw in self.draws]
        X, weights = self.X[rows] if self.is_corrupted else draws[0], self.weights[rows]

        def part(rows):
            return _constants(self.loss, dense_rows(X, rows).astype(np.float64)) @ weights[rows]

        least, omitted = (block_sum(part, X, threads) / weights.sum()).tolist()
        return replace(self, X=X, draws=draws, weights=weights, least=least, omitted=omitted)


def make_problem(architecture, penalties, X, draws, weights, mean, threads, n_distinct=None):
    """Return the Problem of these parts. Raises ValueError if products on X's scale leave the range of its dtype."""
    scale = scale_about([X], weights, mean, threads)
    loss, origin = architecture.loss.about(row_offset(mean, scale))
    (gain, least, omitted), outliers = _statistics(loss, X, weights, mean, threads)
    reference, typical_scale = _gain_and_scale_of_others(loss, X, weights, outliers, threads)
    if not reference > _NOISE * gain:
        reference, typical_scale, outliers = gain, scale, outliers[:0]
    is_usable = scale and 0 < reference < np.inf
    return Problem(
        architecture=architecture,
        penalties=penalties,
        X=X,
        draws=draws,
        weights=weights,
        n_distinct=n_distinct or X.shape[0],
        mean=mean,
        scale=scale,
        loss=loss,
        origin=origin,
        raw_origin=loss.link.inverse(origin) if origin.any() else origin,
        gain=gain,
        least=least,
        omitted=omitted,
        reference=reference if is_usable else 1.0,
        typical_scale=typical_scale if is_usable else 0.0,
        outliers=outliers,
    )


def _constants(loss, block):
    """Return the losses of perfect reconstructions and the terms that the loss leaves out, (2, n_rows)."""
    return np.array([loss.least(block), loss.omitted(block)])


def _statistics(loss, X, weights, mean, threads):
    """Return the weighted means of the rows' gains and constants, and the outliers among the rows."""
    gains = np.empty(X.shape[0])

    def part(rows):
        block = dense_rows(X, rows).astype(np.float64)
        gains[rows] = loss.divergence(block, mean).sum(axis=1)
        return np.vstack([gains[rows], _constants(loss, block)]) @ weights[rows]

    means = block_sum(part, X, threads) / weights.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        return means.tolist(), _outliers(weights, gains)


def _gain_and_scale_of_others(loss, X, weights, outliers, threads):
    """Return the mean gain and the scale of all rows but the outliers, about their own mean; zeros without outliers."""
    if not len(outliers):
        return 0.0, 0.0
    others = weights.copy()
    others[outliers] = 0
    mean = column_means([X], others, threads)

    def part(rows):
        return others[rows] @ loss.divergence(dense_rows(X, rows).astype(np.float64), mean).sum(axis=1)

    gain = float(block_sum(part, X, threads) / others.sum())
    return gain, float(np.sqrt(np.mean(variances([X], others, mean, threads))))


def _outliers(weights, gains):
    """Return the rows that are few, and have most of the gain."""
    order = np.argsort(gains)
    cumulated = np.cumsum(weights[order])
    median = gains[order[np.searchsorted(cumulated, cumulated[-1] / 2)]]
    far = gains > _OUTLYING * median
    are_few = weights[far].sum() <= _MOST_OUTLIERS * weights.sum()
    have_most = weights[far] @ gains[far] > 0.5 * (weights @ gains)
    return np.flatnonzero(far) if are_few and have_most else np.array([], dtype=int)


def mean_loss(problem, X, weights, threads, parameters):
    """Return the weighted mean reconstruction loss of some rows as they are, without penalties."""
    *intercepts, last = parameters.intercepts
    relative = parameters._replace(intercepts=[*intercepts, last - problem.raw_origin])
    layers = problem.architecture.layers_at(relative, X.dtype)
    offset, origin = parameters.offset.astype(X.dtype), problem.origin.astype(X.dtype)

    def part(rows):
        raw = output(layers, less(X[rows], offset))
        target = dense_rows(X, rows)
        losses = problem.loss.loss_gradient(target - origin, raw, np.empty_like(raw))
        return weights[rows] @ (losses + problem.loss.omitted(target.astype(np.float64)))

    return float(block_sum(part, X, threads) / weights.sum())


def code_scale(problem, parameters):
    """Return the root mean square of the units' standard deviations over the clean rows, or 1.0 if that is rounding."""
    X, weights = problem.X, problem.weights
    encoder = problem.architecture.layers_at(parameters, X.dtype)[: problem.architecture.depth]
    offset = parameters.offset.astype(X.dtype)
    # About the code of one row, which keeps the digits of codes that hardly vary.
    origin = output(encoder, less(X[:1], offset)).astype(np.float64)

    def part(rows):
        codes = output(encoder, less(X[rows], offset)) - origin
        return weights[rows] @ np.hstack([codes, codes**2])

    means, squares = np.split(block_sum(part, X, RowThreads(1)) / weights.sum(), 2)
    spread = float(np.sqrt(np.mean(np.maximum(squares - means**2, 0))))
    unit = 0.0 if problem.architecture.code.homogeneous else 1.0
    largest = max(unit, np.abs(origin).max() + np.sqrt(squares.max()))
    return spread if _ROUNDINGS * np.finfo(X.dtype).eps * largest < spread < np.inf else 1.0
