"""Data in any unit: what is fitted as well as in another, and what is refused.

A gradient is a product of two deviations from the mean and a weight. It has all its digits while the cube of the
deviations' scale lies between tiny / eps and eps * max of the dtype. This admits scales from 1e-97 to 1e97 in float64,
and from 5e-11 to 3e10 in float32. The scale of X is 0.2.
"""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder

FITTED = [*map(np.float64, ["1e96", "1e30", "1e-30", "1e-96"]), *map(np.float32, ["1e10", "1e-9"])]
REFUSED = [*map(np.float64, ["1e300", "1e160", "1e99", "1e-99", "1e-160", "1e-300"])]
REFUSED += [*map(np.float32, ["1e30", "1e12", "1e-12", "1e-30"])]
AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
SOLVERS = ["auto", "lbfgs", "kfac"]  # the solver that each takes by itself, and the searches over all layers
CONTAINERS = [np.asarray, csr_array]
# Models without parts that have a scale of their own: penalties on the code, and the product of a matrix with itself.
SCALE_FREE = {
    "plain": lambda **options: AutoencoderTransformer(**options),
    "denoising": lambda **options: DenoisingAutoencoder(corruption="masking", **options),
    "sparse": lambda **options: SparseAutoencoder(sparsity_weight=0.0, **options),
    "contractive": lambda **options: ContractiveAutoencoder(contraction_weight=0.0, tied_weights=False, **options),
    "linear": lambda **options: AutoencoderTransformer(activation="identity", **options),
    "tied linear": lambda **options: AutoencoderTransformer(activation="identity", tied_weights=True, **options),
}


def make_scale_free(model, **options):
    return SCALE_FREE[model](n_components=3, alpha=0, max_iter=15, random_state=0, **options)


@pytest.mark.covering(model=[*SCALE_FREE], factor=FITTED, solver=SOLVERS, container=CONTAINERS)
def test_fitted_as_well_as_on_scale_one(model, factor, solver, container, X):
    estimator, data = make_scale_free(model, solver=solver), container(X.astype(factor.dtype))
    expected = estimator.fit(data).score(data)
    assert estimator.fit(data * factor).score(data * factor) == pytest.approx(expected, abs=1e-3)


@pytest.mark.covering(model=[*SCALE_FREE], factor=REFUSED, solver=SOLVERS, container=CONTAINERS)
def test_refused(model, factor, solver, container, X):
    data = container(X.astype(factor.dtype) * factor)
    with pytest.raises(ValueError, match=r"X is on the scale of .*, where products leave the range of .*\. Scale X"):
        make_scale_free(model, solver=solver).fit(data)


# Default strengths are relative to the scale of X.


@pytest.mark.parametrize("factor", [1e76, 1e30, 1e-30, 1e-76])
def test_default_strengths(Autoencoder, factor, X, make):
    estimator = make(Autoencoder)
    expected = estimator.fit(X).score(X)
    assert estimator.fit(X * factor).score(X * factor) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("factor", [1e96, 1e-96])
def test_default_strengths_out_of_range(Autoencoder, factor, X, make):
    """They have the fourth power of the scale."""
    with pytest.raises(
        ValueError, match=r"X is on a scale where strengths 'scale' leave the range of float64\. Scale X"
    ):
        make(Autoencoder).fit(X * factor)


@pytest.mark.covering(Autoencoder=AUTOENCODERS, solver=SOLVERS, factor=[10, 100, 1000])
def test_unscaled_data(Autoencoder, solver, factor, X):
    """A useful fit with the default parameters, and no warning, not even one that the other tests ignore."""
    estimator = Autoencoder(3, max_iter=500, solver=solver, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.fit(X * factor)
    assert estimator.score(X * factor) > 0.9


@pytest.mark.covering(
    model=["plain", "denoising", "sparse", "contractive"],
    activation=["identity", "logistic", "relu", "softplus"],
    solver=SOLVERS,
    factor=[1e-8, 1e-4, 1e4, 1e8],
)
def test_fit_does_not_depend_on_the_unit(model, activation, solver, factor, X):
    estimator = make_scale_free(model, activation=activation, solver=solver)
    if model == "sparse":
        estimator.set_params(code_activation="tanh")
    expected = estimator.fit(X).score(X)
    assert estimator.fit(X * factor).score(X * factor) == pytest.approx(expected, abs=1e-3)


@pytest.mark.covering(
    Autoencoder=[AutoencoderTransformer, DenoisingAutoencoder, ContractiveAutoencoder],
    activation=["identity", "relu"],
    factor=[1e-8, 1e8],
)
def test_tied_fit_does_not_depend_on_the_unit(Autoencoder, activation, factor, X, make):
    """Of the activations that scale with their input; the others, tied, are another model in another unit."""
    estimator = make(Autoencoder, alpha=0, activation=activation, tied_weights=True)
    if Autoencoder is ContractiveAutoencoder:
        estimator.set_params(contraction_weight=0.0)
    expected = estimator.fit(X).score(X)
    assert estimator.fit(X * factor).score(X * factor) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("factor", [1e-8, 1e-4, 1e4, 1e8])
def test_poisson_fit_does_not_depend_on_the_unit(factor, make):
    counts = np.random.default_rng(0).poisson(5, size=(60, 5)).astype(float)
    estimator = make(AutoencoderTransformer, loss="poisson", alpha=0, max_iter=30)
    expected = estimator.fit(counts).score(counts)
    assert estimator.fit(counts * factor).score(counts * factor) == pytest.approx(expected, abs=1e-3)


# Fixed strengths, and tied weights, have a scale.


def test_penalties_far_above_the_scale_of_the_data(Autoencoder, X):
    data = X * 1e-6
    with pytest.warns(UserWarning, match=r"next to nothing.* is too strong .*\. Scale X with StandardScaler"):
        estimator = Autoencoder(3, alpha=1e-4, random_state=0).fit(data)
    np.testing.assert_allclose(estimator.transform(data), estimator.transform(data[:1]).repeat(len(X), axis=0))


def test_tied_weights_on_tiny_data(X, make):
    """They encode and decode in units a trillion apart: the fit is poor, but no worse than the mean."""
    estimator = make(AutoencoderTransformer, alpha=0, tied_weights=True, max_iter=200)
    with pytest.warns(UserWarning, match="needs X on a scale near 1, but the standard deviation of X is "):
        estimator.fit(X * 1e-6)
    assert estimator.score(X * 1e-6) > 0


# Rows far outside the training data. Floating-point warnings are errors here.


@pytest.mark.parametrize("factor", [1e160, 1e300])
def test_huge_rows_are_scored_without_nan(Autoencoder, factor, X, fitted):
    estimator = fitted(Autoencoder)
    for method in ("score", "score_samples", "feature_errors", "transform", "reconstruct"):
        assert not np.isnan(getattr(estimator, method)(X * factor)).any()


@pytest.mark.covering(
    Autoencoder=AUTOENCODERS,
    activation=["logistic", "tanh", "relu", "softplus", "identity"],
    dtype=[np.float32, np.float64],
)
def test_saturated_units(Autoencoder, activation, dtype, X, make):
    estimator = make(Autoencoder, activation=activation)
    if Autoencoder is SparseAutoencoder:
        estimator.set_params(code_activation="tanh")
    if Autoencoder is ContractiveAutoencoder:
        estimator.set_params(contraction_weight=0.01)  # at 0.1 the best linear code of X is a constant
    estimator.fit(X.astype(dtype))
    far = (1e3 * (X - 0.5)).astype(dtype)
    for method in ("transform", "reconstruct", "score_samples", "encoder_jacobian"):
        assert np.isfinite(getattr(estimator, method)(far)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poisson_on_large_counts(Autoencoder, dtype, X, make):
    counts = np.random.default_rng(0).poisson(1000 * X).astype(dtype)
    estimator = make(Autoencoder, loss="poisson").fit(counts)
    assert np.isfinite(estimator.loss_)
    assert estimator.score(counts) > -0.01  # at least about the mean


@pytest.mark.parametrize("factor", [1e5, 1e300])
def test_poisson_reconstruction_may_overflow(Autoencoder, factor, X, make):
    estimator = make(Autoencoder, loss="poisson", activation="identity", code_activation="identity")
    if Autoencoder is SparseAutoencoder:
        estimator.set_params(code_activation="tanh")
    estimator.fit(X)
    assert not np.isnan(estimator.reconstruct(factor * X)).any()
    assert not np.isnan(estimator.score_samples(factor * X)).any()
