"""Few of many principal axes: what the Lanczos method finds is what a singular value decomposition finds."""

import gc
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from scipy.sparse import csr_array, hstack, random_array
from scipy.sparse.linalg import ArpackNoConvergence
from sklearn.decomposition import PCA
from sklearn.utils.extmath import svd_flip

from skae import AutoencoderTransformer
from skae._rows import blocks
from skae._rows import principal_axes as axes_module
from skae._rows.blocks import rows_of
from skae._rows.principal_axes import count_for_share, lanczos_is_faster, principal_axes
from skae._rows.statistics import column_means
from skae._rows.threads import RowThreads

ONE, TWO = RowThreads(1), RowThreads(2)
COUNT = 10
SPECTRA = {
    "decaying": 0.9 ** np.arange(90),
    "steep": 0.3 ** np.arange(90),
    "noise": np.linspace(1, 0.2, 90),
    "pairs": np.repeat(0.9 ** np.arange(45), 2),
    "tens": np.repeat(0.7 ** np.arange(9), 10),
    "all equal": np.ones(90),
    "nearly equal": 1 - 1e-9 * np.arange(90),
    "rank three": np.r_[5.0, 4, 3, np.zeros(87)],
}
SHAPES = [(200, 91), (91, 200), (91, 91)]
KINDS = [np.ascontiguousarray, np.asfortranarray, csr_array]
each_shape_and_kind = pytest.mark.covering(shape=SHAPES, make=KINDS)
each_kind = pytest.mark.parametrize("make", KINDS)


@pytest.fixture
def always_few(monkeypatch):
    monkeypatch.setattr(axes_module, "lanczos_is_faster", lambda X, count: 4 * count < min(X.shape))
    monkeypatch.delattr(axes_module, "_full")


def with_spectrum(values, shape, weights, mean, rng):
    """Rows whose weighted covariance matrix has these square roots of eigenvalues."""
    columns = rng.standard_normal((shape[0], len(values)))
    roots = np.sqrt(weights / weights.sum())[:, None]
    left, _ = np.linalg.qr(roots * (columns - weights @ columns / weights.sum()))
    right, _ = np.linalg.qr(rng.standard_normal((shape[1], len(values))))
    return (left * values) @ right.T / roots + mean


def by_svd(X, weights, mean):
    """Variances, axes and the total."""
    deviations = np.sqrt(weights / weights.sum())[:, None] * (X.astype(np.float64) - mean)
    _, values, axes = np.linalg.svd(deviations, full_matrices=False)
    return values**2, svd_flip(None, axes, u_based_decision=False)[1], np.sum(values**2)


def check(data, X, weights, *, threads=ONE, tolerance=1e-12):
    """Variances, total, orthonormal axes; and the axes themselves, as far as a gap in the variances defines them."""
    mean = column_means([rows_of(data)], weights, threads)
    expected, expected_axes, expected_total = by_svd(X, weights, np.average(X.astype(float), axis=0, weights=weights))
    variances, axes, total = principal_axes(rows_of(data), weights, mean, threads, COUNT)
    scale = expected[0]
    np.testing.assert_allclose(variances, expected[:COUNT], rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(total, expected_total, rtol=tolerance, atol=tolerance * scale)
    np.testing.assert_allclose(axes @ axes.T, np.eye(COUNT), atol=1e-12)
    gaps = -np.diff(np.r_[np.inf, expected[: COUNT + 1]])
    for index in range(COUNT):
        gap = min(gaps[index], gaps[index + 1])
        if gap > 1e-4 * scale:
            np.testing.assert_allclose(axes[index], expected_axes[index], atol=100 * tolerance * scale / gap)
    left = X.astype(float) - np.average(X.astype(float), axis=0, weights=weights)
    left = np.sqrt(weights / weights.sum())[:, None] * (left - left @ axes.T @ axes)
    np.testing.assert_allclose(np.sum(left**2), np.sum(expected[COUNT:]), rtol=1e-9, atol=tolerance * scale)


@pytest.mark.usefixtures("always_few")
@pytest.mark.covering(shape=SHAPES, make=KINDS, name=[*SPECTRA], weights_are=["equal", "uneven"])
def test_the_axes_are_those_of_a_decomposition(shape, make, name, weights_are, rng):
    weights = np.ones(shape[0]) if weights_are == "equal" else rng.uniform(0.5, 2, shape[0])
    X = with_spectrum(SPECTRA[name], shape, weights, rng.uniform(size=shape[1]), rng)
    check(make(X), X, weights)


@pytest.mark.usefixtures("always_few")
@each_shape_and_kind
def test_the_axes_of_float32(shape, make, rng):
    """The products are in float64: no digit is lost that X has."""
    weights = np.ones(shape[0])
    X = with_spectrum(SPECTRA["decaying"], shape, weights, rng.uniform(size=shape[1]), rng).astype(np.float32)
    check(make(X), X, weights)


@pytest.mark.usefixtures("always_few")
@pytest.mark.covering(shape=SHAPES, make=KINDS, dtype=[np.float32, np.float64])
def test_a_mean_far_above_the_spread(shape, make, dtype, rng):
    """The numbers that float32 leaves of them are the data."""
    weights = rng.uniform(0.5, 2, shape[0])
    X = with_spectrum(10 * SPECTRA["decaying"], shape, weights, 1e6, rng).astype(dtype)
    check(make(X), X, weights, tolerance=1e-8)


@pytest.mark.usefixtures("always_few")
@pytest.mark.covering(shape=SHAPES, make=KINDS, unit=[1e-90, 1e-8, 1e8, 1e90])
def test_any_unit(shape, make, unit, rng):
    """ARPACK's tolerance has an absolute part."""
    weights = np.ones(shape[0])
    X = unit * with_spectrum(SPECTRA["decaying"], shape, weights, 0, rng)
    check(make(X), X, weights)


@pytest.mark.covering(route=["lanczos", "full"], shape=SHAPES, make=KINDS, value=[0.0, 0.1, -1e6])
def test_constant_data(route, shape, make, value, monkeypatch):
    monkeypatch.setattr(axes_module, "lanczos_is_faster", lambda X, count: route == "lanczos")
    data, weights = make(np.full(shape, value)), np.ones(shape[0])
    mean = column_means([rows_of(data)], weights, ONE)
    variances, axes, total = principal_axes(rows_of(data), weights, mean, ONE, COUNT)
    np.testing.assert_allclose(axes @ axes.T, np.eye(COUNT), atol=1e-12)
    np.testing.assert_allclose([*variances, total], 0, atol=1e-20 * max(1, value**2))


@pytest.mark.usefixtures("always_few")
@pytest.mark.covering(shape=SHAPES, make=KINDS, name=[*SPECTRA])
def test_no_convergence(shape, make, name, rng, monkeypatch):
    """What is found then has the same variance; warnings are errors here."""

    def fail(*args, **options):
        raise ArpackNoConvergence("no convergence (%d iterations, %d/%d)", np.empty(0), np.empty((0, 0)))

    monkeypatch.setattr(axes_module, "eigsh", fail)
    weights = np.ones(shape[0])
    X = with_spectrum(SPECTRA[name], shape, weights, 1, rng)
    data = make(X)
    variances, axes, total = principal_axes(rows_of(data), weights, X.mean(axis=0), ONE, COUNT)
    expected, _, expected_total = by_svd(X, weights, X.mean(axis=0))
    np.testing.assert_allclose(variances, expected[:COUNT], rtol=0, atol=1e-6 * expected[0])
    np.testing.assert_allclose(total, expected_total)
    np.testing.assert_allclose(axes @ axes.T, np.eye(COUNT), atol=1e-10)


@pytest.mark.usefixtures("always_few")
@each_shape_and_kind
def test_threads_and_blocks_only_round(shape, make, rng, monkeypatch):
    monkeypatch.setattr(blocks, "_BLOCK_ENTRIES", 20 * shape[1])
    weights = np.ones(shape[0])
    X = with_spectrum(SPECTRA["noise"], shape, weights, 1, rng)
    check(make(X), X, weights, threads=TWO)


@pytest.mark.usefixtures("always_few")
@each_kind
def test_the_same_axes_every_time(make, rng):
    data, weights = make(rng.standard_normal((100, 60))), np.ones(100)
    mean = column_means([rows_of(data)], weights, ONE)
    first, second = (principal_axes(rows_of(data), weights, mean, ONE, COUNT)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.skipif(not axes_module._SEED, reason="SciPy before 1.17 goes on with random numbers of its own")
@pytest.mark.usefixtures("always_few")
@each_kind
def test_equal_variances_give_the_same_axes_every_time(make):
    data, weights = make(np.eye(20)[np.arange(200) % 20].repeat(5, axis=1)), np.ones(200)
    mean = column_means([rows_of(data)], weights, ONE)
    first, second = (principal_axes(rows_of(data), weights, mean, ONE, COUNT)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)


# When.


@pytest.mark.parametrize(
    ("shape", "count", "dense", "sparse"),
    [
        ((60, 12), 2, False, False),
        ((60_000, 784), 64, False, True),
        ((3000, 3000), 10, True, True),
        ((3000, 3000), 2000, False, False),
        ((100_000, 50_000), 10, True, True),
        ((2000, 200_000), 10, False, True),
    ],
)
def test_when_axes_are_few(shape, count, dense, sparse):
    """As measured; without data, so that they may be large."""
    for data, expected in (
        (np.broadcast_to(1.0, shape), dense),
        (csr_array((np.ones(1000), (np.zeros(1000), np.arange(1000) % shape[1])), shape=shape), sparse),
    ):
        assert lanczos_is_faster(rows_of(data), count) == expected


@contextmanager
def peak_memory():
    """Yield a function that gives the bytes allocated at most."""
    gc.collect()
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("shape", "options"),
    [
        pytest.param((3000, 3000), {"activation": "identity"}, id="square-svd"),
        pytest.param((2000, 8000), {"activation": "identity"}, id="wide-svd", marks=pytest.mark.slow),
        pytest.param((3000, 3000), {"init": "pca", "max_iter": 1}, id="square-pca", marks=pytest.mark.slow),
        pytest.param((2000, 8000), {"init": "pca", "max_iter": 1}, id="wide-pca"),
    ],
)
def test_no_matrix_of_the_smaller_side(shape, options):
    X = random_array(shape, density=1e-3, format="csr", random_state=0)
    with peak_memory() as peak:
        AutoencoderTransformer(5, maxcor=1, random_state=0, **options).fit(X)
        assert peak() < 8 * min(shape) ** 2


def test_as_PCA_on_wide_sparse_rows():
    """Beyond the size up to which everything is decomposed."""
    X = random_array((600, 2000), density=0.01, format="csr", random_state=0)
    assert lanczos_is_faster(rows_of(X), 5)
    pca = PCA(5, svd_solver="full").fit(X.toarray())
    linear = AutoencoderTransformer(5, activation="identity", alpha=0).fit(X)
    np.testing.assert_allclose(linear.components_, pca.components_, atol=1e-8)
    np.testing.assert_allclose(linear.score(X), pca.explained_variance_ratio_.sum(), rtol=1e-10)


# A share of the variance.


@pytest.mark.usefixtures("always_few")
@each_kind
@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7])
def test_share_in_doubling_steps(make, share, rng, monkeypatch):
    monkeypatch.setattr(axes_module, "_FIRST_COUNT", 1)
    X = rng.standard_normal((150, 100)) * 0.95 ** np.arange(100)
    data, weights = make(X), np.ones(150)
    expected = PCA(share, svd_solver="full").fit(X).n_components_
    assert count_for_share(rows_of(data), weights, X.mean(axis=0), ONE, share) == expected


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 1 - 1e-9])
def test_share_that_takes_more_than_few(share, rng, monkeypatch):
    """The last step asks for all."""
    monkeypatch.setattr(axes_module, "_FIRST_COUNT", 1)
    monkeypatch.setattr(axes_module, "lanczos_is_faster", lambda X, count: 4 * count < min(X.shape))
    X = rng.standard_normal((40, 30))
    expected = PCA(share, svd_solver="full").fit(X).n_components_
    assert count_for_share(rows_of(X), np.ones(40), X.mean(axis=0), ONE, share) == expected


def test_a_share_of_wide_rows_decomposes_no_matrix(rng):
    shape = 3000, 4000
    X = hstack([rng.standard_normal((3000, 3)), random_array(shape, density=1e-3, random_state=0) / 100], format="csr")
    with peak_memory() as peak:
        found = count_for_share(rows_of(X), np.ones(3000), column_means([rows_of(X)], np.ones(3000), ONE), ONE, 0.9)
        assert peak() < 4 * 3000**2
    assert found == 3


# What it is for.


def r2(fitted, X):
    """In float64."""
    data = X.astype(np.float64)
    return 1 - np.sum((data - fitted.reconstruct(X)) ** 2) / np.sum((data - data.mean(axis=0)) ** 2)


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"solver": "svd", "activation": "identity"}, 1e-3),
        ({"solver": "varpro"}, 2e-3),
        ({"solver": "lbfgs"}, 0.02),
    ],
    ids=["svd", "varpro", "lbfgs"],
)
def test_float32_whose_spread_is_a_few_steps(options, tolerance, rng):
    """14 steps of 1/16, about a mean of a million."""
    signal = rng.standard_normal((500, 3)) @ rng.standard_normal((3, 12))
    X = (1e6 + (signal / signal.std() + 0.5 * rng.standard_normal((500, 12))) * 14 / 16).astype(np.float32)
    single, double = (
        AutoencoderTransformer(3, max_iter=200, random_state=0, **options).fit(data) for data in (X, X.astype(float))
    )
    assert r2(double, X.astype(float)) > 0.8
    assert r2(single, X) == pytest.approx(r2(double, X.astype(float)), abs=tolerance)
