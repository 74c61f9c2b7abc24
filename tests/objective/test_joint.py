"""The objective: its value against the formulas written out, its gradient against finite differences."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import product

import numpy as np
import pytest
from problems import (
    assert_block_size_does_not_matter,
    assert_the_value_alone_is_the_same,
    assert_threads_do_not_matter,
    make_problem,
    parameters_at,
    random_theta,
)

from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._rows.statistics import column_means
from skae._rows.threads import SERIAL, RowThreads
from skae._variables.centring import centred_variables
from skae.activations import ACTIVATIONS
from skae.corruption import Blur, Gaussian, Masking, SaltAndPepper
from skae.losses import LOSSES, ColumnLosses, SquaredError, make_loss
from skae.penalties import PENALTIES, Contraction, KLSparsity, L1Sparsity, Penalty, WeightDecay

N_SAMPLES, WIDTHS = 7, (6, 4, 5, 3)
# Of the six features. The columns of two parts are apart, and one part has a link of its own.
PARTS = [("squared_error", (0, 3), 0.7), (SquaredError(ACTIVATIONS["tanh"]), (5,), 1.3), ("categorical", (4, 1), 2.0)]
PARTS += [("poisson", (2,), 0.4)]
LINKS = [(loss, link) for loss in LOSSES for link in (LOSSES[loss].links or ("auto",))] + [("by column", "auto")]
PENALTY_SETS = {
    "none": (),
    "weight_decay": (WeightDecay(0.3),),
    "kl_sparsity": (KLSparsity(0.7, 0.2),),
    "l1_sparsity": (L1Sparsity(0.4),),
    "contraction": (Contraction(0.6),),
    "all": (WeightDecay(0.2), WeightDecay(0.1), KLSparsity(0.5, 0.1), L1Sparsity(0.3), Contraction(0.2)),
}
CORRUPTIONS = {
    "clean": None,
    "masking": Masking(0.3),
    "gaussian": Gaussian(0.2),
    "salt_and_pepper": SaltAndPepper(0.4),
    "blur": Blur((2, 3), sigma=0.7),
    "callable": lambda X, rng: X + rng.uniform(size=X.shape),
}
# And the rows of a block.
WEIGHTS = {"equal weights": (None, None), "uneven weights": (np.linspace(0.5, 2, N_SAMPLES), 3)}


def make_architecture(activation="logistic", loss="squared_error", link="auto", depth=1, tied=False):
    g = ACTIVATIONS[activation]
    parts = ColumnLosses(PARTS).resolved(np.empty((0, WIDTHS[0]))).balanced(lambda: np.ones(WIDTHS[0]))
    loss = parts if loss == "by column" else make_loss(loss, link)
    return Architecture((*WIDTHS[:depth], WIDTHS[-1]), g, g, loss, tied)


def make_objective(architecture, penalties=(), corruption=None, weights=None, dtype=np.float64, **options):
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(N_SAMPLES, WIDTHS[0])).astype(dtype)
    variables = centred_variables(Layout(architecture), architecture, 0.6, 0.7)
    problem = make_problem(architecture, X, penalties, corruption, weights, rng=rng)
    offset = column_means(problem.inputs, problem.weights, SERIAL)
    return Objective(problem, variables, offset=offset, **options)


def allowed(penalties, architecture):
    bounded = np.isfinite(architecture.code.bounds).all()
    return tuple(p for p in penalties if bounded or not isinstance(p, KLSparsity))


# The formulas of the model once more, written for complex numbers, so that the encoder's Jacobian is a complex step.

FUNCTIONS = {
    "identity": lambda z: z,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
    "tanh": np.tanh,
    "relu": lambda z: np.where(z.real > 0, z, 0),
    "softplus": lambda z: np.log(1 + np.exp(z)),
}


def plain_loss(loss, link, a, target):
    if loss == "by column":
        links = ["identity", "tanh", "auto", "auto"]
        names = ["squared_error", "squared_error", "categorical", "poisson"]
        return sum(
            weight * plain_loss(name, part_link, a[list(columns)], target[list(columns)])
            for name, part_link, (_, columns, weight) in zip(names, links, PARTS, strict=True)
        )
    if loss == "cross_entropy":
        return np.sum(target * np.logaddexp(0, -a) + (1 - target) * np.logaddexp(0, a))
    if loss == "poisson":
        return np.sum(np.exp(a) - target * a)
    if loss == "categorical":
        return -np.sum(target * np.log(np.exp(a) / np.sum(np.exp(a))))
    return 0.5 * np.sum((FUNCTIONS["identity" if link == "auto" else link](a) - target) ** 2)


def plain_value(objective, architecture, activation, loss, link, penalties, theta):
    weights, intercepts = parameters_at(objective, theta)
    g, depth = FUNCTIONS[activation], architecture.depth
    problem = objective._problem
    X, sample_weight = problem.targets.X, objective._row_weights[:] * len(problem.inputs)

    def encode(x):
        for W, b in zip(weights[:depth], intercepts[:depth], strict=True):
            x = g(x @ W + b)
        return x

    def row_loss(x, target):
        h = encode(x)
        for W, b in zip(weights[depth:-1], intercepts[depth:-1], strict=True):
            h = g(h @ W + b)
        return plain_loss(loss, link, h @ weights[-1] + intercepts[-1], target)

    def mean_over_rows(function):
        draws = [draw.X - objective._offset for draw in problem.inputs]
        rows = [(w, x, t) for draw in draws for w, x, t in zip(sample_weight, draw, X, strict=True)]
        return sum(w * function(x, t) for w, x, t in rows) / len(draws)

    def squared_jacobian_norm(x, _):
        steps = x + 1e-20j * np.eye(len(x))
        return np.sum((encode(steps).imag / 1e-20) ** 2)

    value = mean_over_rows(row_loss)
    for penalty in penalties:
        if isinstance(penalty, WeightDecay):
            value += penalty.weight / 2 * sum(np.sum(W**2) for W in (weights[:depth] if architecture.tied else weights))
        elif isinstance(penalty, L1Sparsity):
            value += penalty.weight * mean_over_rows(lambda x, _: np.sum(np.abs(encode(x))))
        elif isinstance(penalty, Contraction):
            value += penalty.weight * mean_over_rows(squared_jacobian_norm)
        else:
            r, rho = mean_over_rows(lambda x, _: encode(x)), penalty.target
            r = (r + 1) / 2 if activation == "tanh" else r
            divergence = np.sum(rho * np.log(rho / r) + (1 - rho) * np.log((1 - rho) / (1 - r)))
            value += penalty.weight * divergence
    return value


def assert_gradient(objective, theta, case=""):
    """Compare with central differences along a random direction, in which a wrong entry shows."""
    direction = np.random.default_rng(2).standard_normal(len(theta))
    step = 1e-6 * direction
    numeric = (objective(theta + step)[0] - objective(theta - step)[0]) / 2e-6
    np.testing.assert_allclose(objective(theta)[1] @ direction, numeric, rtol=2e-6, atol=2e-7, err_msg=case)


COVERED = {
    "activation": [*ACTIVATIONS],
    "loss_and_link": LINKS,
    "depth": [1, 2, 3],
    "ties": ["untied", "tied"],
    "penalty": [*PENALTY_SETS],
    "corruption": [*CORRUPTIONS],
    "weighting": [*WEIGHTS],
}


def objective_for(architecture, penalty, corruption, weighting):
    """Return the Objective of these names, and its penalties."""
    penalties, (weights, block_size) = allowed(PENALTY_SETS[penalty], architecture), WEIGHTS[weighting]
    objective = make_objective(architecture, penalties, CORRUPTIONS[corruption], weights, block_size=block_size)
    return objective, penalties


@pytest.mark.covering(**COVERED, strength=3)
def test_value_and_gradient(activation, loss_and_link, depth, ties, penalty, corruption, weighting):
    """The value is that of the formulas; the gradient is that of finite differences."""
    architecture = make_architecture(activation, *loss_and_link, depth, ties == "tied")
    objective, penalties = objective_for(architecture, penalty, corruption, weighting)
    theta = random_theta(objective)
    expected = plain_value(objective, architecture, activation, *loss_and_link, penalties, theta)
    value, _, terms, _ = objective(theta)
    np.testing.assert_allclose(terms.sum(), expected, rtol=1e-10)
    np.testing.assert_allclose(value, expected - objective._problem.perfect_loss, rtol=1e-9)
    assert_gradient(objective, theta)


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("loss", "link"), LINKS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_over_the_whole_grid(activation, loss, link, depth, tied):
    architecture = make_architecture(activation, loss, link, depth, tied)
    for penalty, corruption, weighting in product(PENALTY_SETS, CORRUPTIONS, WEIGHTS):
        objective, _ = objective_for(architecture, penalty, corruption, weighting)
        assert_gradient(objective, random_theta(objective), f"{penalty}, {corruption}, {weighting}")


def test_every_registered_penalty_is_in_the_grid():
    assert set(PENALTIES) | {"none", "all"} == set(PENALTY_SETS)
    assert {type(p) for p in PENALTY_SETS["all"]} == set(PENALTIES.values())


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_block_size_does_not_matter(depth, dtype):
    architecture = make_architecture("tanh", depth=depth, tied=True)
    make = partial(make_objective, architecture, PENALTY_SETS["all"], Masking(0.3), dtype=dtype)
    assert_block_size_does_not_matter(make, (None, 1, 2, 3, 7), dtype)


@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("n_threads", [2, 3])
def test_threads_do_not_matter(monkeypatch, depth, n_threads):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    architecture = make_architecture("tanh", depth=depth, tied=True)
    make = partial(make_objective, architecture, PENALTY_SETS["all"], Masking(0.3))
    assert_threads_do_not_matter(make, n_threads)


def test_contraction_takes_many_rows_in_chunks(monkeypatch):
    architecture = make_architecture("tanh", depth=3)
    objective = make_objective(architecture, (Contraction(1.0),))
    theta = random_theta(objective)
    value, gradient, *_ = objective(theta)
    monkeypatch.setattr("skae.penalties._CHUNK_ENTRIES", 1)
    other_value, other_gradient, *_ = objective(theta)
    np.testing.assert_allclose(other_value, value, rtol=1e-13)
    np.testing.assert_allclose(other_gradient, gradient, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("corruption", [None, Gaussian(0.1)], ids=["clean", "gaussian"])
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("loss", LOSSES)
def test_an_evaluation_leaves_its_inputs_unchanged(loss, tied, corruption):
    architecture = make_architecture("tanh", loss, depth=2, tied=tied)
    if loss == "cross_entropy":
        corruption = corruption and Masking(0.3)
    objective = make_objective(architecture, PENALTY_SETS["all"], corruption)
    theta = random_theta(objective)
    problem = objective._problem
    arrays = [theta, *(draw.X for draw in (problem.targets, *problem.inputs)), problem.weights[:], objective._offset]
    copies = [array.copy() for array in arrays]
    first = objective(theta)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
    objective(random_theta(objective, seed=5))
    again = objective(theta)
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[1], again[1])


@pytest.mark.parametrize("activation", ["logistic", "tanh"])
def test_float32_agrees_with_float64(activation):
    architecture = make_architecture(activation, depth=2)
    double = make_objective(architecture, PENALTY_SETS["all"])
    single = make_objective(architecture, PENALTY_SETS["all"], dtype=np.float32)
    theta = random_theta(double)
    (value, gradient, *_), (value_32, gradient_32, *_) = double(theta), single(theta)
    assert isinstance(value_32, float)
    assert gradient_32.dtype == np.float64
    np.testing.assert_allclose(value_32, value, rtol=1e-5)
    np.testing.assert_allclose(gradient_32, gradient, rtol=1e-3, atol=1e-5 * np.abs(gradient).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("loss", "link"), LINKS[:-1])  # the parts of the last one
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_saturated_units_give_finite_values(activation, loss, link, dtype):
    architecture = make_architecture(activation, loss, link, depth=2)
    objective = make_objective(architecture, allowed(PENALTY_SETS["all"], architecture), dtype=dtype)
    value, gradient, *_ = objective(1e3 * random_theta(objective))
    if loss == "poisson" or (dtype == np.float32 and activation in ("identity", "relu", "softplus")):
        assert value > 1e10  # it may overflow, but never to a small value
    else:
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def repeated_and_weighted(penalties, architecture):
    """The same problem with integer weights, and with rows repeated."""
    rng = np.random.default_rng(3)
    X, counts = rng.uniform(size=(5, WIDTHS[0])), np.array([1, 3, 2, 1, 2])
    variables = centred_variables(Layout(architecture), architecture, 0.6, 0.7)
    rows = np.repeat(X, counts, axis=0)
    offset = rows.mean(axis=0)
    return [
        Objective(make_problem(architecture, data, penalties, weights=weights), variables, offset=offset)
        for data, weights in ((X, counts.astype(float)), (rows, np.ones(len(rows))))
    ]


@pytest.mark.parametrize("loss", LOSSES)
def test_integer_weights_repeat_rows(loss):
    architecture = make_architecture("logistic", loss, depth=2)
    weighted, repeated = repeated_and_weighted(PENALTY_SETS["all"], architecture)
    theta = random_theta(weighted)
    (value, gradient, *_), (expected_value, expected_gradient, *_) = weighted(theta), repeated(theta)
    np.testing.assert_allclose(value, expected_value, rtol=1e-13)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-11, atol=1e-13)


def test_variables_leave_the_objective_as_it_is():
    """Another centring and scale is another theta of the same model: the values agree at the same parameters."""
    architecture = make_architecture("softplus", depth=3)
    objective = make_objective(architecture, (Contraction(0.5), WeightDecay(0.1)))
    plain = make_objective(architecture, (Contraction(0.5), WeightDecay(0.1)))
    plain._variables = centred_variables(Layout(architecture), make_architecture("identity", depth=3), 3.0, 3.0)
    theta = random_theta(objective)
    flat = np.empty(objective.size)
    objective._variables.to_parameters(theta, flat, SERIAL)
    np.testing.assert_allclose(plain(plain._variables.from_parameters(flat))[0], objective(theta)[0], rtol=1e-12)


# The value alone, curvatures of the penalties, and theta in single precision.


@pytest.mark.covering(**COVERED)
def test_the_value_alone(activation, loss_and_link, depth, ties, penalty, corruption, weighting):
    architecture = make_architecture(activation, *loss_and_link, depth, ties == "tied")
    objective, _ = objective_for(architecture, penalty, corruption, weighting)
    assert_the_value_alone_is_the_same(objective, random_theta(objective))


def test_the_value_alone_with_threads(monkeypatch):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    make = partial(make_objective, make_architecture("tanh", depth=2), PENALTY_SETS["all"], Masking(0.3), block_size=2)
    theta = random_theta(make())
    expected = make()(theta)
    with ThreadPoolExecutor(3) as executor:
        alone = make(threads=RowThreads(3, executor)).value(theta)
    np.testing.assert_allclose(alone.value, expected.value, rtol=1e-13)
    np.testing.assert_allclose(alone.terms, expected.terms, rtol=1e-13)


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_penalty_curvatures(tied):
    """Second differences along each weight, in the unit, of the terms that depend on the weights alone."""
    architecture = make_architecture("tanh", depth=2, tied=tied)
    decays = (0.3, 1.0) if tied else (0.3, 1.0, 0.0, 2.0)
    objective = make_objective(architecture, (L1Sparsity(5.0), WeightDecay(decays), KLSparsity(3.0), WeightDecay(0.4)))
    theta, step, expected = random_theta(objective), 0.25, []
    for number in range(len(decays)):
        along = np.zeros_like(theta)
        W, part = (objective._layout.views(flat)[0][number] for flat in (theta, along))
        part[...] = W / np.linalg.norm(W)
        ends = [objective.value(theta + size * along).terms[[2, 4]].sum() for size in (-step, 0, step)]
        expected.append(np.diff(ends, 2)[0] / step**2 / objective.unit)
    np.testing.assert_allclose(objective.penalty_curvatures(theta), expected, rtol=1e-9)
    assert min(expected) > 0


class Bump(Penalty):
    """cos of the first weight: its curvature is negative at zero and positive at pi."""

    acts_on = "weights"

    def on_weights(self, weights, gradients):
        gradients[0][0, 0] -= self.weight * np.sin(weights[0][0, 0])
        return self.weight * np.cos(weights[0][0, 0])


def test_penalty_curvatures_are_not_negative():
    objective = make_objective(make_architecture(), (Bump(1.0),))
    for sign in (-1, 1):  # the force along the weight, which stands for the curvature, is outward at 1 and at -1
        theta = np.zeros(objective.size)
        objective._layout.views(theta)[0][0][0, 0] = sign
        np.testing.assert_array_equal(objective.penalty_curvatures(theta), [0, 0])
    np.testing.assert_array_equal(objective.penalty_curvatures(np.zeros(objective.size)), [0, 0])


@pytest.mark.covering(
    activation=[*ACTIVATIONS],
    loss_and_link=LINKS,
    depth=[1, 3],
    ties=["untied", "tied"],
    penalty=[*PENALTY_SETS],
    dtype=[np.float32, np.float64],
)
def test_theta_in_single_precision(activation, loss_and_link, depth, ties, penalty, dtype):
    """Whatever the dtype of X."""
    architecture = make_architecture(activation, *loss_and_link, depth, ties == "tied")
    penalties = allowed(PENALTY_SETS[penalty], architecture)
    double = make_objective(architecture, penalties)
    rows = make_objective(architecture, penalties, dtype=dtype)
    variables = centred_variables(Layout(architecture), architecture, 0.6, 0.7, np.float32)
    single = Objective(rows._problem, variables, offset=rows._offset)
    theta = random_theta(double)
    (value, gradient, *_), (value_32, gradient_32, *_) = double(theta), single(theta.astype(np.float32))
    assert gradient_32.dtype == np.float32
    np.testing.assert_allclose(value_32, value, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient_32, gradient, rtol=1e-3, atol=2e-5 * np.abs(gradient).max())
    assert single.penalty_curvatures(theta.astype(np.float32)) == pytest.approx(
        double.penalty_curvatures(theta), rel=1e-5
    )
