"""Rows that are corrupted whenever they are read: the same draws at each reading, by whatever slices."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

from skae._network.propagation import block_rows
from skae._objective import noise as noise_module
from skae._objective.noise import PreparedCorruption, drawn
from skae._rows.blocks import rows_of
from skae._rows.drawn import DrawnRows
from skae._rows.statistics import column_means, statistics_of, variances
from skae._rows.threads import SERIAL, RowThreads
from skae.corruption import Blur, Gaussian, Masking, SaltAndPepper, Swap

N_ROWS = 53
SLICES = [slice(None), slice(0, 10), slice(10, 20), slice(3, 4), slice(7, 33), slice(45, 53), slice(50, 53)]
CORRUPTIONS = [Masking(0.3), Gaussian(0.3), SaltAndPepper(0.3), Swap(0.3), lambda X, rng: X + rng.random(X.shape)]
every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: getattr(c, "__name__", repr(c)))
each_kind = pytest.mark.parametrize("kind", [np.array, csr_array])


def make_X(dtype=np.float64):
    """Positive entries, none of which is another's, so that no replacement is the entry itself but by chance."""
    return np.random.default_rng(0).uniform(1, 2, (N_ROWS, 4)).astype(dtype)


def draw(corruption, X=None, seed=(5, 0), chunk=10):
    X = make_X() if X is None else X
    return DrawnRows(rows_of(X), PreparedCorruption(corruption, rows_of(X), np.ones(X.shape[0])), seed, chunk)


def dense(rows, block=slice(None)):
    return np.array(rows.dense(block))


@every_corruption
def test_each_reading_is_the_same_and_each_slice_is_a_part(corruption):
    rows = draw(corruption)
    whole = dense(rows)
    assert len(rows) == len(whole) == N_ROWS
    assert np.mean(whole != make_X()) > 0.1
    for block in SLICES:
        assert_array_equal(dense(rows, block), whole[block])
    assert_array_equal(np.concatenate([dense(rows, block) for block in rows.blocks()]), whole)


@every_corruption
def test_a_chunk_is_what_the_corruption_makes_of_it(corruption):
    prepared = PreparedCorruption(corruption, rows_of(make_X()), np.ones(N_ROWS))
    expected = prepared.corrupt(make_X()[20:30], np.random.default_rng([5, 0, 2]))
    assert_array_equal(dense(draw(corruption), slice(20, 30)), expected)


@every_corruption
def test_draws_differ(corruption):
    X = np.tile(make_X()[:10], (3, 1))
    first, second, *_ = parts = [*np.split(dense(draw(corruption, X)), 3), dense(draw(corruption, X, (5, 1)))[:10]]
    assert all(not np.array_equal(part, other) for part in parts[1:] for other in (first,))
    assert not np.array_equal(second, parts[2])


@each_kind
def test_statistics_and_products_are_those_of_the_rows_as_stored(kind):
    rows, weights = draw(Masking(0.4, fill=0), kind(make_X())), np.linspace(1, 2, N_ROWS)
    stored, offset = dense(rows), np.arange(4.0)
    assert_allclose(column_means([rows], weights, SERIAL), np.average(stored, axis=0, weights=weights))
    mean = stored.mean(axis=0)
    expected = np.average((stored - mean) ** 2, axis=0, weights=weights)
    assert_allclose(variances([rows], weights, mean, SERIAL), expected)
    assert_allclose(rows.extremes(), [stored.min(axis=0), stored.max(axis=0)])
    for block in SLICES:
        product = np.empty((len(stored[block]), 4))
        rows.centred_by(offset, block).times(np.eye(4), out=product)
        assert_allclose(product, stored[block] - offset, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_are_drawn_as_dense_ones(dtype):
    X = np.where(make_X(dtype) < 1.6, 0, make_X(dtype)).astype(dtype)
    first, second = (draw(Masking(0.4), kind(X)) for kind in (np.array, csr_array))
    for block in SLICES:
        assert_array_equal(dense(second, block), dense(first, block))
    assert dense(second).dtype == dtype


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper, Swap])
def test_entry_weights_are_those_of_the_corrupted_entries(kind):
    """(4, 1) at level 0.25 has the mean 1.75."""
    X = np.random.default_rng(0).uniform(1, 2, (4000, 5))
    rows = draw(kind(0.25, emphasis=(4, 1)), X, chunk=700)
    weights, changed = rows.entry_weights(slice(None)), dense(rows) != X
    assert_allclose(weights[changed], 4 / 1.75)
    assert_allclose(np.unique(weights), [1 / 1.75, 4 / 1.75])
    assert np.mean((weights > 1) & ~changed) < 0.001, "a replacement is the entry itself by chance alone"
    # 20,000 entries, each with a standard deviation of sqrt(3 / 16) (4 - 1) / 1.75 = 0.742
    assert_allclose(weights.mean(), 1, atol=5 * 0.742 / np.sqrt(20_000))
    for block in (slice(0, 700), slice(650, 1500), slice(3999, 4000)):
        assert_array_equal(rows.entry_weights(block), weights[block])


def test_some_rows_have_draws_of_their_own():
    rows, chosen = draw(Masking(0.5, fill=0)), np.array([3, 40, 17])
    part = rows.take(chosen)
    assert np.isin(dense(part) / make_X()[chosen], [0, 1]).all()
    assert len(part) == 3


def test_columns_are_not_drawn_apart():
    with pytest.raises(ValueError, match="Columns cannot be drawn apart"):
        draw(Masking(0.5)).blocks(axis=1)


def test_threads_read_the_same():
    rows = draw(Gaussian(0.5))
    whole, weights = dense(rows), np.ones(N_ROWS)
    with ThreadPoolExecutor(3) as executor:
        threads = RowThreads(3, executor)
        assert_array_equal(np.concatenate(list(threads.map(lambda block: dense(rows, block), rows.blocks()))), whole)
        shared = statistics_of([rows], weights, threads)
    assert_allclose(shared.mean, whole.mean(axis=0))


# How many draws of a problem there are.


@pytest.mark.parametrize(
    ("n_rows", "n_draws"), [(1, 100), (200, 100), (201, 100), (5000, 4), (6666, 4), (6667, 3), (20_000, 1), (30_000, 1)]
)
def test_the_draws_have_20_000_rows_but_there_are_100_at_most(n_rows, n_draws, monkeypatch):
    monkeypatch.setattr(noise_module, "_SMALL", 0)
    X = np.ones((n_rows, 2))
    prepared = PreparedCorruption(Gaussian(1.0), rows_of(X), np.ones(n_rows))
    noise = drawn(prepared, rows_of(X), [3, 2], np.random.default_rng(0))
    assert len(noise.inputs) == n_draws
    assert n_draws * n_rows >= 20_000 or n_draws == 100
    firsts = [draw.dense(slice(1))[0, 0] for draw in noise.inputs]
    assert len(set(firsts)) == n_draws
    n_chunks = len(noise.inputs[0].blocks())
    assert n_chunks % 2 == 0 or n_rows < 2
    assert noise.inputs[0].chunk <= block_rows([3, 2])


def test_few_draws_are_stored(monkeypatch):
    X, weights = make_X(), np.ones(N_ROWS)
    prepared = PreparedCorruption(Gaussian(1.0), rows_of(X), weights)

    def draws():
        return drawn(prepared, rows_of(X), [X.shape[1], 2], np.random.default_rng(0)).inputs

    stored = draws()
    monkeypatch.setattr(noise_module, "_SMALL", 0)
    for kept, lazy in zip(stored, draws(), strict=True):
        assert isinstance(lazy, DrawnRows)
        assert not isinstance(kept, DrawnRows)
        assert_array_equal(dense(kept), dense(lazy))


def test_what_is_not_random_is_made_once():
    X = make_X()
    blur = Blur((2, 2), 0.8)
    noise = drawn(PreparedCorruption(blur, rows_of(X), np.ones(N_ROWS)), rows_of(X), [3, 4], np.random.default_rng(0))
    (inputs,) = noise.inputs
    assert noise.prepared is None
    assert_array_equal(inputs.X, blur.corrupt(X, None))


def test_redrawn_noise_is_one_draw_of_other_rows():
    X, rng = make_X(), np.random.default_rng(0)
    noise = drawn(PreparedCorruption(Masking(0.5, fill=0), rows_of(X), np.ones(N_ROWS)), rows_of(X), [3, 4], rng)
    targets = rows_of(X[:20])
    first, second = (noise.redrawn(targets, np.arange(20), rng).inputs for _ in range(2))
    assert len(first) == len(second) == 1
    assert np.isin(dense(first[0]) / X[:20], [0, 1]).all()
    assert not np.array_equal(dense(first[0]), dense(second[0]))
    assert len(noise.first(7).inputs) == 7
    assert [len(part) for part in noise.take(np.arange(4)).inputs] == [4] * 100
