"""Files of h5py, zarr and pyarrow, against the same rows in memory."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA

import skae._estimators.fitted
import skae._files.array
import skae._files.formats
import skae._files.pages
import skae._objective.noise
import skae._rows.distinct
from skae import AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder
from skae._files.array import FileArray, selected
from skae._files.formats import in_blocks
from skae._files.pages import Pages
from skae._rows.blocks import rows_of
from skae._rows.distinct import distinct_rows
from skae._rows.threads import SERIAL
from skae._solvers.stochastic import _rows_of_batches
from skae._weights import Weights
from skae.corruption import Blur
from skae.losses import ColumnLosses
from skae.metrics import feature_errors, neg_reconstruction_error, reconstruction_r2

# Fits to arrays, which have no names, are applied to files of Parquet, whose columns have.
pytestmark = pytest.mark.filterwarnings("ignore:X has feature names")

N_ROWS, N_FEATURES = 700, 12


def make_rows(n_rows=N_ROWS, n_features=N_FEATURES):
    rng = np.random.default_rng(0)
    low_rank = rng.normal(size=(n_rows, 3)) @ rng.normal(size=(3, n_features))
    return (1 / (1 + np.exp(-low_rank - 0.1 * rng.normal(size=low_rank.shape)))).astype(np.float32)


def hdf5(X, folder, **options):
    h5py = pytest.importorskip("h5py")
    return h5py.File(folder / "X.h5", "w").create_dataset("X", data=X, **options)


def chunked_hdf5(X, folder):
    return hdf5(X, folder, chunks=(30, 3), compression="gzip")


def zarr_array(X, folder, **options):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(folder / "X.zarr", shape=X.shape, chunks=(64, *X.shape[1:]), dtype=X.dtype)
    array[...] = X
    return array


def parquet(X, folder):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({name(j): X[:, j] for j in range(X.shape[1])}), folder / "X.parquet", row_group_size=50)
    return pq.ParquetFile(folder / "X.parquet")


def name(column):
    return f"column {column}"


FORMATS = [hdf5, chunked_hdf5, zarr_array, parquet]


@pytest.fixture(params=FORMATS)
def source(request, tmp_path):
    """A function that writes rows to a file and returns its library's object."""
    return lambda X: request.param(X, tmp_path)


@pytest.fixture
def zarr_source(tmp_path):
    return lambda X: zarr_array(X, tmp_path)


@pytest.fixture(autouse=True)
def every_file_is_large(monkeypatch):
    """Files of any size are read in small pages, of which memory holds few; X in memory is treated as large too."""
    monkeypatch.setattr(skae._files.array, "_SMALL", 0)
    for _, _, form in skae._files.formats._FORMATS:
        monkeypatch.setattr(form, "page_bytes", 400 * N_FEATURES)
    monkeypatch.setattr(skae._files.formats._Zarr, "n_readers", 2)
    monkeypatch.setattr(skae._rows.distinct, "_SMALL", 0)
    monkeypatch.setattr(skae._objective.noise, "_SMALL", 0)


@pytest.fixture
def few_pages_are_kept(monkeypatch):
    monkeypatch.setattr(skae._files.pages, "_KEPT_BYTES", 1)
    monkeypatch.setattr(skae._files.pages, "_MIN_KEPT", 2)


def assert_same_fit(model, other):
    for W, expected in zip(model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True):
        assert_array_equal(W, expected)
    assert (model.loss_, model.best_validation_loss_) == (other.loss_, other.best_validation_loss_)


COMMON = {"n_components": 4, "random_state": 0, "max_iter": 5}
MODELS = {
    "svd": AutoencoderTransformer(**COMMON, solver="svd", activation="identity"),
    "varpro": AutoencoderTransformer(**COMMON, solver="varpro"),
    "kfac": AutoencoderTransformer(**COMMON, solver="kfac"),
    "lbfgs": AutoencoderTransformer(**COMMON, solver="lbfgs"),
    "cross-entropy, deep": AutoencoderTransformer(**COMMON, loss="cross_entropy", hidden_layer_sizes=6, solver="lbfgs"),
    "poisson": AutoencoderTransformer(**COMMON, loss="poisson"),
    "early stopping": AutoencoderTransformer(**COMMON, early_stopping=True),
    "n_init": AutoencoderTransformer(**COMMON, n_init=2, init="pca"),
    "share of the variance": AutoencoderTransformer(**COMMON | {"n_components": 0.8}),
    "sparse": SparseAutoencoder(**COMMON),
    "denoising": DenoisingAutoencoder(**COMMON),
    "denoising, fresh": DenoisingAutoencoder(**COMMON, expectation="fresh", solver="lbfgs"),
    "denoising, swap": DenoisingAutoencoder(**COMMON, expectation="fresh", corruption="swap"),
    "denoising, salt and pepper": DenoisingAutoencoder(**COMMON, corruption="salt_and_pepper"),
    "denoising, callable": DenoisingAutoencoder(**COMMON, corruption=lambda X, rng: X * rng.choice([0, 1], X.shape)),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_fit_is_that_of_the_array(model, zarr_source):
    X = make_rows()
    assert_same_fit(clone(model).fit(zarr_source(X)), clone(model).fit(X))


def test_a_fit_with_weights_goes_on_as_that_of_the_array(source):
    X, weights = make_rows(), np.random.default_rng(1).integers(0, 3, N_ROWS)
    model = AutoencoderTransformer(4, random_state=0, max_iter=3, warm_start=True, early_stopping=True)
    of_array, of_file = clone(model), clone(model)
    file = source(X)
    for _ in range(2):
        assert_same_fit(of_file.fit(file, sample_weight=weights), of_array.fit(X, sample_weight=weights))
    assert of_file.score(file, sample_weight=weights) == of_array.score(X, sample_weight=weights)


@pytest.mark.usefixtures("few_pages_are_kept")
def test_minibatches_of_a_file_that_is_not_kept_reach_the_same_objective(zarr_source):
    X = make_rows(3000)
    model = AutoencoderTransformer(4, solver="kfac", random_state=0)
    of_array = clone(model).fit(X)
    assert clone(model).fit(zarr_source(X)).loss_ == pytest.approx(of_array.loss_, rel=0.02)


def test_a_corruption_without_random_numbers_is_made_when_rows_are_read(zarr_source):
    X = make_rows()
    model = DenoisingAutoencoder(**COMMON, corruption=Blur((3, 4)), solver="lbfgs")
    assert clone(model).fit(zarr_source(X)).loss_ == pytest.approx(clone(model).fit(X).loss_, rel=1e-4)


@pytest.mark.parametrize("method", ["transform", "reconstruct", "score", "score_samples", "feature_errors"])
@pytest.mark.usefixtures("few_pages_are_kept")
def test_methods(method, source):
    X = make_rows()
    model = AutoencoderTransformer(4, loss="cross_entropy", random_state=0, max_iter=3)
    of_array, of_file = (getattr(clone(model).fit(X), method)(X), getattr(clone(model).fit(X), method)(source(X)))
    assert_array_equal(of_file, of_array)


def test_metrics_of_any_transformer(zarr_source):
    X, weights = make_rows(), np.random.default_rng(1).integers(0, 3, N_ROWS)
    pca, file = PCA(3).fit(X), zarr_source(X)
    for metric in reconstruction_r2, neg_reconstruction_error:
        expected = metric(pca, X, sample_weight=weights)
        assert metric(pca, file, sample_weight=weights) == pytest.approx(expected, rel=1e-6)
    assert_allclose(feature_errors(pca, file), (X - pca.inverse_transform(pca.transform(X))) ** 2, atol=1e-6)


def test_a_small_file_is_read_at_once(source, monkeypatch):
    monkeypatch.setattr(skae._files.array, "_SMALL", 2**22)
    monkeypatch.setattr(skae._rows.distinct, "_SMALL", 2**22)
    X = make_rows()
    model = AutoencoderTransformer(4, random_state=0, max_iter=3)
    assert_same_fit(clone(model).fit(source(X)), clone(model).fit(X))


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64", "uint8", "bool"])
def test_types_are_those_of_the_array(dtype, zarr_source):
    X = (255 * make_rows()).astype(dtype)
    model = AutoencoderTransformer(4, random_state=0, max_iter=3)
    of_file, of_array = clone(model).fit(zarr_source(X)), clone(model).fit(X)
    assert of_file.coefs_[0].dtype == of_array.coefs_[0].dtype
    assert of_file.loss_ == pytest.approx(of_array.loss_, rel=1e-4)


# Rows.


@pytest.mark.usefixtures("few_pages_are_kept")
@pytest.mark.parametrize("chosen", [slice(None), np.arange(3, N_ROWS, 7)], ids=["all", "some"])
def test_rows_are_those_of_the_array(chosen, source):
    X, file = make_rows(), in_blocks(source(make_rows()))
    if not isinstance(chosen, slice):
        X, file = X[chosen], file.select(chosen)
    n_rows = len(X)
    for rows in (
        slice(5, 40),
        slice(None),
        slice(n_rows - 3, None),
        slice(60, 60),
        np.array([n_rows - 1, 0, 50, 50]),
        np.arange(n_rows) % 3 == 0,
    ):
        assert_array_equal(file[rows], X[rows])
    rows, expected = rows_of(file), rows_of(X)
    assert_array_equal(rows.extremes(), expected.extremes())
    assert_array_equal(rows.dense_columns(slice(2, 5)), X[:, 2:5])
    coefficients, mean = np.random.default_rng(0).normal(size=(n_rows, 2)), X.mean(axis=0)
    assert_allclose(rows.combine(coefficients, mean, SERIAL), (X - mean).T @ coefficients, atol=1e-4)


@pytest.mark.usefixtures("few_pages_are_kept")
@pytest.mark.parametrize("chosen", [slice(None), np.arange(3, N_ROWS, 2)], ids=["all", "some"])
def test_rows_of_several_pages_are_read_into_scratch(chosen, source):
    X, file = make_rows(), in_blocks(source(make_rows()))
    if not isinstance(chosen, slice):
        X, file = X[chosen], file.select(chosen)
    rows, scratch, several = rows_of(file), np.empty((300, N_FEATURES), X.dtype), slice(5, 290)
    block, mean = rows.dense(several, scratch), X.mean(axis=0)
    assert np.shares_memory(block, scratch)
    assert_array_equal(block, X[several])
    assert_array_equal(rows.centred_by(mean, several, scratch).entries, X[several] - mean)
    assert_array_equal(rows.squared_deviations(mean, several, scratch).entries, (X[several] - mean) ** 2)


def test_few_rows_of_a_file_are_taken_into_memory(zarr_source, monkeypatch):
    monkeypatch.setattr(skae._files.array, "_SMALL", 100 * N_FEATURES)
    X, is_held_out = make_rows(), np.arange(N_ROWS) % 7 == 0
    file = in_blocks(zarr_source(X))
    assert_array_equal(selected(file, is_held_out), X[is_held_out], strict=True)
    assert isinstance(selected(file, ~is_held_out), FileArray)


def test_rows_of_a_file_cannot_be_written_to(source):
    with pytest.raises(ValueError, match="read-only"):
        in_blocks(source(make_rows()))[:5][...] = 0


@pytest.mark.usefixtures("few_pages_are_kept")
def test_pages_without_a_row_of_positive_weight_are_left_out_of_minibatches(zarr_source):
    """Of a file whose first two thirds have none."""
    file = in_blocks(zarr_source(make_rows(6400)))
    chosen = np.arange(6400) >= 4300
    targets, weights = rows_of(file.select(chosen)), Weights(np.linspace(1, 2, chosen.sum()))
    batches = _rows_of_batches(targets, weights, np.random.default_rng(0))
    drawn = np.concatenate([next(batches) for _ in range(84)])  # ten passes
    counts = np.bincount(drawn, minlength=2100)
    assert len(counts) == 2100
    assert counts[1050:].sum() / counts.sum() == pytest.approx(1.75 / 3, abs=0.02)


@pytest.mark.usefixtures("few_pages_are_kept")
def test_minibatches_have_the_rows_of_a_page_together(zarr_source, monkeypatch):
    monkeypatch.setattr(skae._files.formats._Zarr, "n_readers", 1)
    targets, rng = rows_of(in_blocks(zarr_source(make_rows(6400)))), np.random.default_rng(0)
    batches = _rows_of_batches(targets, Weights(1.0, 6400), rng)
    result = np.concatenate([next(batches) for _ in range(26)])[:6400]
    assert_array_equal(np.sort(result), np.arange(6400))
    # One page of 64 rows at a time, each of them in a random order, and so are the pages.
    pages = (result // 64).reshape(100, 64)
    assert (pages == pages[:, :1]).all()
    assert len(set(np.diff(pages[:, 0]))) > 20
    assert (np.diff(result.reshape(100, 64)) < 0).any(axis=1).all()


def test_equal_rows_of_a_file_are_merged(zarr_source):
    distinct, rng = make_rows(40), np.random.default_rng(0)
    X, weights = distinct[rng.integers(0, 40, N_ROWS)], rng.integers(0, 3, N_ROWS).astype(float)
    of_file, of_array = (distinct_rows(rows, Weights(weights)) for rows in (in_blocks(zarr_source(X)), X))
    assert_array_equal(of_file.indices, of_array.indices)
    assert_array_equal(of_file.weights[:], of_array.weights[:])
    assert len(of_file.weights) == 40


@pytest.mark.usefixtures("few_pages_are_kept")
@pytest.mark.parametrize("n_readers", [1, 2])
def test_pages_are_read_once_a_pass_and_ahead(n_readers, zarr_source, monkeypatch):
    """Two passes in order over more pages than are kept."""
    monkeypatch.setattr(skae._files.formats._Zarr, "n_readers", n_readers)
    file, read = in_blocks(zarr_source(make_rows(6400))), []
    monkeypatch.setattr(file._pages, "_read", lambda start, stop: read.append(start) or np.zeros((stop - start, 1)))
    for start in [*range(0, 6400, 32)] * 2:
        file[start : start + 32]
    file._pages._executor.shutdown()
    assert sorted(read) == sorted([*range(0, 6400, 64)] * 2 + [*range(0, 64 * n_readers, 64)])


def test_the_thread_that_lags_behind_is_served_first():
    read = []
    pages = Pages(lambda start, stop: read.append(start) or np.zeros((stop - start, 1)), np.arange(0, 101), 8, 1)
    with pages._lock:  # no reader begins before all are asked for
        futures = [pages._future(number) for number in (50, 7, 60, 8, 7)]
    for future in futures:
        future.result()
    assert read == [7, 8, 50, 60]


# Parquet.


def test_names_are_those_of_the_columns(tmp_path):
    file = parquet(make_rows(), tmp_path)
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(file)
    assert_array_equal(model.feature_names_in_, [name(j) for j in range(N_FEATURES)])
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(ValueError, match="feature names should match"):
        model.transform(parquet(make_rows()[:, :3], other))


def test_losses_by_name(tmp_path):
    X = make_rows()
    losses = [("cross_entropy", [name(j) for j in range(5)]), ("squared_error", [name(j) for j in range(5, 12)])]
    of_file = AutoencoderTransformer(4, loss=ColumnLosses(losses), random_state=0, max_iter=3)
    of_array = clone(of_file).set_params(
        loss=ColumnLosses([("cross_entropy", list(range(5))), ("squared_error", list(range(5, 12)))])
    )
    assert of_file.fit(parquet(X, tmp_path)).loss_ == of_array.fit(X).loss_


def test_the_index_of_a_frame_is_no_feature(tmp_path):
    pd, pq = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    frame = pd.DataFrame(make_rows(), index=[f"row {i}" for i in range(N_ROWS)], columns=list("abcdefghijkl"))
    frame.to_parquet(tmp_path / "frame")
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(pq.ParquetFile(tmp_path / "frame"))
    assert_array_equal(model.feature_names_in_, frame.columns)
    assert model.loss_ == pytest.approx(clone(model).fit(frame).loss_, rel=1e-4)


@pytest.mark.parametrize(
    "types",
    [["int8"] * 3, ["uint64"] * 3, ["bool"] * 3, ["float16"] * 3, ["bool", "float32", "int32"], ["uint64", "int64"]],
    ids=str,
)
def test_types_of_columns(types, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    rng = np.random.default_rng(0)
    columns = [rng.integers(0, 2 if dtype == "bool" else 100, 300).astype(dtype) for dtype in types]
    table = pa.table({name(j): column for j, column in enumerate(columns)})
    pq.write_table(table, tmp_path / "X.parquet", row_group_size=70)
    rows = in_blocks(pq.ParquetFile(tmp_path / "X.parquet"))[:]
    assert_array_equal(rows, np.column_stack(columns).astype(np.float64), strict=True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], "Column 'bad' of X has the type string, but must be numeric"),
        ([[1.0], [2.0]], "Column 'bad' of X has the type list"),
        ([1, None], "column 'bad' has null entries"),
        ([1.0, np.nan], "Input X contains NaN: row 1, column 'bad'"),
    ],
)
def test_bad_columns_are_named(values, message, tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"good": [1.0, 2.0], "bad": values}), tmp_path / "bad")
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(1).fit(pq.ParquetFile(tmp_path / "bad"))


# Bad input.


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("method", ["fit", "transform", "score"])
def test_values_that_are_not_finite(value, word, method, source):
    X = make_rows()
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(X)
    before = model.coefs_
    X[-1, 7] = value
    with pytest.raises(ValueError, match=f"Input X contains {word}: row {N_ROWS - 1}, column .*7"):
        getattr(model, method)(source(X))
    assert model.coefs_ is before


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.ones(5), "Expected 2D array"),
        (np.ones((5, 2, 2)), "Expected 2D array"),
        (np.ones((0, 3)), r"0 sample\(s\)"),
        (np.ones((3, 2), dtype=complex), "real numbers"),
    ],
)
def test_arrays_that_are_no_matrix(X, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        AutoencoderTransformer(1).fit(hdf5(X, tmp_path))


def test_closed_file(tmp_path):
    dataset = hdf5(make_rows(), tmp_path)
    dataset.file.close()
    with pytest.raises(ValueError, match="closed"):
        AutoencoderTransformer(1).fit(dataset)


def test_a_file_of_another_width(source):
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(make_rows())
    with pytest.raises(ValueError, match="X has 5 features, but AutoencoderTransformer is expecting 12 features"):
        model.transform(source(make_rows()[:, :5]))


@pytest.mark.parametrize("method", ["fit", "score_samples"])
def test_values_outside_the_domain_of_the_loss(method, source):
    model = AutoencoderTransformer(4, loss="cross_entropy", random_state=0, max_iter=3).fit(make_rows())
    with pytest.raises(ValueError, match="needs values in"):
        getattr(model, method)(source(3 * make_rows()))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (AutoencoderTransformer(loss="auto"), "loss='auto' looks at all values"),
        (AutoencoderTransformer(n_init=2, n_jobs=2), "n_jobs=2 .* cannot share the open file X"),
    ],
)
def test_parameters_that_do_not_go_with_files(model, message, zarr_source):
    with pytest.raises(ValueError, match=message):
        model.fit(zarr_source(make_rows()))


def test_a_file_is_no_array_and_does_not_pickle(zarr_source):
    file = in_blocks(zarr_source(make_rows()))
    with pytest.raises(TypeError, match="read in blocks"):
        np.asarray(file)
    with pytest.raises(TypeError, match="n_jobs"):
        pickle.dumps(file)


def test_large_chunks_are_warned_of(tmp_path, monkeypatch):
    monkeypatch.setattr(skae._files.formats, "_LARGE", 1000)
    X = zarr_array(make_rows(), tmp_path)
    with pytest.warns(UserWarning, match="Write the file in pieces of about"):
        in_blocks(X)


# Results that go to a file.


def numpy_out(shape, dtype, folder):
    return np.empty(shape, dtype)


def memmap_out(shape, dtype, folder):
    return np.lib.format.open_memmap(folder / "out.npy", "w+", dtype, shape)


def zarr_out(shape, dtype, folder):
    zarr = pytest.importorskip("zarr")
    return zarr.create_array(folder / "out.zarr", shape=shape, chunks=(48, 3), dtype=dtype)


def hdf5_out(shape, dtype, folder):
    h5py = pytest.importorskip("h5py")
    return h5py.File(folder / "out.h5", "w").create_dataset("out", shape, dtype)


@pytest.mark.parametrize("make", [numpy_out, memmap_out, zarr_out, hdf5_out])
@pytest.mark.parametrize("method", ["transform", "reconstruct"])
def test_out(method, make, source, tmp_path, monkeypatch):
    monkeypatch.setattr(skae._estimators.fitted, "_BLOCK_ENTRIES", 50 * N_FEATURES)
    X = make_rows()
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(X)
    expected = getattr(model, method)(X)
    out = make(expected.shape, expected.dtype, tmp_path)
    assert getattr(model, method)(source(X), out=out) is out
    assert_allclose(out[:], expected, rtol=1e-5)


def read_only(shape, dtype):
    out = np.empty(shape, dtype)
    out.flags.writeable = False
    return out


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "reconstruct"])
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda shape, dtype: np.empty((3, 3), dtype), r"out must be an array of shape \(700, \d+\) and dtype float32"),
        (lambda shape, dtype: np.empty(shape, "float64"), "dtype float32, but is a ndarray of shape .* float64"),
        (lambda shape, dtype: "out.npy", "but is a str"),
        (read_only, "out is read-only"),
    ],
)
def test_bad_out(method, make, message):
    X = make_rows()
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(X)
    X = model.transform(X) if method == "inverse_transform" else X
    result = getattr(model, method)(X)
    with pytest.raises(ValueError, match=message):
        getattr(model, method)(X, out=make(result.shape, result.dtype))


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "reconstruct"])
def test_out_is_no_frame(method):
    pytest.importorskip("pandas")
    X = make_rows()
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(X)
    X = model.transform(X) if method == "inverse_transform" else X
    result = getattr(model, method)(X)
    with pytest.raises(ValueError, match="out cannot be a frame"):
        getattr(model.set_output(transform="pandas"), method)(X, out=result)


def test_out_is_no_metadata():
    assert not hasattr(AutoencoderTransformer(), "set_transform_request")
    assert not hasattr(AutoencoderTransformer(), "set_inverse_transform_request")


def test_codes_in_a_file_are_decoded_into_a_file(source, tmp_path):
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(make_rows())
    codes = model.transform(make_rows())
    out = memmap_out((N_ROWS, N_FEATURES), codes.dtype, tmp_path)
    assert model.inverse_transform(source(codes), out=out) is out
    assert_array_equal(out, model.inverse_transform(codes))


def test_bad_codes_in_a_file(source, tmp_path):
    model = AutoencoderTransformer(4, random_state=0, max_iter=3).fit(make_rows())
    with pytest.raises(ValueError, match="X has 12 features, but AutoencoderTransformer is expecting 4"):
        model.inverse_transform(source(make_rows()))
    codes = model.transform(make_rows())
    codes[-1, 2] = np.nan
    (tmp_path / "codes").mkdir()
    with pytest.raises(ValueError, match=f"Input X contains NaN: row {N_ROWS - 1}, column .*2"):
        model.inverse_transform(zarr_array(codes, tmp_path / "codes"))


def test_callbacks_see_the_file(zarr_source):
    callback = pytest.importorskip("sklearn.callback")
    file = zarr_source(make_rows())
    monitor = callback.ScoringMonitor(scoring={"r2": reconstruction_r2})
    model = AutoencoderTransformer(4, random_state=0, max_iter=3, early_stopping=True).set_callbacks(monitor).fit(file)
    assert model.n_iter_ == 3
