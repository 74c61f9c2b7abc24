"""Penalties, each alone: values against the formulas written out, gradients against finite differences."""

import pickle
import re
from dataclasses import FrozenInstanceError, replace
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import entropy

from skae._network.architecture import Architecture, Layer
from skae._network.propagation import backward, every_output, output
from skae._rows.factors import Dense
from skae.activations import ACTIVATIONS
from skae.losses import make_loss
from skae.penalties import PENALTIES, Contraction, KLSparsity, L1Sparsity, WeightDecay

WIDTHS = (5, 4, 3, 4, 2)
ROW_WEIGHTS = np.array([0.1, 0.25, 0.15, 0.3, 0.15, 0.05])
BOUNDED = {"logistic": lambda h: h, "tanh": lambda h: (h + 1) / 2}
every_penalty = pytest.mark.parametrize("name", PENALTIES)
every_activation = pytest.mark.parametrize("activation", ACTIVATIONS)
every_depth = pytest.mark.parametrize("depth", [1, 2, 3, 4])
every_bounded = pytest.mark.parametrize("activation", BOUNDED)


def make_encoder(activation="logistic", depth=2, seed=0):
    rng, g = np.random.default_rng(seed), ACTIVATIONS[activation]
    widths = (*WIDTHS[:depth], WIDTHS[-1])
    return [Layer(0.8 * rng.standard_normal(shape), rng.standard_normal(shape[1]), g) for shape in pairwise(widths)]


def make_rows(seed=1):
    return np.random.default_rng(seed).standard_normal((len(ROW_WEIGHTS), WIDTHS[0]))


def call(penalty, encoder=None, start=0.0, rows=slice(None)):
    """Call the penalty's hook with buffers that hold `start`; return its value and the buffers."""
    encoder = encoder or make_encoder()
    activations = [A[rows] for A in every_output(encoder, Dense(make_rows()))]
    weights = [layer.weight for layer in encoder]
    deltas, gradients = [[np.full_like(a, start) for a in arrays] for arrays in (activations, weights)]
    if penalty.acts_on == "weights":
        return penalty.on_weights(weights, gradients), gradients
    if penalty.acts_on == "mean_code":
        gradient = np.full(WIDTHS[-1], start)
        return penalty.on_mean_code(ROW_WEIGHTS @ activations[-1], encoder[-1].activation, gradient), [gradient]
    return penalty.on_rows(encoder, activations, ROW_WEIGHTS[rows], deltas, gradients), [*deltas, *gradients]


def assert_is_gradient(gradient, value, x, rtol=1e-7, atol=1e-8, step=1e-6):
    """Compare with central differences of value(), which sees x change, entry by entry."""
    numeric, before = np.empty_like(x), x.copy()
    for index in np.ndindex(x.shape):
        x[index] = before[index] + step
        above = value()
        x[index] = before[index] - step
        numeric[index] = (above - value()) / (2 * step)
        x[index] = before[index]
    np.testing.assert_allclose(gradient, numeric, rtol=rtol, atol=atol)


# All penalties.


@every_depth
@every_penalty
def test_hooks_add_to_their_buffers(name, depth):
    penalty, encoder = PENALTIES[name](0.7), make_encoder(depth=depth)
    value, from_zero = call(penalty, encoder)
    again, from_three = call(penalty, encoder, start=3.0)
    assert value == again
    assert any(gradient.any() for gradient in from_zero)
    for added, total in zip(from_zero, from_three, strict=True):
        np.testing.assert_allclose(total, 3 + added, rtol=1e-13)


@every_penalty
def test_value_and_gradient_are_linear_in_the_weight(name):
    (one, gradients), (three, tripled), (zero, untouched) = (call(PENALTIES[name](w)) for w in (0.5, 1.5, 0))
    assert one > 0
    assert zero == 0
    np.testing.assert_allclose(three, 3 * one)
    for gradient, triple, none in zip(gradients, tripled, untouched, strict=True):
        np.testing.assert_allclose(triple, 3 * gradient, atol=1e-15)
        np.testing.assert_array_equal(none, 0)


@every_penalty
def test_penalties_are_values(name):
    penalty = PENALTIES[name](0.5)
    assert PENALTIES[name](0.5) == penalty == pickle.loads(pickle.dumps(penalty)) == eval(repr(penalty))
    assert hash(PENALTIES[name](0.5)) == hash(penalty)
    assert penalty != PENALTIES[name](0.6)
    assert [other for other in PENALTIES if PENALTIES[other](0.5) == penalty] == [name]
    with pytest.raises(FrozenInstanceError):
        penalty.weight = 1.0
    assert replace(penalty, weight=2).weight == 2


@pytest.mark.parametrize("weight", [-1e-9, -1, np.nan, np.inf, -np.inf, True])
@every_penalty
def test_bad_weights(name, weight):
    message = f"{PENALTIES[name].__name__}: weight must be a float in [0, inf), got {weight!r}."
    with pytest.raises(ValueError, match=re.escape(message)):
        PENALTIES[name](weight)


@every_activation
@every_penalty
def test_check(name, activation):
    penalty, g = PENALTIES[name](1.0), ACTIVATIONS[activation]
    if name != "kl_sparsity" or activation in BOUNDED:
        penalty.check(Architecture((3, 2), g, g, make_loss("squared_error"), tied=False))
        return
    with pytest.raises(ValueError, match=r"from \['logistic', 'tanh'\].*L1Sparsity") as error:
        penalty.check(Architecture((3, 2), g, g, make_loss("squared_error"), tied=False))
    assert repr(g) in str(error.value)


# On the weights and on the mean code.


def test_weight_decay():
    matrices, gradients = [np.array([[1.0, -2], [3, 0]]), np.array([[-4.0]])], [np.zeros((2, 2)), np.zeros((1, 1))]
    assert WeightDecay(0.5).on_weights(matrices, gradients) == 0.25 * (1 + 4 + 9 + 16)
    np.testing.assert_array_equal(gradients[0], [[0.5, -1], [1.5, 0]])
    np.testing.assert_array_equal(gradients[1], [[-2]])


@pytest.mark.parametrize("rho", [0.05, 0.3, 0.9])
@every_bounded
def test_kl_sparsity(activation, rho):
    penalty, mean = KLSparsity(0.7, rho), np.array([0.02, 0.35, 0.999])

    def value():
        return penalty.on_mean_code(mean, ACTIVATIONS[activation], np.zeros(3))

    expected = sum(0.7 * entropy([rho, 1 - rho], [r, 1 - r]) for r in BOUNDED[activation](mean))
    np.testing.assert_allclose(value(), expected)
    gradient = np.zeros(3)
    penalty.on_mean_code(mean, ACTIVATIONS[activation], gradient)
    assert_is_gradient(gradient, value, mean, rtol=1e-5)


@every_bounded
def test_kl_sparsity_is_least_at_its_target(activation):
    mean = np.full(3, {"logistic": 0.25, "tanh": -0.5}[activation])
    gradient = np.zeros(3)
    assert KLSparsity(2.0, 0.25).on_mean_code(mean, ACTIVATIONS[activation], gradient) == 0
    np.testing.assert_array_equal(gradient, 0)


def test_tanh_codes_halve_the_gradient_of_kl_sparsity():
    gradients = {}
    for activation, mean in ("logistic", 0.3), ("tanh", -0.4):
        gradients[activation] = np.zeros(1)
        KLSparsity(1.0, 0.1).on_mean_code(np.array([mean]), ACTIVATIONS[activation], gradients[activation])
    np.testing.assert_allclose(gradients["tanh"], gradients["logistic"] / 2)


@every_bounded
def test_kl_sparsity_of_saturated_codes(activation):
    """At and, by rounding, beyond the bounds: large, finite, and back towards the target."""
    low, high = ACTIVATIONS[activation].bounds
    mean, gradient = np.array([low - 1e-16, low, high, high + 1e-15]), np.zeros(4)
    with np.errstate(all="raise"):
        value = KLSparsity(1.0, 0.1).on_mean_code(mean, ACTIVATIONS[activation], gradient)
    assert np.isfinite(value)
    assert np.all(gradient[:2] < -1e12)
    assert np.all((gradient[2:] > 1e12) & np.isfinite(gradient[2:]))


@pytest.mark.parametrize("target", [0, 1, 0.0, 1.0, -0.1, 1.5, np.nan, True])
def test_bad_sparsity_targets(target):
    with pytest.raises(ValueError, match=re.escape(f"KLSparsity: target must be a float in (0, 1), got {target!r}.")):
        KLSparsity(1.0, target)


# On the rows.


@every_activation
def test_l1_sparsity(activation):
    g, penalty = ACTIVATIONS[activation], L1Sparsity(0.4)
    Z, encoder = make_rows()[:, :2], make_encoder(activation, depth=1)

    def hook(delta):
        return penalty.on_rows(encoder, [g.forward(Z.copy())], ROW_WEIGHTS, [delta], [np.zeros((5, 2))])

    expected = sum(0.4 * w * abs(h) for w, row in zip(ROW_WEIGHTS, g.forward(Z.copy()), strict=True) for h in row)
    np.testing.assert_allclose(hook(np.zeros_like(Z)), expected)
    delta = np.zeros_like(Z)
    hook(delta)
    assert_is_gradient(delta, lambda: hook(np.zeros_like(Z)), Z)


def squared_jacobian_norms(encoder, X, step=1e-5):
    """Of every row, by differences of the encoder in each feature."""
    moves = step * np.eye(X.shape[1])
    columns = [(output(encoder, Dense(X + move)) - output(encoder, Dense(X - move))) / (2 * step) for move in moves]
    return np.sum(np.square(columns), axis=(0, 2))


@every_depth
@every_activation
def test_contraction_is_the_squared_norm_of_the_jacobian(activation, depth):
    encoder = make_encoder(activation, depth)
    expected = 0.6 * ROW_WEIGHTS @ squared_jacobian_norms(encoder, make_rows())
    np.testing.assert_allclose(call(Contraction(0.6), encoder)[0], expected, rtol=1e-8)


@every_depth
@every_activation
def test_contraction_gradient_through_the_network(activation, depth):
    """As a function of weights and intercepts: the hook's part, and what the backward pass makes of the deltas."""
    encoder, X = make_encoder(activation, depth), Dense(make_rows())
    _, buffers = call(Contraction(0.6), encoder)
    direct, weight_gradients = buffers[:depth], buffers[depth:]
    intercept_gradients = [np.zeros_like(layer.intercept) for layer in encoder]
    # The penalty is all of the objective: nothing comes down from a decoder.
    deltas = [np.zeros_like(delta) for delta in direct]
    scratch = [np.empty_like(dW) for dW in weight_gradients]
    backward(encoder, X, every_output(encoder, X), deltas, direct, weight_gradients, intercept_gradients, scratch)
    for layer, dW, db in zip(encoder, weight_gradients, intercept_gradients, strict=True):
        assert_is_gradient(dW, lambda: call(Contraction(0.6), encoder)[0], layer.weight)
        assert_is_gradient(db, lambda: call(Contraction(0.6), encoder)[0], layer.intercept)


@every_depth
@every_activation
def test_contraction_gradient_of_each_pre_activation(activation, depth):
    """Row by row, where the network's sums over rows cannot hide an error."""
    encoder, g = make_encoder(activation, depth), ACTIVATIONS[activation]
    Z = [np.random.default_rng(3).standard_normal((6, layer.weight.shape[1])) for layer in encoder]

    def hook(deltas):
        codes, unused = [g.forward(z.copy()) for z in Z], [np.zeros_like(layer.weight) for layer in encoder]
        return Contraction(0.6).on_rows(encoder, codes, ROW_WEIGHTS, deltas, unused)

    deltas = [np.zeros_like(z) for z in Z]
    hook(deltas)
    for delta, z in zip(deltas, Z, strict=True):
        assert_is_gradient(delta, lambda: hook([np.zeros_like(z) for z in Z]), z)


def test_contraction_squares_the_weights_before_it_sums_them():
    """Of h = (x_1 - x_2, 2 x_1 + x_2) it is 1 + 1 + 4 + 1; the well-known wrong version has 0 and 3 squared."""
    encoder = [Layer(np.array([[1.0, 2], [-1, 1]]), np.zeros(2), ACTIVATIONS["identity"])]
    codes, buffers = [np.zeros((1, 2))], ([np.zeros((1, 2))], [np.zeros((2, 2))])
    assert Contraction(1.0).on_rows(encoder, codes, np.ones(1), *buffers) == 7


def test_contraction_of_a_deep_linear_encoder_is_that_of_its_product():
    encoder = make_encoder("identity", depth=3)
    product = np.linalg.multi_dot([layer.weight for layer in encoder])
    np.testing.assert_allclose(call(Contraction(0.6), encoder)[0], 0.6 * np.linalg.norm(product) ** 2)


@every_depth
def test_contraction_in_chunks_of_rows(depth, monkeypatch):
    """Cut up by the caller, or by the penalty so that its temporaries stay small."""
    encoder = make_encoder("tanh", depth)
    value, buffers = call(Contraction(0.6), encoder)
    (top, above), (bottom, below) = (call(Contraction(0.6), encoder, rows=rows) for rows in (slice(4), slice(4, 6)))
    monkeypatch.setattr("skae.penalties._CHUNK_ENTRIES", 32)  # four rows, then two
    chunked, chunked_buffers = call(Contraction(0.6), encoder)
    np.testing.assert_allclose([chunked, top + bottom], value)
    for index, (buffer, again, a, b) in enumerate(zip(buffers, chunked_buffers, above, below, strict=True)):
        np.testing.assert_allclose(again, buffer)
        np.testing.assert_allclose(np.vstack([a, b]) if index < depth else a + b, buffer)


@pytest.mark.parametrize(
    ("penalty", "activation", "expected"),
    [
        (KLSparsity(0.7, 0.2), "logistic", 0.2),
        (KLSparsity(0.7, 0.2), "tanh", -0.6),
        (KLSparsity(0.0, 0.2), "logistic", None),
        (Contraction(0.7), "logistic", 0.25),
        (Contraction(0.7), "tanh", -0.5),
        (Contraction(0.0), "tanh", None),
        *((Contraction(0.7), unbounded, None) for unbounded in ("identity", "relu", "softplus")),
        (L1Sparsity(0.7), "tanh", None),
        (WeightDecay(0.7), "logistic", None),
    ],
)
def test_start_code(penalty, activation, expected):
    """The target, and a quarter of the range of units that saturate, if they are tied."""
    g = ACTIVATIONS[activation]
    tied, untied = (Architecture((5, 3), g, g, make_loss("squared_error"), tied) for tied in (True, False))
    assert penalty.start_code(tied) == (expected if expected is None else pytest.approx(expected))
    assert penalty.start_code(untied) == (None if isinstance(penalty, Contraction) else penalty.start_code(tied))
