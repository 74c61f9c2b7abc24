"""Principal axes of weighted rows, by a full decomposition or by the Lanczos method."""

import warnings
from functools import partial
from inspect import signature

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse import issparse
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh, lobpcg
from sklearn.utils.extmath import svd_flip

from skae._rows.blocks import Centred, dense_rows
from skae._rows.moments import block_sum, blocks_of, variances

# Principal axes to begin with, where a share of the variance decides how many there are.
_FIRST_COUNT = 16


# ARPACK goes on with a random vector where the products leave it none. SciPy before 1.17 has a seed of its own.
_SEED = {"rng": 0} if "rng" in signature(eigsh).parameters else {}


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

        list(threads.map(fill, blocks_of(X, axis=1)))
    return qr(axes, mode="economic", overwrite_a=True, check_finite=False)[0]
