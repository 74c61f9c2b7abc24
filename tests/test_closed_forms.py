"""What theory says of the minimum: PCA's bound and subspace, closed forms under weight decay and contraction."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder

EXACT = {"max_iter": 20000, "max_fun": 40000, "tol": 1e-9, "random_state": 0}


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
@pytest.mark.parametrize("tied", [False, True])
def test_linear_autoencoder_reaches_the_loss_of_pca(X, n_components, tied):
    linear = AutoencoderTransformer(n_components, activation="identity", alpha=0, tied_weights=tied, **EXACT).fit(X)
    assert linear.loss_ == pytest.approx(pca_loss(X, n_components), rel=1e-9)
    assert linear.score(X) == pytest.approx(PCA(n_components).fit(X).explained_variance_ratio_.sum(), abs=1e-9)


def test_linear_decoder_spans_the_principal_subspace(X):
    linear = AutoencoderTransformer(2, activation="identity", alpha=0, **EXACT).fit(X)
    angles = subspace_angles(linear.coefs_[1].T, PCA(2).fit(X).components_.T)
    assert np.max(angles) < 1e-5


@pytest.mark.parametrize("activation", ["logistic", "tanh", "softplus"])
def test_no_encoder_beats_pca_under_a_linear_decoder(digits, activation):
    bound = pca_loss(digits, 8)
    fitted = AutoencoderTransformer(8, activation=activation, alpha=0, max_iter=500, random_state=0).fit(digits)
    assert bound < fitted.loss_ < 1.02 * bound


def test_a_deep_decoder_beats_pca(digits):
    deep = AutoencoderTransformer(2, hidden_layer_sizes=(30,), activation="tanh", alpha=0, max_iter=300, random_state=0)
    assert deep.fit(digits).loss_ < 0.9 * pca_loss(digits, 2)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.3])
def test_weight_decay_on_an_untied_linear_autoencoder(X, singular_values, alpha):
    m, n_components = len(X), 3
    t, s2 = alpha * m, singular_values**2
    kept = s2[:n_components][s2[:n_components] > t]
    expected = np.sum(t - t**2 / (2 * kept)) + 0.5 * (np.sum(s2) - np.sum(kept))
    fitted = AutoencoderTransformer(n_components, activation="identity", alpha=alpha, **EXACT).fit(X)
    assert m * fitted.loss_ == pytest.approx(expected, rel=1e-8)
    np.testing.assert_allclose(fitted.coefs_[0], fitted.coefs_[1].T, atol=1e-4)
    shrinkage = np.sort(np.linalg.svd(fitted.coefs_[1], compute_uv=False))[::-1]
    np.testing.assert_allclose(shrinkage[: len(kept)], np.sqrt(1 - t / kept), atol=1e-4)
    np.testing.assert_allclose(shrinkage[len(kept) :], 0, atol=1e-3)


@pytest.mark.parametrize("alpha", [0.01, 0.1, 0.3])
def test_weight_decay_on_a_tied_linear_autoencoder(X, singular_values, alpha):
    m, n_components = len(X), 3
    t, s2 = alpha * m, singular_values**2
    kept = s2[:n_components][s2[:n_components] > t / 2]
    expected = np.sum(t / 2 - t**2 / (8 * kept)) + 0.5 * (np.sum(s2) - np.sum(kept))
    fitted = AutoencoderTransformer(n_components, activation="identity", tied_weights=True, alpha=alpha, **EXACT).fit(X)
    assert m * fitted.loss_ == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize(("alpha", "contraction"), [(0.05, 0.02), (0.01, 0.1)])
def test_contraction_is_a_second_weight_decay_on_a_linear_encoder(X, singular_values, alpha, contraction):
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
        **EXACT,
    )
    assert m * fitted.fit(X).loss_ == pytest.approx(expected, rel=1e-8)


def test_weights_act_as_in_weighted_pca(X):
    weights = np.linspace(0.1, 3, len(X))
    mean = weights @ X / weights.sum()
    s2 = np.linalg.svd(np.sqrt(weights)[:, None] * (X - mean), compute_uv=False) ** 2
    fitted = AutoencoderTransformer(2, activation="identity", alpha=0, **EXACT).fit(X, sample_weight=weights)
    assert fitted.loss_ == pytest.approx(0.5 * s2[2:].sum() / weights.sum(), rel=1e-9)


def test_gaussian_noise_acts_as_weight_decay_on_a_linear_encoder(X, singular_values):
    """E||x - (x + e) W V||^2 = ||x - x W V||^2 + sigma^2 ||W V||^2: with many draws the minimum is a Wiener filter."""
    sigma, m = 0.3, len(X)
    denoiser = DenoisingAutoencoder(
        4, corruption="gaussian", corruption_level=sigma, n_corruptions=400, activation="identity", alpha=0, **EXACT
    ).fit(X)
    s2 = singular_values**2 / m
    expected = 0.5 * np.sum(s2 * sigma**2 / (s2 + sigma**2))
    assert denoiser.loss_ == pytest.approx(expected, rel=0.02)


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
        n_corruptions=20,
        activation="identity",
        alpha=0,
        random_state=0,
        tol=1e-7,
    ).fit(X)
    points = np.array([[1.0, 0.5], [-1.0, 0.5], [0.5, -1.0]])
    np.testing.assert_allclose(denoiser.reconstruct(points) - points, -(sigma**2) * points / variances, atol=4e-3)


@pytest.mark.parametrize("rho", [0.05, 0.3])
def test_a_strong_sparsity_weight_brings_every_unit_to_the_target(digits, rho):
    sparse = SparseAutoencoder(20, sparsity_target=rho, sparsity_weight=100.0, max_iter=300, random_state=0).fit(digits)
    np.testing.assert_allclose(sparse.transform(digits).mean(axis=0), rho, rtol=0.02)


def test_an_untied_decoder_evades_the_contraction(X):
    """W shrinks and V grows: the penalty goes to zero while the reconstruction stays."""
    options = {"activation": "identity", "alpha": 0, "contraction_weight": 1.0, "max_iter": 2000, "random_state": 0}
    untied = ContractiveAutoencoder(2, tied_weights=False, **options).fit(X)
    tied = ContractiveAutoencoder(2, **options).fit(X)
    bound = pca_loss(X, 2)
    assert untied.loss_ < 1.1 * bound
    assert tied.loss_ > 5 * bound
