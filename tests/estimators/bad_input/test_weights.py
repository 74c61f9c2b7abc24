"""Sample weights that are refused, and the unit of those that are not."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skae import AutoencoderTransformer

N_SAMPLES = 40
BAD_WEIGHTS = {
    "negative": (np.r_[-1.0, np.ones(N_SAMPLES - 1)], "Negative values in data passed to `sample_weight`"),
    "NaN": (np.full(N_SAMPLES, np.nan), "sample_weight contains NaN"),
    "infinite": (np.full(N_SAMPLES, np.inf), "sample_weight contains infinity"),
    "short": (np.ones(N_SAMPLES - 1), "sample_weight.shape"),
    "2-D": (np.ones((N_SAMPLES, 1)), "Sample weights must be 1D"),
    "zeros": (np.zeros(N_SAMPLES), "(?i)sample.weight.*(only zeros|at least one non-zero)"),
    "strings": (np.full(N_SAMPLES, "x"), "could not convert|dtype"),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
@pytest.mark.parametrize("method", ["fit", "score"])
def test_bad_weights(method, name, X, method_of):
    weights, message = BAD_WEIGHTS[name]
    with pytest.raises(ValueError, match=message):
        method_of(AutoencoderTransformer, method)(X, sample_weight=weights)


@pytest.mark.parametrize("method", ["fit", "fit_transform", "score"])
def test_each_estimator_refuses_negative_weights(Autoencoder, method, X, method_of):
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        method_of(Autoencoder, method)(X, sample_weight=-np.ones(N_SAMPLES))


@pytest.mark.parametrize("factor", [1e-300, 1e300, 1e307])
def test_unit_of_the_weights_does_not_matter(factor, X, make):
    weights = np.linspace(1, 2, N_SAMPLES)
    estimator = make(AutoencoderTransformer).fit(X, sample_weight=factor * weights)
    expected = make(AutoencoderTransformer).fit(X, sample_weight=weights)
    assert_allclose(estimator.transform(X), expected.transform(X), rtol=1e-6)
