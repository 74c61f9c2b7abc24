"""Weighted moments of the data, summed in float64 over blocks of rows that are shared out to threads."""

import warnings
from functools import partial
from inspect import signature

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse import issparse
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh, lobpcg
from sklearn.utils import gen_batches
from sklearn.utils.extmath import svd_flip

from skae.rows import Centred, dense_rows

_BLOCK_ENTRIES = 2**19

# Principal axes to begin with, where a share of the variance decides how many there are.
_FIRST_COUNT = 16

# ARPACK goes on with a random vector where the products leave it none. SciPy before 1.17 has a seed of its own.
_SEED = {"rng": 0} if "rng" in signature(eigsh).parameters else {}


def block_sum(part, X, threads, axis=0):
    """Add up, in float64, what `part`, a function of a slice of X along an axis, gives for all of them."""
    blocks = _blocks(X, axis)
    n_threads = min(threads.n_threads, len(blocks))

    def add(deal):
        total = np.float64(0)
        # An overflow is infinite, which the caller looks at.
        with np.errstate(over="ignore", invalid="ignore"):
            for block in deal:
                total += part(block)
        return total

    return sum(threads.map(add, [blocks[first::n_threads] for first in range(n_threads)]))


def _blocks(X, axis):
    length = X.shape[axis]
    return list(gen_batches(length, max(16, _BLOCK_ENTRIES * length // np.prod(X.shape))))


def column_means(draws, weights, threads):
    """Return the weighted means, (n_features,), of the rows of all draws together."""
    total = sum(block_sum(lambda rows, X=X: weights[rows] @ X[rows].astype(np.float64), X, threads) for X in draws)
    return total / (weights.sum() * len(draws))


def principal_axes(X, weights, mean, threads, count):
    """Return the variances along the first principal axes, by decreasing variance, the axes, one a row, and the total.

    There are `count` axes, but no more than the smaller side of X, with the signs of `PCA`.
    """
    count = min(count, *X.shape)
    decompose = _lanczos if are_few(X, count) else _full
    variances, axes, total = decompose(X, weights, mean, threads, count)
    return np.maximum(variances, 0), svd_flip(None, axes.T, u_based_decision=False)[1], total


def count_for_share(X, weights, mean, threads, share):
    """Return how many principal axes together have more than a share of the total variance, at least 1."""
    size, count = min(X.shape), _FIRST_COUNT
    while True:
        count = count if are_few(X, count) else size
        variances, _, total = principal_axes(X, weights, mean, threads, count)
        if not variances.any():
            return 1
        shares = np.cumsum(variances) / (total if count < size else variances.sum())
        if shares[-1] > share or count == size:
            return min(int(np.searchsorted(shares, share, side="right")) + 1, size)
        count *= 2


def are_few(X, count):
    """Return whether `count` principal axes are found faster by the Lanczos method than by a full decomposition.

    Both costs are estimates in nanoseconds, from measurements on two cores with X of 300 x 300 to 6,000 x 4,000 and
    2,000 x 20,000, and 2 to 200 axes. The Lanczos method took about 35 + 2 count products where the variances decay,
    and 300 + 3 count where X is noise: the estimate lies between the two, and noise may take three times as long as a
    full decomposition. An entry of a sparse X costs a product three times as much as one of a dense X.
    """
    size, n_entries = min(X.shape), X.shape[0] * X.shape[1]
    n_read = 3 * (X.nnz + sum(X.shape)) if issparse(X) else n_entries
    lanczos = (100 + 3 * count) * (n_read + 4 * size * count + 50_000)
    full = n_entries * size / 40 + size**3 / 13
    return 4 * count < size and lanczos < full


def _lanczos(X, weights, mean, threads, count):
    """Return the first variances, the axes, one a column, and the total, from products with vectors alone."""
    total = variances([X], weights, mean, threads).sum()
    if total < np.finfo(np.float64).tiny:
        return np.zeros(count), np.eye(X.shape[1], count), total
    # ARPACK's tolerance is absolute for small eigenvalues: those that it sees sum to one.
    shares = weights / (weights.sum() * total)
    # Vectors of the smaller side are worth it where a product costs little more than they do.
    of_axes = not issparse(X) or X.shape[0] >= X.shape[1]
    product = _sparse_product(X, shares, mean, of_axes) if issparse(X) else _dense_product(X, shares, mean, threads)
    values, vectors = _first_eigenvectors(product, X.shape[1] if of_axes else X.shape[0], count)
    return values * total, vectors if of_axes else _axes_of(vectors, X, weights, mean, threads), total


def _first_eigenvectors(product, size, count):
    """Return the first eigenvalues, by decreasing size, and the eigenvectors of a matrix, given its products."""
    # LOBPCG gives columns of shape (size, 1).
    matrix = LinearOperator((size, size), matvec=lambda vector: product(vector.ravel()), dtype=np.float64)
    start = np.random.default_rng(0).standard_normal((size, count))
    try:
        # On a basis of ARPACK's default size, or at a looser tolerance, it misses some of many equal eigenvalues.
        n_basis = min(size, max(40, 4 * count))
        values, vectors = eigsh(matrix, count, v0=start[:, 0], ncv=n_basis, maxiter=100, **_SEED)
    except ArpackError:
        # Too many eigenvalues that are nearly equal: a search for all at once need not tell them apart.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that they are not found to the last digit
            values, vectors = lobpcg(matrix, start, tol=1e-12, maxiter=100)
    order = np.argsort(-values)
    return values[order], vectors[:, order]


def _dense_product(X, shares, mean, threads):
    """Return the function that multiplies the weighted covariance matrix by a vector, in float64."""

    def part(vector, rows):
        deviations = X[rows] - mean
        return (shares[rows] * (deviations @ vector)) @ deviations

    return lambda vector: block_sum(partial(part, vector), X, threads)


def _sparse_product(X, shares, mean, of_axes):
    """Return the function that multiplies a vector by the covariance matrix, or by the inner products of the rows."""
    rows, roots = X.astype(np.float64, copy=False), np.sqrt(shares)

    def times(vector):
        return roots * (rows @ vector - mean @ vector)

    def transposed_times(vector):
        weighted = roots * vector
        return rows.T @ weighted - mean * weighted.sum()

    return lambda vector: transposed_times(times(vector)) if of_axes else times(transposed_times(vector))


def _full(X, weights, mean, threads, count):
    """Return what `_lanczos` does, from the covariance matrix or, if rows are fewer, from their inner products."""
    of_axes = X.shape[0] >= X.shape[1]
    products = (_covariance if of_axes else _inner_products)(X, weights, mean, threads)
    total, size = np.trace(products), len(products)
    # Few of many eigenvectors are found faster on their own.
    subset = (size - count, size - 1) if 4 * count < size else None
    values, vectors = eigh(products, subset_by_index=subset, overwrite_a=True, check_finite=False)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    return values, vectors if of_axes else _axes_of(vectors, X, weights, mean, threads), total


def _covariance(X, weights, mean, threads):
    """Return the weighted covariance matrix, (n_features, n_features); the products run in X's dtype."""
    rounded, roots = mean.astype(X.dtype), np.sqrt(weights / weights.sum()).astype(X.dtype)
    centred = Centred(X, rounded)

    def part(rows):
        scratch = np.empty((rows.stop - rows.start, X.shape[1]), X.dtype)
        weighted = np.multiply(centred.dense(rows, scratch), roots[rows, None], out=scratch)
        return weighted.T @ weighted

    products = block_sum(part, X, threads)
    rest = mean - rounded
    if rest.any():  # which matters where the spread is a few steps of X's dtype
        products -= np.multiply.outer(rest, rest)
    return products


def _inner_products(X, weights, mean, threads):
    """Return the inner products of the centred rows, (n_samples, n_samples), for an X of more columns than rows."""
    roots = np.sqrt(weights / weights.sum())[:, None]

    def part(columns):
        block = dense_rows(X[:, columns]).astype(np.float64)
        block -= mean[columns]
        block *= roots
        return block @ block.T

    return block_sum(part, X, threads, axis=1)


def _axes_of(left, X, weights, mean, threads):
    """Return the right singular vectors, one a column, that belong to left ones; QR makes up those without variance."""
    combinations = np.sqrt(weights / weights.sum())[:, None] * left
    if issparse(X):
        axes = X.T @ combinations - np.multiply.outer(mean, combinations.sum(axis=0))
    else:
        axes = np.empty((X.shape[1], left.shape[1]))

        def fill(columns):
            np.matmul((X[:, columns] - mean[columns]).T, combinations, out=axes[columns])

        list(threads.map(fill, _blocks(X, axis=1)))
    return qr(axes, mode="economic", overwrite_a=True, check_finite=False)[0]


def variances(draws, weights, mean, threads):
    """Return the weighted mean squares, (n_features,), of the deviations from the mean."""
    squares = sum(
        block_sum(lambda rows, X=X: _weighted_squares(X[rows], weights[rows], mean), X, threads) for X in draws
    )
    return squares / (weights.sum() * len(draws))


def _weighted_squares(block, weights, mean):
    """Return the weighted sums, (n_features,), of the squared deviations of some rows from the mean, in float64."""
    if not issparse(block):
        deviations = block - mean
        return weights @ np.square(deviations, out=deviations)
    of_entries, columns = np.repeat(weights, np.diff(block.indptr)), block.indices
    sums = [
        np.bincount(columns, entries, minlength=len(mean))
        for entries in (of_entries * (block.data - mean[columns]) ** 2, of_entries)
    ]
    of_zeros = np.where(np.bincount(columns, minlength=len(mean)) < block.shape[0], weights.sum() - sums[1], 0)
    return sums[0] + of_zeros * mean**2


def scale_about(draws, weights, mean, threads):
    """Return the root mean square of the deviations from the mean, over the columns that are not constant.

    Raises ValueError if products on that scale leave the range of X's dtype.
    """
    limits = np.finfo(draws[0].dtype)
    squares = variances(draws, weights, mean, threads)
    with np.errstate(over="ignore", invalid="ignore"):
        # A gradient is a product of two deviations and a weight, all perhaps on this scale, and needs its digits too.
        cube = np.mean(squares) ** 1.5
        # A mean of equal values differs from them by no more than the rounding of its sum.
        rounding = len(weights) * np.finfo(np.float64).eps * mean
        if np.any((squares > 0) & (squares <= rounding**2)):
            squares[_are_constant(draws)] = 0
    too_large = not cube * len(mean) < limits.max * limits.eps
    too_small = cube < limits.tiny / limits.eps and not all(_are_constant([X]).all() for X in draws)
    if too_large or too_small:
        largest = max(max(X.max(), -X.min()) for X in draws)
        raise ValueError(
            f"X is on the scale of {largest:.3g}, where products leave the range of {limits.dtype}. "
            "Scale X first, for example with StandardScaler or MinMaxScaler."
        )
    return float(np.sqrt(np.mean(squares)))


def _are_constant(draws):
    """Return the mask, (n_features,), of the columns whose minimum equals their maximum."""

    def extremes(X):
        pair = X.min(axis=0), X.max(axis=0)
        return [side.toarray().ravel() for side in pair] if issparse(X) else pair

    low, high = zip(*map(extremes, draws), strict=True)
    return np.min(low, axis=0) == np.max(high, axis=0)
