"""Values outside the domain of the loss, and values at its end."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer

OUTSIDE = [("cross_entropy", 1.5), ("cross_entropy", -0.1), ("poisson", -2)]


def with_entry(X, value):
    data = X.copy()
    data[3, 1] = value
    return data


@pytest.mark.parametrize("method", ["fit", "score", "score_samples", "feature_errors"])
@pytest.mark.parametrize(("loss", "value"), OUTSIDE)
def test_data_outside_the_domain_of_the_loss(method, loss, value, X, make):
    estimator = make(AutoencoderTransformer, loss=loss).fit(X)
    with pytest.raises(ValueError, match=f"loss='{loss}' needs values.*{value}"):
        getattr(estimator, method)(with_entry(X, value))


@pytest.mark.parametrize(("loss", "value"), OUTSIDE)
def test_each_estimator_checks_the_domain_of_the_loss(Autoencoder, loss, value, X, make):
    with pytest.raises(ValueError, match=f"loss='{loss}' needs values.*{value}"):
        make(Autoencoder, loss=loss).fit(with_entry(X, value))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_forgives_rounding(dtype, X, make):
    data = X.astype(dtype)
    data[0], data[1] = -5e-7, 1 + 5e-7
    estimator = make(AutoencoderTransformer, loss="cross_entropy").fit(data)
    assert np.isfinite(estimator.score_samples(data)).all()


def test_rows_of_weight_zero_may_lie_outside_the_domain(Autoencoder, X, make):
    data, weights = X.copy(), np.ones(len(X))
    data[0], weights[0] = 7, 0
    make(Autoencoder, loss="cross_entropy").fit(data, sample_weight=weights)


@pytest.mark.parametrize("loss", ["cross_entropy", "poisson"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constants_at_the_end_of_the_range(Autoencoder, loss, value, make):
    data = np.full((10, 4), value)
    estimator = make(Autoencoder, loss=loss, max_iter=100).fit(data)
    assert_allclose(estimator.reconstruct(data), value, atol=0.02)
