"""The categorical loss: against SciPy's multinomial and entropy, finite differences, extremes, its domain."""

import re

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import log_softmax, softmax
from scipy.stats import entropy, multinomial

from skae.losses import Categorical

LOSS = Categorical()
RAW = 1.5 * np.random.default_rng(0).standard_normal((6, 4))
ONE_HOT = np.eye(4)[[0, 3, 3, 1, 2, 0]]
SHARES = np.random.default_rng(1).dirichlet(np.ones(4), size=6)
WITH_ZEROS = ONE_HOT * [[1], [0], [1], [1], [1], [0]]
TARGETS = {"one-hot": ONE_HOT, "shares": SHARES, "rows of zeros": WITH_ZEROS}
every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def call(target, raw, entry_weights=None):
    gradient = np.full_like(raw, np.nan)
    if entry_weights is None:
        return LOSS.loss_gradient(target, raw.copy(), gradient), gradient
    return LOSS.weighted_loss_gradient(target, raw.copy(), entry_weights, gradient), gradient


def numeric_gradient(losses_at, raw, step=1e-5):
    """Each row's derivatives, one column at a time: raw outputs of one row are no matter of another."""
    steps = step * np.eye(raw.shape[1])
    return np.column_stack([(losses_at(raw + e) - losses_at(raw - e)) / (2 * step) for e in steps])


def test_losses_are_minus_the_log_probability_of_one_draw():
    expected = [-multinomial(1, p).logpmf(x) for x, p in zip(ONE_HOT, softmax(RAW, axis=1), strict=True)]
    np.testing.assert_allclose(call(ONE_HOT, RAW)[0], expected, rtol=1e-12)


@every_target
def test_entries(target):
    np.testing.assert_allclose(LOSS.entries(target, RAW), -target * log_softmax(RAW, axis=1), rtol=1e-12)
    np.testing.assert_allclose(LOSS.entries(target, RAW).sum(axis=1), call(target, RAW)[0], rtol=1e-12, atol=1e-14)


@every_target
def test_gradient(target):
    numeric = numeric_gradient(lambda raw: -(target * log_softmax(raw, axis=1)).sum(axis=1), RAW)
    np.testing.assert_allclose(call(target, RAW)[1], numeric, atol=1e-9)


@every_target
def test_weights_of_entries(target):
    weights = np.random.default_rng(2).uniform(size=target.shape)
    losses, gradient = call(target, RAW, weights)
    np.testing.assert_allclose(losses, -(weights * target * log_softmax(RAW, axis=1)).sum(axis=1), rtol=1e-12)
    numeric = numeric_gradient(lambda raw: -(weights * target * log_softmax(raw, axis=1)).sum(axis=1), RAW)
    np.testing.assert_allclose(gradient, numeric, atol=1e-9)


@every_target
def test_curvature_is_the_diagonal_of_the_hessian(target):
    hessian = [numeric_gradient(lambda raw, k=k: call(target, raw)[1][:, k], RAW)[:, k] for k in range(4)]
    np.testing.assert_allclose(LOSS.curvature(target, RAW), np.column_stack(hessian), atol=1e-9)


def test_a_row_of_zeros_has_no_loss():
    losses, gradient = call(np.zeros((6, 4)), RAW)
    assert not losses.any()
    assert not gradient.any()
    assert not LOSS.divergence(np.zeros((6, 4)), SHARES[0]).any()
    assert not LOSS.perfect(np.zeros((6, 4))).any()


def test_the_null_direction():
    """A number added to all raw outputs of a row changes nothing."""
    moved = RAW + np.arange(6)[:, None]
    np.testing.assert_allclose(call(SHARES, moved)[0], call(SHARES, RAW)[0], rtol=1e-12)
    np.testing.assert_allclose(LOSS.predict(moved), softmax(RAW, axis=1), rtol=1e-12)
    np.testing.assert_allclose(call(SHARES, RAW)[1].sum(axis=1), 0, atol=1e-15)


def test_the_raw_output_is_the_logarithm():
    np.testing.assert_allclose(LOSS.raw_output(SHARES), np.log(SHARES), rtol=1e-15)
    np.testing.assert_allclose(LOSS.predict(LOSS.raw_output(SHARES)), SHARES, rtol=1e-14)
    np.testing.assert_allclose(LOSS.predict(LOSS.raw_output(ONE_HOT)), ONE_HOT, atol=1e-30)


def test_a_perfect_reconstruction_has_the_entropy():
    np.testing.assert_allclose(LOSS.perfect(SHARES), entropy(SHARES, axis=1), rtol=1e-12)
    np.testing.assert_array_equal(LOSS.perfect(ONE_HOT), 0)


@every_target
def test_divergence_is_the_loss_above_that_of_a_perfect_reconstruction(target):
    mean = target.mean(axis=0)
    raw = np.broadcast_to(np.log(mean), target.shape)
    expected = -(target * log_softmax(raw, axis=1)).sum(axis=1) - np.where(
        target.any(axis=1), entropy(target + 1e-300, axis=1), 0
    )
    np.testing.assert_allclose(LOSS.divergence(target, mean).sum(axis=1), expected, atol=1e-12)


@every_target
def test_no_constant_is_better_than_the_mean(target):
    best = LOSS.divergence(target, target.mean(axis=0)).sum()
    for other in np.random.default_rng(3).dirichlet(np.ones(4), size=200):
        assert LOSS.divergence(target, other).sum() >= best - 1e-12


def test_divergence_of_a_category_that_is_never_seen():
    """Two of three categories, half of the rows each: log 2 a row."""
    target = np.eye(3)[[0, 1, 0, 1]]
    np.testing.assert_allclose(LOSS.divergence(target, target.mean(axis=0)).sum(axis=1), np.log(2), rtol=1e-15)


@every_dtype
def test_extreme_raw_outputs(dtype):
    """By hand: 1000 - (-1000) for the category at the other end, and log 2 where two are alike."""
    target = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0]], dtype)
    raw = np.array([[1e3, -1e3, 0], [1e3, -1e3, 0], [1e3, 1e3, -1e3]], dtype)
    with np.errstate(all="raise", under="ignore"):
        losses, gradient = call(target, raw)
        entries = LOSS.entries(target, raw)
    np.testing.assert_allclose(losses, [0, 2000, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(entries.sum(axis=1), [0, 2000, np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0, 0, 0], [1, -1, 0], [-0.5, 0.5, 0]], atol=1e-7)
    assert {losses.dtype, gradient.dtype, entries.dtype} == {np.dtype(dtype)}


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("X", [ONE_HOT, SHARES, WITH_ZEROS, ONE_HOT + 4e-7, SHARES.astype(np.float32)])
def test_targets_in_the_domain(X, form):
    LOSS.check_targets(form(X))


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([[0, 1, 0], [1, 1, 0]], "whose rows sum to 1, or are all 0, but X has a row with the sum 2."),
        ([[0, 0.5, 0.4]], "a row with the sum 0.9"),
        ([[1.5, -0.5, 0]], "Negative values in data: loss='categorical' needs values of at least 0"),
        ([[1 - 1e-4, 0, 0]], "a row with the sum 0.9999"),
        ([[1], [0]], "has one column. Choose loss='cross_entropy'"),
    ],
)
def test_targets_out_of_the_domain(X, message, form):
    with pytest.raises(ValueError, match=re.escape(message)):
        LOSS.check_targets(form(np.array(X, dtype=float)))
