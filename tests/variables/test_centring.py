"""The change of variables, and starts."""

import numpy as np
import pytest

from skae._network.architecture import Architecture
from skae._network.parameters import Layout, Parameters
from skae._network.propagation import output
from skae._rows.factors import Dense
from skae._rows.threads import SERIAL as ONE
from skae._variables.centring import CentredVariables
from skae._variables.start import glorot
from skae.activations import ACTIVATIONS
from skae.losses import make_loss

WIDTHS = (5, 4, 3)
every_tying = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def make_architecture(tied, widths=WIDTHS):
    g = ACTIVATIONS["tanh"]
    return Architecture(widths, g, g, make_loss("squared_error"), tied)


def make_variables(tied):
    """Offsets on all layers but the third, as if a hidden activation were centred."""
    layout, rng = Layout(make_architecture(tied)), np.random.default_rng(0)
    offsets = [rng.standard_normal(width) for width in (5, 4, 3, 4)]
    offsets[2] = None
    return layout, CentredVariables(layout, [0.5, 2.0, 3.0, 0.1], [1.0, 4.0, 0.3, 7.0], offsets), offsets


@every_tying
def test_to_parameters_is_the_documented_map(tied):
    """W = scale theta_W and b = unit theta_b - offset W; a tied matrix has the larger of its scales."""
    layout, variables, offsets = make_variables(tied)
    theta, parameters = np.random.default_rng(1).standard_normal(layout.size), np.empty(layout.size)
    variables.to_parameters(theta, parameters, ONE)
    scales = [0.5, 3.0, 3.0, 0.5] if tied else [0.5, 2.0, 3.0, 0.1]
    moved = zip(*layout.views(theta), *layout.views(parameters), scales, [1.0, 4.0, 0.3, 7.0], offsets, strict=True)
    for theta_W, theta_b, W, b, scale, unit, offset in moved:
        np.testing.assert_allclose(W, scale * theta_W)
        np.testing.assert_allclose(b, unit * theta_b - (0 if offset is None else offset @ W))


@every_tying
def test_from_parameters_undoes_to_parameters(tied):
    layout, variables, _ = make_variables(tied)
    theta, parameters = np.random.default_rng(1).standard_normal(layout.size), np.empty(layout.size)
    variables.to_parameters(theta, parameters, ONE)
    before = parameters.copy()
    np.testing.assert_allclose(variables.from_parameters(parameters), theta, rtol=1e-12)
    np.testing.assert_array_equal(parameters, before)


@every_tying
def test_pull_back_is_the_transpose_of_to_parameters(tied):
    layout, variables, _ = make_variables(tied)
    theta, gradient = np.random.default_rng(2).standard_normal((2, layout.size))
    parameters, pulled_back = np.empty(layout.size), gradient.copy()
    variables.to_parameters(theta, parameters, ONE)
    variables.pull_back(pulled_back, ONE)
    np.testing.assert_allclose(gradient @ parameters, pulled_back @ theta, rtol=1e-12)


@every_tying
def test_the_start_is_centred(tied, rng):
    """At its offset a layer gives nothing, and the last one `output`; weights are in units of their layer's scale."""
    layout, variables, offsets = make_variables(tied)
    given, target = [rng.standard_normal(shape) for shape in layout.weight_shapes], rng.standard_normal(5)
    parameters = np.empty(layout.size)
    variables.to_parameters(variables.start(given, target), parameters, ONE)
    weights, intercepts = layout.views(parameters)
    for W, b, offset, expected in zip(weights, intercepts, offsets, [0, 0, 0, target], strict=True):
        np.testing.assert_allclose(b + (0 if offset is None else offset @ W), expected, atol=1e-12)
    for W, start, scale in zip(layout.distinct(weights), given, [0.5, 2.0, 3.0, 0.1], strict=False):
        np.testing.assert_allclose(W, scale * start)


def test_another_offset_leaves_the_function_as_it_is(rng):
    architecture = make_architecture(tied=False)
    layout = Layout(architecture)
    parameters = Parameters(*layout.views(rng.standard_normal(layout.size)), offset=rng.standard_normal(5))
    X, offset = rng.standard_normal((6, 5)), rng.standard_normal(5)
    moved = parameters.with_offset(offset)

    def apply(parameters):
        return output(architecture.layers(parameters.weights, parameters.intercepts), Dense(X - parameters.offset))

    np.testing.assert_array_equal(moved.offset, offset)
    assert not np.allclose(moved.intercepts[0], parameters.intercepts[0])
    np.testing.assert_allclose(apply(moved), apply(parameters), rtol=1e-10)


@pytest.mark.parametrize("shape", [(400, 200), (30, 1000)])
def test_glorot(shape):
    """Uniform on +-sqrt(6 / (fan_in + fan_out)), whose variance is a third of the square of that."""
    W, bound = glorot(shape, np.random.default_rng(0)), np.sqrt(6 / sum(shape))
    assert W.shape == shape
    assert 0.999 * bound < W.max() <= bound
    assert -bound <= W.min() < -0.999 * bound
    np.testing.assert_allclose(W.var(), bound**2 / 3, rtol=0.02)
