"""Wide X, sparse or in a mapped file: neither a dense nor a centred copy of all of it is made.

tracemalloc counts NumPy's allocations alone, and always the same.
"""

import gc
import tracemalloc

import numpy as np
import pytest
from scipy.sparse import random_array

from skae import AutoencoderTransformer

SOLVERS = {
    "svd": {"solver": "svd", "activation": "identity"},
    "varpro": {"solver": "varpro"},
    "varpro from the principal axes": {"solver": "varpro", "init": "pca"},
    "lbfgs": {"solver": "lbfgs"},
    "tied": {"solver": "lbfgs", "tied_weights": True},
    "kfac": {"solver": "kfac", "max_iter": 1},
    "tied, kfac": {"solver": "kfac", "max_iter": 1, "tied_weights": True},
}


WIDTHS = [
    pytest.param((4000, 6000), id="6,000 columns"),
    pytest.param((2000, 20_000), id="20,000 columns", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=WIDTHS)
def shape(request):
    return request.param


@pytest.fixture(scope="module")
def sparse(shape):
    return random_array(shape, density=1e-3, format="csr", random_state=0)


@pytest.fixture(scope="module")
def mapped(shape, tmp_path_factory):
    """Twelve directions of decreasing variance, in float32."""
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(tmp_path_factory.mktemp("mapped") / "X.npy", "w+", np.float32, shape)
    codes = rng.standard_normal((shape[0], 12), np.float32) * 0.7 ** np.arange(12, dtype=np.float32)
    X[...] = codes @ rng.standard_normal((12, shape[1]), np.float32)
    X += rng.standard_normal(shape[1], np.float32)
    X.flush()
    return np.load(X.filename, mmap_mode="r")


@pytest.mark.parametrize("kind", ["sparse", "mapped"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_no_copy_of_wide_data(kind, solver, shape, request):
    X = request.getfixturevalue(kind)
    dense = X.dtype.itemsize * shape[0] * shape[1]
    autoencoder = AutoencoderTransformer(10, **{"max_iter": 2, "maxcor": 1, "random_state": 0, **SOLVERS[solver]})
    gc.collect()
    tracemalloc.start()
    try:
        autoencoder.fit(X)
        of_fit = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        autoencoder.transform(X)
        of_transform = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert of_fit < 0.7 * dense  # which is L-BFGS's state for the most part, whatever the number of rows
    assert of_transform < dense / 10
