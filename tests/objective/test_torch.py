"""The whole objective and its gradient against torch's automatic differentiation."""

from itertools import pairwise

import numpy as np
import pytest
from problems import make_problem

from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.projected import ProjectedObjective
from skae._variables.centring import CentredVariables
from skae.activations import ACTIVATIONS
from skae.losses import LOSSES, ColumnLosses, make_loss
from skae.penalties import Contraction, KLSparsity, L1Sparsity, WeightDecay

torch = pytest.importorskip("torch")

ALPHA, BETA, RHO, L1, LAMBDA = 0.2, 0.5, 0.1, 0.3, 0.4
WIDTHS = (6, 5, 4, 3)
FUNCTIONS = {
    "identity": lambda z: z,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": torch.nn.functional.softplus,
}
LOSS_FUNCTIONS = {
    "squared_error": lambda a, x: 0.5 * (a - x) ** 2,
    "cross_entropy": lambda a, x: torch.nn.functional.binary_cross_entropy_with_logits(a, x, reduction="none"),
    "poisson": lambda a, x: torch.nn.functional.poisson_nll_loss(a, x, log_input=True, full=False, reduction="none"),
    "categorical": lambda a, x: -x * torch.nn.functional.log_softmax(a, dim=1),
}
# Of the six features.
PARTS = [
    ("categorical", [0, 2, 5], 0.5),
    ("poisson", [1], 2.0),
    ("cross_entropy", [3], 3.0),
    ("squared_error", [4], 0.1),
]
LOSS_FUNCTIONS["by column"] = lambda a, x: torch.cat(
    [weight * LOSS_FUNCTIONS[loss](a[:, columns], x[:, columns]) for loss, columns, weight in PARTS], dim=1
)
SQUARES = [("squared_error", [0, 2], 0.3), ("squared_error", [1, 3, 4, 5], 4.0)]
COLUMN_WEIGHTS = {"squared_error": [1.0] * 6, "weighted": [0.3, 4.0, 0.3, 4.0, 4.0, 4.0]}
LOSS_FUNCTIONS["weighted"] = lambda a, x: 0.5 * torch.tensor(COLUMN_WEIGHTS["weighted"], dtype=a.dtype) * (a - x) ** 2


def loss_of(name):
    entries = {"by column": PARTS, "weighted": SQUARES}.get(name)
    if entries is None:
        return make_loss(name)
    return ColumnLosses(entries).resolved(np.empty((0, WIDTHS[0]))).balanced(lambda: np.ones(WIDTHS[0]))


def torch_objective(flat, architecture, activation, loss, inputs, targets, shares, bounded):
    weights, intercepts = [], []
    depth, widths = architecture.depth, architecture.layer_widths
    shapes = list(pairwise(widths))
    position = 0
    for shape in shapes[:depth] if architecture.tied else shapes:
        weights.append(flat[position : position + shape[0] * shape[1]].reshape(shape))
        position += shape[0] * shape[1]
    distinct = list(weights)
    if architecture.tied:
        weights += [W.T for W in weights[::-1]]
    for _, fan_out in shapes:
        intercepts.append(flat[position : position + fan_out])
        position += fan_out
    g = FUNCTIONS[activation]

    def encode(x):
        for W, b in zip(weights[:depth], intercepts[:depth], strict=True):
            x = g(x @ W + b)
        return x

    h = code = encode(inputs)
    for W, b in zip(weights[depth:-1], intercepts[depth:-1], strict=True):
        h = g(h @ W + b)
    raw = h @ weights[-1] + intercepts[-1]
    value = shares @ LOSS_FUNCTIONS[loss](raw, targets).sum(dim=1)
    value = value + ALPHA / 2 * sum((W**2).sum() for W in distinct)
    value = value + L1 * (shares @ code.abs().sum(dim=1))
    jacobians = torch.func.vmap(torch.func.jacrev(encode))(inputs)
    value = value + LAMBDA * (shares @ (jacobians**2).sum(dim=(1, 2)))
    if bounded:
        r = shares @ code
        r = (r + 1) / 2 if activation == "tanh" else r
        value = value + BETA * (RHO * torch.log(RHO / r) + (1 - RHO) * torch.log((1 - RHO) / (1 - r))).sum()
    return value


@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("loss", [*LOSSES, "by column"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_value_and_gradient(activation, loss, depth, tied):
    rng = np.random.default_rng(0)
    targets = rng.uniform(size=(9, WIDTHS[0]))
    inputs = targets + 0.1 * rng.standard_normal(targets.shape)
    weights = rng.uniform(0.5, 2, size=len(targets))
    g = ACTIVATIONS[activation]
    architecture = Architecture((*WIDTHS[:depth], WIDTHS[-1]), g, g, loss_of(loss), tied)
    bounded = bool(np.isfinite(g.bounds).all())
    penalties = [WeightDecay(ALPHA), L1Sparsity(L1), Contraction(LAMBDA)] + [KLSparsity(BETA, RHO)] * bounded
    layout = Layout(architecture)
    n_layers = 2 * depth
    identity = CentredVariables(layout, [1.0] * n_layers, [1.0] * n_layers, [None] * n_layers)
    offset = np.zeros(WIDTHS[0])
    problem = make_problem(architecture, targets, penalties, lambda X, rng: inputs, weights, n_draws=1)
    objective = Objective(problem, identity, offset=offset, block_size=4)
    theta = 0.7 * rng.standard_normal(objective.size)
    value, gradient, terms, _ = objective(theta)

    flat = torch.tensor(theta, requires_grad=True)
    shares = torch.tensor(weights / weights.sum())
    expected = torch_objective(
        flat, architecture, activation, loss, torch.tensor(inputs), torch.tensor(targets), shares, bounded
    )
    expected.backward()
    np.testing.assert_allclose(terms.sum(), expected.item(), rtol=1e-12)
    np.testing.assert_allclose(value, expected.item() - problem.perfect_loss, rtol=1e-10)
    np.testing.assert_allclose(gradient, flat.grad.numpy(), rtol=1e-9, atol=1e-12)


def with_best_decoder(trunk, architecture, activation, column_weights, inputs, targets, shares):
    """All parameters, flat: those of the other layers, and the last layer's ridge regression on their output."""
    shapes = list(pairwise(architecture.layer_widths))[:-1]
    sizes = [*(a * b for a, b in shapes), *(b for _, b in shapes)]
    parts = torch.split(trunk, sizes)
    weights, intercepts = parts[: len(shapes)], parts[len(shapes) :]
    H = inputs
    for W, b, shape in zip(weights, intercepts, shapes, strict=True):
        H = FUNCTIONS[activation](H @ W.reshape(shape) + b)
    D, Y = H - shares @ H, targets - shares @ targets
    gram, unit, cross = D.T @ (shares[:, None] * D), torch.eye(D.shape[1], dtype=D.dtype), D.T @ (shares[:, None] * Y)
    columns = zip(column_weights, cross.T, strict=True)
    V = torch.stack([torch.linalg.solve(w * gram + ALPHA * unit, w * column) for w, column in columns], dim=1)
    return torch.cat([*weights, V.ravel(), *intercepts, shares @ targets - (shares @ H) @ V])


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("loss", COLUMN_WEIGHTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_projected_value_and_gradient(activation, loss, depth):
    rng = np.random.default_rng(0)
    targets = rng.uniform(size=(9, WIDTHS[0]))
    inputs = targets + 0.1 * rng.standard_normal(targets.shape)
    weights = rng.uniform(0.5, 2, size=len(targets))
    g = ACTIVATIONS[activation]
    architecture = Architecture((*WIDTHS[:depth], WIDTHS[-1]), g, g, loss_of(loss), tied=False)
    bounded = bool(np.isfinite(g.bounds).all())
    penalties = [WeightDecay(ALPHA), L1Sparsity(L1), Contraction(LAMBDA)] + [KLSparsity(BETA, RHO)] * bounded
    n_layers = 2 * depth - 1
    identity = CentredVariables(Layout(architecture, -1), [1.0] * n_layers, [1.0] * n_layers, [None] * n_layers)
    problem = make_problem(architecture, targets, penalties, lambda X, rng: inputs, weights, n_draws=1)
    objective = ProjectedObjective(problem, identity, offset=np.zeros(WIDTHS[0]), block_size=4)
    theta = 0.7 * rng.standard_normal(objective.size)
    value, gradient, *_ = objective(theta)

    trunk = torch.tensor(theta, requires_grad=True)
    shares = torch.tensor(weights / weights.sum())
    data = torch.tensor(inputs), torch.tensor(targets), shares
    flat = with_best_decoder(trunk, architecture, activation, COLUMN_WEIGHTS[loss], *data)
    expected = torch_objective(flat, architecture, activation, loss, *data, bounded)
    expected.backward()
    np.testing.assert_allclose(value, expected.item(), rtol=1e-11)
    np.testing.assert_allclose(gradient, trunk.grad.numpy(), rtol=1e-8, atol=1e-11)
