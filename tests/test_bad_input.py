"""What bad input and faults get: a clear error that names the argument, or a sound result; never a silent bad one."""

import gc
import os
import re
import subprocess
import sys
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import OptimizeResult
from scipy.sparse import coo_array, csc_array, csr_array
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from threadpoolctl import threadpool_info

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._compat import InvalidParameterError
from skae._solvers.registry import SOLVERS
from skae.corruption import Blur, Gaussian, Masking
from skae.penalties import Contraction, KLSparsity, L1Sparsity, WeightDecay

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
# Without what has a scale of its own: a penalty on the code, and the product of a matrix with itself.
SCALE_FREE = {
    AutoencoderTransformer: {},
    DenoisingAutoencoder: {"corruption": "masking"},
    SparseAutoencoder: {"sparsity_weight": 0.0},
    ContractiveAutoencoder: {"contraction_weight": 0.0, "tied_weights": False},
}
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
# The solver that each takes by itself, and the joint search over all layers.
either_solver = pytest.mark.parametrize("solver", ["auto", "lbfgs"])
dense_and_sparse = pytest.mark.parametrize("container", [np.asarray, csr_array], ids=["dense", "sparse"])

METHODS_OF_FITTED = ["transform", "reconstruct", "score", "score_samples", "feature_errors", "encoder_jacobian"]
METHODS_ON_X = ["fit", "fit_transform", *METHODS_OF_FITTED]
N_SAMPLES, N_FEATURES, N_COMPONENTS = 40, 4, 3
X = np.random.default_rng(0).uniform(size=(N_SAMPLES, N_FEATURES))
X[:, 3] = X[:, 0] + X[:, 1]
X /= X.max()
X.flags.writeable = False


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": N_COMPONENTS, "max_iter": 15, "random_state": 0, **parameters})


@cache
def fitted(Autoencoder):
    return make(Autoencoder).fit(X)


def method_of(Autoencoder, name):
    if name == "inverse_transform":
        return fitted(Autoencoder).inverse_transform
    return getattr(make(Autoencoder) if name.startswith("fit") else fitted(Autoencoder), name)


def bad_arrays(width):
    """Arrays that no method takes, with the error and its message."""
    good = np.random.default_rng(1).uniform(size=(5, width))

    def with_entry(value, dtype=float):
        array = good.astype(dtype)
        array[1, 1] = value
        return array

    frame = pd.DataFrame(good)
    masked = np.ma.masked_array(good, mask=good > 0.7)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        matrix = np.matrix(good)
    return {
        "NaN": (with_entry(np.nan), ValueError, "X contains NaN"),
        "float32 NaN": (with_entry(np.nan, np.float32), ValueError, "X contains NaN"),
        "object NaN": (with_entry(np.nan, object), ValueError, "X contains NaN"),
        "pandas NA": (frame.astype("Float64").mask(frame > 0.7), ValueError, "X contains NaN"),
        "infinity": (with_entry(np.inf), ValueError, "X contains infinity"),
        "minus infinity": (with_entry(-np.inf), ValueError, "X contains infinity"),
        "no rows": (good[:0], ValueError, r"Found array with 0 sample\(s\)"),
        "no columns": (good[:, :0], ValueError, r"Found array with 0 feature\(s\)"),
        "1-D": (good[0], ValueError, "Expected 2D array"),
        "scalar": (3.0, ValueError, "Expected 2D array"),
        "None": (None, ValueError, "Expected 2D array"),
        "3-D": (good[None], ValueError, "dim 3"),
        "strings": (np.full(good.shape, "a"), ValueError, "could not convert|dtype='numeric'"),
        "string objects": (with_entry("a", object), ValueError, "could not convert"),
        "complex": (good + 1j, ValueError, "Complex data not supported"),
        "np.matrix": (matrix, TypeError, "np.matrix is not supported"),
        "masked": (masked, ValueError, "masked"),
    }


@each
@pytest.mark.parametrize("name", bad_arrays(N_FEATURES))
@pytest.mark.parametrize("method", [*METHODS_ON_X, "inverse_transform"])
def test_bad_array(Autoencoder, method, name):
    width = N_COMPONENTS if method == "inverse_transform" else N_FEATURES
    array, error, message = bad_arrays(width)[name]
    with pytest.raises(error, match=message):
        method_of(Autoencoder, method)(array)


def bad_sparse_arrays():
    """Sparse arrays that no method takes, with the message."""
    good = csr_array(X[:5])

    def with_entry(value, dtype=float):
        array = good.astype(dtype)
        array.data[2] = value
        return array

    return {
        "NaN": (with_entry(np.nan), "X contains NaN"),
        "float32 NaN": (with_entry(np.nan, np.float32), "X contains NaN"),
        "infinity": (with_entry(np.inf), "X contains infinity"),
        "no rows": (good[:0], r"Found array with 0 sample\(s\)"),
        "no columns": (good[:, :0], r"Found array with 0 feature\(s\)"),
        "complex": (good.astype(complex), "Complex data not supported"),
        "wrong width": (good[:, :3], f"X has 3 features, but .* is expecting {N_FEATURES} features as input"),
    }


@each
@pytest.mark.parametrize("name", bad_sparse_arrays())
@pytest.mark.parametrize("make_sparse", [csr_array, csc_array, coo_array])
@pytest.mark.parametrize("method", METHODS_ON_X)
def test_bad_sparse_array(Autoencoder, method, make_sparse, name):
    if name == "wrong width" and method.startswith("fit"):
        pytest.skip("a fit takes any width")
    array, message = bad_sparse_arrays()[name]
    with pytest.raises(ValueError, match=message):
        method_of(Autoencoder, method)(make_sparse(array))


@each
def test_codes_are_dense(Autoencoder):
    with pytest.raises(TypeError, match=r"[Ss]parse data was passed"):
        fitted(Autoencoder).inverse_transform(csr_array(X[:5, :N_COMPONENTS]))


@each
@pytest.mark.parametrize("method", ["transform", "inverse_transform"])
@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        lambda array: array.astype(np.float16),
        lambda array: array.astype(object),
        lambda array: array.astype(np.longdouble),
        lambda array: np.ma.masked_array(array, mask=False),
        pd.DataFrame,
    ],
    ids=["list", "float16", "object", "longdouble", "nothing masked", "frame"],
)
def test_other_numbers_become_float64(Autoencoder, method, convert):
    values = (X if method == "transform" else X[:, :N_COMPONENTS]).astype(np.float16).astype(float)
    result = method_of(Autoencoder, method)(convert(values))
    assert result.dtype == np.float64
    assert_allclose(result, method_of(Autoencoder, method)(values), rtol=1e-12)


@each
@pytest.mark.parametrize("dtype", [bool, int, np.uint8, np.float16, object, np.longdouble])
def test_fit_on_other_numbers(Autoencoder, dtype):
    values = (3 * X).astype(bool if dtype is bool else int).astype(dtype)
    estimator = make(Autoencoder).fit(values)
    assert estimator.coefs_[0].dtype == np.float64
    assert_array_equal(estimator.coefs_[0], make(Autoencoder).fit(values.astype(float)).coefs_[0])
    assert_array_equal(make(Autoencoder).fit(values.tolist()).coefs_[0], estimator.coefs_[0])


# Scale.


def assert_good_or_refused(estimator, data, expected):
    """A fit as good as at scale one, or an error that says what is wrong."""
    try:
        score = estimator.fit(data).score(data)
    except ValueError as error:
        assert re.search("[Ss]cale", str(error))  # noqa: PT017 - both outcomes are right
    else:
        assert score == pytest.approx(expected, abs=1e-3)


@each
@either_solver
@dense_and_sparse
@pytest.mark.parametrize("factor", [1e160, 1e300, 1e-160, 1e-300, 1e80, 1e140, 1e-80, 1e-120])
def test_huge_and_tiny_data(Autoencoder, factor, container, solver):
    estimator = make(Autoencoder, alpha=0, solver=solver, **SCALE_FREE[Autoencoder])
    assert_good_or_refused(estimator, container(X * factor), estimator.fit(X).score(X))


@each
@either_solver
@pytest.mark.parametrize("factor", [1e10, 1e18, 1e30, 1e-10, 1e-16, 1e-30])
def test_huge_and_tiny_float32_data(Autoencoder, factor, solver):
    estimator = make(Autoencoder, alpha=0, solver=solver, **SCALE_FREE[Autoencoder])
    data = X.astype(np.float32)
    assert_good_or_refused(estimator, data * np.float32(factor), estimator.fit(data).score(data))


@dense_and_sparse
@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("factor", [1e160, 1e140, 1e70, 1e30, 1e10, 1e-10, 1e-30, 1e-70, 1e-140, 1e-160])
def test_huge_and_tiny_data_of_a_linear_autoencoder(factor, tied_weights, container):
    linear = make(AutoencoderTransformer, activation="identity", alpha=0, tied_weights=tied_weights)
    assert_good_or_refused(linear, container(X * factor), linear.fit(X).score(X))


@each
@pytest.mark.parametrize("factor", [1e160, 1e100, 1e30, 1e-30, 1e-100, 1e-160])
@pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")
def test_no_floating_point_warnings_at_any_scale(Autoencoder, factor):
    """With the penalties that each has by default; a RuntimeWarning is an error here."""
    estimator = make(Autoencoder)
    try:
        codes = estimator.fit(X * factor).transform(X * factor)
    except ValueError as error:
        assert re.search("[Ss]cale", str(error))  # noqa: PT017 - both outcomes are right
    else:
        assert np.isfinite(codes).all()


@each
@pytest.mark.parametrize("factor", [1e160, 1e300])
def test_huge_rows_are_scored_without_nan(Autoencoder, factor):
    estimator = fitted(Autoencoder)
    for method in ("score", "score_samples", "feature_errors", "transform", "reconstruct"):
        assert not np.isnan(getattr(estimator, method)(X * factor)).any()


@each
@either_solver
@pytest.mark.parametrize("factor", [1e-8, 1e-4, 1e4, 1e8])
@pytest.mark.parametrize("activation", ["identity", "logistic", "relu", "softplus"])
def test_fit_does_not_depend_on_the_unit(Autoencoder, factor, activation, solver):
    estimator = make(Autoencoder, alpha=0, activation=activation, solver=solver, **SCALE_FREE[Autoencoder])
    if Autoencoder is SparseAutoencoder:
        estimator.set_params(code_activation="tanh")
    expected = estimator.fit(X).score(X)
    assert estimator.fit(X * factor).score(X * factor) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, DenoisingAutoencoder, ContractiveAutoencoder])
@pytest.mark.parametrize("factor", [1e-8, 1e8])
@pytest.mark.parametrize("activation", ["identity", "relu"])
def test_tied_fit_does_not_depend_on_the_unit(Autoencoder, factor, activation):
    """Of the activations that scale with their input; the others, tied, are another model in another unit."""
    estimator = make(Autoencoder, alpha=0, activation=activation, **{**SCALE_FREE[Autoencoder], "tied_weights": True})
    expected = estimator.fit(X).score(X)
    assert estimator.fit(X * factor).score(X * factor) == pytest.approx(expected, abs=1e-3)


@each
@either_solver
@pytest.mark.parametrize("factor", [10, 100, 1000])
def test_unscaled_data(Autoencoder, factor, solver):
    """A useful fit with the default parameters, or a warning."""
    estimator = Autoencoder(N_COMPONENTS, max_iter=500, solver=solver, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X * factor)
    assert caught or estimator.score(X * factor) > 0.1


# Degenerate data.

DEGENERATE = {
    "zeros": np.zeros((10, 4)),
    "all constant": np.full((10, 4), 0.1),
    "large constants": np.tile([1e8, -3.0, 0.1, 1e-8], (10, 1)),
    "constant columns": np.column_stack([X, np.full(N_SAMPLES, 0.1), np.zeros(N_SAMPLES)]),
    "duplicate rows": np.repeat(X[:2], 20, axis=0),
    "duplicate columns": np.tile(X, 3),
    "one sample": X[:1],
    "one feature": X[:, :1],
    "two samples": X[:2],
}


@each
@either_solver
@dense_and_sparse
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("init", ["glorot", "pca"])
@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_data(Autoencoder, name, init, dtype, container, solver):
    """Finite, and without warnings, which are errors here."""
    data = container(DEGENERATE[name].astype(dtype))
    estimator = make(Autoencoder, init=init, solver=solver, max_iter=50).fit(data)
    results = [estimator.transform(data), estimator.reconstruct(data), estimator.score_samples(data)]
    results += [estimator.encoder_jacobian(data), estimator.maximally_activating_inputs(), estimator.loss_curve_]
    assert all(np.isfinite(result).all() for result in results)
    assert estimator.score(data) <= 1


@dense_and_sparse
@pytest.mark.parametrize("tied_weights", [False, True])
@pytest.mark.parametrize("alpha", [0, 0.1])
@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")
def test_degenerate_data_of_a_linear_autoencoder(name, alpha, tied_weights, container):
    data = container(DEGENERATE[name])
    linear = make(AutoencoderTransformer, activation="identity", alpha=alpha, tied_weights=tied_weights).fit(data)
    assert linear.solver_ == "svd"
    assert all(np.isfinite(result).all() for result in [linear.transform(data), linear.reconstruct(data)])
    assert linear.score(data) <= 1


@each
@pytest.mark.parametrize("loss", ["cross_entropy", "poisson"])
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_constants_at_the_end_of_the_range(Autoencoder, loss, value):
    data = np.full((10, 4), value)
    estimator = make(Autoencoder, loss=loss, max_iter=100).fit(data)
    assert_allclose(estimator.reconstruct(data), value, atol=0.02)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", ["zeros", "all constant", "large constants"])
def test_constant_data_converges(name, solver):
    activation = "identity" if solver == "svd" else "logistic"
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        estimator = AutoencoderTransformer(2, activation=activation, solver=solver, random_state=0).fit(
            DEGENERATE[name]
        )
    assert_allclose(estimator.reconstruct(DEGENERATE[name]), DEGENERATE[name], rtol=1e-6, atol=1e-6)


# Memory layout.


def read_only_memmap(path, array):
    memmap = np.memmap(path, dtype=array.dtype, mode="w+", shape=array.shape)
    memmap[...] = array
    memmap.flush()
    return np.memmap(path, dtype=array.dtype, mode="r", shape=array.shape)


@each
@pytest.mark.parametrize("layout", ["Fortran", "reversed rows", "reversed columns", "every second", "memmap"])
def test_memory_layout(Autoencoder, layout, tmp_path):
    data = {
        "Fortran": lambda: np.asfortranarray(X),
        "reversed rows": lambda: X[::-1].copy()[::-1],
        "reversed columns": lambda: X[:, ::-1].copy()[:, ::-1],
        "every second": lambda: np.repeat(X, 2, axis=0)[::2],
        "memmap": lambda: read_only_memmap(tmp_path / "X", X),
    }[layout]()
    assert_array_equal(data, X)
    estimator = make(Autoencoder, max_iter=5).fit(data)
    expected = make(Autoencoder, max_iter=5).fit(X)
    for method in ("transform", "reconstruct", "score_samples", "encoder_jacobian"):
        assert_allclose(getattr(estimator, method)(data), getattr(expected, method)(X), rtol=1e-8, atol=1e-10)
    assert_array_equal(data, X)


@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, SparseAutoencoder, ContractiveAutoencoder])
@pytest.mark.parametrize("order", ["C", "F", "reversed"])
def test_data_are_not_copied_whole(Autoencoder, order):
    """Beyond 2^22 entries, up to which the distinct rows are put in an order of their own."""
    data = np.random.default_rng(0).uniform(size=(250_000, 20))
    data = data[::-1] if order == "reversed" else np.asarray(data, order=order)
    estimator = make(Autoencoder, n_components=1, max_iter=1)
    gc.collect()
    tracemalloc.start()
    try:
        estimator.fit(data)
        estimator.score_samples(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 0.8 * data.nbytes


# Widths and names.


@each
@pytest.mark.parametrize("method", METHODS_OF_FITTED)
@pytest.mark.parametrize("width", [3, 5])
def test_wrong_width(Autoencoder, method, width):
    message = f"X has {width} features, but {Autoencoder.__name__} is expecting 4 features as input"
    with pytest.raises(ValueError, match=message):
        method_of(Autoencoder, method)(np.ones((5, width)))


@each
@pytest.mark.parametrize("width", [2, 4])
def test_wrong_width_of_codes(Autoencoder, width):
    message = f"X has {width} features, but {Autoencoder.__name__} is expecting 3 features as input"
    with pytest.raises(ValueError, match=message):
        fitted(Autoencoder).inverse_transform(np.ones((5, width)))


FRAME = pd.DataFrame(X, columns=list("abcd"))


@each
@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (list("dcba"), "must be in the same order"),
        (list("abc"), "seen at fit time, yet now missing"),
        (list("abcz"), "unseen at fit time"),
    ],
    ids=["reordered", "missing", "unseen"],
)
@pytest.mark.parametrize("method", ["transform", "score", "score_samples", "encoder_jacobian"])
def test_wrong_feature_names(Autoencoder, method, columns, message):
    estimator = make(Autoencoder).fit(FRAME)
    with pytest.raises(ValueError, match=f"(?s)feature names should match.*{message}"):
        getattr(estimator, method)(FRAME.reindex(columns=columns, fill_value=0.5))


@each
def test_feature_names_of_mixed_types(Autoencoder):
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        make(Autoencoder).fit(FRAME.rename(columns={"a": 0}))


@each
def test_feature_names_on_one_side_only(Autoencoder):
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        make(Autoencoder).fit(FRAME).transform(X)
    with pytest.warns(UserWarning, match="X has feature names, but"):
        fitted(Autoencoder).transform(FRAME)


@each
@pytest.mark.parametrize("name", [*METHODS_OF_FITTED, "inverse_transform"])
def test_methods_before_fit(Autoencoder, name):
    with pytest.raises(NotFittedError):
        getattr(make(Autoencoder), name)(X)


@each
def test_methods_without_data_before_fit(Autoencoder):
    with pytest.raises(NotFittedError):
        make(Autoencoder).get_feature_names_out()
    with pytest.raises(NotFittedError):
        make(Autoencoder).maximally_activating_inputs()


# Parameters.

BAD_WEIGHTS = [-0.1, np.nan, np.inf, True, "x", None]
BAD_PARAMETERS = {
    "n_components": [0, -1, 0.0, 1.0, 1.5, 2.0, np.nan, np.inf, "x", True, [3]],
    "hidden_layer_sizes": [0, -1, 2.0, True, (0,), (-1,), (2.0,), (True,), ("x",), "x", None],
    "activation": ["x", None, 1],
    "code_activation": ["x", 1],
    "loss": ["x", None],
    "output_activation": ["x", None],
    "tied_weights": ["x", 1, None],
    "alpha": BAD_WEIGHTS,
    "penalties": [None, "x", L1Sparsity(0.1), (1,), (L1Sparsity,)],
    "solver": ["x", None, "adam"],
    "init": ["x", None],
    "n_init": [0, -1, 1.5, True, None],
    "n_jobs": ["x", 1.5],
    "max_iter": [0, -1, 1.5, True, "x", None],
    "tol": BAD_WEIGHTS,
    "max_fun": [0, 1.5, True, None],
    "maxcor": [0, 1.5, True, None],
    "early_stopping": ["x", 1, None],
    "validation_fraction": [0.0, 1.0, -0.1, 1, np.nan, "x", None],
    "n_iter_no_change": [0, -1, 1.5, True, None],
    "warm_start": ["x", 1, None],
    "random_state": ["x", -1, 1.5],
    "verbose": ["x", -1],
}
OWN_BAD_PARAMETERS = [
    (DenoisingAutoencoder, "corruption", ["x", None, 1]),
    (DenoisingAutoencoder, "corruption_level", [1.1, *BAD_WEIGHTS]),
    (DenoisingAutoencoder, "n_corruptions", [0, 1.5, True, "x"]),
    (SparseAutoencoder, "sparsity_target", [0, 1, 0.0, 1.0, -0.1, 1.1, np.nan, True, "x", None]),
    (SparseAutoencoder, "sparsity_weight", BAD_WEIGHTS),
    (ContractiveAutoencoder, "contraction_weight", BAD_WEIGHTS),
]


@each
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name in BAD_PARAMETERS for value in BAD_PARAMETERS[name]]
)
def test_bad_parameter(Autoencoder, name, value):
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {Autoencoder.__name__} must be"):
        make(Autoencoder, **{name: value}).fit(X)


@pytest.mark.parametrize(
    ("Autoencoder", "name", "value"),
    [(Autoencoder, name, value) for Autoencoder, name, values in OWN_BAD_PARAMETERS for value in values],
)
def test_bad_parameter_of_one_class(Autoencoder, name, value):
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {Autoencoder.__name__}"):
        make(Autoencoder, **{name: value}).fit(X)


def test_hidden_layer_sizes_say_what_is_allowed():
    for value in 0, True:
        with pytest.raises(
            InvalidParameterError, match=r"must be an int in the range \[1, inf\) or an array-like. Got"
        ):
            make(AutoencoderTransformer, hidden_layer_sizes=value).fit(X)
    with pytest.raises(
        InvalidParameterError, match=r"must be an int of at least 1 or a sequence of such ints. Got \(0,\)"
    ):
        make(AutoencoderTransformer, hidden_layer_sizes=(0,)).fit(X)


ACTIVATION_NAMES = "'identity', 'logistic', 'tanh', 'relu', 'softplus'"
OPTIONS = {
    "activation": ACTIVATION_NAMES,
    "code_activation": ACTIVATION_NAMES,
    "output_activation": f"'auto', {ACTIVATION_NAMES}",
    "loss": "'squared_error', 'cross_entropy', 'poisson'",
    "solver": "'auto', 'svd', 'varpro', 'lbfgs'",
    "init": "'glorot', 'pca'",
    "corruption": "'masking', 'gaussian', 'salt_and_pepper'",
}
PRINT_ERRORS = """
from skae import DenoisingAutoencoder
for name in {names}:
    try:
        DenoisingAutoencoder(**{{name: "x"}}).fit([[0.0, 1.0]])
    except ValueError as error:
        print(error)
"""


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_options_are_listed_in_their_order(hash_seed):
    """The order of a set depends on the hash seed."""
    script = PRINT_ERRORS.format(names=list(OPTIONS))
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    for (name, options), line in zip(OPTIONS.items(), run.stdout.splitlines(), strict=True):
        assert line.startswith(f"The '{name}' parameter of DenoisingAutoencoder must be ")
        assert f"a str among {{{options}}}" in line


@pytest.mark.parametrize(
    ("corruption", "level"),
    [("gaussian", -1), ("gaussian", np.inf), ("gaussian", np.nan), ("salt_and_pepper", 1.1), ("masking", 2)],
)
def test_corruption_level_outside_its_range(corruption, level):
    with pytest.raises(InvalidParameterError, match=r"'corruption_level'.*[Gg]ot"):
        make(DenoisingAutoencoder, corruption=corruption, corruption_level=level).fit(X)


def test_gaussian_noise_may_be_large():
    make(DenoisingAutoencoder, corruption="gaussian", corruption_level=2.0).fit(X)


@pytest.mark.parametrize("corruption", [Masking(0.1), lambda X, rng: X], ids=["object", "callable"])
def test_corruption_level_that_cannot_apply(corruption):
    make(DenoisingAutoencoder, corruption=corruption).fit(X)
    with pytest.raises(ValueError, match=r"leave corruption_level at 0\.25"):
        make(DenoisingAutoencoder, corruption=corruption, corruption_level=0.5).fit(X)


@pytest.mark.parametrize(
    "part",
    [
        lambda: Masking(1.1),
        lambda: Gaussian(-1),
        lambda: Gaussian(np.nan),
        lambda: Masking(True),
        lambda: Blur((0, 4)),
        lambda: Blur((4,)),
        lambda: WeightDecay(-1),
        lambda: L1Sparsity(np.nan),
        lambda: L1Sparsity(np.inf),
        lambda: KLSparsity(1, 0),
        lambda: KLSparsity(1, 1.5),
        lambda: Contraction(True),
    ],
)
def test_parts_refuse_bad_numbers(part):
    with pytest.raises(ValueError, match="got"):
        part()


@each
@pytest.mark.parametrize(
    ("loss", "link"), [("cross_entropy", "tanh"), ("cross_entropy", "identity"), ("poisson", "relu")]
)
def test_link_that_does_not_go_with_the_loss(Autoencoder, loss, link):
    with pytest.raises(ValueError, match=f"output_activation='{link}' does not go with loss='{loss}'"):
        make(Autoencoder, loss=loss, output_activation=link).fit(X)


@each
@pytest.mark.parametrize("activation", ["identity", "relu", "softplus"])
def test_kl_sparsity_of_an_unbounded_code(Autoencoder, activation):
    penalties = () if Autoencoder is SparseAutoencoder else (KLSparsity(1.0),)
    with pytest.raises(ValueError, match=r"KL sparsity.*'logistic', 'tanh'"):
        make(Autoencoder, activation=activation, penalties=penalties).fit(X)
    make(Autoencoder, activation=activation, penalties=penalties, code_activation="tanh").fit(X)


# The domain of the loss.


@each
@pytest.mark.parametrize("method", ["fit", "score", "score_samples", "feature_errors"])
@pytest.mark.parametrize(
    ("loss", "shown", "entry"), [("cross_entropy", "1.5", 1.5), ("cross_entropy", "-0.1", -0.1), ("poisson", "-2", -2)]
)
def test_data_outside_the_domain_of_the_loss(Autoencoder, method, loss, shown, entry):
    estimator = make(Autoencoder, loss=loss)
    if method != "fit":
        estimator.fit(X)
    data = X.copy()
    data[3, 1] = entry
    with pytest.raises(ValueError, match=f"loss='{loss}' needs values.*{shown}"):
        getattr(estimator, method)(data)


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_cross_entropy_forgives_rounding(Autoencoder, dtype):
    data = X.astype(dtype)
    data[0], data[1] = -5e-7, 1 + 5e-7
    estimator = make(Autoencoder, loss="cross_entropy").fit(data)
    assert np.isfinite(estimator.score_samples(data)).all()


@each
def test_rows_of_weight_zero_may_lie_outside_the_domain(Autoencoder):
    data, weights = X.copy(), np.ones(N_SAMPLES)
    data[0], weights[0] = 7, 0
    make(Autoencoder, loss="cross_entropy").fit(data, sample_weight=weights)


# Corruptions.


def write(X, rng):
    X[0] = 0
    return X


@pytest.mark.parametrize(
    ("corruption", "message"),
    [
        (lambda X, rng: X[:, 1:], r"the shape that it was given, \((\d+), 4\), but returned \(\1, 3\)"),
        (lambda X, rng: X[1:], r"but returned \(\d+, 4\)"),
        (lambda X, rng: X[0], r"but returned \(4,\)"),
        (lambda X, rng: None, "must return an array of real numbers"),
        (lambda X, rng: X + 0j, "must return an array of real numbers"),
        (lambda X, rng: X * np.nan, "returned NaN or infinity"),
        (lambda X, rng: np.where(X > 0.5, np.inf, X), "returned NaN or infinity"),
        (write, "read-only and must return a copy"),
        (Blur((3, 3)), r"image_shape=\(3, 3\) has 9 pixels, but X has 4 features"),
    ],
)
def test_bad_corruption(corruption, message):
    data = X.copy()
    with pytest.raises(ValueError, match=message):
        make(DenoisingAutoencoder, corruption=corruption).fit(data)
    assert_array_equal(data, X)
    assert data.flags.writeable


def test_corruption_class_instead_of_an_object():
    with pytest.raises(ValueError, match=r"must be an object, not a class.*Blur\(\.\.\.\)"):
        make(DenoisingAutoencoder, corruption=Blur).fit(X)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_corruption_of_another_dtype(dtype):
    other = {np.float32: np.float64, np.float64: np.float32}[dtype]
    estimator = make(DenoisingAutoencoder, corruption=lambda X, rng: X.astype(other)).fit(X.astype(dtype))
    assert estimator.coefs_[0].dtype == dtype


# Sample weights.


@each
@pytest.mark.parametrize("method", ["fit", "score"])
@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.r_[-1.0, np.ones(N_SAMPLES - 1)], "Negative values in data passed to `sample_weight`"),
        (np.full(N_SAMPLES, np.nan), "sample_weight contains NaN"),
        (np.full(N_SAMPLES, np.inf), "sample_weight contains infinity"),
        (np.ones(N_SAMPLES - 1), "sample_weight.shape"),
        (np.ones((N_SAMPLES, 1)), "Sample weights must be 1D"),
        (np.zeros(N_SAMPLES), "(?i)sample.weight.*(only zeros|at least one non-zero)"),
        (np.full(N_SAMPLES, "x"), "could not convert|dtype"),
    ],
    ids=["negative", "NaN", "infinite", "short", "2-D", "zeros", "strings"],
)
def test_bad_weights(Autoencoder, method, weights, message):
    with pytest.raises(ValueError, match=message):
        method_of(Autoencoder, method)(X, sample_weight=weights)


@each
@pytest.mark.parametrize("factor", [1e-300, 1e300, 1e307])
def test_unit_of_the_weights_does_not_matter(Autoencoder, factor):
    weights = np.linspace(1, 2, N_SAMPLES)
    estimator = make(Autoencoder, max_iter=5).fit(X, sample_weight=factor * weights)
    expected = make(Autoencoder, max_iter=5).fit(X, sample_weight=weights)
    assert_allclose(estimator.transform(X), expected.transform(X), rtol=1e-6)


# Floating point.


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("activation", ["logistic", "tanh", "relu", "softplus", "identity"])
def test_saturated_units(Autoencoder, activation, dtype):
    """Rows far outside the training data; a floating-point warning is an error here."""
    estimator = make(Autoencoder, activation=activation)
    if Autoencoder is SparseAutoencoder:
        estimator.set_params(code_activation="tanh")
    if Autoencoder is ContractiveAutoencoder:
        estimator.set_params(contraction_weight=0.01)  # at 0.1 the best linear code of X is a constant
    estimator.fit(X.astype(dtype))
    far = (1e3 * (X - 0.5)).astype(dtype)
    for method in ("transform", "reconstruct", "score_samples", "encoder_jacobian"):
        assert np.isfinite(getattr(estimator, method)(far)).all()


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_poisson_on_large_counts(Autoencoder, dtype):
    counts = np.random.default_rng(0).poisson(1000 * X).astype(dtype)
    estimator = make(Autoencoder, loss="poisson").fit(counts)
    assert np.isfinite(estimator.loss_)
    assert estimator.score(counts) > -0.01  # at least about the mean


@each
@pytest.mark.parametrize("factor", [1e5, 1e300])
def test_poisson_reconstruction_may_overflow(Autoencoder, factor):
    estimator = make(Autoencoder, loss="poisson", activation="identity", code_activation="identity")
    if Autoencoder is SparseAutoencoder:
        estimator.set_params(code_activation="tanh")
    estimator.fit(X)
    assert not np.isnan(estimator.reconstruct(factor * X)).any()
    assert not np.isnan(estimator.score_samples(factor * X)).any()


# Faults of the solver.


@each
@either_solver
@pytest.mark.parametrize(("where", "value"), [("fun", np.inf), ("fun", np.nan), ("x", np.nan), ("jac", np.inf)])
def test_solver_that_calls_a_non_finite_value_a_success(Autoencoder, where, value, solver, monkeypatch):
    def minimize(function, x0, **options):
        result = {"fun": 1.0, "x": x0.copy(), "jac": np.zeros_like(x0)}
        result[where] = value if where == "fun" else np.full_like(x0, value)
        function(x0)
        options["callback"](OptimizeResult(x=x0, fun=1.0))
        return OptimizeResult(**result, status=0, success=True, nit=3, nfev=3, message="CONVERGENCE")

    monkeypatch.setattr("skae._solvers.lbfgs.minimize", minimize)
    estimator = make(Autoencoder, solver=solver)
    before = joblib.hash(vars(estimator))
    with pytest.raises(ValueError, match=r"not finite.*Scale X"):
        estimator.fit(X)
    assert joblib.hash(vars(estimator)) == before


# Threads.


@each
def test_two_threads_fit_two_estimators(Autoencoder):
    def fit(seed):
        return make(Autoencoder, max_iter=30, random_state=seed).fit(X).transform(X)

    before = threadpool_info()
    with ThreadPoolExecutor(2) as pool:
        threaded = list(pool.map(fit, range(6)))
    for seed, codes in enumerate(threaded):
        assert_array_equal(codes, fit(seed))
    assert threadpool_info() == before


@each
def test_two_threads_transform_with_one_estimator(Autoencoder):
    estimator, rows = fitted(Autoencoder), np.random.default_rng(0).uniform(size=(20_000, N_FEATURES))
    with ThreadPoolExecutor(2) as pool:
        for codes in pool.map(estimator.transform, [rows] * 6):
            assert_array_equal(codes, estimator.transform(rows))


# Trivial results.


@each
def test_penalties_far_above_the_scale_of_the_data(Autoencoder):
    factor = 1e-6
    with pytest.warns(UserWarning, match=r"next to nothing.* is too strong .*\. Scale X with StandardScaler"):
        estimator = Autoencoder(N_COMPONENTS, alpha=1e-4, random_state=0).fit(X * factor)
    np.testing.assert_allclose(estimator.transform(X * factor), estimator.transform(X[:1] * factor).repeat(len(X), 0))


@each
def test_no_warning_of_a_trivial_code_on_constant_data(Autoencoder):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        make(Autoencoder).fit(np.full((10, 4), 3.0))


@pytest.mark.parametrize("factor", [1e-8, 1e-4, 1e4, 1e8])
def test_poisson_fit_does_not_depend_on_the_unit(factor):
    counts = np.random.default_rng(0).poisson(5, size=(60, 5)).astype(float)
    estimator = make(AutoencoderTransformer, loss="poisson", alpha=0, max_iter=30)
    expected = estimator.fit(counts).score(counts)
    assert estimator.fit(counts * factor).score(counts * factor) == pytest.approx(expected, abs=1e-3)


def test_frame_with_a_column_called_mask():
    frame = pd.DataFrame({"_mask": X[:, 0], "b": X[:, 1]})
    assert make(AutoencoderTransformer, n_components=1).fit(frame).n_features_in_ == 2


def test_tied_weights_on_tiny_data():
    """They encode and decode in units a trillion apart: no good fit, but none that is worse than the mean."""
    estimator = make(AutoencoderTransformer, alpha=0, tied_weights=True, max_iter=200)
    with pytest.warns(UserWarning, match="needs X on a scale near 1, but the standard deviation of X is "):
        estimator.fit(X * 1e-6)
    assert estimator.score(X * 1e-6) > 0
