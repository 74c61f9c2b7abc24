"""The methods of a fitted estimator, in both dtypes."""

import numpy as np
import pytest
from configurations import (
    ERRORS,
    N_FEATURES,
    N_SAMPLES,
    WEIGHTS,
    X,
    assert_same_model,
    by_hand,
    configured,
    each,
    halved,
    jacobian_by_differences,
    make,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.metrics import r2_score

from skae import DenoisingAutoencoder, SparseAutoencoder
from skae.activations import ACTIVATIONS
from skae.metrics import reconstruction_r2

# Methods.


@each
@pytest.mark.parametrize("name", ["default", "deep", "overcomplete", "cross-entropy", "poisson"])
def test_reconstruct_is_inverse_transform_of_transform(Autoencoder, name):
    estimator = configured(Autoencoder, name).fit(X)
    assert_allclose(estimator.inverse_transform(estimator.transform(X)), estimator.reconstruct(X), rtol=1e-13)


@each
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_score_is_the_variance_weighted_r2(Autoencoder, weights):
    estimator = make(Autoencoder).fit(X)
    expected = r2_score(X, by_hand(estimator, X)[1], sample_weight=weights, multioutput="variance_weighted")
    assert estimator.score(X, sample_weight=weights) == pytest.approx(expected, rel=1e-10)
    assert reconstruction_r2(estimator, X, sample_weight=weights) == pytest.approx(expected, rel=1e-10)


@each
@pytest.mark.parametrize("loss", ERRORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_feature_errors_are_the_loss_by_entry(Autoencoder, loss, dtype):
    estimator = make(Autoencoder, loss=loss).fit(X.astype(dtype))
    errors = estimator.feature_errors(X.astype(dtype))
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    expected = ERRORS[loss](X, by_hand(estimator, X)[1])
    assert_allclose(errors, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    assert_array_equal(errors.sum(axis=1), -estimator.score_samples(X.astype(dtype)))


@each
def test_the_odd_row_scores_lowest(Autoencoder):
    estimator = make(Autoencoder).fit(X)
    rows = X.copy()
    rows[7] = 1 - rows[7] + 5
    assert estimator.score_samples(rows).argmin() == 7


@each
@pytest.mark.parametrize("hidden_layer_sizes", [(), (6, 5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_encoder_jacobian_is_the_derivative_of_transform(Autoencoder, activation, hidden_layer_sizes):
    code_activation = "tanh" if Autoencoder is SparseAutoencoder else None
    estimator = make(
        Autoencoder,
        activation=activation,
        code_activation=code_activation,
        hidden_layer_sizes=hidden_layer_sizes,
        random_state=2,  # whose relu units live
    ).fit(X)
    jacobians = estimator.encoder_jacobian(X[:10])
    assert jacobians.shape == (10, 3, N_FEATURES)
    assert_allclose(jacobians, jacobian_by_differences(estimator.transform, X[:10]), atol=1e-7)


@each
def test_rows_do_not_depend_on_their_block(Autoencoder, digits):
    estimator = make(Autoencoder, max_iter=2).fit(digits)
    many = np.tile(digits, (3, 1))
    for method in (estimator.transform, estimator.reconstruct, estimator.score_samples):
        expected = np.tile(method(digits).T, 3).T
        assert_allclose(method(many), expected, rtol=1e-11, atol=1e-14)


@each
def test_y_is_ignored(Autoencoder):
    y = np.arange(N_SAMPLES)
    estimator = make(Autoencoder).fit(X, y)
    assert_same_model(estimator, make(Autoencoder).fit(X))
    assert estimator.score(X, y) == estimator.score(X)


@each
def test_transform_never_corrupts(Autoencoder):
    estimator = make(Autoencoder).fit(X)
    assert_array_equal(estimator.transform(X), estimator.transform(X))
    assert_array_equal(make(Autoencoder).fit_transform(X), estimator.transform(X))


# Dtypes.


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["default", "tied", "deep", "cross-entropy", "poisson"])
def test_dtype_is_kept(Autoencoder, name, dtype):
    data = X.astype(dtype)
    estimator = configured(Autoencoder, name).fit(data)
    results = [*estimator.coefs_, *estimator.intercepts_, estimator.mean_]
    results += [estimator.inverse_transform(estimator.transform(data)), estimator.fit_transform(data)]
    methods = ("transform", "reconstruct", "score_samples", "feature_errors", "encoder_jacobian")
    results += [getattr(estimator, method)(data) for method in methods]
    if not estimator.hidden_layer_sizes:
        results += [estimator.components_, estimator.maximally_activating_inputs()]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


@each
def test_float32_fit_is_close_to_float64_fit(Autoencoder):
    # The generator draws other numbers in float32.
    fixed = {"corruption": halved} if Autoencoder is DenoisingAutoencoder else {}
    settings = {"alpha": 1e-4, "max_iter": 5, **fixed}
    single, double = (make(Autoencoder, **settings).fit(X.astype(dtype)) for dtype in (np.float32, np.float64))
    assert single.loss_ == pytest.approx(double.loss_, rel=1e-4)


@each
@pytest.mark.parametrize(("fitted", "given"), [(np.float64, np.float32), (np.float32, np.float64)])
def test_rows_of_another_dtype_than_the_fit(Autoencoder, fitted, given):
    estimator = make(Autoencoder).fit(X.astype(fitted))
    codes = estimator.transform(X.astype(given))
    assert codes.dtype == np.float64
    assert_allclose(codes, estimator.transform(X.astype(fitted)), rtol=1e-4)
