"""K-FAC: its blocks against dense linear algebra, its moments against the Gauss-Newton matrix, its steps by hand."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit, softmax
from scipy.stats import gmean

from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.noise import PreparedCorruption, drawn
from skae._objective.problem import make_problem
from skae._rows.blocks import rows_of
from skae._rows.statistics import statistics_of
from skae._rows.threads import SERIAL, RowThreads
from skae._solvers.kfac import KFAC, _Block, _TiedBlock, moments_of
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start
from skae._weights import Weights
from skae.activations import ACTIVATIONS
from skae.corruption import Masking, SaltAndPepper
from skae.losses import ColumnLosses, Loss, SquaredError, make_loss

N, K = 5, 3
DECAY = 0.1
# Of every layer, and of the layer's own mean curvature.
OF_ALL, OF_OWN = 2e-4, 0.3
every_dtype = pytest.mark.parametrize("dtype", [np.float32, np.float64])
every_tying = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def moment(width, rng, intercept=None):
    X = rng.standard_normal((40, width)) * rng.uniform(0.2, 2, width)
    if intercept is not None:
        X[:, -1] = intercept
    return X.T @ X / 40


def side(M, is_diagonal):
    """What is kept of a moment, and the matrix that this stands for."""
    return (np.diag(M), np.diag(np.diag(M))) if is_diagonal else (M, M)


def rounded(parts, dtype):
    return [tuple(part.astype(dtype) for part in pair) for pair in parts]


def damped(A, G, damping):
    """A + a I and G + g I, where a g is the damping and each is damped by the same share of its mean eigenvalue."""
    a, g = np.trace(A) / len(A), np.trace(G) / len(G)
    share = np.sqrt(damping / (a * g))
    return A + share * a * np.eye(len(A)), G + share * g * np.eye(len(G))


def preconditioned(block, gradient, dtype, threads=SERIAL):
    """Views of weights and intercepts of the natural gradient."""
    natural = tuple([np.full(part.shape, np.nan, dtype) for part in parts] for parts in gradient)
    if isinstance(block, _TiedBlock):
        natural[0][1] = natural[0][0].T
    gradient = tuple([part.astype(dtype) for part in parts] for parts in gradient)
    block.precondition(gradient, natural, threads)
    return natural


def assert_close(found, expected, dtype):
    np.testing.assert_allclose(
        found, expected, rtol=0, atol=(2e-4 if dtype == np.float32 else 1e-11) * np.abs(expected).max()
    )


@every_dtype
@pytest.mark.parametrize("diagonals", list(product([False, True], repeat=2)))
def test_a_block_against_a_dense_solution(diagonals, dtype, rng):
    (A, dense_A), (G, dense_G) = map(side, (moment(N + 1, rng, 0.7), moment(K, rng)), diagonals)
    block = _Block(1)
    block.invert(rounded([(np.eye(2), np.eye(2)), (A, G)], dtype), OF_ALL + DECAY)
    own = OF_OWN * np.trace(dense_A) / (N + 1) * np.trace(dense_G) / K
    F = np.kron(*damped(dense_A, dense_G, OF_ALL + DECAY + own))
    dW, db = rng.standard_normal((N, K)), rng.standard_normal(K)
    expected = np.linalg.solve(F, np.vstack([dW, db]).ravel()).reshape(N + 1, K)
    (_, W), (_, b) = preconditioned(block, ([np.zeros((2, 2)), dW], [np.zeros(2), db]), dtype)
    assert W.dtype == b.dtype == dtype
    assert_close(np.vstack([W, b]), expected, dtype)


@every_dtype
@pytest.mark.parametrize("diagonals", list(product([False, True], repeat=4)))
def test_a_tied_block_against_a_dense_solution(diagonals, dtype, rng):
    """Over the matrix and the encoder's intercept; and the decoder's intercept by itself."""
    u = 0.7
    made = moment(N + 1, rng, 0.4), moment(K, rng), moment(K + 1, rng, u), moment(N, rng)
    (A, dense_A), (G, dense_G), (H, dense_H), (R, dense_R) = map(side, made, diagonals)
    block = _TiedBlock(0, 1)
    block.invert(rounded([(A, G), (H, R)], dtype), OF_ALL + DECAY)

    # The decoder's pre-activation i is sum_j h_j W_ij + u c_i: H without u, and R without a row of the encoder's b.
    H, square = dense_H[:-1, :-1], dense_H[-1, -1]
    np.testing.assert_allclose(square, u**2)
    R = np.zeros((N + 1, N + 1))
    R[:-1, :-1] = dense_R
    own = OF_OWN * (np.trace(dense_A) / (N + 1) * np.trace(dense_G) / K + np.trace(R) / (N + 1) * np.trace(H) / K)
    F = np.kron(*damped(dense_A, dense_G, OF_ALL + DECAY + own)) + np.kron(R, H)
    of_c = square * dense_R + (OF_ALL + DECAY + OF_OWN * square * np.trace(dense_R) / N) * np.eye(N)

    dW, db, dc = rng.standard_normal((N, K)), rng.standard_normal(K), rng.standard_normal(N)
    expected = np.linalg.solve(F, np.vstack([dW, db]).ravel()).reshape(N + 1, K)
    (W, _), (b, c) = preconditioned(block, ([dW, dW.T], [db, dc]), dtype)
    assert_close(np.vstack([W, b]), expected, dtype)
    assert_close(c, np.linalg.solve(of_c, dc), dtype)


@every_tying
def test_threads_do_not_change_a_block(tied, rng):
    block = _TiedBlock(0, 1) if tied else _Block(0)
    block.invert([(moment(N + 1, rng), moment(K, rng)), (moment(K + 1, rng), rng.uniform(size=N))], DECAY)
    dW, db, dc = rng.standard_normal((N, K)), rng.standard_normal(K), rng.standard_normal(N)
    gradient = ([dW, dW.T], [db, dc])
    single = preconditioned(block, gradient, np.float64)
    with ThreadPoolExecutor(2) as executor:
        shared = preconditioned(block, gradient, np.float64, RowThreads(2, executor))
    for part, expected in ((shared[0][0], single[0][0]), (shared[1][0], single[1][0])):
        np.testing.assert_allclose(part, expected, rtol=1e-12)


@every_tying
@pytest.mark.parametrize("diagonals", [(False, False), (True, True)])
def test_moments_of_constant_zeros_leave_the_damping(diagonals, tied):
    """As of dead units: the natural gradient is the gradient divided by it."""
    A, G = (
        side(np.zeros((width, width)), is_diagonal)[0] for width, is_diagonal in zip((N + 1, K), diagonals, strict=True)
    )
    block = _TiedBlock(0, 1) if tied else _Block(0)
    block.invert([(A, G), (np.zeros((K + 1, K + 1)), np.zeros(N))], DECAY)
    gradient = ([np.ones((N, K)), np.ones((K, N))], [np.ones(K), np.ones(N)])
    (W, _), (b, c) = preconditioned(block, gradient, np.float64)
    for part in (W, b, *([c] if tied else [])):
        np.testing.assert_allclose(part, 1 / DECAY, rtol=1e-12)


# The moments.

CASES = [
    (loss, link) for loss, link in [("squared_error", "auto"), ("squared_error", "tanh"), ("cross_entropy", "auto")]
]
CASES += [("poisson", "auto"), ("categorical", "auto"), ("by column", "auto")]
BY_COLUMN = ColumnLosses([("squared_error", [0], 2.0), ("categorical", [1, 2], 3.0), ("poisson", [3], 0.5)])


def of_categories(raw):
    p = softmax(raw)
    return p * (1 - p)


CURVATURES = {
    ("squared_error", "auto"): np.ones_like,
    ("squared_error", "tanh"): lambda raw: (1 - np.tanh(raw) ** 2) ** 2,
    ("cross_entropy", "auto"): lambda raw: expit(raw) * (1 - expit(raw)),
    ("poisson", "auto"): np.exp,
    ("categorical", "auto"): of_categories,
    ("by column", "auto"): lambda raw: np.array([2, *(3 * of_categories(raw[1:3])), 0.5 * np.exp(raw[3])]),
}


def make_rows(dtype=np.float64, n_rows=12):
    return np.random.default_rng(0).uniform(size=(n_rows, 4)).astype(dtype)


def make_case(case, X):
    """The loss and X in its domain: rows of shares where that is of categories. By column, numbers have the scale 3."""
    categories = {"categorical": slice(None), "by column": slice(1, 3)}.get(case[0])
    if categories is not None:
        X = X.copy()
        X[:, categories] /= X[:, categories].sum(axis=1, keepdims=True)
    if case[0] == "by column":
        return BY_COLUMN.resolved(X).balanced(lambda: np.full(4, 4.5)), X
    return make_loss(*case), X


class Setting:
    """A problem, and theta and layers there."""

    def __init__(self, case=("squared_error", "auto"), tied=False, depth=1, X=None, noise=None, activation="tanh"):
        loss, X = make_case(case, make_rows() if X is None else X)
        g = ACTIVATIONS[activation]
        widths = (X.shape[1], 3, 2)[: depth + 1]
        self.architecture = Architecture(widths, g, g, loss, tied)
        rows, weights = rows_of(X), np.ones(X.shape[0])
        statistics = statistics_of([rows], weights, SERIAL)
        if noise is not None:
            prepared = PreparedCorruption(noise, rows, weights)
            noise = drawn(prepared, rows, self.architecture.layer_widths, np.random.default_rng(1)).first(1)
        self.problem = make_problem(self.architecture, (), rows, Weights(weights), statistics, SERIAL, noise)
        self.layout = Layout(self.architecture)
        self.variables, self.offset = search_variables(self.problem, self.layout, X.dtype, by_column=False)
        self.theta = np.random.default_rng(2).standard_normal(self.layout.size).astype(X.dtype)
        self.objective = Objective(self.problem, self.variables, offset=self.offset)

    def moments(self, batch, rng):
        return moments_of(batch, self.objective.layers_at(self.theta), self.variables, self.offset, rng)

    def expected_moments(self, batch):
        """Averages over all signs: the same ones for all rows, as the expectation is a sum over rows."""
        every = [self.moments(batch, Signs(signs)) for signs in product([0.0, 1.0], repeat=batch.targets.shape[1])]
        return [
            tuple(np.mean(parts, axis=0) for parts in zip(*pairs, strict=True)) for pairs in zip(*every, strict=True)
        ]

    def jacobians(self, x):
        """Of the raw output in theta_W and theta_b of each layer by itself: a matrix of a tied pair counts twice.

        From the documented map, W = factor theta_W and b = unit theta_b - offset W, by central differences.
        """
        factors, units = self.layout.views(self.variables._factors)
        offsets = [0 if offset is None else offset for offset in self.variables._offsets]
        parts = [np.vstack(pair) for pair in zip(*self.layout.views(self.theta), strict=True)]
        g = [activation.forward for activation in self.architecture.activations]

        def raw(parts):
            h = x - self.offset
            for part, factor, unit, offset, forward in zip(parts, factors, units, offsets, g, strict=True):
                W = factor * part[:-1]
                h = forward(h @ W + unit * part[-1] - np.broadcast_to(offset, len(W)) @ W)
            return h

        def derivative(index):
            columns = []
            for place in np.ndindex(parts[index].shape):
                ends = []
                for step in (1e-5, -1e-5):
                    moved = [part.copy() for part in parts]
                    moved[index][place] += step
                    ends.append(raw(moved))
                columns.append((ends[0] - ends[1]) / 2e-5)
            return np.array(columns).T

        return raw(parts), [derivative(index) for index in range(len(parts))]


class Signs:
    """A generator of given signs, the same ones for all rows."""

    def __init__(self, signs):
        self._signs = np.array(signs)

    def random(self, shape, dtype):
        return np.broadcast_to(self._signs, shape).astype(dtype)


def assert_gauss_newton(setting, batch, case, entry_weights):
    """Of one row the Kronecker product is the Gauss-Newton matrix J^T H J itself."""
    raw, jacobians = setting.jacobians(batch.inputs[0].dense()[0])
    H = np.diag(CURVATURES[case](raw + batch.raw_origin) * entry_weights / batch.loss_unit)
    *moments, (A, last) = setting.expected_moments(batch)
    for (A_l, G), J in zip([*moments, (A, np.diag(last))], jacobians, strict=True):
        exact = J.T @ H @ J
        np.testing.assert_allclose(np.kron(A_l, G), exact, rtol=1e-5, atol=1e-7 * np.abs(exact).max())


@every_tying
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_the_moments_of_one_row_make_the_gauss_newton_matrix(case, depth, tied):
    setting = Setting(case, tied, depth)
    for row in (0, 5):
        assert_gauss_newton(setting, setting.problem.batch(np.array([row]), np.random.default_rng(0)), case, 1.0)


@pytest.mark.parametrize("case", [("squared_error", "auto"), ("poisson", "auto")])
def test_the_moments_of_a_row_far_from_zero(case):
    """Targets and raw outputs are about those of the mean then."""
    setting = Setting(case, X=30 + make_rows())
    assert setting.problem.raw_origin.all()
    assert_gauss_newton(setting, setting.problem.batch(np.array([5]), np.random.default_rng(0)), case, 1.0)


class OfTheGradient(SquaredError):
    """Has the curvature of losses that say nothing else, which depends on the target."""

    curvature = Loss.curvature


@pytest.mark.parametrize("far", [0.0, 30.0])
def test_the_curvature_may_depend_on_the_target(far):
    setting = Setting(X=far + make_rows())
    problem = replace(setting.problem.batch(np.array([5]), np.random.default_rng(0)), loss=OfTheGradient())
    row = problem.targets.dense()[0]
    raw, _ = setting.jacobians(row)
    _, last = setting.moments(problem, np.random.default_rng(0))[-1]
    np.testing.assert_allclose(last, (raw + problem.raw_origin - row) ** 2 / problem.loss_unit, rtol=1e-9)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "corruption", [Masking(0.4, emphasis=(3, 1)), SaltAndPepper(0.4, emphasis=(1, 0)), Masking(0.4)]
)
def test_the_moments_of_one_corrupted_row(corruption, case):
    """With the emphasis of its draw."""
    setting, are_even = Setting(case, noise=corruption), set()
    for seed in range(4):
        batch = setting.problem.batch(np.array([seed]), np.random.default_rng(seed))
        entry_weights = batch.noise.entry_weights(0, slice(None))
        are_even.add(entry_weights is None or len(np.unique(entry_weights)) == 1)
        assert_gauss_newton(setting, batch, case, 1.0 if entry_weights is None else entry_weights[0])
    assert (False in are_even) == batch.noise.has_emphasis


def test_the_raw_output_has_one_unit():
    """The geometric mean of the columns' scales 3, 1, 1 and 1."""
    setting = Setting(("by column", "auto"))
    np.testing.assert_allclose(setting.layout.views(setting.variables._factors)[1][-1], gmean([3, 1, 1, 1]))


@every_tying
@pytest.mark.parametrize("case", CASES)
def test_the_moments_are_means_over_rows(case, tied):
    setting, rng = Setting(case, tied, 2), np.random.default_rng(0)
    numbers = np.array([0, 3, 3, 11])
    of_all = setting.expected_moments(setting.problem.batch(numbers, rng))
    singles = [setting.expected_moments(setting.problem.batch(numbers[[place]], rng)) for place in range(4)]
    for pair, *others in zip(of_all, *singles, strict=True):
        for part, *rest in zip(pair, *others, strict=True):
            np.testing.assert_allclose(part, np.mean(rest, axis=0), rtol=1e-10, atol=1e-13 * np.abs(part).max())


def test_signs_are_drawn_for_each_row_and_entry():
    """One row 20,000 times over: as the mean over all signs, within five standard errors."""
    setting, rng = Setting(depth=2), np.random.default_rng(0)
    one, many = (setting.problem.batch(np.full(count, 7), rng) for count in (1, 20_000))
    for (_, G), (_, expected) in zip(setting.moments(many, rng)[:-1], setting.expected_moments(one), strict=False):
        sizes = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        np.testing.assert_array_less(np.abs(G - expected), 5 * np.sqrt(2 / 20_000) * sizes)


@every_dtype
def test_sparse_rows_have_the_moments_of_dense_ones(dtype):
    X = make_rows(dtype) * (make_rows() > 0.5)
    dense, sparse = Setting(X=X, depth=2), Setting(X=csr_array(X), depth=2)
    both = []
    for setting in (dense, sparse):
        rng = np.random.default_rng(0)
        both.append(setting.moments(setting.problem.batch(np.arange(9), rng), rng))
    for pair, other in zip(*both, strict=True):
        for part, expected in zip(pair, other, strict=True):
            assert part.dtype == expected.dtype == dtype
            np.testing.assert_allclose(part, expected, rtol=1e-3 if dtype == np.float32 else 1e-9, atol=1e-6)


@every_tying
def test_wide_layers_have_diagonals(tied, monkeypatch):
    setting, both = Setting(tied=tied, depth=2), []
    for width in (1024, 3):
        monkeypatch.setattr("skae._solvers.kfac._MAX_WIDTH", width)
        rng = np.random.default_rng(0)
        both.append(setting.moments(setting.problem.batch(np.arange(9), rng), rng))
    full, kept = both
    for (A, G), (A_kept, G_kept), fan_in, fan_out in zip(full, kept, (4, 3, 2, 3), (3, 2, 3, 4), strict=True):
        assert (A_kept.ndim, G_kept.ndim) == (1 if fan_in + 1 > 3 else 2, 1 if fan_out > 3 else 2)
        for part, whole in ((A_kept, A), (G_kept, G)):
            np.testing.assert_allclose(part, np.diag(whole) if part.ndim < whole.ndim else whole, rtol=1e-12)
    kfac = KFAC(setting.theta, setting.layout, SERIAL)
    kfac.observe(kept)
    kfac.invert(np.zeros(len(setting.layout.weight_shapes)))
    kfac.step(np.ones_like(kfac.theta))
    assert np.isfinite(kfac.theta).all()
    assert np.all(kfac.theta != setting.theta)


# The steps.


def pairs(value):
    """Of an autoencoder of 2 features and 1 unit."""
    return [
        tuple(np.full(shape, value) for shape in ((3, 3), (1, 1))),
        tuple(np.full(shape, value) for shape in ((2, 2), (2,))),
    ]


def small_kfac(theta=None):
    g = ACTIVATIONS["identity"]
    layout = Layout(Architecture((2, 1), g, g, make_loss("squared_error"), tied=False))
    return KFAC(np.zeros(layout.size) if theta is None else theta, layout, SERIAL)


def test_running_means_of_the_moments():
    """The mean of up to twenty; then each has 19/20 of the former mean."""
    kfac, values, expected = small_kfac(), np.random.default_rng(0).uniform(size=30), None
    for number, value in enumerate(values, start=1):
        kfac.observe(pairs(value))
        expected = values[:number].mean() if number <= 20 else 0.95 * expected + 0.05 * value
        for pair in kfac._moments:
            for part in pair:
                np.testing.assert_allclose(part, expected, rtol=1e-12)


def identity_kfac(theta=None):
    """All moments are identities, and all natural gradients 1 / s of the gradient."""
    kfac = small_kfac(theta)
    kfac.observe([(np.eye(3), np.eye(1)), (np.eye(2), np.ones(2))])
    kfac.invert([0.0, 0.0])
    return kfac, (1 + np.sqrt(OF_ALL + OF_OWN)) ** 2


def test_small_steps_by_hand():
    """v <- 0.8 v - 0.3 F^-1 g, theta <- theta + v, and the former mean weighs (n + 1) / (n + 10) in the mean."""
    kfac, s = identity_kfac(np.linspace(1, 2, 7))
    theta, mean, velocity, rng = np.linspace(1, 2, 7), np.linspace(1, 2, 7), 0.0, np.random.default_rng(0)
    for number in range(1, 501):
        gradient = 1e-4 * rng.standard_normal(7)
        kfac.step(gradient.copy())
        velocity = 0.8 * velocity - 0.3 * gradient / s
        theta = theta + velocity
        memory = min(0.98, (number + 1) / (number + 10))
        mean = memory * mean + (1 - memory) * theta
        if number in (1, 2, 3, 500):
            np.testing.assert_allclose(kfac.theta, theta, rtol=1e-12)
            np.testing.assert_allclose(kfac.mean, mean, rtol=1e-12)
    assert kfac.n_steps == 500


@pytest.mark.parametrize("n_steps", [0, 250, 1000])
@pytest.mark.parametrize("size", [10.0, 1e8])
def test_large_steps_are_bounded(size, n_steps):
    """Their change by the curvature, v^T F v, is 0.0015 at first, half of that after 250 steps, a fifth after 1000."""
    kfac, s = identity_kfac()
    kfac.n_steps = n_steps
    gradient = size * np.arange(1.0, 8.0)
    kfac.step(gradient.copy())
    np.testing.assert_allclose(s * kfac.theta @ kfac.theta, 0.0015 / (1 + n_steps / 250), rtol=1e-10)
    np.testing.assert_allclose(
        kfac.theta / np.linalg.norm(kfac.theta), -gradient / np.linalg.norm(gradient), rtol=1e-10
    )


def test_it_goes_on_from_a_point_with_a_quarter_of_the_bound():
    kfac, s = identity_kfac()
    kfac.step(np.full(7, 1e3))
    kfac.n_steps = 0
    point = np.arange(7.0)
    kfac.go_on_from(point)
    np.testing.assert_array_equal(kfac.theta, point)
    np.testing.assert_array_equal(kfac.mean, point)
    kfac.step(np.full(7, 1e3))
    np.testing.assert_array_equal(point, np.arange(7.0))
    moved = kfac.theta - point
    np.testing.assert_allclose(s * moved @ moved, 0.0015 / 4, rtol=1e-10)
    assert np.all(moved < 0), "nothing is left of the former steps"


@pytest.mark.parametrize("weights", ["decoder", "encoder"])
def test_decays_belong_to_their_layer(weights):
    """A huge one leaves nothing of its layer's step."""
    kfac, _ = identity_kfac()
    kfac.invert([1e12, 0.0] if weights == "encoder" else [0.0, 1e12])
    kfac.step(np.full(7, 1e-3))
    (W, V), (b, c) = kfac._layout.views(np.abs(kfac.theta))
    still, moved = ((W, b), (V, c)) if weights == "encoder" else ((V, c), (W, b))
    assert max(part.max() for part in still) < 1e-14 < 1e-5 < min(part.min() for part in moved)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("depth", [1, 2])
def test_the_unit_of_X_does_not_matter(depth, activation):
    """Squared error is in its square, and theta in none."""
    ends = []
    for unit in (1e-8, 1.0, 1e8):
        setting = Setting(depth=depth, X=unit * make_rows(), activation=activation)
        rng = np.random.default_rng(0)
        kfac = KFAC(setting.theta, setting.layout, SERIAL)
        kfac.observe(setting.moments(setting.problem.batch(np.arange(12), rng), rng))
        kfac.invert(setting.objective.penalty_curvatures(kfac.theta))
        for _ in range(3):
            kfac.step(setting.objective(kfac.theta).gradient / setting.problem.loss_unit)
        ends.append((kfac.theta, setting.objective.value(kfac.mean).value / setting.problem.loss_unit))
    for theta, value in ends[::2]:
        np.testing.assert_allclose(theta, ends[1][0], rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(value, ends[1][1], rtol=1e-7)
    assert not np.allclose(ends[1][0], setting.theta)


@every_tying
@pytest.mark.parametrize("case", CASES)
def test_steps_with_all_rows_descend(case, tied):
    """Far below the start, though the starts are near the mean."""
    setting = Setting(case, tied, X=make_rows(n_rows=40))
    problem = setting.problem
    theta = fresh_start(problem, setting.layout, setting.variables, np.random.default_rng(0))
    kfac, rng = KFAC(theta, setting.layout, SERIAL), np.random.default_rng(1)
    for number in range(120):
        if number % 10 == 0:
            layers = setting.objective.layers_at(kfac.theta)
            kfac.observe(moments_of(problem, layers, setting.variables, setting.offset, rng))
            kfac.invert(setting.objective.penalty_curvatures(kfac.theta))
        kfac.step(setting.objective(kfac.theta).gradient / problem.loss_unit)
    assert setting.objective.value(kfac.mean).value < 0.7 * setting.objective.value(theta).value


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_a_gradient_that_is_not_finite_is_a_way_back_to_the_mean(bad):
    kfac, s = identity_kfac()
    for _ in range(3):
        kfac.step(np.full(7, 1e-4))
    mean = kfac.mean.copy()
    assert not np.allclose(kfac.theta, mean)
    gradient = np.full(7, 1e-4)
    gradient[2] = bad
    kfac.step(gradient)
    np.testing.assert_array_equal(kfac.theta, mean)
    np.testing.assert_array_equal(kfac.mean, mean)
    kfac.step(np.full(7, 1e-4))
    np.testing.assert_allclose(kfac.theta - mean, -0.3e-4 / s, rtol=1e-10)


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_moments_that_are_not_finite_are_left_out(bad):
    kfac = small_kfac()
    for value in (1.0, bad, 3.0):
        kfac.observe(pairs(value))
    for pair in kfac._moments:
        for part in pair:
            np.testing.assert_array_equal(part, 2.0)
