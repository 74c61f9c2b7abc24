"""The expectation over a corruption by its moments: formulas in NumPy, their gradient, and the exact expectation."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from problems import (
    assert_block_size_does_not_matter,
    assert_the_value_alone_is_the_same,
    assert_threads_do_not_matter,
    parameters_at,
    random_theta,
)
from scipy.sparse import csr_array, issparse

from skae._network.architecture import Architecture
from skae._network.parameters import Layout, Parameters
from skae._objective.choice import objective_class
from skae._objective.noise import PreparedCorruption, marginal
from skae._objective.problem import make_problem
from skae._rows.blocks import rows_of
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL
from skae._variables.centring import CentredVariables, search_variables
from skae._variables.start import theta_of
from skae._weights import Weights
from skae.activations import ACTIVATIONS
from skae.corruption import Gaussian, Masking, SaltAndPepper, Swap
from skae.losses import ColumnLosses, make_loss
from skae.penalties import WeightDecay

# Output and first two derivatives, of pre-activations.
FORMULAS = {
    "identity": lambda z: (z, np.ones_like(z), np.zeros_like(z)),
    "logistic": lambda z: (1 / (1 + np.exp(-z)), 0.25 / np.cosh(z / 2) ** 2, -np.tanh(z / 2) / np.cosh(z / 2) ** 2 / 4),
    "tanh": lambda z: (np.tanh(z), 1 / np.cosh(z) ** 2, -2 * np.tanh(z) / np.cosh(z) ** 2),
    "softplus": lambda z: (np.logaddexp(0, z), 1 / (1 + np.exp(-z)), 0.25 / np.cosh(z / 2) ** 2),
}
CORRUPTIONS = [Masking(0.3, fill="mean"), Masking(0.3, fill=0.7), Masking(0.3, fill=0), Gaussian(0.4)]
CORRUPTIONS += [SaltAndPepper(0.2), Swap(0.3)]
every_smooth = pytest.mark.parametrize("activation", FORMULAS)
every_kind = pytest.mark.parametrize("kind", ["joint", "tied", "projected"])
every_corruption = pytest.mark.parametrize("corruption", CORRUPTIONS, ids=repr)
UNEVEN = np.linspace(0.2, 2, 60)


@pytest.fixture(autouse=True)
def groups_of_few_rows(monkeypatch):
    monkeypatch.setattr("skae._objective.noise._GROUP_ROWS", 15)


def make_rows(n_features=5, dtype=np.float64):
    """Of 60 rows, half of the entries zero, and columns of different ranges."""
    rng = np.random.default_rng(0)
    X = rng.uniform(0.5, 2, (60, n_features)) * np.linspace(1, 2, n_features)
    return np.where(rng.random(X.shape) < 0.5, 0, X).astype(dtype)


def loss_of(column_weights):
    """Squared error with weights of the columns, by entries for every column."""
    entries = [("squared_error", column, weight) for column, weight in enumerate(column_weights)]
    n_features = len(column_weights)
    return ColumnLosses(entries).resolved(np.empty((0, n_features))).balanced(lambda: np.ones(n_features))


def noisy_problem(
    corruption,
    X=None,
    activation="logistic",
    kind="joint",
    weights=UNEVEN,
    penalties=(),
    loss=make_loss("squared_error"),  # noqa: B008 - a value
):
    X = make_rows() if X is None else X
    rows = rows_of(X)
    prepared = PreparedCorruption(corruption, rows, weights)
    noise = corruption and marginal(prepared, rows, weights, 3, np.random.default_rng(0))
    g = ACTIVATIONS[activation]
    architecture = Architecture((X.shape[1], 3), g, g, loss, tied=kind == "tied")
    return make_problem(
        architecture, tuple(penalties), rows, Weights(weights), statistics_of([rows], weights, SERIAL), SERIAL, noise
    )


def objective_of(problem, kind="joint", **options):
    made = objective_class(problem, kind == "projected")
    variables, offset = search_variables(problem, Layout(problem.architecture, made.n_layers))
    return made(problem, variables, offset=offset, **options)


def terms_by_formula(problem, objective, theta, activation, column_weights=1.0):
    """What the docstring of skae._objective.marginal says, row by row and group by group."""
    (W, V), (b, c) = parameters_at(objective, theta)
    X = problem.targets.X.toarray() if issparse(problem.targets.X) else problem.targets.X
    shares, (share, filling, variance) = problem.weights[:] / problem.weights.sum(), problem.moments
    m, v = (1 - share) * X + share * filling, share * (1 - share) * (X - filling) ** 2 + variance
    a, q = (m - objective._offset) @ W + b, v @ W**2
    at_nodes = [FORMULAS[activation](a + distance * np.sqrt(3 * q)) for distance in (0, 1, -1)]
    h, s, t = (4 * middle + high + low for middle, high, low in zip(*at_nodes, strict=True))
    h, s, t = h / 6, s / 6, t / 6
    M = np.zeros((3, 3))
    for group in np.unique(problem.noise.group_of):
        rows = problem.noise.group_of == group
        K = W.T @ np.diag(np.average(v[rows], axis=0, weights=shares[rows])) @ W
        M += (s[rows].T * shares[rows]) @ s[rows] * K + 0.5 * (t[rows].T * shares[rows]) @ t[rows] * K**2
    squares = column_weights * (h @ V + c - X) ** 2
    return [0.5 * shares @ np.sum(squares, axis=1), 0.5 * np.trace(V.T @ M @ V * column_weights)], (W, V)


@every_kind
@every_smooth
@every_corruption
def test_terms_are_those_of_the_formulas(corruption, activation, kind):
    problem = noisy_problem(corruption, None, activation, kind, penalties=[WeightDecay(0.1)])
    assert len(np.unique(problem.noise.group_of)) == (1 if isinstance(corruption, Gaussian) else 4)
    assert problem.term_names == ["reconstruction", "WeightDecay", "corruption"]
    objective = objective_of(problem, kind)
    theta = random_theta(objective)
    evaluation = objective(theta)
    (reconstruction, added), (W, V) = terms_by_formula(problem, objective, theta, activation)
    decay = 0.05 * (np.sum(W**2) + (0 if kind == "tied" else np.sum(V**2)))
    np.testing.assert_allclose(evaluation.terms, [reconstruction, decay, added], rtol=1e-9)
    np.testing.assert_allclose(evaluation.value, reconstruction + decay + added, rtol=1e-9)


@pytest.mark.covering(corruption=CORRUPTIONS, activation=[*FORMULAS], kind=["joint", "tied", "projected"])
def test_gradient(corruption, activation, kind):
    """Against central differences, of sparse rows as well where the corruption keeps them sparse."""
    X = csr_array(make_rows()) if corruption.keeps_sparse else make_rows()
    objective = objective_of(noisy_problem(corruption, X, activation, kind, penalties=[WeightDecay(0.1)]), kind)
    theta = random_theta(objective)
    gradient, steps = objective(theta).gradient, 1e-5 * np.eye(objective.size)
    numeric = [(objective(theta + step).value - objective(theta - step).value) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-7 * np.abs(gradient).max())


@every_kind
@pytest.mark.parametrize("corruption", [Masking(0.3, fill=0.7), Gaussian(0.4)], ids=repr)
def test_columns_have_weights(corruption, kind):
    column_weights = np.array([0.5, 2.0, 0.5, 3.0, 1.0])
    problem = noisy_problem(corruption, None, "tanh", kind, loss=loss_of(column_weights))
    objective = objective_of(problem, kind)
    theta = random_theta(objective)
    evaluation, steps = objective(theta), 1e-5 * np.eye(objective.size)
    expected, _ = terms_by_formula(problem, objective, theta, "tanh", column_weights)
    np.testing.assert_allclose(evaluation.terms, expected, rtol=1e-9)
    numeric = [(objective(theta + step).value - objective(theta - step).value) / 2e-5 for step in steps]
    np.testing.assert_allclose(evaluation.gradient, numeric, rtol=1e-6, atol=1e-7 * np.abs(numeric).max())


@every_kind
@pytest.mark.parametrize("corruption", [Masking(0.3), Masking(0.3, fill=0)], ids=repr)
def test_sparse_rows_are_as_dense_ones(corruption, kind):
    dense, sparse = (
        objective_of(noisy_problem(corruption, form(make_rows()), kind=kind), kind) for form in (np.array, csr_array)
    )
    theta = random_theta(dense)
    value, gradient, *_ = dense(theta)
    np.testing.assert_allclose(sparse(theta).value, value, rtol=1e-11)
    np.testing.assert_allclose(sparse(theta).gradient, gradient, rtol=1e-9, atol=1e-11)


@pytest.mark.covering(corruption=CORRUPTIONS, activation=[*FORMULAS], kind=["joint", "tied"])
def test_gradient_by_torch(corruption, activation, kind):
    """The formulas once more, differentiated by torch, at a theta that is the parameters."""
    torch = pytest.importorskip("torch")
    outputs = {"identity": lambda z: z, "logistic": torch.sigmoid, "tanh": torch.tanh}
    g = outputs.get(activation, torch.nn.functional.softplus)
    problem = noisy_problem(corruption, None, activation, kind)
    layout = Layout(problem.architecture)
    identity = CentredVariables(layout, [1.0] * 2, [1.0] * 2, [None] * 2)
    objective = objective_class(problem)(problem, identity, offset=np.zeros(5))
    theta = 0.7 * np.random.default_rng(1).standard_normal(objective.size)
    evaluation = objective(theta)

    flat = torch.tensor(theta, requires_grad=True)
    W = flat[:15].reshape(5, 3)
    V, rest = (W.T, flat[15:]) if kind == "tied" else (flat[15:30].reshape(3, 5), flat[30:])
    X, shares = torch.tensor(problem.targets.X), torch.tensor(problem.weights[:] / problem.weights.sum())
    share, filling, variance = problem.moments.share, *map(torch.tensor, problem.moments[1:])
    v = share * (1 - share) * (X - filling) ** 2 + variance
    a, q = ((1 - share) * X + share * filling) @ W + rest[:3], v @ W**2
    distance = torch.sqrt(3 * q + 1e-200)  # has a derivative where a row has no noise
    nodes = torch.stack([a, a + distance, a - distance])
    (slopes,) = torch.autograd.grad(g(nodes).sum(), nodes, create_graph=True)
    bends = torch.zeros_like(nodes)
    if activation != "identity":
        (bends,) = torch.autograd.grad(slopes.sum(), nodes, create_graph=True)
    h, s, t = ((4 * f[0] + f[1] + f[2]) / 6 for f in (g(nodes), slopes, bends))
    expected = 0.5 * shares @ ((h @ V + rest[3:] - X) ** 2).sum(dim=1)
    for group in np.unique(problem.noise.group_of):
        rows = torch.tensor(problem.noise.group_of == group)
        weights = shares[rows]
        K = W.T @ (((weights @ v[rows]) / weights.sum())[:, None] * W)
        M = (s[rows].T * weights) @ s[rows] * K + 0.5 * (t[rows].T * weights) @ t[rows] * K**2
        expected = expected + 0.5 * torch.trace(V.T @ M @ V)
    expected.backward()
    np.testing.assert_allclose(evaluation.terms.sum(), expected.item(), rtol=1e-11)
    np.testing.assert_allclose(evaluation.gradient, flat.grad.numpy(), rtol=1e-8, atol=1e-11)


# The exact expectation.


def gaussian_draws(X, sigma, n_nodes=8):
    """Inputs and their probabilities, the nodes of a Gauss-Hermite rule in every feature."""
    nodes, masses = np.polynomial.hermite_e.hermegauss(n_nodes)
    for chosen in product(range(n_nodes), repeat=X.shape[1]):
        yield X + sigma * nodes[list(chosen)], np.prod(masses[list(chosen)] / masses.sum())


def masked_draws(X, level, filling):
    """All inputs that masking makes, and their probabilities."""
    for masked in product([False, True], repeat=X.shape[1]):
        yield np.where(masked, filling, X), level ** sum(masked) * (1 - level) ** (X.shape[1] - sum(masked))


def added_over_truth(problem, activation, draws):
    """The excess over the loss at the mean inputs: the formula's over that of all draws."""
    rng, n_features = np.random.default_rng(1), problem.targets.shape[1]
    W, V, b, c = (rng.standard_normal(shape) for shape in ((n_features, 3), (3, n_features), 3, n_features))
    layout = Layout(problem.architecture)
    variables, offset = search_variables(problem, layout)
    theta = theta_of(Parameters([W, V], [b, c], np.zeros(n_features)), problem, layout, variables, offset)
    objective = objective_class(problem)(problem, variables, offset=offset)
    X, shares, (share, filling, _) = problem.targets.X, problem.weights[:] / problem.weights.sum(), problem.moments

    def loss(inputs):
        code, *_ = FORMULAS[activation](inputs @ W + b)
        return 0.5 * shares @ np.sum((code @ V + c - X) ** 2, axis=1)

    plain = loss((1 - share) * X + share * filling)
    return (objective(theta).terms.sum() - plain) / (sum(mass * loss(inputs) for inputs, mass in draws) - plain)


@every_smooth
def test_small_gaussian_noise_is_exact(activation):
    """The error of what the noise adds falls with the square of its level."""
    X = make_rows(3)
    errors = [
        abs(added_over_truth(noisy_problem(Gaussian(sigma), X, activation), activation, gaussian_draws(X, sigma)) - 1)
        for sigma in (0.2, 0.1, 0.05)
    ]
    assert errors[0] < 0.05
    assert errors[2] < max(1e-8, errors[1] / 3) < max(1e-7, errors[0] / 8)


@every_smooth
def test_masking_of_small_jumps_is_exact(activation):
    """With a group for every row, what masking adds tends to the truth as all x come near the filling."""
    X, errors = make_rows(4), []
    for jump in (1, 0.3, 0.1, 0.03):
        problem = noisy_problem(Masking(0.25, fill=1.0), 1 + jump * (X - 1), activation)
        variances = 0.25 * 0.75 * (problem.targets.X - 1) ** 2
        noise = replace(problem.noise, group_of=np.arange(60), variances=variances)
        draws = masked_draws(problem.targets.X, 0.25, 1.0)
        errors.append(abs(added_over_truth(replace(problem, noise=noise), activation, draws) - 1))
    assert max(errors) < 0.2
    assert errors[3] < 0.01


def test_groups_bring_masking_near_the_truth(monkeypatch):
    """One group neglects that rows with large entries have more noise."""
    X, errors = make_rows(6) * np.repeat([0.03, 0.1, 0.3], 20)[:, None], []
    for n_rows in (60, 6):
        monkeypatch.setattr("skae._objective.noise._GROUP_ROWS", n_rows)
        problem = noisy_problem(Masking(0.25, fill=0), X, "tanh")
        errors.append(abs(added_over_truth(problem, "tanh", masked_draws(X, 0.25, 0)) - 1))
    print(errors)
    assert errors[1] < 0.5 * errors[0]


@every_kind
def test_gaussian_noise_on_a_linear_code_is_a_ridge(kind):
    problem = noisy_problem(Gaussian(0.4), activation="identity", kind=kind)
    objective = objective_of(problem, kind)
    theta = random_theta(objective)
    (W, V), (b, c) = parameters_at(objective, theta)
    X, shares = problem.targets.X, problem.weights[:] / problem.weights.sum()
    plain = 0.5 * shares @ np.sum((((X - objective._offset) @ W + b) @ V + c - X) ** 2, axis=1)
    expected = [plain, 0.4**2 / 2 * np.sum((W @ V) ** 2)]
    np.testing.assert_allclose(objective(theta).terms, expected, rtol=1e-9)


@every_kind
@pytest.mark.parametrize("activation", ["logistic", "identity"])
@pytest.mark.parametrize("corruption", [Masking(0.0), Gaussian(0.0), Swap(0.0)], ids=repr)
def test_no_variance_is_the_plain_objective(corruption, activation, kind):
    noisy, plain = (objective_of(noisy_problem(each, None, activation, kind), kind) for each in (corruption, None))
    theta = random_theta(plain)
    value, gradient, *_ = plain(theta)
    np.testing.assert_allclose(noisy(theta).value, value, rtol=1e-12)
    np.testing.assert_allclose(noisy(theta).gradient, gradient, rtol=1e-9, atol=1e-12)


@every_kind
@every_corruption
def test_float32(corruption, kind):
    single, double = (
        objective_of(noisy_problem(corruption, make_rows(dtype=np.float32).astype(dtype), kind=kind), kind)
        for dtype in (np.float32, np.float64)
    )
    theta = random_theta(double)
    value, gradient, *_ = double(theta)
    assert single(theta).gradient.dtype == np.float64
    np.testing.assert_allclose(single(theta).value, value, rtol=1e-5)
    np.testing.assert_allclose(single(theta).gradient, gradient, rtol=1e-4, atol=1e-5 * np.abs(gradient).max())


@every_kind
@every_corruption
def test_blocks_and_threads_do_not_matter(corruption, kind, monkeypatch):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    problem = noisy_problem(corruption, kind=kind, penalties=[WeightDecay(0.1)])

    def make_objective(**options):
        return objective_of(problem, kind, **options)

    assert_block_size_does_not_matter(make_objective, [1, 7, 60, None], np.float64)
    assert_threads_do_not_matter(make_objective, 3)


@every_kind
def test_integer_weights_repeat_rows(kind):
    """One group: k-means of repeated rows may find other ones."""
    counts, X = np.arange(60) % 3 + 1, make_rows()
    weighted, repeated = (
        objective_of(replace(problem, noise=one_group(problem)), kind)
        for problem in (
            noisy_problem(Masking(0.3, fill=0), X, kind=kind, weights=counts.astype(float)),
            noisy_problem(Masking(0.3, fill=0), np.repeat(X, counts, axis=0), kind=kind, weights=np.ones(counts.sum())),
        )
    )
    theta = random_theta(weighted)
    np.testing.assert_allclose(repeated(theta).value, weighted(theta).value, rtol=1e-11)
    np.testing.assert_allclose(repeated(theta).gradient, weighted(theta).gradient, rtol=1e-8, atol=1e-11)


def one_group(problem):
    variances = 0.3 * 0.7 * np.average(problem.targets.X**2, axis=0, weights=problem.weights[:])
    return replace(problem.noise, group_of=np.zeros(len(problem.targets), dtype=int), variances=variances[None])


# Rows that make grouping them difficult.


@pytest.mark.filterwarnings("error")
def test_rows_of_equal_noise_are_one_group():
    """Of entries +-1 masked by 0, every row has the variances of every other, without a warning of k-means."""
    X = np.where(np.random.default_rng(0).random((60, 5)) < 0.5, -1.0, 1.0)
    problem = noisy_problem(Masking(0.3, fill=0), X)
    used = problem.noise.variances[np.unique(problem.noise.group_of)]
    np.testing.assert_allclose(used, np.full_like(used, 0.3 * 0.7))


def test_indices_of_64_bits():
    X = csr_array(make_rows())
    wide = csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)
    assert rows_of(wide).X.indices.dtype == np.int64
    first, second = (noisy_problem(Masking(0.3, fill=0), form).noise.variances for form in (X, wide))
    np.testing.assert_array_equal(first, second)


@every_kind
@every_smooth
@pytest.mark.parametrize("corruption", [Masking(0.3, fill=0.7), Gaussian(0.4)], ids=repr)
def test_the_value_alone(corruption, activation, kind):
    objective = objective_of(noisy_problem(corruption, None, activation, kind, penalties=[WeightDecay(0.1)]), kind)
    assert_the_value_alone_is_the_same(objective, random_theta(objective))


@every_smooth
@pytest.mark.parametrize("kind", ["joint", "tied"])
@pytest.mark.parametrize("corruption", [Masking(0.3, fill=0.7), Gaussian(0.4)], ids=repr)
def test_theta_in_single_precision(corruption, kind, activation):
    problem = noisy_problem(corruption, make_rows(dtype=np.float32), activation, kind)
    layout = Layout(problem.architecture)
    double = objective_of(noisy_problem(corruption, None, activation, kind))
    variables, offset = search_variables(problem, layout, np.float32)
    single = objective_class(problem)(problem, variables, offset=offset)
    theta = random_theta(double)
    (value, gradient, *_), (value_32, gradient_32, *_) = double(theta), single(theta.astype(np.float32))
    assert gradient_32.dtype == np.float32
    np.testing.assert_allclose(value_32, value, rtol=1e-4)
    np.testing.assert_allclose(gradient_32, gradient, rtol=1e-3, atol=2e-5 * np.abs(gradient).max())
