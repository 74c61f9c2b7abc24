"""Codes of unit spread: one number between the objective's code and what `transform` returns."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.activations import ACTIVATIONS
from skae.penalties import KLSparsity

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
X = StandardScaler().fit_transform(load_wine().data)
X.flags.writeable = False
WEIGHTS = np.random.default_rng(0).integers(0, 4, len(X)).astype(float)


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": 5, "random_state": 0, **parameters})


def bare_code(estimator, X):
    return expit(X @ estimator.coefs_[0] + estimator.intercepts_[0])


@each
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_it_is_the_root_mean_square_of_the_standard_deviations(Autoencoder, weights):
    estimator = make(Autoencoder).fit(X, sample_weight=weights)
    bare = bare_code(estimator, X)
    mean = np.average(bare, axis=0, weights=weights)
    expected = np.sqrt(np.average((bare - mean) ** 2, axis=0, weights=weights).mean())
    assert isinstance(estimator.code_scale_, float)
    assert estimator.code_scale_ == pytest.approx(expected, rel=1e-10)
    assert_allclose(estimator.transform(X), bare / expected, rtol=1e-10)


@each
@pytest.mark.parametrize("hidden_layer_sizes", [(), (6,)])
def test_it_changes_nothing_but_the_code(Autoencoder, hidden_layer_sizes):
    scaled = make(Autoencoder, hidden_layer_sizes=hidden_layer_sizes, scale_code=True).fit(X)
    bare = clone(scaled).set_params(scale_code=False).fit(X)
    assert bare.code_scale_ == 1.0
    for one, other in zip([*scaled.coefs_, *scaled.intercepts_], [*bare.coefs_, *bare.intercepts_], strict=True):
        assert_array_equal(one, other)
    assert (scaled.loss_, scaled.score(X)) == (bare.loss_, pytest.approx(bare.score(X), rel=1e-12))
    codes = scaled.transform(X)
    assert_allclose(codes * scaled.code_scale_, bare.transform(X), rtol=1e-14)
    assert codes.std(axis=0).mean() == pytest.approx(1, abs=0.2)
    assert_allclose(scaled.inverse_transform(codes), bare.reconstruct(X), rtol=1e-12, atol=1e-14)
    assert_allclose(scaled.reconstruct(X), bare.reconstruct(X), rtol=1e-12, atol=1e-14)
    assert_allclose(scaled.score_samples(X), bare.score_samples(X), rtol=1e-10)
    if not hidden_layer_sizes:
        assert_array_equal(scaled.maximally_activating_inputs(), bare.maximally_activating_inputs())


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("of_code", [None, *ACTIVATIONS])
def test_auto_is_for_bounded_codes(activation, of_code):
    estimator = make(AutoencoderTransformer, activation=activation, code_activation=of_code, max_iter=5).fit(X)
    assert (estimator.code_scale_ != 1) == ((of_code or activation) in ("logistic", "tanh"))
    assert estimator.set_params(scale_code=True).fit(X).code_scale_ != 1


def test_the_jacobian_is_that_of_transform():
    estimator = make(ContractiveAutoencoder, hidden_layer_sizes=(6,)).fit(X)
    step = 1e-6 * np.eye(X.shape[1])
    rows = X[:3]
    differences = [(estimator.transform(rows + h) - estimator.transform(rows - h)) / 2e-6 for h in step]
    assert_allclose(estimator.encoder_jacobian(rows), np.stack(differences, axis=2), rtol=1e-4, atol=1e-7)


def test_neighbours_stay_neighbours():
    estimator = make(AutoencoderTransformer).fit(X)
    codes = estimator.transform(X)
    of_codes, of_bare = (
        NearestNeighbors().fit(rows).kneighbors(return_distance=False) for rows in (codes, bare_code(estimator, X))
    )
    assert_array_equal(of_codes, of_bare)


def test_zeros_of_relu_codes_stay_zeros():
    estimator = make(AutoencoderTransformer, activation="relu", scale_code=True).fit(X)
    bare = clone(estimator).set_params(scale_code=False).fit(X).transform(X)
    assert (bare == 0).any()
    assert_array_equal(estimator.transform(X) == 0, bare == 0)


def test_the_linear_code_is_that_of_pca():
    estimator = AutoencoderTransformer(4, activation="identity", alpha=0).fit(X)
    pca = PCA(4).fit(X)
    assert estimator.code_scale_ == 1
    assert_allclose(estimator.transform(X), pca.transform(X), atol=1e-10)
    estimator.set_params(scale_code=True).fit(X)
    scale = np.sqrt(pca.transform(X).var(axis=0).mean())
    assert_allclose(estimator.transform(X), pca.transform(X) / scale, atol=1e-10)
    assert_allclose(estimator.components_, pca.components_, atol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["logistic", "tanh", "identity"])
def test_codes_that_do_not_vary_are_left_alone(activation, dtype):
    for data, alpha in ((np.full((20, 4), 3.0), "scale"), (X, 1e6)):
        estimator = make(AutoencoderTransformer, activation=activation, alpha=alpha, scale_code=True)
        estimator.fit(data.astype(dtype))
        assert estimator.code_scale_ == 1.0


def test_a_small_spread_about_a_large_mean_keeps_its_digits():
    estimator = make(AutoencoderTransformer, alpha=0, scale_code=True, activation="identity", solver="lbfgs")
    far = estimator.fit((X + 1e3).astype(np.float32)).transform((X + 1e3).astype(np.float32))
    assert np.sqrt(far.astype(float).var(axis=0).mean()) == pytest.approx(1, rel=1e-3)


def test_it_is_of_the_rows_trained_on():
    estimator = make(AutoencoderTransformer, early_stopping=True, validation_fraction=0.5).fit(X)
    bare = bare_code(estimator, X)
    assert estimator.code_scale_ != pytest.approx(np.sqrt(bare.var(axis=0).mean()), rel=1e-4)


def test_a_warm_start_measures_anew():
    estimator = make(AutoencoderTransformer, warm_start=True).fit(X)
    first = estimator.code_scale_
    estimator.set_params(max_iter=1).fit(3 * X[:, ::-1])
    assert estimator.code_scale_ != pytest.approx(first, rel=0.01)
    bare = bare_code(estimator, 3 * X[:, ::-1])
    assert estimator.code_scale_ == pytest.approx(np.sqrt(bare.var(axis=0).mean()), rel=1e-10)


def test_setting_the_parameter_after_the_fit_changes_nothing():
    estimator = make(AutoencoderTransformer).fit(X)
    codes = estimator.transform(X)
    assert_array_equal(estimator.set_params(scale_code=False).transform(X), codes)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_dtypes_and_pickles(dtype):
    data = csr_array(np.where(X > 0.5, X, 0).astype(dtype))
    estimator = make(SparseAutoencoder).fit(data)
    codes = estimator.transform(data)
    assert codes.dtype == estimator.inverse_transform(codes).dtype == dtype
    dense = make(SparseAutoencoder).fit(data.toarray())
    assert_allclose(codes, dense.transform(data.toarray()), rtol=1e-2 if dtype == np.float32 else 1e-6)
    assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(data), codes)


def test_penalties_are_of_the_bare_activations():
    target = KLSparsity(10.0, target=0.2)
    estimator = make(AutoencoderTransformer, penalties=(target,), alpha=1e-4).fit(X)
    assert_allclose(estimator.transform(X).mean(axis=0) * estimator.code_scale_, 0.2, rtol=0.1)


@pytest.mark.parametrize("value", ["scale", 2.0, None])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="The 'scale_code' parameter of AutoencoderTransformer must be"):
        AutoencoderTransformer(scale_code=value).fit(X)
