"""What theory says of the minimum: PCA's bound and subspace, closed forms under weight decay and contraction."""

import numpy as np
import pytest
from problems import make_problem
from scipy.linalg import subspace_angles
from scipy.sparse import csr_array
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._variables.centring import CentredVariables
from skae.penalties import Contraction, WeightDecay

EXACT = {"max_iter": 20000, "max_fun": 40000, "tol": 0, "random_state": 0}
each_solver = pytest.mark.parametrize("solver", ["svd", "varpro", "lbfgs"])
each_of_tied = pytest.mark.parametrize("solver", ["svd", "lbfgs"])
each_search = pytest.mark.parametrize("solver", ["varpro", "lbfgs"])


@pytest.fixture(scope="module")
def X():
    """The iris measurements, centred by nobody."""
    return load_iris().data


@pytest.fixture(scope="module")
def singular_values(X):
    return np.linalg.svd(X - X.mean(axis=0), compute_uv=False)


def pca_loss(X, n_components):
    pca = PCA(n_components).fit(X)
    return 0.5 * np.sum((X - pca.inverse_transform(pca.transform(X))) ** 2) / len(X)


@pytest.mark.parametrize("n_components", [1, 2, 3])
@pytest.mark.parametrize(
    ("tied", "solver"), [(False, "svd"), (False, "varpro"), (False, "lbfgs"), (True, "svd"), (True, "lbfgs")]
)
def test_linear_autoencoder_reaches_the_loss_of_pca(X, n_components, tied, solver):
    linear = AutoencoderTransformer(
        n_components, activation="identity", alpha=0, tied_weights=tied, solver=solver, **EXACT
    ).fit(X)
    assert linear.loss_ == pytest.approx(pca_loss(X, n_components), rel=1e-9)
    assert linear.score(X) == pytest.approx(PCA(n_components).fit(X).explained_variance_ratio_.sum(), abs=1e-9)


@each_solver
def test_linear_decoder_spans_the_principal_subspace(X, solver):
    linear = AutoencoderTransformer(2, activation="identity", alpha=0, solver=solver, **EXACT).fit(X)
    angles = subspace_angles(linear.coefs_[1].T, PCA(2).fit(X).components_.T)
    assert np.max(angles) < 1e-5


@each_search
@pytest.mark.parametrize("activation", ["logistic", "tanh", "softplus"])
def test_no_encoder_beats_pca_under_a_linear_decoder(digits, activation, solver):
    bound = pca_loss(digits, 8)
    settings = {"alpha": 0, "max_iter": 500, "tol": 3e-4, "random_state": 0}
    fitted = AutoencoderTransformer(8, activation=activation, solver=solver, **settings).fit(digits)
    assert bound < fitted.loss_ < 1.02 * bound


def test_a_deep_decoder_beats_pca(digits):
    deep = AutoencoderTransformer(2, hidden_layer_sizes=(30,), activation="tanh", alpha=0, max_iter=300, random_state=0)
    assert deep.fit(digits).loss_ < 0.9 * pca_loss(digits, 2)


@each_solver
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.3])
def test_weight_decay_on_an_untied_linear_autoencoder(X, singular_values, alpha, solver):
    m, n_components = len(X), 3
    t, s2 = alpha * m, singular_values**2
    kept = s2[:n_components][s2[:n_components] > t]
    expected = np.sum(t - t**2 / (2 * kept)) + 0.5 * (np.sum(s2) - np.sum(kept))
    fitted = AutoencoderTransformer(n_components, activation="identity", alpha=alpha, solver=solver, **EXACT).fit(X)
    assert m * fitted.loss_ == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(fitted.coefs_[0], fitted.coefs_[1].T, atol=1e-4)
    shrinkage = np.sort(np.linalg.svd(fitted.coefs_[1], compute_uv=False))[::-1]
    np.testing.assert_allclose(shrinkage[: len(kept)], np.sqrt(1 - t / kept), atol=1e-4)
    np.testing.assert_allclose(shrinkage[len(kept) :], 0, atol=1e-3)


@each_of_tied
@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.3])
def test_weight_decay_on_a_tied_linear_autoencoder(X, singular_values, alpha, solver):
    m, n_components = len(X), 3
    t, s2 = alpha * m, singular_values**2
    kept = s2[:n_components][s2[:n_components] > t / 2]
    expected = np.sum(t / 2 - t**2 / (8 * kept)) + 0.5 * (np.sum(s2) - np.sum(kept))
    fitted = AutoencoderTransformer(
        n_components, activation="identity", tied_weights=True, alpha=alpha, solver=solver, **EXACT
    ).fit(X)
    assert m * fitted.loss_ == pytest.approx(expected, rel=1e-8)


@each_solver
@pytest.mark.parametrize(("alpha", "contraction"), [(0.05, 0.02), (0.01, 0.1)])
def test_contraction_is_a_second_weight_decay_on_a_linear_encoder(X, singular_values, alpha, contraction, solver):
    m, n_components = len(X), 2
    t = m * np.sqrt((alpha + 2 * contraction) * alpha)
    s2 = singular_values**2
    kept = s2[:n_components][s2[:n_components] > t]
    expected = np.sum(t - t**2 / (2 * kept)) + 0.5 * (np.sum(s2) - np.sum(kept))
    fitted = ContractiveAutoencoder(
        n_components,
        contraction_weight=contraction,
        activation="identity",
        tied_weights=False,
        alpha=alpha,
        solver=solver,
        **EXACT,
    )
    assert m * fitted.fit(X).loss_ == pytest.approx(expected, rel=1e-8)


@each_solver
def test_weights_act_as_in_weighted_pca(X, solver):
    weights = np.linspace(0.1, 3, len(X))
    mean = weights @ X / weights.sum()
    s2 = np.linalg.svd(np.sqrt(weights)[:, None] * (X - mean), compute_uv=False) ** 2
    fitted = AutoencoderTransformer(2, activation="identity", alpha=0, solver=solver, **EXACT)
    fitted.fit(X, sample_weight=weights)
    assert fitted.loss_ == pytest.approx(0.5 * s2[2:].sum() / weights.sum(), rel=1e-9)


def test_gaussian_noise_acts_as_weight_decay_on_a_linear_encoder(X, singular_values):
    """E||x - (x + e) W V||^2 = ||x - x W V||^2 + sigma^2 ||W V||^2: the minimum is a Wiener filter."""
    sigma, m = 0.3, len(X)
    denoiser = DenoisingAutoencoder(
        4, corruption="gaussian", corruption_level=sigma, activation="identity", alpha=0, **EXACT
    ).fit(X)
    s2 = singular_values**2 / m
    expected = 0.5 * np.sum(s2 * sigma**2 / (s2 + sigma**2))
    assert denoiser.loss_ == pytest.approx(expected, rel=1e-9)


def test_denoising_approaches_the_score_of_the_density():
    """r(x) - x is about sigma^2 d log p / dx: for a Gaussian of variance v -sigma^2 x / v (Alain and Bengio)."""
    rng = np.random.default_rng(0)
    variances = np.array([1.0, 0.25])
    X = rng.standard_normal((4000, 2)) * np.sqrt(variances)
    sigma = 0.1
    denoiser = DenoisingAutoencoder(
        2,
        corruption="gaussian",
        corruption_level=sigma,
        activation="identity",
        alpha=0,
        random_state=0,
        tol=1e-7,
    ).fit(X)
    points = np.array([[1.0, 0.5], [-1.0, 0.5], [0.5, -1.0]])
    np.testing.assert_allclose(denoiser.reconstruct(points) - points, -(sigma**2) * points / variances, atol=4e-3)


@pytest.mark.parametrize("rho", [0.05, 0.3])
def test_a_strong_sparsity_weight_brings_every_unit_to_the_target(digits, rho):
    settings = {"sparsity_target": rho, "sparsity_weight": 100.0, "scale_code": False}
    sparse = SparseAutoencoder(20, **settings, max_iter=300, random_state=0).fit(digits)
    np.testing.assert_allclose(sparse.transform(digits).mean(axis=0), rho, rtol=0.02)


def test_an_untied_decoder_evades_the_contraction(X):
    """W shrinks and V grows: the penalty goes to zero while the reconstruction stays."""
    options = {"activation": "identity", "alpha": 0, "contraction_weight": 1.0, "max_iter": 2000, "random_state": 0}
    untied = ContractiveAutoencoder(2, tied_weights=False, **options).fit(X)
    tied = ContractiveAutoencoder(2, tied_weights=True, **options).fit(X)
    bound = pca_loss(X, 2)
    assert untied.loss_ < 1.1 * bound
    assert tied.loss_ > 5 * bound


# The closed form itself.


def solved(X, n_components, *, sample_weight=None, contraction=0.0, alpha=0.0, tied=False):
    return ContractiveAutoencoder(
        n_components,
        activation="identity",
        tied_weights=tied,
        alpha=alpha,
        contraction_weight=contraction,
        solver="svd",
    ).fit(X, sample_weight=sample_weight)


def spread(shape):
    """Rows about a mean that is not zero, of well separated variances."""
    rng = np.random.default_rng(7)
    return rng.standard_normal(shape) * 0.8 ** np.arange(shape[1]) + 3 * rng.uniform(size=shape[1])


each_shape = pytest.mark.parametrize("shape", [(60, 12), (8, 30), (13, 13)], ids=["tall", "wide", "square"])
each_tying = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
# Decays of the encoder and of the decoder: alpha + 2 contraction, and alpha.
DECAYS = [(0.0, 0.0, False), (0.0, 0.0, True), (0.0, 0.02, True)] + [
    (alpha, contraction, tied) for alpha in (0.01, 0.3) for contraction in (0.0, 0.05) for tied in (False, True)
]
each_decay = pytest.mark.parametrize(("alpha", "contraction", "tied"), DECAYS)


@each_shape
@each_tying
@pytest.mark.parametrize("n_components", [1, 2, 7])
def test_without_decay_it_is_pca(shape, tied, n_components):
    data = spread(shape)
    pca, linear = PCA(n_components, svd_solver="full").fit(data), solved(data, n_components, tied=tied)
    np.testing.assert_allclose(linear.components_, pca.components_, atol=1e-9)
    np.testing.assert_allclose(linear.coefs_[1], pca.components_, atol=1e-9)
    np.testing.assert_allclose(linear.components_ @ linear.components_.T, np.eye(n_components), atol=1e-12)
    np.testing.assert_allclose(linear.mean_, pca.mean_)
    np.testing.assert_allclose(linear.transform(data), pca.transform(data), atol=1e-8)
    np.testing.assert_allclose(linear.reconstruct(data), pca.inverse_transform(pca.transform(data)), atol=1e-8)
    np.testing.assert_allclose(linear.loss_, pca_loss(data, n_components), rtol=1e-8, atol=1e-13)
    assert (linear.n_iter_, linear.n_evaluations_, linear.solver_) == (1, 1, "svd")
    assert linear.loss_curve_ == [linear.loss_]


@pytest.mark.parametrize("n_components", [4, 10, 30])
def test_without_decay_it_is_pca_on_measurements(cancer, n_components):
    pca, linear = PCA(n_components, svd_solver="full").fit(cancer), solved(cancer, n_components)
    np.testing.assert_allclose(linear.components_, pca.components_, atol=1e-6)
    np.testing.assert_allclose(linear.loss_, pca_loss(cancer, n_components), rtol=1e-9, atol=1e-12)


@each_shape
@each_decay
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_shrinkage_along_the_principal_axes(shape, alpha, contraction, tied, weighted):
    """Each axis by itself: s/2 (1 - w v)^2 + a/2 w^2 + d/2 v^2, or s/2 (1 - w^2)^2 + a/2 w^2, at its minimum."""
    data, k = spread(shape), 5
    weights = np.linspace(0.5, 2, len(data)) if weighted else np.ones(len(data))
    mean = np.average(data, axis=0, weights=weights)
    _, values, axes = np.linalg.svd(np.sqrt(weights / weights.sum())[:, None] * (data - mean), full_matrices=False)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(axis=1)])[:, None]
    s, a, d = values[:k] ** 2, alpha + 2 * contraction, alpha
    if tied:
        w = v = np.sqrt(np.maximum(1 - a / (2 * s), 0))
        loss = np.sum(s / 2 * (1 - w * w) ** 2 + a / 2 * w**2)
    else:
        p = np.maximum(1 - np.sqrt(a * d) / s, 0)
        w, v = np.sqrt(p) * ((d / a) ** 0.25 if a else 1), np.sqrt(p) * ((a / d) ** 0.25 if d else 1)
        loss = np.sum(s / 2 * (1 - w * v) ** 2 + a / 2 * w**2 + d / 2 * v**2)
    if alpha == 0.3:
        assert 0 < np.count_nonzero(v) < k, "some axes are kept and some are dropped"
    linear = solved(
        data, k, sample_weight=weights if weighted else None, alpha=alpha, contraction=contraction, tied=tied
    )
    np.testing.assert_allclose(linear.coefs_[0], axes[:k].T * w, atol=1e-7)
    np.testing.assert_allclose(linear.coefs_[1], axes[:k] * np.reshape(v, (-1, 1)), atol=1e-7)
    np.testing.assert_allclose(linear.mean_, mean)
    np.testing.assert_allclose(linear.loss_, loss + np.sum(values[k:] ** 2) / 2, rtol=1e-9)


@each_decay
def test_it_is_a_minimum(alpha, contraction, tied, rng):
    """The gradient of the objective is zero there, and no step in any direction lowers it."""
    data = spread((60, 12))
    linear = solved(data, 4, alpha=alpha, contraction=contraction, tied=tied)
    architecture, penalties = linear._architecture, (WeightDecay(alpha), Contraction(contraction))
    layout = Layout(architecture)
    variables = CentredVariables(layout, *([part] * layout.n_layers for part in (1.0, 1.0, None)))
    problem = make_problem(architecture, data, penalties)
    objective = Objective(problem, variables, offset=data.mean(axis=0))
    weights = layout.distinct(linear.coefs_)
    theta = np.concatenate([*(W.ravel() for W in weights), np.zeros(4), linear.intercepts_[1] - problem.raw_origin])
    value, gradient, *_ = objective(theta)
    np.testing.assert_allclose(value, linear.loss_, rtol=1e-12)
    np.testing.assert_allclose(gradient, 0, atol=1e-9)
    for size in (1e-3, 1e-2, 0.1, 1):
        steps = size * rng.standard_normal((50, len(theta)))
        assert min(objective(theta + step)[0] for step in steps) > value


@each_tying
@pytest.mark.parametrize("shape", [(20, 6), (6, 20)], ids=["tall", "wide"])
def test_closed_form_with_integer_weights_repeats_rows(shape, tied):
    data, counts = spread(shape), np.arange(1, shape[0] + 1) % 4 + 1
    weighted = solved(data, 3, sample_weight=counts, alpha=0.02, tied=tied)
    repeated = solved(np.repeat(data, counts, axis=0), 3, alpha=0.02, tied=tied)
    np.testing.assert_allclose(weighted.loss_, repeated.loss_, rtol=1e-10)
    np.testing.assert_allclose(weighted.components_, repeated.components_, atol=1e-9)
    np.testing.assert_allclose(weighted.transform(data), repeated.transform(data), atol=1e-8)


@each_tying
@pytest.mark.parametrize("shape", [(20, 6), (6, 20), (9, 9)], ids=["tall", "wide", "square"])
@pytest.mark.parametrize("alpha", [0.0, 0.02])
def test_closed_form_of_an_overcomplete_code(shape, tied, alpha):
    """What a code has beyond the smaller side of X is zero, and changes nothing."""
    data, side = spread(shape), min(shape)
    full, more = (solved(data, n_components, alpha=alpha, tied=tied) for n_components in (side, side + 3))
    assert more.components_.shape == (side + 3, shape[1])
    np.testing.assert_array_equal(more.components_[side:], 0)
    np.testing.assert_allclose(more.loss_, full.loss_, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(more.reconstruct(data), full.reconstruct(data), atol=1e-10)
    if alpha == 0:
        np.testing.assert_allclose(more.reconstruct(data), data, atol=1e-10)
        assert more.loss_ == pytest.approx(0, abs=1e-14)


@each_tying
@pytest.mark.parametrize("alpha", [0.0, 0.02])
@pytest.mark.parametrize("shape", [(20, 6), (6, 20)], ids=["tall", "wide"])
def test_closed_form_with_constant_columns(shape, alpha, tied):
    """They are reconstructed by the intercept alone."""
    data = spread(shape)
    widened = np.column_stack([np.full(len(data), 0.1), data, np.full(len(data), -1e4)])
    narrow, wide = (solved(rows, 4, alpha=alpha, tied=tied) for rows in (data, widened))
    np.testing.assert_allclose(wide.components_[:, [0, -1]], 0, atol=1e-8)
    np.testing.assert_allclose(wide.components_[:, 1:-1], narrow.components_, atol=1e-7)
    np.testing.assert_allclose(wide.loss_, narrow.loss_, rtol=1e-8)
    np.testing.assert_allclose(wide.reconstruct(widened)[:, [0, -1]], widened[:, [0, -1]], rtol=1e-8)


@each_tying
@pytest.mark.parametrize("alpha", [0.0, 0.02])
@pytest.mark.parametrize("shape", [(10, 4), (4, 10), (1, 3)], ids=str)
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6])
def test_closed_form_of_constant_data(shape, alpha, tied, value):
    """Warnings are errors here."""
    data = np.full(shape, value)
    linear = solved(data, 2, alpha=alpha, tied=tied)
    np.testing.assert_allclose(linear.reconstruct(data), data, rtol=1e-12)
    assert linear.loss_ == pytest.approx(0, abs=1e-12)
    assert np.isfinite(linear.components_).all()


def test_decays_whose_ratio_is_beyond_float64():
    """Warnings are errors here."""
    linear = AutoencoderTransformer(activation="identity", alpha=1e-300, penalties=[Contraction(1e300)], solver="svd")
    assert np.isfinite(linear.fit(np.zeros((1, 1))).loss_)


@each_tying
@each_shape
def test_closed_form_in_float32(shape, tied):
    data = spread(shape).astype(np.float32)
    single, double = (solved(data.astype(dtype), 4, alpha=0.02, tied=tied) for dtype in (np.float32, np.float64))
    assert {part.dtype for part in (*single.coefs_, *single.intercepts_, single.mean_)} == {np.dtype(np.float32)}
    assert single.transform(data).dtype == np.float32
    np.testing.assert_allclose(single.loss_, double.loss_, rtol=1e-5)
    np.testing.assert_allclose(single.components_, double.components_, atol=1e-4)


def test_closed_form_in_float32_about_a_large_mean():
    """It costs the digits that X itself has lost, and no more."""
    data = (spread((60, 12)) + 1e4).astype(np.float32)
    single, double = (solved(data.astype(dtype), 4) for dtype in (np.float32, np.float64))
    np.testing.assert_allclose(single.loss_, double.loss_, rtol=1e-4)
    np.testing.assert_allclose(single.components_, double.components_, atol=1e-3)


@each_shape
@each_tying
@pytest.mark.parametrize("alpha", [0.0, 0.02])
def test_closed_form_of_sparse_rows(shape, tied, alpha):
    data = spread(shape)
    data[np.random.default_rng(8).uniform(size=shape) < 0.6] = 0
    dense, sparse = (solved(rows, 3, alpha=alpha, tied=tied) for rows in (data, csr_array(data)))
    np.testing.assert_allclose(sparse.components_, dense.components_, atol=1e-8)
    np.testing.assert_allclose(sparse.loss_, dense.loss_, rtol=1e-10)
    np.testing.assert_allclose(sparse.transform(csr_array(data)), dense.transform(data), atol=1e-8)
