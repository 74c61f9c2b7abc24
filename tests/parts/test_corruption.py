"""Corruptions: the distribution of the draws, limits of the level, and what a callable may not do."""

import pickle
import re

import numpy as np
import pytest
from problems import corrupted
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array
from scipy.stats import kstest

from skae import DenoisingAutoencoder
from skae.corruption import CORRUPTIONS, Blur, Corruption, Gaussian, Masking, SaltAndPepper, Swap

EVERY = [*(kind(0.3) for kind in CORRUPTIONS.values()), Masking(0.3, emphasis=(2, 1)), Blur((3, 4), 0.8)]
NONE = [*(kind(0) for kind in CORRUPTIONS.values()), Blur((3, 4), 0)]
REPLACING = [Masking, SaltAndPepper, Swap]
BAD_LEVELS = [
    *((kind, level) for kind in CORRUPTIONS.values() for level in (-0.1, np.nan, np.inf, True)),
    *((kind, 1.1) for kind in (Masking, SaltAndPepper, Swap)),
]
every_corruption = pytest.mark.parametrize("corruption", EVERY, ids=repr)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def make_X(shape=(50, 12), dtype=np.float64):
    """Positive entries, columns of different ranges, read-only."""
    X = (np.random.default_rng(1).uniform(1, 2, shape) * np.arange(1, shape[1] + 1)).astype(dtype)
    X.flags.writeable = False
    return X


def assert_about(share, level, n):
    """Within five standard deviations of a binomial share of n draws."""
    np.testing.assert_allclose(share, level, atol=5 * np.sqrt(level * (1 - level) / n))


@every_dtype
@every_corruption
def test_a_draw_is_a_new_array_of_the_same_kind(corruption, dtype, rng):
    X = make_X(dtype=dtype)
    before = X.copy()
    draw = corruption.corrupt(X, rng)
    assert (draw.shape, draw.dtype) == (X.shape, dtype)
    assert not np.shares_memory(draw, X)
    assert not np.array_equal(draw, X)
    np.testing.assert_array_equal(X, before)


@every_dtype
@pytest.mark.parametrize("corruption", NONE, ids=repr)
def test_no_corruption_is_exact(corruption, dtype, rng):
    np.testing.assert_array_equal(corruption.corrupt(make_X(dtype=dtype), rng), make_X(dtype=dtype))


@pytest.mark.parametrize("kind", CORRUPTIONS.values())
def test_the_generator_is_the_only_source_of_randomness(kind):
    X = make_X()
    first, same, other = (kind(0.3).corrupt(X, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)


@every_dtype
@pytest.mark.parametrize("level", [0.1, 0.25, 0.8])
def test_masking(level, dtype, rng):
    X = make_X((400, 100), dtype)
    draw = Masking(level, fill=0).corrupt(X, rng)
    masked = draw == 0
    np.testing.assert_array_equal(draw[~masked], X[~masked])
    assert_about(masked.mean(), level, masked.size)
    assert_about(masked.mean(axis=0), level, 400)
    assert_about(masked.mean(axis=1), level, 100)
    np.testing.assert_array_equal(Masking(1, fill=0).corrupt(X, rng), 0)


@every_dtype
@pytest.mark.parametrize("level", [0.1, 2.5])
def test_gaussian(level, dtype, rng):
    X = make_X((400, 100), dtype)
    noise = (Gaussian(level).corrupt(X, rng).astype(float) - X) / level
    assert kstest(noise.ravel(), "norm").pvalue > 0.01
    assert abs(np.corrcoef(noise.ravel(), X.ravel())[0, 1]) < 5 / np.sqrt(X.size)


@every_dtype
@pytest.mark.parametrize("level", [0.1, 0.8, 1])
def test_salt_and_pepper(level, dtype, rng):
    X = make_X((400, 100), dtype)
    draw = SaltAndPepper(level).corrupt(X, rng)
    pepper, salt = draw == X.min(axis=0), draw == X.max(axis=0)
    extremes = 2 / 400  # in X itself
    for share in (pepper, salt):
        np.testing.assert_allclose(share.mean(), level / 2, atol=0.006 + extremes)
        np.testing.assert_allclose(share.mean(axis=0), level / 2, atol=0.13 + extremes)
    untouched = ~(pepper | salt)
    np.testing.assert_array_equal(draw[untouched], X[untouched])
    assert level < 1 or not untouched.any()


@pytest.mark.parametrize("sigma", [0.5, 1.5])
def test_blur_filters_each_image(sigma, rng):
    X = make_X((4, 35))
    expected = [gaussian_filter(image, sigma, mode="nearest").ravel() for image in X.reshape(4, 5, 7)]
    np.testing.assert_allclose(Blur((5, 7), sigma).corrupt(X, rng), expected)


def test_blur_filters_each_colour_channel(rng):
    X = make_X((4, 60))
    images = X.reshape(4, 4, 5, 3)
    expected = np.empty_like(images)
    for i in range(4):
        for channel in range(3):
            expected[i, :, :, channel] = gaussian_filter(images[i, :, :, channel], 0.9, mode="nearest")
    np.testing.assert_allclose(Blur((4, 5, 3), 0.9).corrupt(X, rng), expected.reshape(4, 60))


def test_blur_keeps_a_constant_image(rng):
    np.testing.assert_allclose(Blur((3, 4), 2.0).corrupt(np.full((2, 12), 0.7), rng), 0.7)


@pytest.mark.parametrize(("kind", "level"), BAD_LEVELS)
def test_bad_levels(kind, level):
    end = "inf)" if kind is Gaussian else "1]"
    message = f"{kind.__name__}: level must be a float in [0, {end}, got {level!r}."
    with pytest.raises(ValueError, match=re.escape(message)):
        kind(level)


@pytest.mark.parametrize("sigma", [-1, np.nan, np.inf, True])
def test_bad_widths_of_the_blur(sigma):
    with pytest.raises(ValueError, match=re.escape(f"Blur: sigma must be a float in [0, inf), got {sigma!r}.")):
        Blur((2, 2), sigma)


@pytest.mark.parametrize("shape", [(), (4,), (2, 2, 2, 2), (0, 4), (-2, -2), (2.5, 2)])
def test_bad_image_shapes(shape):
    with pytest.raises(ValueError, match=re.escape(f"integers of at least 1, got {shape!r}.")):
        Blur(shape)


def test_an_image_shape_of_whole_floats_is_refused_or_works(rng):
    try:
        blur = Blur((3.0, 4.0))
    except ValueError:
        return
    blur.corrupt(make_X(), rng)


def test_an_image_shape_that_does_not_fit(rng):
    with pytest.raises(ValueError, match=re.escape("image_shape=(3, 3) has 9 pixels, but X has 12 features.")):
        Blur((3, 3)).corrupt(make_X(), rng)


@every_corruption
def test_corruptions_are_values(corruption):
    assert eval(repr(corruption)) == pickle.loads(pickle.dumps(corruption)) == corruption
    assert hash(eval(repr(corruption))) == hash(corruption)
    assert corruption not in NONE
    assert EVERY.count(corruption) == 1


# Moments, weights of the entries, and rows that are swapped.


@pytest.mark.parametrize("kind", CORRUPTIONS.values())
def test_moments_are_those_of_many_draws(kind, rng):
    """Of 40,000 draws of each entry, the mean and the variance, within five of their standard errors."""
    X, n_draws = make_X((6, 12)), 40_000
    prepared = kind(0.3).prepare(X, np.arange(1.0, 7.0))
    share, filling, variance = prepared.moments(12)
    mean, spread = (1 - share) * X + share * filling, share * (1 - share) * (X - filling) ** 2 + variance
    draws = prepared.corrupt(np.tile(X, (n_draws, 1)), rng).reshape(n_draws, *X.shape)
    deviations = draws - mean
    np.testing.assert_array_less(np.abs(deviations.mean(axis=0)), 5 * np.sqrt(spread / n_draws) + 1e-12)
    errors = np.std(deviations**2, axis=0) / np.sqrt(n_draws)
    np.testing.assert_array_less(np.abs(np.mean(deviations**2, axis=0) - spread), 5 * errors + 1e-12)


def test_others_have_no_moments():
    class Mine(Corruption):
        def corrupt(self, X, rng):
            return X

    assert Mine().moments(3) is Blur((1, 3)).moments(3) is None


@every_dtype
@pytest.mark.parametrize("kind", REPLACING)
def test_entry_weights_are_those_of_the_draw(kind, dtype):
    """(3, 1) at level 0.4 has the mean 1.8."""
    X = np.random.default_rng(0).permuted(make_X((400, 50), dtype) + 1, axis=0)
    prepared = kind(0.4, emphasis=(3, 1)).prepare(X, np.ones(400))
    weights = prepared.entry_weights(X.shape, X.dtype, np.random.default_rng(5))
    changed = prepared.corrupt(X, np.random.default_rng(5)) != X
    assert weights.dtype == dtype
    np.testing.assert_allclose(weights[changed], 3 / 1.8, rtol=1e-6)
    np.testing.assert_allclose(np.unique(weights), [1 / 1.8, 3 / 1.8], rtol=1e-6)
    assert_about((weights > 1).mean(), 0.4, X.size)
    # A swap, or a maximum, may be the entry's own.
    assert np.mean((weights > 1) & ~changed) < 0.4 * 2 / 400 + 0.002


@pytest.mark.parametrize("kind", REPLACING)
def test_an_even_emphasis_is_none(kind):
    prepared = kind(0.4, emphasis=(0.5, 0.5)).prepare(make_X(), np.ones(50))
    assert prepared.entry_weights((3, 12), np.dtype(float), np.random.default_rng(0)) is None


@pytest.mark.parametrize("emphasis", [(1,), 2, (1, -1), (np.inf, 1), (1, np.nan), (True, 1), "ab", (0, 0)])
def test_bad_emphases(emphasis):
    with pytest.raises(ValueError, match="Masking: emphasis"):
        Masking(0.3, emphasis=emphasis)


@pytest.mark.parametrize(("level", "emphasis"), [(0, (1, 0)), (1, (0, 1))])
def test_an_emphasis_of_entries_that_do_not_occur(level, emphasis):
    with pytest.raises(ValueError, match="gives every entry a weight of 0"):
        Swap(level, emphasis=emphasis)


def test_swaps_take_rows_by_their_weights(rng):
    """Every entry from a row of its own; of 20,000 draws, a share of each row that is its weight's."""
    X, weights = np.arange(8.0).reshape(4, 2), np.array([1.0, 0.0, 3.0, 4.0])
    draw = Swap(1).prepare(X, weights).corrupt(np.zeros((20_000, 2)), rng)
    rows = (draw - [0, 1]) / 2
    for number, share in enumerate(weights / 8):
        assert_about((rows == number).mean(), share, rows.size)
    assert_about((rows[:, 0] == rows[:, 1]).mean(), (1 + 9 + 16) / 64, len(rows))


@every_dtype
def test_swap(dtype, rng):
    X = make_X((400, 100), dtype)
    draw = Swap(0.4).corrupt(X, rng)
    assert all(np.isin(draw[:, k], X[:, k]).all() for k in range(100))
    assert_about((draw != X).mean(), 0.4 * (1 - 1 / 400), X.size)


# Prepared on all rows, drawn for some of them.


@every_dtype
@pytest.mark.parametrize("fill", ["auto", "mean"])
def test_masking_of_a_block_fills_with_the_means_of_all_rows(fill, dtype):
    X, weights = make_X(dtype=dtype), np.linspace(1, 2, 50)
    prepared = Masking(1.0, fill).prepare(X, weights)
    expected = np.broadcast_to(np.average(X.astype(float), axis=0, weights=weights), (7, 12))
    np.testing.assert_allclose(prepared.corrupt(X[:7], np.random.default_rng(0)), expected, rtol=1e-6)


@every_dtype
def test_salt_and_pepper_of_a_block_takes_the_extremes_of_all_rows(dtype):
    X = make_X(dtype=dtype)
    prepared = SaltAndPepper(1.0).prepare(X, np.ones(50))
    block = prepared.corrupt(np.repeat(X[:1], 40, axis=0), np.random.default_rng(0))
    np.testing.assert_array_equal(block.min(axis=0), X.min(axis=0))
    np.testing.assert_array_equal(block.max(axis=0), X.max(axis=0))


# Any callable.


@every_corruption
def test_corrupted_is_the_corruption_s_draw(corruption):
    X = make_X()
    draw = corrupted(corruption, X, np.random.default_rng(3))
    np.testing.assert_array_equal(draw, corruption.corrupt(X, np.random.default_rng(3)))


def test_a_callable_gets_X_and_the_generator(rng):
    X, state = make_X(), rng.bit_generator.state
    draw = corrupted(lambda X, rng: X + rng.uniform(size=X.shape), X, rng)
    rng.bit_generator.state = state
    np.testing.assert_array_equal(draw, X + rng.uniform(size=X.shape))


@every_dtype
@pytest.mark.parametrize("returned", [np.int64, np.float16, np.float64, bool])
def test_what_a_callable_returns_is_cast(returned, dtype, rng):
    draw = corrupted(lambda X, rng: (X > 3).astype(returned), make_X(dtype=dtype), rng)
    assert draw.dtype == dtype
    np.testing.assert_array_equal(draw, make_X() > 3)


def test_a_callable_may_return_a_list(rng):
    np.testing.assert_array_equal(corrupted(lambda X, rng: X.tolist(), make_X(), rng), make_X())


def write(X, rng):
    X[0] = 0
    return X


@pytest.mark.parametrize("where", [write, lambda X, rng: np.multiply(X, 2, out=X)], ids=["item", "out"])
def test_a_callable_may_not_write_to_X(where, rng):
    X = make_X().copy()
    with pytest.raises(ValueError, match="read-only and must return a copy"):
        corrupted(where, X, rng)
    np.testing.assert_array_equal(X, make_X())
    assert X.flags.writeable


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda X, rng: X[:-1], "must return an array of the shape that it was given, (50, 12), but returned (49, 12)"),
        (lambda X, rng: X[:, :1], "returned (50, 1)"),
        (lambda X, rng: X[0, 0], "returned ()"),
        (lambda X, rng: None, "must return an array of real numbers"),
        (lambda X, rng: X + 1j, "must return an array of real numbers"),
        (lambda X, rng: X.astype(str), "must return an array of real numbers"),
        (lambda X, rng: np.ma.masked_greater(X, 3), "must return an array of real numbers"),
        (lambda X, rng: np.where(X > 3, np.nan, X), "corruption returned NaN or infinity"),
        (lambda X, rng: np.where(X > 3, -np.inf, X), "corruption returned NaN or infinity"),
    ],
    ids=["rows", "columns", "number", "nothing", "complex", "strings", "masked", "nan", "inf"],
)
def test_what_a_callable_may_not_return(function, message, rng):
    with pytest.raises(ValueError, match=re.escape(message)):
        corrupted(function, make_X(), rng)


def test_what_overflows_in_float32_is_an_error(rng):
    with pytest.raises(ValueError, match="corruption returned NaN or infinity"):
        corrupted(lambda X, rng: X.astype(float) * 1e300, make_X(dtype=np.float32), rng)


@pytest.mark.parametrize("error", [KeyError, ValueError, KeyboardInterrupt])
def test_an_error_in_a_callable_propagates(error, rng):
    def broken(X, rng):
        raise error("mine")

    with pytest.raises(error, match="mine"):
        corrupted(broken, make_X(), rng)


# What masking puts in the place of an entry.


def columns_of_all_kinds(rng, n_rows=300):
    """Mostly zeros, half zeros, hardly any zeros, and none."""
    X = rng.poisson(3.0, size=(n_rows, 6)) + 1.0
    X[:, :3][rng.random((n_rows, 3)) < 0.8] = 0
    X[: n_rows // 2, 3] = 0
    X[:5, 4] = 0
    return X


@every_dtype
def test_masking_fills_in_zero_where_most_are_zero_and_the_mean_elsewhere(dtype, rng):
    X = columns_of_all_kinds(rng).astype(dtype)
    filled = Masking(1).corrupt(X, rng)
    expected = np.where([True] * 3 + [False] * 3, 0, X.mean(axis=0, dtype=float))
    np.testing.assert_allclose(filled, np.tile(expected, (len(X), 1)), rtol=1e-6)
    some = Masking(0.3).corrupt(X, rng)
    assert some.dtype == dtype
    unchanged = some == X
    np.testing.assert_allclose(some[~unchanged], np.tile(expected, (len(X), 1))[~unchanged], rtol=1e-6)
    assert_about((~unchanged[:, 5]).mean(), 0.3, len(X))


@pytest.mark.parametrize(("fill", "expected"), [("mean", None), (0, 0), (-1.5, -1.5)])
def test_masking_with_the_mean_or_a_number(fill, expected, rng):
    X = columns_of_all_kinds(rng)
    filled = Masking(1, fill=fill).corrupt(X, rng)
    np.testing.assert_allclose(filled, np.tile(X.mean(axis=0), (len(X), 1)) if expected is None else expected)


@every_dtype
@pytest.mark.parametrize("level", [0.0, 0.4, 1.0])
def test_masking_is_the_same_for_sparse_rows(level, dtype, rng, monkeypatch):
    monkeypatch.setattr("skae.corruption._BLOCK_ENTRIES", 500)
    X = columns_of_all_kinds(rng).astype(dtype)
    dense = Masking(level).corrupt(X, np.random.default_rng(1))
    sparse = Masking(level).corrupt(csr_array(X), np.random.default_rng(1))
    np.testing.assert_array_equal(sparse.toarray(), dense)
    assert (sparse.dtype, sparse.has_canonical_format) == (dtype, True)
    assert sparse.data.all()


def test_the_filling_goes_by_the_weights():
    X = np.array([[0.0], [0.0], [0.0], [4.0]])
    weights = np.array([0.1, 0.1, 0.1, 1.0])
    light, heavy = (corrupted(Masking(1), X, np.random.default_rng(0), w) for w in (None, weights))
    np.testing.assert_array_equal(light, 0)
    np.testing.assert_allclose(heavy, 4 / 1.3)


@pytest.mark.parametrize("fill", ["mean", 1.0])
def test_a_filling_that_is_not_zero_does_not_keep_sparse_rows_sparse(fill):
    estimator = DenoisingAutoencoder(2, corruption=Masking(0.3, fill))
    with pytest.raises(ValueError, match=r"X is sparse, and Masking\(level=0.3, .*fill=.*would make it dense"):
        estimator.fit(csr_array(np.eye(5)))


@pytest.mark.parametrize("fill", ["zero", np.nan, np.inf, True, None])
def test_bad_fillings(fill):
    with pytest.raises(ValueError, match="Masking: fill must be"):
        Masking(0.3, fill=fill)


def test_clean_rows_are_reconstructed_without_bias():
    """Masking to zero draws every reconstruction of data far from zero towards it."""
    X = np.random.default_rng(0).normal(size=(500, 3)) @ np.random.default_rng(1).normal(size=(3, 12)) + 8
    biases = []
    for fill in ("auto", 0):
        estimator = DenoisingAutoencoder(3, corruption=Masking(0.25, fill), random_state=0).fit(X)
        biases.append(np.abs((estimator.reconstruct(X) - X).mean()))
    assert biases[0] < 0.1 * biases[1]
