"""The change of variables, and starts."""

import numpy as np
import pytest
from problems import make_problem

from skae._network.architecture import Architecture
from skae._network.parameters import Layout, Parameters
from skae._network.propagation import output
from skae._rows.factors import Dense
from skae._rows.threads import SERIAL as ONE
from skae._variables.centring import CentredVariables, search_variables
from skae._variables.start import fresh_start, glorot
from skae.activations import ACTIVATIONS
from skae.losses import make_loss
from skae.penalties import Contraction, KLSparsity, L1Sparsity, WeightDecay

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


# As K-FAC sees the layers.


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_tying
def test_seen_by_gives_the_pre_activations(tied, dtype, rng):
    layout, variables, _ = make_variables(tied)
    theta, parameters = rng.standard_normal(layout.size), np.empty(layout.size)
    variables.to_parameters(theta, parameters, ONE)
    for index, parts in enumerate(zip(*layout.views(theta), *layout.views(parameters), strict=True)):
        theta_W, theta_b, W, b = parts
        inputs = rng.standard_normal((6, len(W))).astype(dtype)
        seen = variables.seen_by(index, inputs)
        assert seen.dtype == dtype
        np.testing.assert_allclose(seen @ np.vstack([theta_W, theta_b]), inputs @ W + b, rtol=1e-4, atol=1e-4)
        if dtype == np.float64:
            np.testing.assert_allclose(seen @ np.vstack([theta_W, theta_b]), inputs @ W + b, rtol=1e-12, atol=1e-12)


def test_a_plain_decoder_has_the_same_parameters_without_offsets(rng):
    layout, variables, offsets = make_variables(tied=True)
    theta = rng.standard_normal(layout.size)
    before, after = np.empty((2, layout.size))
    variables.to_parameters(theta, before, ONE)
    plain, moved = variables.with_plain_decoder(theta)
    plain.to_parameters(moved, after, ONE)
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12)
    for theta_b, W, b, unit, offset in zip(
        layout.views(moved)[1], *layout.views(after), [1.0, 4.0, 0.3, 7.0], [*offsets[:2], None, None], strict=True
    ):
        np.testing.assert_allclose(b, unit * theta_b - (0 if offset is None else offset @ W), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_theta_has_the_dtype_that_is_asked_for(dtype, rng):
    layout, variables, offsets = make_variables(tied=True)
    variables = CentredVariables(layout, [0.5, 2.0, 3.0, 0.1], [1.0, 4.0, 0.3, 7.0], offsets, dtype)
    for made in (variables, variables.with_offset(offsets[0]), variables.with_plain_decoder(np.zeros(layout.size))[0]):
        weights = [rng.standard_normal(shape) for shape in layout.weight_shapes]
        theta = made.start(weights, rng.standard_normal(5), (0.3, 0.6))
        assert made.dtype == theta.dtype == dtype
        assert made.from_parameters(np.ones(layout.size)).dtype == dtype


# The start of the code.


@pytest.mark.parametrize("n_layers", [None, -1])
@pytest.mark.parametrize("widths", [(5, 3), (5, 4, 3)], ids=["shallow", "deep"])
@every_tying
def test_the_code_starts_where_it_is_asked_to(tied, widths, n_layers, rng):
    """At its offset the code's layer gives -1.2; at a code of 0.7 the next gives nothing, or the last one `output`."""
    layout = Layout(make_architecture(tied, widths), None if tied else n_layers)
    n = layout.n_layers
    along = [*widths, *widths[-2::-1]][:n]
    offsets = [rng.standard_normal(width) for width in along]
    variables = CentredVariables(layout, [0.5, 2.0, 3.0, 0.1][:n], [1.0, 4.0, 0.3, 7.0][:n], offsets)
    target, parameters = rng.standard_normal(5), np.empty(layout.size)
    theta = variables.start([rng.standard_normal(shape) for shape in layout.weight_shapes], target, (-1.2, 0.7))
    variables.to_parameters(theta, parameters, ONE)
    code = len(widths) - 2
    for index, (W, b) in enumerate(zip(*layout.views(parameters), strict=True)):
        at = np.full(len(W), 0.7) if index == code + 1 else offsets[index]
        expected = -1.2 if index == code else target if layout.is_whole and index == n - 1 else 0
        np.testing.assert_allclose(at @ W + b, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("activation", "penalty", "z", "h"),
    [
        ("logistic", KLSparsity(0.3, 0.2), np.log(0.2 / 0.8), 0.2),
        ("tanh", KLSparsity(0.3, 0.2), np.arctanh(-0.6), -0.6),
        ("tanh", Contraction(0.3), np.arctanh(-0.5), -0.5),
        ("logistic", KLSparsity(0.0, 0.2), 0.0, 0.5),
        ("relu", Contraction(0.3), 0.0, None),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@every_tying
def test_a_fresh_start_is_where_the_penalties_want_the_code(tied, dtype, activation, penalty, z, h, rng):
    """On average over the rows; and a code there decodes to the mean. A contraction wants it of tied weights alone."""
    if isinstance(penalty, Contraction) and h is not None and not tied:
        z = h = 0.0
    g = ACTIVATIONS[activation]
    architecture = Architecture((5, 3), g, g, make_loss("squared_error"), tied)
    problem = make_problem(architecture, rng.uniform(size=(40, 5)), [L1Sparsity(0.1), penalty])
    layout = Layout(architecture)
    variables, offset = search_variables(problem, layout, dtype)
    theta, parameters = fresh_start(problem, layout, variables, rng), np.empty(layout.size, dtype)
    assert theta.dtype == dtype
    variables.to_parameters(theta, parameters, ONE)
    (W, V), (b, c) = layout.views(parameters)
    tolerance = 20 * np.finfo(dtype).eps
    np.testing.assert_allclose(np.mean((problem.targets.X - offset) @ W + b, axis=0), z, atol=tolerance)
    if h is not None:
        np.testing.assert_allclose(np.full(3, h) @ V + c + problem.raw_origin, problem.mean, atol=tolerance)


def test_two_penalties_that_want_the_code_elsewhere():
    """The first one has its way."""
    g = ACTIVATIONS["logistic"]
    architecture, X = Architecture((5, 3), g, g, make_loss("poisson"), tied=False), np.ones((4, 5)) * np.arange(1, 6)
    X[0] *= 2
    problem = make_problem(architecture, X, [WeightDecay(1.0), KLSparsity(0.3, 0.05), Contraction(1.0)])
    layout = Layout(architecture)
    variables, offset = search_variables(problem, layout)
    theta, parameters = fresh_start(problem, layout, variables, np.random.default_rng(0)), np.empty(layout.size)
    variables.to_parameters(theta, parameters, ONE)
    (W, V), (b, c) = layout.views(parameters)
    np.testing.assert_allclose(1 / (1 + np.exp(-(X.mean(axis=0) - offset) @ W - b)), 0.05, rtol=1e-10)
    np.testing.assert_allclose(np.exp(np.full(3, 0.05) @ V + c + problem.raw_origin), X.mean(axis=0), rtol=1e-10)
