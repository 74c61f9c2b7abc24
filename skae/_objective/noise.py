"""The corruption of a problem's inputs, prepared on its rows: drawn whenever they are read, or by its moments."""

from dataclasses import dataclass, field, replace
from math import ceil

import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.cluster import KMeans

from skae._network.propagation import block_rows
from skae._rows.blocks import RowBlocks, rows_of
from skae._rows.distinct import distinct_rows
from skae._rows.drawn import DrawnRows
from skae._rows.factors import Dense
from skae._rows.statistics import Statistics, root_mean, statistics_of, variances
from skae._rows.threads import SERIAL
from skae._validation import canonical
from skae._weights import Weights
from skae.corruption import CORRUPTIONS, Corruption, Moments

# The fixed draws have at least so many rows, unless that takes too many draws: many parameters fit few of them, noise
# and all. With 5,000 rows of MNIST and four draws instead of one, the expectation of a net of 200 and 50 units is 5.03
# instead of 5.90.
_MIN_DRAWN_ROWS, _MAX_DRAWS = 20_000, 100

# If more of the entries are replaced, pre-activations are far from Gaussian. On digits with 32 units and half of the
# entries masked, clean rows are reconstructed worse by 0.03 of R2 than by a fit to draws; at 0.25 they are not.
_MAX_SHARE = 1 / 3

# Fixed draws of up to so many entries are stored: to make them anew takes longer than the products of a small net.
_SMALL = 2**22

# Groups of rows with similar noise, whose covariances the marginal expectation keeps apart. On digits with masking,
# 37 groups instead of one take the error of what the noise adds from 12 to 2 %. More cost more than they improve.
_MAX_GROUPS, _GROUP_ROWS = 64, 32

# Entries of the covariances of all groups, which are to cost no more than products with X, and rows a group that
# k-means sees.
_GROUP_ENTRIES, _SAMPLE_ROWS = 2**20, 50


@dataclass(frozen=True, eq=False)
class Noise:
    """The corruption of the inputs of a problem.

    Attributes
    ----------
    inputs : list of RowBlocks of shape (n_samples, n_features)
        Corruptions of the targets, one a draw. Empty if the expectation over the corruption is taken by its moments.

    prepared : PreparedCorruption or None
        Makes new draws. None: the inputs are all there are.

    moments : Moments or None

    group_of : ndarray of shape (n_samples,) or None
        With moments, numbers of groups of rows whose noise has similar variances.

    shares : ndarray of shape (n_groups,) or None
        The shares of the groups in the weights.

    variances : ndarray of shape (n_groups, n_features) or None
        The mean variances of the noise in each group.
    """

    inputs: list[RowBlocks] = field(default_factory=list)
    prepared: "PreparedCorruption | None" = None
    moments: Moments | None = None
    group_of: np.ndarray | None = None
    shares: np.ndarray | None = None
    variances: np.ndarray | None = None

    @property
    def is_drawn(self):
        """Whether the inputs are draws of a random corruption."""
        return self.moments is None and self.prepared is not None

    @property
    def has_emphasis(self):
        """Whether the entries' losses have weights."""
        return self.prepared is not None and self.prepared.has_emphasis

    def entry_weights(self, draw, rows):
        """Return the weights of the entries' losses, (n_rows, n_features), of a slice of a draw; None if all are 1."""
        return self.inputs[draw].entry_weights(rows) if self.has_emphasis else None

    def take(self, rows):
        """Return the draws of some rows, an array of indices."""
        return replace(self, inputs=[draw.take(rows) for draw in self.inputs])

    def first(self, n_draws):
        """Return the noise with its first draws alone."""
        return replace(self, inputs=self.inputs[:n_draws])

    def redrawn(self, targets, rows, rng):
        """Return the noise of some targets, which are those of an array of indices, in one new draw if it is random."""
        if self.prepared is None:
            return self.take(rows)
        seed = int(rng.integers(2**63))
        # Two chunks, whatever the number of threads, which may not change the draws.
        return Noise([DrawnRows(targets, self.prepared, (seed,), ceil(len(targets) / 2))], self.prepared)

    def statistics(self, targets, weights, target_statistics, threads):
        """Return the Statistics of the inputs, whose scale holds the variance of the noise."""
        if self.moments is None:
            return statistics_of(self.inputs, weights, threads)
        share, filling, _ = self.moments
        mean = (1 - share) * target_statistics.mean + share * filling
        squares = (1 - share) ** 2 * variances([targets], weights, target_statistics.mean, threads)
        squares += self.shares @ self.variances
        return Statistics(mean, root_mean(squares, [targets]) if squares.any() else 0.0)


def marginal(prepared, targets, weights, size, rng):
    """Return the Noise whose expectation is taken by its moments.

    Parameters
    ----------
    prepared : PreparedCorruption

    targets : Rows of shape (n_samples, n_features)

    weights : Weights of shape (n_samples,)

    size : int
        The number of units.

    rng : numpy.random.Generator
    """
    share, filling, variance = prepared.moments
    factor, n_features = share * (1 - share), targets.shape[1]
    if not factor:
        group_of = targets.values(lambda rows, block: np.zeros(block.stop - block.start, dtype=int))
        return Noise([], prepared, prepared.moments, group_of, np.ones(1), variance[None].copy())
    n_read = targets.n_read_once
    n_groups = min(
        _MAX_GROUPS,
        len(targets) // _GROUP_ROWS,
        min(_GROUP_ENTRIES, n_read) // size**2,
        2 * n_read // (n_features * size),
    )
    n_groups = max(1, n_groups)
    group_of = _grouped(targets, filling.astype(targets.dtype), n_groups, rng)

    def part(block):
        """Return the sums of each group's weights and squared deviations."""
        result, numbers, shares = np.zeros((n_groups, 1 + n_features)), group_of[block], weights[block]
        rows_of_block = targets.take(block)
        for number in np.unique(numbers):
            rows = np.flatnonzero(numbers == number)
            result[number, 0] = shares[rows].sum()
            result[number, 1:] = rows_of_block.take(rows).weighted_squares(slice(None), shares[rows], filling)
        return result

    totals, sums = np.split(targets.sum(part, SERIAL), [1], axis=1)
    sums /= np.where(totals > 0, totals, 1)
    return Noise([], prepared, prepared.moments, group_of, totals[:, 0] / totals.sum(), factor * sums + variance)


def _grouped(targets, filling, n_groups, rng):
    """Return the number of each row's group, by k-means of the squared deviations from the filling."""

    def squares(rows, block=slice(None)):
        factor = rows.squared_deviations(filling, block)
        if isinstance(factor, Dense):
            return factor.dense()
        # k-means takes indices of 32 bits alone.
        parts = factor.rows.data, factor.rows.indices.astype(np.int32), factor.rows.indptr.astype(np.int32)
        return csr_array(parts, shape=factor.shape)

    sample = squares(targets.take(targets.some(_SAMPLE_ROWS * n_groups, rng)))
    # k-means squares the squares again.
    unit = max(abs(sample.min()), abs(sample.max())) or 1.0
    sample = sample / unit
    n_groups = min(n_groups, len(distinct_rows(sample, Weights(1.0, sample.shape[0])).weights))
    groups = KMeans(n_groups, n_init=1, max_iter=20, random_state=int(rng.integers(2**31))).fit(sample)
    return targets.values(lambda rows, block: groups.predict(squares(rows, block) / unit))


def drawn(prepared, targets, widths, rng):
    """Return the Noise of draws that are made anew whenever they are read, unless they are few.

    Parameters
    ----------
    prepared : PreparedCorruption

    targets : Rows of shape (n_samples, n_features)

    widths : list of int
        Of the network's layers, which decide how many rows are worked on at a time.

    rng : numpy.random.Generator
    """
    if not prepared.is_random and targets.are_at_hand:
        return Noise([rows_of(prepared.corrupt(targets.X, rng))])
    n_rows, seed = len(targets), int(rng.integers(2**63))
    # An even number of chunks suits two threads, and the draws may not depend on how many there are.
    n_chunks = 2 * ceil(n_rows / (2 * block_rows(widths)))
    n_draws = min(_MAX_DRAWS, ceil(_MIN_DRAWN_ROWS / n_rows))
    draws = [DrawnRows(targets, prepared, (seed, draw), ceil(n_rows / n_chunks)) for draw in range(n_draws)]
    if not prepared.is_random:
        return Noise(draws[:1])
    if n_draws * np.prod(targets.shape) <= _SMALL and targets.are_at_hand and not prepared.has_emphasis:
        draws = [draw.stored() for draw in draws]
    return Noise(draws, prepared)


class PreparedCorruption:
    """A Corruption, or any callable(X, rng), prepared on rows. Its results are checked.

    Parameters
    ----------
    corruption : Corruption or callable
        Gets read-only arrays.

    rows : Rows of shape (n_samples, n_features)

    weights : Weights of shape (n_samples,)

    rng : numpy.random.Generator, default=None
        For a sample of rows that are not at hand.

    Attributes
    ----------
    is_random : bool

    has_emphasis : bool

    moments : Moments or None

    Raises
    ------
    ValueError
        If the rows are sparse and the corruption would make them dense.
    """

    def __init__(self, corruption, rows, weights, rng=None):
        self._corruption = self._prepared = corruption
        self.is_random, self.has_emphasis, self.moments = True, False, None
        self._is_callable = not isinstance(corruption, Corruption)
        if self._is_callable:
            return
        if issparse(rows.X) and not corruption.keeps_sparse:
            keeping = [name for name, part in CORRUPTIONS.items() if part().keeps_sparse]
            raise ValueError(
                f"X is sparse, and {corruption!r} would make it dense. Choose corruption from {keeping}, or give "
                "X.toarray() if it fits into memory."
            )
        self._prepared = corruption._prepared_on(rows, weights, rng)
        self.is_random, self.moments = corruption.is_random, self._prepared.moments(rows.shape[1])
        self.has_emphasis = self.entry_weights((1, 1), rows.dtype, np.random.default_rng(0)) is not None

    @property
    def suits_moments(self):
        """Whether the expectation by the moments is as good as that of draws: not if many entries are replaced."""
        return self.moments is not None and self.moments.share <= _MAX_SHARE

    @property
    def changes_nothing(self):
        """Whether every corrupted entry is the clean one, as far as the moments say."""
        return self.moments is not None and self.moments.share == 0 and not self.moments.variance.any()

    def why_not_marginal(self, architecture, penalties):
        """Return why the moments do not give the expectation of the loss, or None if they do."""
        if architecture.depth > 1 or architecture.loss.least_squares_weights is None:
            return "it is for one layer of units and squared error with an identity output"
        if architecture.code.third_derivative(np.zeros(1)) is None:
            return f"the activation {architecture.code!r} is not smooth"
        if self.moments is None:
            return (
                f"the entries are not corrupted each on its own, or not with a known variance, by {self._corruption!r}"
            )
        if self.has_emphasis:
            return "the corruption's emphasis gives the entries different weights"
        if any(penalty.acts_on != "weights" for penalty in penalties):
            return "penalties hold one on the code"
        return None

    def corrupt(self, X, rng):
        """Return a corrupted copy of some rows."""
        # An overflow is infinite, and refused.
        with np.errstate(over="ignore"):
            result = self._called(_read_only(X), rng)
        if result.shape != X.shape:
            raise ValueError(
                f"corruption must return an array of the shape that it was given, {X.shape}, but returned "
                f"{result.shape}: {self._corruption!r}."
            )
        if not np.isfinite(result.data if issparse(result) else result).all():
            raise ValueError(f"corruption returned NaN or infinity: {self._corruption!r}.")
        return result

    def entry_weights(self, shape, dtype, rng):
        """Return the weights of the entries' losses in the draw that `corrupt` makes, or None if all are 1."""
        return self._prepared.entry_weights(shape, dtype, rng)

    def _called(self, X, rng):
        try:
            result = self._prepared(X, rng) if self._is_callable else self._prepared.corrupt(X, rng)
        except ValueError as error:
            error.add_note(f"Raised by corruption={self._corruption!r}, which gets X read-only and must return a copy.")
            raise
        if issparse(X) != issparse(result):
            kind, got = ("a sparse array", "an ndarray") if issparse(X) else ("an ndarray", "a sparse array")
            raise ValueError(f"corruption must return {kind}, as X is, but returned {got}: {self._corruption!r}.")
        entries = canonical(result.tocsr()) if issparse(result) else np.asarray(result)
        if isinstance(result, np.ma.MaskedArray) or entries.dtype.kind not in "biuf":
            raise ValueError(
                f"corruption must return an array of real numbers, but returned a {type(result).__name__} of dtype "
                f"{entries.dtype}: {self._corruption!r}."
            )
        return entries.astype(X.dtype, copy=False)


def _read_only(X):
    if issparse(X):
        parts = tuple(_read_only(part) for part in (X.data, X.indices, X.indptr))
        return type(X)(parts, shape=X.shape, copy=False)
    view = X.view()
    view.flags.writeable = False
    return view
