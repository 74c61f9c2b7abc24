"""Constant, repeated, or very few rows and columns: the fit is finite, and warns of nothing."""

import warnings
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._solvers.registry import SOLVERS

CONSTANT = {
    "zeros": np.zeros((10, 4)),
    "all constant": np.full((10, 4), 0.1),
    "large constants": np.tile([1e8, -3.0, 0.1, 1e-8], (10, 1)),
}
DEGENERATE = {
    **{name: lambda X, data=data: data for name, data in CONSTANT.items()},
    "constant columns": lambda X: np.column_stack([X, np.full(len(X), 0.1), np.zeros(len(X))]),
    "duplicate rows": lambda X: np.repeat(X[:2], 20, axis=0),
    "duplicate columns": lambda X: np.tile(X, 3),
    "one sample": lambda X: X[:1],
    "one feature": lambda X: X[:, :1],
    "two samples": lambda X: X[:2],
}


@pytest.mark.covering(
    Autoencoder=[AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder],
    name=[*DEGENERATE],
    solver=["auto", "lbfgs"],
    init=["glorot", "pca"],
    dtype=[np.float32, np.float64],
    container=[np.asarray, csr_array],
)
def test_degenerate_data(Autoencoder, name, solver, init, dtype, container, X, make):
    data = container(DEGENERATE[name](X).astype(dtype))
    estimator = make(Autoencoder, init=init, solver=solver, max_iter=50).fit(data)
    results = [estimator.transform(data), estimator.reconstruct(data), estimator.score_samples(data)]
    results += [estimator.encoder_jacobian(data), estimator.maximally_activating_inputs(), estimator.loss_curve_]
    assert all(np.isfinite(result).all() for result in results)
    assert estimator.score(data) <= 1


@pytest.mark.covering(name=[*DEGENERATE], alpha=[0, 0.1], tied_weights=[False, True], container=[np.asarray, csr_array])
@pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")
def test_degenerate_data_of_a_linear_autoencoder(name, alpha, tied_weights, container, X, make):
    data = container(DEGENERATE[name](X))
    linear = make(AutoencoderTransformer, activation="identity", alpha=alpha, tied_weights=tied_weights).fit(data)
    assert linear.solver_ == "svd"
    assert all(np.isfinite(result).all() for result in [linear.transform(data), linear.reconstruct(data)])
    assert linear.score(data) <= 1


@pytest.mark.parametrize(
    ("name", "solver", "is_drawn"),
    [*product(CONSTANT, SOLVERS, [False]), ("zeros", "kfac", True), ("all constant", "kfac", True)],
)
def test_constant_data_converges(name, solver, is_drawn):
    estimator = AutoencoderTransformer(2, solver=solver, random_state=0)
    if solver == "svd":
        estimator.set_params(activation="identity")
    if is_drawn:
        estimator = DenoisingAutoencoder(2, solver=solver, expectation="fresh", random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        estimator.fit(CONSTANT[name])
    assert_allclose(estimator.reconstruct(CONSTANT[name]), CONSTANT[name], rtol=1e-6, atol=1e-6)


def test_constant_data_are_not_said_to_give_a_trivial_code(Autoencoder, make):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        make(Autoencoder).fit(np.full((10, 4), 3.0))
