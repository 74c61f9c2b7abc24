"""Distinct rows, against plain Python and NumPy; and fits, which depend on nothing else, to the last bit."""

import tracemalloc
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_wine
from sklearn.preprocessing import StandardScaler

import skae._estimators.base
import skae._rows.distinct
from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._rows.distinct import distinct_rows
from skae._weights import Weights

examples = settings(max_examples=200, derandomize=True, database=None, deadline=None)

# Few values, so that rows are equal, or begin alike; and both zeros.
values = st.sampled_from([-1.5, -0.0, 0.0, 1.0, 2.0])
tables = st.tuples(st.integers(1, 12), st.integers(1, 20)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=values)
)


@st.composite
def weighted_tables(draw):
    X = draw(tables)
    copies = draw(st.lists(st.integers(0, len(X) - 1), max_size=24))
    X = np.concatenate([X, X[copies]])
    weights = draw(arrays(np.float64, len(X), elements=st.integers(0, 3).map(float)))
    weights[draw(st.integers(0, len(X) - 1))] = 1
    return X, weights


def distinct(X, weights):
    return distinct_rows(X, Weights(weights))


def by_hand(X, weights):
    """The sum of the weights by row, in the order of first occurrence."""
    sums = {}
    for row, weight in zip(map(tuple, X), weights, strict=True):
        if weight > 0:
            sums[row] = sums.get(row, 0.0) + weight
    return sums


def assert_as_by_hand(result, X, weights, expected):
    """The rows are the keys of `expected`, in its order."""
    rows = [tuple(row) for row in X]
    firsts = {}
    for index in np.flatnonzero(weights):
        firsts.setdefault(rows[index], index)
    assert result.indices.tolist() == [firsts[row] for row in expected]
    assert result.weights[:].tolist() == list(expected.values())
    place = {row: number for number, row in enumerate(expected)}
    assert result.numbers.tolist() == [place[row] if weight else -1 for row, weight in zip(rows, weights, strict=True)]


def with_stored_zeros(X):
    """CSR that stores every entry."""
    m, n = X.shape
    return sparse.csr_array((X.ravel(), np.tile(np.arange(n), m), np.arange(0, m * n + 1, n)), shape=X.shape)


def same_values(X):
    return [
        X.astype(np.float32),
        np.asfortranarray(X),
        X[::-1, ::-1].copy()[::-1, ::-1],
        sparse.csr_array(X),
        sparse.csr_matrix(X),
        with_stored_zeros(X),
        X + 0.0,
    ]


@pytest.fixture
def every_x_is_large(monkeypatch):
    monkeypatch.setattr(skae._rows.distinct, "_SMALL", 0)
    monkeypatch.setattr(skae._rows.distinct, "_BLOCK_ENTRIES", 16)


# Small X: sorted by value.


@examples
@given(weighted_tables())
def test_as_a_sorted_set_of_tuples(table):
    X, weights = table
    expected = by_hand(X, weights)
    assert_as_by_hand(distinct(X, weights), X, weights, {row: expected[row] for row in sorted(expected)})


@examples
@given(weighted_tables(), st.sampled_from([1e-3, 3.0, 1e300]))
def test_the_same_whatever_the_dtype_the_format_and_the_unit(table, unit):
    X, weights = table
    expected = distinct(X, weights)
    for same in [*same_values(X), unit * X]:
        result = distinct(same, weights)
        assert_array_equal(result.indices, expected.indices)
        assert_array_equal(result.numbers, expected.numbers)
        assert_array_equal(result.weights[:], expected.weights[:])


@pytest.mark.parametrize(
    "X",
    [
        np.random.default_rng(0).normal(size=(2000, 7)),
        np.random.default_rng(1).integers(0, 2, size=(3000, 40))[np.random.default_rng(2).integers(0, 700, 3000)],
        np.random.default_rng(3).integers(0, 3, size=(5000, 8)),
        np.repeat(np.eye(50, 300, 250), 3, axis=0),
        np.zeros((5, 4)),
        np.ones((1, 1)),
    ],
    ids=["continuous", "repeated", "many ties", "different in late columns", "constant", "one row"],
)
def test_as_numpy_unique(X):
    X = X.astype(np.float64)
    rows, indices, numbers, counts = np.unique(X, axis=0, return_index=True, return_inverse=True, return_counts=True)
    for same in (X, sparse.csr_array(X)):
        result = distinct(same, np.ones(len(X)))
        assert_array_equal(result.indices, indices)
        assert_array_equal(result.numbers, numbers.ravel())
        assert_array_equal(result.weights[:], counts)
        chosen, _ = result.take(same)
        assert_array_equal(chosen.toarray() if sparse.issparse(chosen) else chosen, rows)


def test_sums_of_weights_do_not_depend_on_their_order():
    weights = np.array([0.1, 0.2, 0.3, 1e-17, 1.0])
    sums = {distinct(np.ones((5, 2)), weights[list(order)]).weights[:].tobytes() for order in permutations(range(5))}
    assert len(sums) == 1


def test_wide_sparse_rows_stay_sparse():
    X = sparse.random_array((200, 20_000), density=0.001, format="csr", random_state=0)
    tracemalloc.start()
    try:
        distinct(X, np.ones(200))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * 200 * 20_000 / 2


# Large X: merged by hash, or not at all.


@examples
@given(weighted_tables())
def test_large_x_is_merged_in_the_order_of_first_occurrence(table):
    X, weights = table
    expected = by_hand(X, weights)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(skae._rows.distinct, "_SMALL", 0)
        patch.setattr(skae._rows.distinct, "_BLOCK_ENTRIES", 16)
        for same in [X, *same_values(X)]:
            result = distinct(same, weights)
            if 2 * len(expected) < np.count_nonzero(weights):
                assert_as_by_hand(result, X, weights, expected)
            else:
                kept = np.flatnonzero(weights)
                assert result.indices is None or result.indices.tolist() == kept.tolist()
                assert_array_equal(result.weights[:], weights[kept])
                assert result.numbers is None
                assert_array_equal(result.equal_to(), kept)


@pytest.mark.parametrize(("n_samples", "merged"), [(8, False), (9, True)])
def test_large_x_is_merged_if_under_half_of_its_rows_are_distinct(n_samples, merged, every_x_is_large):
    X = (np.arange(3.0 * n_samples).reshape(n_samples, 3) // 3) % 4
    result = distinct(X, np.ones(n_samples))
    assert (result.indices is not None) == merged
    assert len(result.weights) == (4 if merged else n_samples)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_array, sparse.csr_matrix])
def test_a_collision_of_hashes_merges_no_different_rows(kind, every_x_is_large, monkeypatch):
    monkeypatch.setattr(skae._rows.distinct, "_mixed_bits", lambda entries: np.zeros(entries.shape, dtype=np.uint64))
    dense = np.random.default_rng(0).integers(0, 2, size=(40, 3)).astype(float)
    result = distinct(kind(dense), np.ones(40))
    assert_array_equal(dense[result.indices][result.numbers], dense)
    assert result.weights.sum() == 40


def test_hashes_tell_similar_rows_apart():
    grid = np.array(list(product(range(10), repeat=5))) / 8
    rows = np.concatenate([grid, 2.0**40 * grid[1:], -grid[1:], grid[1:] + 1e-13])
    assert len(np.unique(skae._rows.distinct._hashes(rows))) == len(np.unique(rows, axis=0)) == len(rows)


def test_large_x_without_repeated_rows_is_not_copied():
    X = np.random.default_rng(0).random((50_000, 100), dtype=np.float32)
    for data, size in ((X, X.nbytes), (sparse.csr_array(X), 2 * X.nbytes)):
        tracemalloc.start()
        try:
            result = distinct(data, np.ones(len(X)))
            rows, _ = result.take(data)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert rows is data
        assert peak < size / 4


@pytest.mark.parametrize("seed", range(30))
def test_the_rule_is_exact_though_few_hashes_are_counted(seed, every_x_is_large, monkeypatch):
    """Also where the count leaves a doubt: next to half of the rows."""
    monkeypatch.setattr(skae._rows.distinct, "_COUNTED", 64)
    rng = np.random.default_rng(seed)
    n_rows = int(rng.integers(2000, 6000))
    n_distinct = n_rows // 2 + int(rng.choice([-1000, -100, -1, 0, 1, 2, 100, 900]))
    sources = np.arange(n_distinct)
    more = rng.integers(0, rng.choice([1, 3, n_distinct]), n_rows - n_distinct)
    X = rng.standard_normal((n_distinct, 3))[np.concatenate([sources, more])]
    weights = np.ones(n_rows)
    if seed % 2:  # rows that are left out do not count
        X, weights = np.concatenate([X, rng.standard_normal((500, 3))]), np.concatenate([weights, np.zeros(500)])
        order = rng.permutation(len(X))
        X, weights = X[order], weights[order]
    result = distinct(X, weights)
    assert (result.numbers is not None) == (2 * n_distinct < n_rows)
    assert len(result.weights) == (n_distinct if 2 * n_distinct < n_rows else n_rows)
    assert result.weights.sum() == n_rows


def test_the_hashes_of_large_x_are_not_kept():
    X = np.random.default_rng(0).random((1_000_000, 5), dtype=np.float32)
    tracemalloc.start()
    try:
        distinct_rows(X, Weights(1.0, len(X)))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * len(X)


# Fits.

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
WINE = StandardScaler().fit_transform(load_wine().data)
WINE.flags.writeable = False
COUNTS = np.random.default_rng(0).integers(0, 5, size=len(WINE))
SETTINGS = {
    "default": {},
    "joint": {"solver": "lbfgs", "tol": 1e-3},
    "deep": {"hidden_layer_sizes": (8,), "activation": "tanh", "init": "pca"},
    "share of variance": {"n_components": 0.8},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.2},
    "restarts": {"n_init": 2},
}
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
in_every_setting = pytest.mark.parametrize("name", SETTINGS)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*max_iter:sklearn.exceptions.ConvergenceWarning", "ignore:early_stopping=True kept:UserWarning"
)


def make(Autoencoder, name="default", **parameters):
    return Autoencoder(**{"n_components": 4, "max_iter": 60, "random_state": 0, **SETTINGS[name], **parameters})


def assert_same_model(first, second):
    for attribute in ("coefs_", "intercepts_"):
        for part, other in zip(getattr(first, attribute), getattr(second, attribute), strict=True):
            assert_array_equal(part, other)
    assert_array_equal(first.mean_, second.mean_)
    assert first.loss_curve_ == second.loss_curve_
    assert first.validation_loss_curve_ == second.validation_loss_curve_


@each
@in_every_setting
@pytest.mark.parametrize("kind", [np.asarray, np.asfortranarray, sparse.csr_array, np.float32])
def test_the_order_of_the_rows_does_not_matter(Autoencoder, name, kind):
    order = np.random.default_rng(1).permutation(len(WINE))
    weights = np.random.default_rng(2).uniform(size=len(WINE))
    estimator = make(Autoencoder, name, max_iter=20)
    expected = clone(estimator).fit(kind(WINE), sample_weight=weights)
    assert_same_model(estimator.fit(kind(WINE[order]), sample_weight=weights[order]), expected)


@each
@in_every_setting
def test_integer_weights_repeat_rows(Autoencoder, name):
    repeated = np.random.default_rng(1).permutation(np.repeat(WINE, COUNTS, axis=0))
    estimator = make(Autoencoder, name)
    expected = clone(estimator).fit(repeated)
    assert_same_model(estimator.fit(WINE, sample_weight=COUNTS), expected)


@each
def test_integer_weights_repeat_rows_where_a_search_starts_on_parts(Autoencoder):
    X = np.random.default_rng(0).uniform(size=(2000, 5))
    counts = np.random.default_rng(1).integers(0, 3, size=len(X))
    estimator = make(Autoencoder, solver="lbfgs", max_iter=10)
    expected = clone(estimator).fit(np.repeat(X, counts, axis=0)[::-1])
    assert_same_model(estimator.fit(X, sample_weight=counts), expected)


@each
@in_every_setting
def test_weight_zero_removes_rows(Autoencoder, name):
    estimator = make(Autoencoder, name)
    expected = clone(estimator).fit(WINE[COUNTS > 0])
    assert_same_model(estimator.fit(WINE, sample_weight=COUNTS > 0), expected)


@each
def test_zeros_are_one_value(Autoencoder):
    X = np.where(np.abs(WINE) < 0.7, 0.0, WINE)
    other = np.where((X == 0) & (np.arange(X.shape[1]) % 2 == 0), -0.0, X)
    assert_same_model(make(Autoencoder).fit(other), make(Autoencoder).fit(X))
    estimators = [make(Autoencoder).fit(data) for data in (with_stored_zeros(other), sparse.csr_array(X))]
    assert_same_model(*estimators)


@each
def test_a_warm_start_holds_out_the_rows_that_it_held_out(Autoencoder):
    first, second = (make(Autoencoder, "early stopping", warm_start=True, max_iter=5) for _ in range(2))
    first.fit(WINE).fit(WINE)
    second.fit(WINE).fit(WINE[::-1])
    assert_same_model(first, second)


def test_equal_rows_are_held_out_together():
    few = WINE[:20]
    estimator = make(AutoencoderTransformer, "early stopping")
    mean = estimator.fit(np.tile(few, (30, 1))).mean_
    np.testing.assert_allclose(mean, clone(estimator).fit(few).mean_)


def test_one_distinct_row_cannot_be_held_out():
    with pytest.raises(ValueError, match=r"n_samples=1 \(distinct rows of positive weight\)"):
        make(AutoencoderTransformer, "early stopping").fit(np.ones((10, 3)))


def test_a_fit_of_large_x_without_repeated_rows_is_on_x_itself(monkeypatch):
    problems, make_problem = [], skae._estimators.base.make_problem

    def spied(*parts, **more):
        problems.append(make_problem(*parts, **more))
        return problems[-1]

    monkeypatch.setattr(skae._estimators.base, "make_problem", spied)
    X = np.random.default_rng(0).random((50_000, 100), dtype=np.float32)
    make(AutoencoderTransformer, activation="identity").fit(X)
    assert np.shares_memory(problems[0].targets.X, X)
