"""Losses: entries against SciPy's log-densities, gradients against finite differences, divergences, extremes."""

import re

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import bernoulli, norm, poisson

from skae.activations import ACTIVATIONS, Exponential
from skae.losses import LOSSES, Loss, make_loss

# tests/parts/test_categorical.py has the one whose entries depend on each other.
ELEMENTWISE = [name for name in LOSSES if name != "categorical"]
CASES = [(name, link) for name in ELEMENTWISE for link in ("auto", *LOSSES[name].links)]
EVERY = pytest.mark.parametrize(("name", "link"), CASES)
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
CANONICAL = {"squared_error": "identity", "cross_entropy": "logistic", "poisson": "exponential"}
LINKS = {
    "identity": lambda a: a,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda a: a * (a > 0),
    "softplus": lambda a: np.logaddexp(0, a),
    "exponential": np.exp,
}
LOG_DENSITIES = {"squared_error": norm.logpdf, "cross_entropy": bernoulli.logpmf, "poisson": poisson.logpmf}


def make_targets(name, shape=(5, 4)):
    """Targets that the distribution can draw: reals, zeros and ones, counts."""
    rng = np.random.default_rng(0)
    if name == "squared_error":
        return rng.standard_normal(shape)
    return rng.integers(0, 2 if name == "cross_entropy" else 6, shape).astype(float)


def inner_targets(name):
    """Targets that are not at an end of the link's range."""
    return np.random.default_rng(1).uniform(0.05, 0.95, (5, 4)) * (5 if name == "poisson" else 1)


def make_raw(shape=(5, 4), seed=2):
    return 1.5 * np.random.default_rng(seed).standard_normal(shape)


def minus_log_density(name, link, target, raw):
    return -LOG_DENSITIES[name](target, LINKS[CANONICAL[name] if link == "auto" else link](raw))


def call(loss, target, raw):
    """The rows' losses and the gradient, with the raw output left as it is."""
    gradient = np.full_like(raw, np.nan)
    return loss.loss_gradient(target, raw.copy(), gradient), gradient


@EVERY
def test_entries_are_minus_the_log_density_up_to_a_constant_of_the_target(name, link):
    loss, target = make_loss(name, link), make_targets(name)
    one, other = make_raw(), make_raw(seed=3)
    expected = minus_log_density(name, link, target, one) - minus_log_density(name, link, target, other)
    np.testing.assert_allclose(loss.entries(target, one) - loss.entries(target, other), expected, atol=1e-12)


def test_cross_entropy_of_targets_between_zero_and_one():
    target, raw = inner_targets("cross_entropy"), make_raw()
    p = expit(raw)
    expected = -target * np.log(p) - (1 - target) * np.log(1 - p)
    np.testing.assert_allclose(make_loss("cross_entropy").entries(target, raw), expected, rtol=1e-12)


@pytest.mark.parametrize(("name", "expected"), [("squared_error", 2.0), ("cross_entropy", np.log(2)), ("poisson", 1.0)])
def test_constants_by_hand(name, expected):
    """At raw 0 the means are 0, 1/2 and 1: half of 2 squared, a fair coin, exp(0)."""
    np.testing.assert_allclose(make_loss(name).entries(np.array([[2.0]]), np.zeros((1, 1))), expected, rtol=1e-15)


@EVERY
def test_row_losses_are_the_sums_of_the_entries(name, link):
    loss, target, raw = make_loss(name, link), inner_targets(name), make_raw()
    losses, _ = call(loss, target, raw)
    np.testing.assert_allclose(losses, loss.entries(target, raw).sum(axis=1), rtol=1e-13)


@EVERY
def test_gradient(name, link):
    loss, target, raw, step = make_loss(name, link), inner_targets(name), make_raw(), 1e-5
    _, gradient = call(loss, target, raw)
    numeric = (loss.entries(target, raw + step) - loss.entries(target, raw - step)) / (2 * step)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-7, atol=1e-8)


@EVERY
def test_arguments_are_left_as_they_are(name, link):
    loss, target, raw = make_loss(name, link), make_targets(name), make_raw()
    mean = target.mean(axis=0)
    for array in (target, mean):
        array.flags.writeable = False
    loss.loss_gradient(target, raw.copy(), np.empty_like(raw))
    loss.divergence(target, mean)
    raw.flags.writeable = False
    loss.entries(target, raw)


@EVERY
def test_float32_agrees_with_float64(name, link):
    loss, target, raw = make_loss(name, link), inner_targets(name).astype(np.float32), make_raw().astype(np.float32)
    single = [*call(loss, target, raw), loss.entries(target, raw)]
    double = [*call(loss, target.astype(float), raw.astype(float)), loss.entries(target, raw.astype(float))]
    assert single[1].dtype == single[2].dtype == np.float32
    for part, expected in zip(single, double, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-5, atol=2e-6)


@every_dtype
@pytest.mark.parametrize(("name", "link"), [case for case in CASES if case[0] != "poisson"])
def test_extreme_raw_outputs(name, link, dtype):
    loss = make_loss(name, link)
    target = np.array([[0, 0.3, 1], [0, 0.3, 1]], dtype)
    raw = np.array([[1e3] * 3, [-1e3] * 3], dtype)
    with np.errstate(all="raise", under="ignore"):
        losses, gradient = call(loss, target, raw)
        entries = loss.entries(target, raw)
    for part in (losses, gradient, entries):
        assert np.isfinite(part).all()


@every_dtype
def test_cross_entropy_of_saturated_outputs(dtype):
    """log(1 + exp(-1000)) is 0 in either precision, so the loss is linear in the raw output."""
    target, raw = np.array([[0, 0.25, 1]], dtype), np.full((1, 3), 1e3, dtype)
    loss = make_loss("cross_entropy")
    np.testing.assert_array_equal(loss.entries(target, raw), [[1000, 750, 0]])
    np.testing.assert_array_equal(loss.entries(target, -raw), [[0, 250, 1000]])
    np.testing.assert_array_equal(call(loss, target, raw)[1], [[1, 0.75, 0]])
    np.testing.assert_array_equal(call(loss, target, -raw)[1], [[0, -0.25, -1]])


@every_dtype
def test_the_poisson_loss_may_overflow_to_infinity(dtype):
    loss, target = make_loss("poisson"), np.array([[0, 2]], dtype)
    with np.errstate(over="ignore"):
        losses, gradient = call(loss, target, np.full((1, 2), 1e3, dtype))
        entries = loss.entries(target, np.full((1, 2), 1e3, dtype))
    for part in (losses, gradient, entries):
        np.testing.assert_array_equal(part, np.full_like(part, np.inf))
    with np.errstate(all="raise", under="ignore"):
        losses, gradient = call(loss, target, np.full((1, 2), -1e3, dtype))
    np.testing.assert_array_equal(losses, [2000])
    np.testing.assert_array_equal(gradient, [[0, -2]])


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_divergence_is_the_loss_above_that_of_a_perfect_reconstruction(name):
    loss, target = make_loss(name), inner_targets(name)
    mean = np.broadcast_to(target.mean(axis=0), target.shape)
    best = loss.entries(target, loss.link.inverse(target))
    expected = loss.entries(target, loss.link.inverse(mean)) - best
    np.testing.assert_allclose(loss.divergence(target, mean[0]), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_divergence_is_least_at_the_mean(name):
    loss, target = make_loss(name), inner_targets(name)
    np.testing.assert_allclose(loss.divergence(target, target), 0, atol=1e-15)
    for mean in np.linspace(0.01, 0.99, 12):
        assert np.all(loss.divergence(target, mean) >= 0)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_divergence_of_targets_at_the_end_of_the_range(name):
    """Limits by hand for a target of 0 and a mean of 1/4."""
    expected = {"squared_error": 1 / 32, "cross_entropy": -np.log(0.75), "poisson": 0.25}
    divergence = make_loss(name).divergence(np.zeros((1, 2)), np.array([0.25, 0.0]))
    np.testing.assert_allclose(divergence, [[expected[name], 0]], rtol=1e-15)


def test_divergence_of_targets_that_overshoot_by_rounding():
    divergence = make_loss("cross_entropy").divergence(np.array([[-5e-7], [1 + 5e-7]]), np.array([0.5]))
    np.testing.assert_allclose(divergence, np.log(2), rtol=1e-5)


@pytest.mark.parametrize("constant", [-5e-7, 1 + 2**-52, 1 + 5e-7])
def test_divergence_of_a_column_that_overshoots_by_rounding_is_finite(constant):
    loss, target = make_loss("cross_entropy"), np.full((3, 1), constant)
    loss.check_targets(target)
    np.testing.assert_allclose(loss.divergence(target, target.mean(axis=0)), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "X"),
    [
        ("squared_error", [[-1e6, 1e6]]),
        ("cross_entropy", [[0.0, 1.0]]),
        ("cross_entropy", [[-0.9e-6, 1 + 0.9e-6]]),
        ("poisson", [[0.0, 1e6, 2.5]]),
    ],
)
def test_targets_in_the_domain(name, X):
    make_loss(name).check_targets(np.array(X))


@pytest.mark.parametrize(
    ("name", "X", "message"),
    [
        (
            "cross_entropy",
            [[-0.5, 2]],
            "loss='cross_entropy' needs values in [0, 1], but X ranges from -0.5 to 2",
        ),
        ("cross_entropy", [[-1.1e-6, 1]], "ranges from -1.1e-06 to 1."),
        ("cross_entropy", [[0, 1 + 1.1e-5]], "ranges from 0 to 1.00001."),
        ("cross_entropy", [[0, 1 + 1.1e-6]], "MinMaxScaler"),
        ("poisson", [[3, -0.5]], "loss='poisson' needs values of at least 0, but X has -0.5"),
    ],
)
def test_targets_out_of_the_domain(name, X, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_loss(name).check_targets(np.array(X))


@EVERY
def test_make_loss(name, link):
    loss = make_loss(name, link)
    expected = {**ACTIVATIONS, "exponential": Exponential()}[CANONICAL[name] if link == "auto" else link]
    assert isinstance(loss, LOSSES[name])
    assert loss.link == expected
    assert loss == make_loss(name, link)
    assert make_loss(name) == make_loss(name, "auto")


@pytest.mark.parametrize(
    ("name", "link"), [(n, link) for n in LOSSES for link in ACTIVATIONS if link not in LOSSES[n].links]
)
def test_make_loss_refuses_other_links(name, link):
    with pytest.raises(ValueError, match=re.escape(f"output_activation='{link}' does not go with loss='{name}'")):
        make_loss(name, link)


def test_the_allowed_links():
    """Those of the design's table, and in the message too."""
    assert set(LOSSES["squared_error"].links) == {"identity", "logistic", "tanh", "relu", "softplus"}
    with pytest.raises(ValueError, match=re.escape("which works with 'auto', 'logistic'.")):
        make_loss("cross_entropy", "tanh")
    with pytest.raises(ValueError, match=re.escape("which works with 'auto'.")):
        make_loss("poisson", "softplus")


# The curvature.


def distribution(name, mean):
    """Targets and their probabilities, entry by entry, of the distribution with that mean."""
    if name == "squared_error":  # two points have the variance of the normal distribution, which is all that matters
        return [(mean - 1, 0.5), (mean + 1, 0.5)]
    if name == "cross_entropy":
        return [(np.zeros_like(mean), 1 - mean), (np.ones_like(mean), mean)]
    return [(np.full_like(mean, count), poisson.pmf(count, mean)) for count in range(200)]


@EVERY
def test_curvature_is_the_mean_square_of_the_gradient_over_the_distribution(name, link):
    loss, raw = make_loss(name, link), make_raw()
    mean = LINKS[CANONICAL[name] if link == "auto" else link](raw)
    expected = sum(p * call(loss, target, raw)[1] ** 2 for target, p in distribution(name, mean))
    np.testing.assert_allclose(loss.curvature(inner_targets(name), raw), expected, rtol=1e-9, atol=1e-12)


@EVERY
def test_curvature_is_the_second_derivative_at_a_perfect_reconstruction(name, link):
    """And with a canonical link everywhere."""
    loss, raw, step = make_loss(name, link), make_raw(), 1e-5
    perfect = LINKS[CANONICAL[name] if link == "auto" else link](raw)
    is_canonical = link in ("auto", CANONICAL[name])
    for target in [perfect, *([inner_targets(name)] if is_canonical else [])]:
        numeric = (call(loss, target, raw + step)[1] - call(loss, target, raw - step)[1]) / (2 * step)
        np.testing.assert_allclose(loss.curvature(target, raw), numeric, rtol=1e-8, atol=1e-9)


@EVERY
def test_curvature_keeps_its_arguments_and_dtype(name, link):
    loss, target, raw = make_loss(name, link), make_targets(name).astype(np.float32), make_raw().astype(np.float32)
    target.flags.writeable = raw.flags.writeable = False
    for curvature in (loss.curvature(target, raw), Loss.curvature(loss, target, raw)):
        assert curvature.dtype == np.float32
        assert curvature.flags.writeable, "it may be scaled in place"


class LogCosh(Loss):
    """log cosh(x^ - x), whose gradient is tanh."""

    link = ACTIVATIONS["identity"]

    def loss_gradient(self, target, raw, gradient_out):
        np.tanh(raw - target, out=gradient_out)
        raw[...] = np.nan
        return np.log(np.cosh(raw - target)).sum(axis=1)

    def entries(self, target, raw):
        return np.log(np.cosh(raw - target))

    def divergence(self, target, mean):
        return np.log(np.cosh(mean - target))


def test_curvature_is_the_square_of_the_gradient_if_a_loss_says_nothing_else():
    target, raw = make_targets("squared_error"), make_raw()
    before = raw.copy()
    np.testing.assert_allclose(LogCosh().curvature(target, raw), np.tanh(raw - target) ** 2, rtol=1e-14)
    np.testing.assert_array_equal(raw, before)


@every_dtype
def test_curvature_of_the_shifted_poisson_loss_is_that_of_the_plain_one(dtype):
    loss, origin = make_loss("poisson"), np.array([1e-3, 0.5, 3.0, 1e4])
    shifted, moved, _ = loss.shifted(origin)
    np.testing.assert_array_equal(moved, origin)
    raw = make_raw()
    curvature = shifted.curvature((make_targets("poisson") - origin).astype(dtype), raw.astype(dtype))
    assert curvature.dtype == dtype
    np.testing.assert_allclose(curvature, loss.curvature(None, raw + np.log(origin)), rtol=20 * np.finfo(dtype).eps)


@every_dtype
@pytest.mark.parametrize(("name", "link"), CASES)
def test_curvature_at_extreme_raw_outputs(name, link, dtype):
    """Of logistic, tanh and the left of ReLU and softplus nothing is left; the rest is linear, or exponential."""
    link = CANONICAL[name] if link == "auto" else link
    target, raw = np.array([[0.3, 0.3]], dtype), np.array([[1e3, -1e3]], dtype)
    right = {"logistic": 0, "tanh": 0, "exponential": np.inf}.get(link, 1)
    with np.errstate(all="raise", under="ignore", over="ignore" if name == "poisson" else "raise"):
        curvature = make_loss(name, "auto" if name == "poisson" else link).curvature(target, raw)
    np.testing.assert_allclose(curvature, [[right, 1 if link == "identity" else 0]], atol=1e-30)
