"""Wide X, sparse or in a mapped file: neither a dense nor a centred copy of all of it is made.

tracemalloc counts NumPy's allocations alone, and always the same.
"""

import gc
import tracemalloc

import numpy as np
import pytest
from scipy.sparse import random_array

from skae import AutoencoderTransformer
from skae._files import array, formats, pages
from skae._rows import blocks, distinct
from skae._training import early_stopping

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


# Narrow X of many rows, in a file.

# Bytes a row that are kept: the codes of three units.
OF_ROWS = {"svd": 0, "lbfgs": 0, "kfac": 0, "varpro": 12}


@pytest.fixture
def narrow_files(tmp_path, monkeypatch):
    """Of 150,000 and 300,000 rows, which are far more than what is worked on together."""
    h5py = pytest.importorskip("h5py")
    for part, name in ((distinct, "_SMALL"), (array, "_SMALL"), (pages, "_KEPT_BYTES"), (formats._HDF5, "page_bytes")):
        monkeypatch.setattr(part, name, 2**15)
    for part, name in ((early_stopping, "_CHUNK_ROWS"), (blocks, "_MANY_ROWS"), (blocks, "_BLOCK_ENTRIES")):
        monkeypatch.setattr(part, name, 2**14)
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "X.h5", "w") as file:
        yield [
            file.create_dataset(str(n_rows), data=rng.standard_normal((n_rows, 8), np.float32), chunks=(2048, 8))
            for n_rows in (150_000, 300_000)
        ]


@pytest.mark.parametrize("stops_early", [False, True], ids=["all rows", "early stopping"])
@pytest.mark.parametrize(
    "solver", ["svd", "lbfgs", *(pytest.param(name, marks=pytest.mark.slow) for name in ("kfac", "varpro"))]
)
def test_memory_does_not_grow_with_the_rows(solver, stops_early, narrow_files):
    """But by masks of one byte, while held-out rows are drawn."""
    if solver == "svd" and stops_early:
        pytest.skip("it has no iterations")
    options = {"max_iter": 1, "maxcor": 1, "random_state": 0, "tol": 10.0, "early_stopping": stops_early}
    peaks = []
    for X in narrow_files:
        gc.collect()
        tracemalloc.start()
        try:
            AutoencoderTransformer(3, **{**options, **SOLVERS[solver]}).fit(X)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    growth = (peaks[1] - peaks[0]) / 150_000
    assert growth < OF_ROWS[solver] + 2
