"""The expectation over the corruption: by its moments or over fresh draws, and the emphasis on entries."""

import joblib
import numpy as np
import pytest
from configurations import ERRORS, FUNCTIONS, N_FEATURES, WEIGHTS, X, assert_same_model, by_hand, halved, make
from numpy.testing import assert_allclose, assert_array_equal
from threadpoolctl import threadpool_limits

from skae import AutoencoderTransformer, DenoisingAutoencoder
from skae.corruption import CORRUPTIONS, Blur, Corruption, Gaussian, Masking, SaltAndPepper, Swap
from skae.penalties import L1Sparsity, WeightDecay

NAMED = [Masking(0.3), Masking(0.3, fill=0.0), Gaussian(0.2), SaltAndPepper(0.3), Swap(0.3)]
EMPHATIC = [kind(0.3, emphasis=(2, 0.5)) for kind in (Masking, SaltAndPepper, Swap)]
each_corruption = pytest.mark.parametrize("corruption", NAMED, ids=repr)


def fitted(X=X, sample_weight=None, **parameters):
    return make(DenoisingAutoencoder, **parameters).fit(X, sample_weight=sample_weight)


# Which expectation.

NOT_MARGINAL = {
    "depth": ({"hidden_layer_sizes": (4,)}, "one layer of units"),
    "loss": ({"loss": "cross_entropy"}, "squared error"),
    "output": ({"output_activation": "logistic"}, "identity output"),
    "kink": ({"activation": "relu"}, r"activation Relu\(\) is not smooth"),
    "code": ({"code_activation": "relu"}, r"activation Relu\(\) is not smooth"),
    "callable": ({"corruption": halved}, "entries are not corrupted each on its own.*halved"),
    "blur": ({"corruption": Blur((2, N_FEATURES // 2))}, "entries are not corrupted each on its own.*Blur"),
    "emphasis": ({"corruption": EMPHATIC[0]}, "corruption's emphasis"),
    "penalty": ({"penalties": (L1Sparsity(0.01),)}, "penalties hold one on the code"),
}


@pytest.mark.parametrize(("parameters", "reason"), NOT_MARGINAL.values(), ids=NOT_MARGINAL)
def test_marginal_says_why_it_does_not_apply(parameters, reason):
    estimator = make(DenoisingAutoencoder, expectation="marginal", **parameters)
    with pytest.raises(ValueError, match=rf"expectation='marginal' does not apply: .*{reason}.*expectation='auto'"):
        estimator.fit(X)
    assert not hasattr(estimator, "coefs_")


@pytest.mark.parametrize(("parameters", "reason"), NOT_MARGINAL.values(), ids=NOT_MARGINAL)
def test_auto_is_fresh_where_marginal_does_not_apply(parameters, reason):
    automatic, named = (fitted(expectation=name, max_iter=2, **parameters) for name in ("auto", "fresh"))
    assert_same_model(automatic, named)
    assert automatic.loss_curve_ == named.loss_curve_


@pytest.mark.parametrize(
    "parameters",
    [
        *({"corruption": name} for name in CORRUPTIONS),
        {"activation": "tanh"},
        {"activation": "softplus"},
        {"activation": "identity"},
        {"tied_weights": True},
        {"solver": "lbfgs"},
        {"penalties": (WeightDecay(0.01),)},
    ],
    ids=str,
)
def test_auto_is_marginal_where_it_applies(parameters):
    automatic, named, fresh = (
        fitted(expectation=name, max_iter=2, **parameters) for name in ("auto", "marginal", "fresh")
    )
    assert_same_model(automatic, named)
    assert automatic.loss_curve_ == named.loss_curve_ != fresh.loss_curve_


@pytest.mark.parametrize(
    ("parameters", "solver"),
    [
        ({}, "varpro"),
        ({"tied_weights": True}, "lbfgs"),
        ({"expectation": "fresh"}, "varpro"),
        ({"expectation": "fresh", "tied_weights": True}, "kfac"),
        ({"loss": "cross_entropy"}, "kfac"),
        ({"hidden_layer_sizes": (4,)}, "varpro"),
        ({"corruption": EMPHATIC[0]}, "kfac"),
        ({"corruption": Blur((2, N_FEATURES // 2)), "loss": "cross_entropy"}, "lbfgs"),
    ],
    ids=str,
)
def test_solver(parameters, solver):
    assert fitted(max_iter=1, **parameters).solver_ == solver


def test_the_log_shows_what_the_corruption_adds(capsys):
    fitted(verbose=1)
    assert "corruption" in capsys.readouterr().out
    fitted(verbose=1, expectation="fresh")
    assert "corruption" not in capsys.readouterr().out


# The marginal expectation.


def moments_by_hand(corruption, X, weights):
    """Means and variances of the corrupted entries."""
    mean = np.average(X, axis=0, weights=weights)
    if isinstance(corruption, Gaussian):
        return X, np.full_like(X, corruption.level**2)
    low, high = X.min(axis=0), X.max(axis=0)
    values, variance = {
        Masking: lambda: (mean if corruption.fill == "auto" else corruption.fill, 0),
        SaltAndPepper: lambda: ((low + high) / 2, (high - low) ** 2 / 4),
        Swap: lambda: (mean, np.average((X - mean) ** 2, axis=0, weights=weights)),
    }[type(corruption)]()
    share = corruption.level
    return (1 - share) * X + share * values, share * (1 - share) * (X - values) ** 2 + share * variance


SLOPES = {
    "identity": (np.ones_like, np.zeros_like),
    "tanh": (lambda a: 1 / np.cosh(a) ** 2, lambda a: -2 * np.tanh(a) / np.cosh(a) ** 2),
    "logistic": (
        lambda a: np.exp(-a) / (1 + np.exp(-a)) ** 2,
        lambda a: np.exp(-a) * (np.exp(-a) - 1) / (1 + np.exp(-a)) ** 3,
    ),
}


def marginal_by_hand(estimator, corruption, X, weights):
    """The documented formula, for rows that are too few for more than one group."""
    (W, V), (b, c) = estimator.coefs_, estimator.intercepts_
    means, variances = moments_by_hand(corruption, X, weights)
    a, spread = means @ W + b, np.sqrt(3 * variances @ W**2)

    def expectation(f):
        return 2 / 3 * f(a) + (f(a + spread) + f(a - spread)) / 6

    h, s, t = map(expectation, (FUNCTIONS[estimator.activation], *SLOPES[estimator.activation]))
    shares = weights / weights.sum()
    K = W.T @ np.diag(shares @ variances) @ W
    M = (s.T * shares) @ s * K + (t.T * shares) @ t * K * K / 2
    losses = ((h @ V + c - X) ** 2).sum(axis=1) / 2
    decay = sum(alpha / 2 * np.sum(part**2) for alpha, part in zip(estimator.alpha_, estimator.coefs_, strict=False))
    return shares @ losses + np.trace(V.T @ M @ V) / 2 + decay


@each_corruption
@pytest.mark.parametrize(("solver", "tied"), [("varpro", False), ("lbfgs", False), ("lbfgs", True)])
@pytest.mark.parametrize("activation", SLOPES)
def test_marginal_loss_is_the_formula(corruption, solver, tied, activation):
    estimator = fitted(
        X, WEIGHTS, corruption=corruption, solver=solver, tied_weights=tied, activation=activation, max_iter=5
    )
    kept = WEIGHTS > 0
    assert_allclose(estimator.loss_, marginal_by_hand(estimator, corruption, X[kept], WEIGHTS[kept]), rtol=1e-9)


def mean_losses(estimator, corruption, n_draws, X=X):
    """The mean reconstruction loss of each of many draws."""
    rows = np.tile(X, (n_draws, 1))
    inputs = corruption.corrupt(rows, np.random.default_rng(5))
    return ERRORS[estimator.loss](rows, by_hand(estimator, inputs)[1]).sum(axis=1).reshape(n_draws, -1).mean(axis=1)


@each_corruption
@pytest.mark.parametrize(("activation", "share"), [("identity", 0), ("logistic", 0.2), ("tanh", 0.2)])
def test_marginal_loss_is_the_mean_over_draws(corruption, activation, share):
    """Exactly for the identity; otherwise but for a share of what the corruption adds."""
    estimator = fitted(corruption=corruption, activation=activation, alpha=0)
    draws = mean_losses(estimator, corruption, 2000)
    added = draws.mean() - ERRORS["squared_error"](X, estimator.reconstruct(X)).sum(axis=1).mean()
    assert added > 0
    assert abs(estimator.loss_ - draws.mean()) < 4 * draws.std() / np.sqrt(len(draws)) + share * added


@each_corruption
def test_groups_of_rows_are_of_use(corruption):
    """Rows of very different variance, where one covariance of all of them would not do."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((400, 8)) * np.repeat([0.1, 3.0], 200)[:, None]
    estimator = fitted(rows, corruption=corruption, activation="tanh", alpha=0)
    draws = mean_losses(estimator, corruption, 200, rows)
    clean = ERRORS["squared_error"](rows, estimator.reconstruct(rows)).sum(axis=1).mean()
    assert_allclose(estimator.loss_ - clean, draws.mean() - clean, rtol=0.15)


# Fresh draws.


@pytest.fixture
def many_draws(monkeypatch):
    monkeypatch.setattr("skae._objective.noise._MIN_DRAWN_ROWS", 6000)
    monkeypatch.setattr("skae._solvers.stochastic._DRAWN_ROWS", 6000)


@pytest.mark.usefixtures("many_draws")
@each_corruption
@pytest.mark.parametrize("solver", ["varpro", "lbfgs", "kfac"])
def test_fresh_loss_is_the_mean_over_draws(corruption, solver):
    """Other draws than those of the fit, which few parameters hardly fit."""
    estimator = fitted(corruption=corruption, expectation="fresh", solver=solver, alpha=0, max_iter=10)
    assert estimator.solver_ == solver
    assert_allclose(estimator.loss_, mean_losses(estimator, corruption, 500).mean(), rtol=0.03)


@pytest.mark.usefixtures("many_draws")
@each_corruption
def test_both_expectations_have_about_the_same_minimum(corruption):
    """Zeros far from the mean are the noise that differs most from row to row."""
    marginal, fresh = (fitted(corruption=corruption, expectation=name, max_iter=30) for name in ("marginal", "fresh"))
    losses = [mean_losses(estimator, corruption, 500).mean() for estimator in (marginal, fresh)]
    assert_allclose(*losses, rtol=0.2 if corruption == Masking(0.3, fill=0.0) else 0.06)


class Recorded:
    """A corruption that remembers the blocks it was given, and their draws."""

    def __init__(self):
        self.blocks = {}

    def __call__(self, X, rng):
        draw = X + 0.1 * rng.standard_normal(X.shape)
        self.blocks[joblib.hash((X, draw))] = X, draw
        return draw


@pytest.mark.usefixtures("only_fixed_draws")
@pytest.mark.parametrize("solver", ["varpro", "lbfgs", "kfac"])
def test_callables_get_blocks_of_rows(solver):
    noise = Recorded()
    fitted(corruption=noise, solver=solver, max_iter=3)
    given = np.concatenate([rows for rows, _ in noise.blocks.values()])
    assert_array_equal(np.unique(given, axis=0), np.unique(X, axis=0))
    fixed = [draw for rows, draw in noise.blocks.values() if len(rows) <= len(X) / 2]
    assert sum(map(len, fixed)) == 600
    assert len(np.unique(np.concatenate(fixed), axis=0)) == 600
    assert (len(noise.blocks) > len(fixed)) == (solver == "kfac")


@pytest.mark.parametrize("solver", ["varpro", "lbfgs", "kfac"])
@pytest.mark.parametrize("corruption", [Swap(0.3), EMPHATIC[0]], ids=repr)
def test_threads_leave_the_draws(solver, corruption, monkeypatch):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    if corruption in EMPHATIC and solver == "varpro":
        solver = "lbfgs"
    results = []
    for n_threads in (1, 3):
        with threadpool_limits(n_threads, user_api="blas"):
            results.append(fitted(corruption=corruption, solver=solver, expectation="fresh", max_iter=2))
    assert_allclose(results[1].loss_curve_, results[0].loss_curve_, rtol=1e-8)


@each_corruption
def test_threads_leave_the_marginal_expectation(corruption, monkeypatch):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    rows = np.random.default_rng(0).standard_normal((300, 6))
    results = []
    for n_threads in (1, 3):
        with threadpool_limits(n_threads, user_api="blas"):
            results.append(fitted(rows, corruption=corruption, expectation="marginal", max_iter=5))
    assert_allclose(results[1].loss_curve_, results[0].loss_curve_, rtol=1e-8)


def test_rows_whose_noise_has_the_same_variances():
    signs = np.sign(np.random.default_rng(0).standard_normal((300, 10)))
    masking = Masking(0.25, fill=0.0)
    estimator = fitted(signs, corruption=masking)
    assert_allclose(estimator.loss_, marginal_by_hand(estimator, masking, signs, np.ones(300)), rtol=1e-9)


# No corruption, and weights.


@pytest.mark.parametrize("loss", ERRORS)
@pytest.mark.parametrize("expectation", ["fresh", "marginal"])
@pytest.mark.parametrize("name", CORRUPTIONS)
def test_level_zero_is_the_plain_autoencoder(name, expectation, loss):
    corruption = {"corruption": name, "corruption_level": 0.0, "expectation": expectation}
    plain = make(AutoencoderTransformer, loss=loss, max_iter=5).fit(X)
    assert_same_model(fitted(loss=loss, max_iter=5, **corruption), plain)


@pytest.mark.parametrize("corruption", [*NAMED, *EMPHATIC], ids=repr)
@pytest.mark.parametrize("expectation", ["auto", "fresh"])
def test_integer_weights_are_repetitions(corruption, expectation):
    weighted = fitted(X, WEIGHTS, corruption=corruption, expectation=expectation, max_iter=3)
    repeated = fitted(np.repeat(X, WEIGHTS.astype(int), axis=0), None, **weighted.get_params() | {"warm_start": False})
    assert_same_model(weighted, repeated)
    other = fitted(X, corruption=corruption, expectation=expectation, max_iter=3)
    assert weighted.loss_curve_ != other.loss_curve_


# Emphasis.


@pytest.mark.parametrize("corruption", EMPHATIC, ids=repr)
def test_emphasis_needs_a_solver_over_all_layers(corruption):
    with pytest.raises(ValueError, match=r"solver='varpro' does not apply: .*emphasis.*different weights"):
        fitted(corruption=corruption, solver="varpro")
    for solver in ("kfac", "lbfgs"):
        assert fitted(corruption=corruption, solver=solver, max_iter=2).solver_ == solver


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper, Swap])
@pytest.mark.parametrize("solver", ["auto", "kfac"])
def test_equal_emphasis_is_none(kind, solver):
    expectation = "fresh" if solver == "kfac" else "auto"
    plain, *others = (
        fitted(corruption=kind(0.3, emphasis=pair), solver=solver, expectation=expectation, max_iter=2)
        for pair in ((1, 1), (3.0, 3.0), [0.5, 0.5])
    )
    assert_same_model(plain, fitted(corruption=kind(0.3), solver=solver, expectation=expectation, max_iter=2))
    for other in others:
        assert_same_model(plain, other)


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper, Swap])
def test_emphasis_where_all_entries_are_corrupted_changes_nothing(kind):
    plain, emphatic = (
        fitted(corruption=kind(1.0, emphasis=pair), solver="lbfgs", expectation="fresh", max_iter=3)
        for pair in ((1, 1), (4, 0))
    )
    assert_allclose(emphatic.loss_curve_, plain.loss_curve_, rtol=1e-10)


@pytest.mark.parametrize("solver", ["kfac", "lbfgs"])
def test_emphasis_chooses_the_entries_that_are_reconstructed(solver):
    masking, rng = Masking(0.3, fill=-1.0), np.random.default_rng(5)
    rows = np.tile(X, (100, 1))
    inputs = masking.corrupt(rows, rng)

    def errors(emphasis):
        corruption = Masking(0.3, fill=-1.0, emphasis=emphasis)
        estimator = fitted(corruption=corruption, solver=solver)
        errors = ERRORS["squared_error"](rows, estimator.reconstruct(inputs))
        return errors[inputs == -1].mean(), errors[inputs != -1].mean()

    (corrupted, clean), (others_corrupted, others_clean) = errors((1, 0)), errors((0, 1))
    assert corrupted < 0.9 * others_corrupted
    assert others_clean < 0.9 * clean


class OfSomeColumns(Corruption):
    """Masks the first columns alone, where it puts all weight; remembers its draws."""

    def __init__(self, n_columns):
        self.n_columns, self.blocks = n_columns, {}

    def corrupt(self, X, rng):
        draw = X.copy()
        draw[:, : self.n_columns][rng.random((len(X), self.n_columns)) < 0.3] = 0
        self.blocks[joblib.hash((X, draw))] = X, draw
        return draw

    def entry_weights(self, shape, dtype, rng):
        weights = np.zeros(shape, dtype)
        weights[:, : self.n_columns] = shape[1] / self.n_columns
        return weights


@pytest.mark.usefixtures("only_fixed_draws")
@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy", "poisson"])
def test_entries_without_weight_have_no_loss(loss):
    corruption = OfSomeColumns(3)
    estimator = fitted(corruption=corruption, loss=loss, solver="lbfgs", alpha=1e-3)
    targets, inputs = map(np.concatenate, zip(*corruption.blocks.values(), strict=True))
    assert len(inputs) == 600
    losses = ERRORS[loss](targets, by_hand(estimator, inputs)[1])[:, :3].sum(axis=1) * N_FEATURES / 3
    decay = sum(alpha / 2 * np.sum(W**2) for alpha, W in zip(estimator.alpha_, estimator.coefs_, strict=False))
    assert_allclose(estimator.loss_, losses.mean() + decay, rtol=1e-7)


class Remembering(Masking):
    """Prepares itself, and knows with what."""

    def prepare(self, X, weights):
        given.append((X.shape, type(weights), len(weights)))
        return super().prepare(X, weights)


given = []


def test_a_class_of_ones_own_prepares_itself(digits):
    given.clear()
    DenoisingAutoencoder(3, corruption=Remembering(0.2), max_iter=2, random_state=0).fit(digits[:100])
    assert given == [((100, 64), np.ndarray, 100)]


def test_reconstructions_of_columns_without_weight_are_left_to_the_decay():
    estimator = fitted(corruption=OfSomeColumns(3), solver="lbfgs", alpha=1e-2, max_iter=500, tol=1e-9)
    decoder = np.abs(estimator.coefs_[1])
    assert decoder[:, 3:].max() < 0.01 * decoder[:, :3].max()


@pytest.mark.parametrize("kind", [Masking, SaltAndPepper, Swap])
@pytest.mark.parametrize(
    "emphasis", [1, "ab", (1,), (1, 1, 1), (-1, 1), (1, np.inf), (np.nan, 1), (True, 1), ("1", 1), None]
)
def test_bad_emphasis(kind, emphasis):
    with pytest.raises(ValueError, match=rf"{kind.__name__}: emphasis must be \(corrupted, clean\), two floats"):
        kind(0.3, emphasis=emphasis)


@pytest.mark.parametrize(("level", "emphasis"), [(0.0, (1, 0)), (1.0, (0, 1)), (0.3, (0, 0))])
def test_emphasis_that_leaves_no_weight(level, emphasis):
    with pytest.raises(ValueError, match="gives every entry a weight of 0"):
        Masking(level, emphasis=emphasis)
