"""Problems over the rows of a cluster, and the same in memory."""

import dask.array as da
import numpy as np
from scipy.sparse import csr_array, issparse
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae._cluster.collections import checked_weights, loaded
from skae._network.parameters import Layout
from skae._objective.choice import objective_class
from skae._rows.blocks import rows_of
from skae._rows.threads import SERIAL
from skae._variables.centring import search_variables
from skae._weights import Weights
from skae.losses._choice import loss_for

N_ROWS = 300
CHUNKS = {"one": (300,), "even": (100, 100, 100), "odd": (1, 170, 2, 127)}


def make_rows(is_sparse=False, dtype=np.float64):
    X = load_digits().data[:N_ROWS].astype(dtype) / 16
    return csr_array(X) if is_sparse else X


def in_chunks(X, lengths):
    """X as a Dask array of chunks of these lengths, CSR if it is sparse."""
    dense = X.toarray() if issparse(X) else X
    collection = da.from_array(dense, chunks=(tuple(lengths), dense.shape[1]))
    return collection.map_blocks(csr_array, dtype=X.dtype, meta=X[:0]) if issparse(X) else collection


def problems(client, estimator, X, lengths, weights):
    """The problem of X on the cluster, and in memory."""
    estimator = clone(estimator).set_params(random_state=0)
    estimator._validated(X, reset=True)
    loss = loss_for(estimator.loss, estimator.output_activation, X, X, weights)
    collection = in_chunks(X, lengths)
    weights_in_chunks = None if weights is None else checked_weights(da.from_array(weights), collection)
    rows, shares = loaded(client, collection, weights_in_chunks, estimator, loss).rows()
    there = estimator._make_problem(rows, shares, loss, np.random.default_rng(0), SERIAL)
    weights = np.ones(N_ROWS) if weights is None else weights
    in_memory = rows_of(X[weights > 0]), Weights(weights[weights > 0])
    here = estimator._make_problem(*in_memory, loss, np.random.default_rng(0), SERIAL)
    return there, here


def evaluate(problem, is_projected, theta_of):
    cls = objective_class(problem, is_projected)
    layout = Layout(problem.architecture, cls.n_layers)
    variables, offset = search_variables(problem, layout)
    objective, theta = cls(problem, variables, offset=offset), theta_of(layout.size)
    return objective(theta), objective.value(theta)


def assert_equal(actual, expected):
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one.value, other.value, rtol=1e-12)
        np.testing.assert_allclose(one.terms, other.terms, rtol=1e-12, atol=1e-15)
        if one.gradient is not None:
            largest = np.abs(other.gradient).max()
            np.testing.assert_allclose(one.gradient, other.gradient, rtol=1e-12, atol=1e-12 * largest)


def random_theta(size):
    return 0.5 * np.random.default_rng(1).standard_normal(size)
