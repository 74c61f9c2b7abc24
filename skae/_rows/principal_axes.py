"""Principal axes of weighted rows, by a full decomposition or by the Lanczos method."""

import warnings
from inspect import signature

import numpy as np
from scipy.linalg import eigh, qr
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh, lobpcg
from sklearn.utils.extmath import svd_flip

from skae._rows.statistics import variances

# Principal axes to begin with, where a share of the variance decides how many there are.
_FIRST_COUNT = 16

# ARPACK goes on with a random vector where the products leave it none. SciPy before 1.17 has a seed of its own.
_SEED = {"rng": 0} if "rng" in signature(eigsh).parameters else {}


def principal_axes(rows, weights, mean, threads, count):
    """Return the variances along the first principal axes, by decreasing variance, the axes, one a row, and the total.

    There are `count` axes, but no more than the smaller side of the rows, with the signs of `PCA`.
    """
    count = min(count, *rows.shape)
    decompose = _lanczos if lanczos_is_faster(rows, count) else _full
    along_axes, axes, total = decompose(rows, weights, mean, threads, count)
    return np.maximum(along_axes, 0), svd_flip(None, axes.T, u_based_decision=False)[1], total


def count_for_share(rows, weights, mean, threads, share):
    """Return how many principal axes together have more than a share of the total variance, at least 1."""
    size, count = min(rows.shape), _FIRST_COUNT
    while True:
        count = count if lanczos_is_faster(rows, count) else size
        along_axes, _, total = principal_axes(rows, weights, mean, threads, count)
        if not along_axes.any():
            return 1
        shares = np.cumsum(along_axes) / (total if count < size else along_axes.sum())
        if shares[-1] > share or count == size:
            return min(int(np.searchsorted(shares, share, side="right")) + 1, size)
        count *= 2


def lanczos_is_faster(rows, count):
    """Return whether `count` principal axes are found faster by the Lanczos method than by a full decomposition.

    Both costs are estimates in nanoseconds, from measurements on two cores with X of 300 x 300 to 6,000 x 4,000 and
    2,000 x 20,000, and 2 to 200 axes. The Lanczos method took about 35 + 2 count products where the variances decay,
    and 300 + 3 count where X is noise: the estimate lies between the two, and noise may take three times as long as a
    full decomposition. An entry of a sparse X costs a product three times as much as one of a dense X.
    """
    size, n_entries = min(rows.shape), rows.shape[0] * rows.shape[1]
    lanczos = (100 + 3 * count) * (rows.n_read + 4 * size * count + 50_000)
    full = n_entries * size / 40 + size**3 / 13
    return 4 * count < size and lanczos < full


def _lanczos(rows, weights, mean, threads, count):
    """Return the first variances, the axes, one a column, and the total, from products with vectors alone."""
    total = variances([rows], weights, mean, threads).sum()
    if total < np.finfo(np.float64).tiny:
        return np.zeros(count), np.eye(rows.shape[1], count), total
    # ARPACK's tolerance is absolute for small eigenvalues. The sum of those that it sees is one.
    product, of_axes = rows.second_moment_product(weights / (weights.sum() * total), mean, threads)
    values, vectors = _first_eigenvectors(product, rows.shape[1] if of_axes else rows.shape[0], count)
    return values * total, vectors if of_axes else _axes_of(vectors, rows, weights, mean, threads), total


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


def _full(rows, weights, mean, threads, count):
    """Return the same as `_lanczos`, from the covariance matrix or, if rows are fewer, from their inner products."""
    of_axes = rows.shape[0] >= rows.shape[1]
    products = (_covariance if of_axes else _inner_products)(rows, weights, mean, threads)
    total, size = np.trace(products), len(products)
    # A small subset of the eigenvectors is computed faster than all of them.
    subset = (size - count, size - 1) if 4 * count < size else None
    values, vectors = eigh(products, subset_by_index=subset, overwrite_a=True, check_finite=False)
    values, vectors = values[::-1][:count], vectors[:, ::-1][:, :count]
    return values, vectors if of_axes else _axes_of(vectors, rows, weights, mean, threads), total


def _covariance(rows, weights, mean, threads):
    """Return the weighted covariance matrix, (n_features, n_features); the products run in the rows' dtype."""
    rounded, total = mean.astype(rows.dtype), weights.sum()

    def part(block):
        scratch = np.empty((block.stop - block.start, rows.shape[1]), rows.dtype)
        deviations = rows.centred_by(rounded, block, scratch).dense(scratch)
        roots = np.sqrt(weights[block] / total).astype(rows.dtype)
        weighted = np.multiply(deviations, roots[:, None], out=scratch)
        return weighted.T @ weighted

    products = rows.sum(part, threads)
    rest = mean - rounded
    if rest.any():  # which matters where the spread is a few units in the last place
        products -= np.multiply.outer(rest, rest)
    return products


def _inner_products(rows, weights, mean, threads):
    """Return the inner products of the centred rows, (n_samples, n_samples), for more columns than rows."""

    def part(columns):
        block = rows.dense_columns(columns).astype(np.float64)
        block -= mean[columns]
        block *= np.sqrt(weights[:] / weights.sum())[:, None]
        return block @ block.T

    return rows.sum(part, threads, axis=1)


def _axes_of(left, rows, weights, mean, threads):
    """Return the right singular vectors, one a column, of left ones; QR fills in those without variance."""
    axes = rows.combine(np.sqrt(weights[:] / weights.sum())[:, None] * left, mean, threads)
    return qr(axes, mode="economic", overwrite_a=True, check_finite=False)[0]
