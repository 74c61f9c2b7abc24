"""The problem that a fit solves: its rows, model and penalties, and the statistics that a search needs."""

from dataclasses import dataclass, replace

import numpy as np

from skae._network.architecture import Architecture
from skae._network.network import encode, network_at
from skae._network.propagation import output
from skae._objective.noise import Noise
from skae._objective.outliers import histogram, outliers
from skae._rows.blocks import Rows
from skae._rows.statistics import Statistics, column_means, variances
from skae._rows.threads import SERIAL
from skae._weights import Weights
from skae.losses import Loss

# If the outliers have all of the gain but this share, the other rows are noise, and the unit is taken from all rows.
_NOISE = 1e-6

# Rows and entries of a sample for second moments.
_SAMPLE_ROWS, _SAMPLE_ENTRIES = 4096, 2**19

# A spread of codes of fewer roundings than this counts as zero.
_ROUNDINGS = 64


@dataclass(frozen=True, eq=False)
class Problem:
    """An objective to minimise: rows, model and penalties.

    The gain of a row is the excess of the loss of the mean as its reconstruction over the loss of a perfect one.

    Attributes
    ----------
    architecture : Architecture

    penalties : tuple of Penalty

    targets : Rows of shape (n_samples, n_features)

    noise : Noise or None
        The corruption of the inputs.

    weights : Weights of shape (n_samples,)
        Positive.

    target_statistics, input_statistics : Statistics

    loss : Loss
        The architecture's, of targets less `origin` and raw outputs less `raw_origin`.

    origin, raw_origin : ndarray of shape (n_features,)
        The mean where it is far from zero and the loss has such a form, else zeros.

    gain : float
        Mean gain of the rows.

    perfect_loss, omitted_loss : float
        Mean loss of perfect reconstructions; mean of the terms that `loss` leaves out.

    loss_unit : float
        Unit of the tolerances: the mean gain of the rows without outliers. 1.0 where that is zero or out of range.

    typical_scale : float
        Scale of the targets without outliers. 0.0 where `loss_unit` is a substitute.

    outliers : ndarray of int
        Rows that have most of the gain though they are few.
    """

    architecture: Architecture
    penalties: tuple
    targets: Rows
    noise: Noise | None
    weights: Weights
    target_statistics: Statistics
    input_statistics: Statistics
    loss: Loss
    origin: np.ndarray
    raw_origin: np.ndarray
    gain: float
    perfect_loss: float
    omitted_loss: float
    loss_unit: float
    typical_scale: float
    outliers: np.ndarray

    @property
    def inputs(self):
        """The rows that the network sees, a list of one RowBlocks a draw: the targets, or corruptions of them."""
        return self.noise.inputs if self.noise and self.noise.inputs else [self.targets]

    @property
    def is_corrupted(self):
        """Whether the expectation of the loss is over a corruption of the inputs."""
        return self.noise is not None

    @property
    def is_drawn(self):
        """Whether the expectation is over draws of a random corruption."""
        return self.noise is not None and self.noise.is_drawn

    @property
    def moments(self):
        """The Moments by which the expectation over the corruption is taken, or None."""
        return self.noise and self.noise.moments

    @property
    def term_names(self):
        """Names of the objective's terms."""
        names = ["reconstruction", *(type(penalty).__name__ for penalty in self.penalties)]
        return [*names, "corruption"] if self.moments else names

    @property
    def mean(self):
        """Weighted means of the targets, (n_features,)."""
        return self.target_statistics.mean

    @property
    def scale(self):
        """Root mean square of the deviations of the targets from their mean."""
        return self.target_statistics.scale

    @property
    def weights_of_others(self):
        """The weights with zeros at the outliers."""
        return self.weights.without(self.outliers)

    @property
    def offset(self):
        """The offset, (n_features,), that fitted parameters are expressed with."""
        return self.target_statistics.offset

    def with_draws(self, n_rows):
        """Return the problem with as many draws of its noise as make so many rows."""
        return replace(self, noise=self.noise.first(-(-n_rows // len(self.targets))))

    def batch(self, rows, rng):
        """Return the problem on some rows, an array of indices, of equal weights, with a new draw of its noise.

        The constants stay those of all rows: only its gradient is to be used.
        """
        targets = self.targets.take(rows)
        noise = self.noise and self.noise.redrawn(targets, rows, rng)
        return replace(self, targets=targets, noise=noise, weights=Weights(1.0, len(rows)))

    @property
    def n_sampled(self):
        """How many rows second moments need and memory allows."""
        return min(_SAMPLE_ROWS, _SAMPLE_ENTRIES // max(self.architecture.widths) + 1)

    def sample(self, rng):
        """Return the problem on a random sample of its rows for second moments, with a new draw of its noise."""
        return self._part(rng, self.n_sampled)

    def for_start(self, rng):
        """Return the problem on the rows that a start works on: all, or a sample of those elsewhere."""
        n_rows = self.targets.n_fetched
        return self if n_rows is None else self._part(rng, n_rows)

    def _part(self, rng, n_rows):
        rows = self.targets.some(n_rows, rng)
        outliers = np.flatnonzero(np.isin(rows, self.outliers))
        return replace(self.batch(rows, rng), weights=self.weights.select(rows), outliers=outliers)


def make_problem(architecture, penalties, targets, weights, statistics, threads, noise=None):
    """Return the Problem of these parts.

    Parameters
    ----------
    architecture : Architecture

    penalties : tuple of Penalty

    targets : Rows of shape (n_samples, n_features)

    weights : Weights of shape (n_samples,)

    statistics : Statistics
        Of the targets.

    threads : RowThreads

    noise : Noise, default=None
        Corruption of the inputs; None: the inputs are the targets.

    Raises
    ------
    ValueError
        If products on the scale of the inputs leave the range of their dtype.
    """
    loss, origin, raw_origin = architecture.loss.shifted(statistics.offset)
    if noise is not None and noise.has_emphasis and loss.least_squares_weights is None:
        # What a shifted loss omits would need the entries' weights, too.
        loss, origin = architecture.loss, np.zeros_like(origin)
        raw_origin = origin
    (gain, perfect, omitted), outlying = _gains(loss, targets, weights, statistics.mean, threads)
    loss_unit, typical_scale = _gain_and_scale_of_others(loss, targets, weights, outlying, threads)
    if not loss_unit > _NOISE * gain:
        loss_unit, typical_scale, outlying = gain, statistics.scale, outlying[:0]
    is_usable = statistics.scale and 0 < loss_unit < np.inf
    return Problem(
        architecture=architecture,
        penalties=penalties,
        targets=targets,
        noise=noise,
        weights=weights,
        target_statistics=statistics,
        input_statistics=noise.statistics(targets, weights, statistics, threads) if noise else statistics,
        loss=loss,
        origin=origin,
        raw_origin=raw_origin,
        gain=gain,
        perfect_loss=perfect,
        omitted_loss=omitted,
        loss_unit=loss_unit if is_usable else 1.0,
        typical_scale=typical_scale if is_usable else 0.0,
        outliers=outlying,
    )


def column_gains(loss, targets, weights, mean, threads):
    """Return the weighted mean gain of each column, (n_features,); 0 if it is constant."""

    def part(block):
        return weights[block] @ loss.divergence(targets.dense(block).astype(np.float64), mean)

    gains = targets.sum(part, threads) / weights.sum()
    low, high = targets.extremes()
    # A mean of equal values differs from them by its rounding.
    gains[low == high] = 0
    return gains


def _gains(loss, targets, weights, mean, threads):
    """Return the weighted means of the rows' gains and constants, and the outliers among the rows."""

    def gains_of(rows):
        return loss.divergence(rows, mean).sum(axis=1)

    def gains(block):
        return gains_of(targets.dense(block).astype(np.float64))

    def part(block):
        rows = targets.dense(block).astype(np.float64)
        own = gains_of(rows)
        means = np.vstack([own, loss.perfect(rows), loss.omitted(rows)]) @ weights[block]
        return np.concatenate([means, histogram(own, weights[block])])

    sums = targets.sum(part, threads)
    with np.errstate(over="ignore", invalid="ignore"):
        return (sums[:3] / weights.sum()).tolist(), outliers(sums[3:], gains, targets, weights, threads)


def _gain_and_scale_of_others(loss, targets, weights, outlying, threads):
    """Return the mean gain and the scale of all rows but the outliers, about their own mean; zeros without outliers."""
    if not len(outlying):
        return 0.0, 0.0
    others = weights.without(outlying)
    mean = column_means([targets], others, threads)

    def part(block):
        return others[block] @ loss.divergence(targets.dense(block).astype(np.float64), mean).sum(axis=1)

    gain = float(targets.sum(part, threads) / others.sum())
    return gain, float(np.sqrt(np.mean(variances([targets], others, mean, threads))))


def mean_loss(problem, rows, weights, threads, parameters):
    """Return the weighted mean reconstruction loss of some rows as they are, without penalties."""
    network = network_at(problem.architecture, parameters.with_output_shift(-problem.raw_origin), rows.dtype)
    origin = problem.origin.astype(rows.dtype)

    def part(block):
        raw = output(network.layers, rows.centred_by(network.offset, block))
        target = rows.dense(block)
        losses = problem.loss.loss_gradient(target - origin, raw, np.empty_like(raw))
        return weights[block] @ (losses + problem.loss.omitted(target.astype(np.float64)))

    return float(rows.sum(part, threads) / weights.sum())


def code_scale(problem, parameters):
    """Return the root mean square of the units' standard deviations over the clean rows, or 1.0 if that is rounding."""
    rows, weights = problem.targets, problem.weights
    network = network_at(problem.architecture, parameters, rows.dtype)
    # About the code of one row, which keeps the digits of codes that hardly vary.
    origin = encode(network, rows, slice(1)).astype(np.float64)

    def part(block):
        codes = encode(network, rows, block) - origin
        return weights[block] @ np.hstack([codes, codes**2])

    means, squares = np.split(rows.sum(part, SERIAL) / weights.sum(), 2)
    spread = float(np.sqrt(np.mean(np.maximum(squares - means**2, 0))))
    unit = 0.0 if problem.architecture.code.homogeneous else 1.0
    largest = max(unit, np.abs(origin).max() + np.sqrt(squares.max()))
    return spread if _ROUNDINGS * np.finfo(rows.dtype).eps * largest < spread < np.inf else 1.0
