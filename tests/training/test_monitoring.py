"""Early stopping, restarts, warm starts and the log: against what is recorded of a fit, and loss formulas."""

import re
from math import ceil
from unittest import mock

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.datasets import load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

import skae._estimators.base
import skae._training.run
from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._rows.blocks import Rows
from skae._training import early_stopping
from skae._training.early_stopping import HeldOut, HeldOutDraw, Patience
from skae._training.run import Training
from skae.penalties import Contraction, KLSparsity, L1Sparsity

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
each_solver = pytest.mark.parametrize("solver", ["varpro", "lbfgs"])

X = StandardScaler().fit_transform(load_wine().data)
N_SAMPLES = len(X)
X.flags.writeable = False
WEIGHTS = np.random.default_rng(0).integers(0, 4, size=N_SAMPLES).astype(float)


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": 5, "max_iter": 60, "random_state": 0, **parameters})


def stopping_early(Autoencoder, **parameters):
    return make(Autoencoder, early_stopping=True, **parameters)


@pytest.fixture
def held_out(monkeypatch):
    """The HeldOut of every fit, in a list."""
    seen = []

    def spied(*rows):
        seen.append(HeldOut(*rows))
        return seen[-1]

    monkeypatch.setattr(skae._estimators.base, "HeldOut", spied)
    return seen


def scripted(monkeypatch, losses):
    """Let the held-out loss be what is written; return the parameters that it was asked of."""
    asked, script = [], iter(losses)

    def loss(problem, rows, weights, threads, parameters):
        asked.append(parameters)
        return next(script)

    monkeypatch.setattr(skae._training.run, "mean_loss", loss)
    return asked


# Which iterate is kept, and when it stops.


@each
@pytest.mark.parametrize("solver", ["auto", "lbfgs"])
def test_validation_chooses_the_iterate(Autoencoder, solver, monkeypatch):
    asked = scripted(monkeypatch, [9, 8, 3, 7, 4, 6, 5, 5])
    estimator = stopping_early(Autoencoder, solver=solver, n_iter_no_change=4).fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 7
    assert estimator.validation_loss_curve_ == [9, 8, 3, 7, 4, 6, 5]
    assert estimator.best_validation_loss_ == 3
    assert estimator.loss_ == estimator.loss_curve_[2]
    for fitted, chosen in zip(estimator.coefs_, asked[2].weights, strict=True):
        assert_array_equal(fitted, chosen)
    last = asked[6].weights
    assert not np.array_equal(estimator.coefs_[0], last[0])


@each
def test_it_stops_without_a_convergence_warning(Autoencoder, monkeypatch, recwarn):
    scripted(monkeypatch, range(100))
    estimator = stopping_early(Autoencoder, n_iter_no_change=3, tol=0).fit(X)
    assert estimator.n_iter_ == 4
    assert not [warning for warning in recwarn if warning.category is ConvergenceWarning]


def test_a_cap_that_is_hit_first_is_said(monkeypatch):
    scripted(monkeypatch, range(100, 0, -1))
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        stopping_early(AutoencoderTransformer, max_iter=6, tol=0).fit(X)


def iterates(losses):
    class Fake:
        def __init__(self, loss):
            self.validation_loss = loss
            self.objective, self.terms = 1.0, [1.0]

    return [Fake(loss) for loss in losses]


@pytest.mark.parametrize(
    ("losses", "stops_after", "best"),
    [
        ([5, 4, 3, 2, 1, 0], None, 5),
        ([5, 5, 5, 5], 4, 0),
        # Falls of less than the threshold are no progress, but still better iterates.
        ([5, 4.9, 4.8, 4.7], 4, 3),
        # Small falls that add up are progress.
        ([5, 4.8, 4.4, 4.2, 3.8, 3.6], None, 5),
        ([5, np.nan, 4, np.inf, 4.5, 4.2], 6, 2),
        ([3, np.nan, 4, 4], 4, 0),
        ([3, 3.5, np.nan], None, 0),
        ([np.nan, np.inf, 3, 2], None, 3),
    ],
)
def test_patience(losses, stops_after, best):
    watch = Patience(3, tol=0.5, loss_unit=1.0)
    sequence = iterates(losses)
    requests = [watch(iterate) for iterate in sequence]
    assert (requests.index(True) + 1 if True in requests else None) == stops_after
    assert watch.best is sequence[best]


def test_it_stops_where_the_loss_of_unseen_rows_rises():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(2, 10))
    data = rng.normal(size=(1060, 2)) @ plane + 0.5 * rng.normal(size=(1060, 10))
    few, new = data[:60], data[60:]
    settings = {"n_components": 2, "hidden_layer_sizes": (50,), "activation": "tanh", "alpha": 0, "max_iter": 500}
    stopped = stopping_early(AutoencoderTransformer, **settings).fit(few)
    overfitted = make(AutoencoderTransformer, **settings).fit(few)
    assert stopped.n_iter_ < overfitted.n_iter_
    assert -stopped.score_samples(new).mean() < 0.5 * -overfitted.score_samples(new).mean()


# Which rows are held out, and what their loss is.


@each
@pytest.mark.parametrize("fraction", [0.1, 0.35])
def test_rows_are_held_out_of_the_training(Autoencoder, fraction, held_out):
    estimator = stopping_early(Autoencoder, validation_fraction=fraction).fit(X)
    (rows,) = held_out
    assert len(rows.rows.X) == int(np.ceil(fraction * N_SAMPLES))
    is_held_out = (X[:, None] == rows.rows.X).all(axis=2).any(axis=1)
    assert is_held_out.sum() == len(rows.rows.X)
    assert_allclose(estimator.mean_, X[~is_held_out].mean(axis=0))


@each
@pytest.mark.parametrize("make_rows", [np.array, csr_array], ids=["dense", "sparse"])
@pytest.mark.filterwarnings("ignore:early_stopping=True kept:UserWarning")  # the sparse one's penalty comes late
def test_the_validation_loss_is_that_of_clean_rows_without_penalties(Autoencoder, make_rows, held_out):
    estimator = stopping_early(Autoencoder, alpha=0.1).fit(make_rows(X), sample_weight=WEIGHTS)
    (rows,) = held_out
    expected = -np.average(estimator.score_samples(rows.rows.X), weights=rows.weights[:])
    assert estimator.best_validation_loss_ == min(estimator.validation_loss_curve_)
    assert estimator.best_validation_loss_ == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("loss", ["cross_entropy", "poisson"])
def test_the_validation_loss_is_the_models_own(loss, held_out):
    rows = np.random.default_rng(0).uniform(size=(50, 6)).astype(np.float32)
    estimator = stopping_early(SparseAutoencoder, loss=loss, hidden_layer_sizes=(4,)).fit(rows)
    expected = -estimator.score_samples(held_out[0].rows.X).mean()
    assert estimator.best_validation_loss_ == pytest.approx(expected, rel=1e-5)


def test_rows_of_weight_zero_are_not_held_out_either(held_out):
    stopping_early(AutoencoderTransformer, validation_fraction=0.5).fit(X, sample_weight=WEIGHTS)
    (rows,) = held_out
    index = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in rows.rows.X]
    assert (WEIGHTS[index] > 0).all()
    assert_allclose(rows.weights[:] / rows.weights[0], WEIGHTS[index] / WEIGHTS[index[0]])


def test_held_out_rows_are_drawn_at_random():
    """Of 10 sorted classes of 100 rows, a tenth drawn at random has 10 each, with a standard deviation of 2.8."""
    held_out = HeldOutDraw(1000, 0.1, seed=0).mask()
    assert np.abs(held_out.reshape(10, 100).sum(axis=1) - 10).max() < 10
    assert_array_equal(held_out, HeldOutDraw(1000, 0.1, seed=0).mask())
    assert not np.array_equal(held_out, HeldOutDraw(1000, 0.1, seed=1).mask())


@pytest.mark.parametrize(("n_samples", "fraction", "expected"), [(20, 0.3, 6), (178, 0.1, 18), (2, 0.01, 1)])
def test_the_share_held_out_is_rounded_up(n_samples, fraction, expected):
    assert HeldOutDraw(n_samples, fraction, 0).mask().sum() == expected


@pytest.mark.parametrize("n_samples", [1, 9, 10, 11, 57])
@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.98])
def test_rows_are_held_out_of_neighbours_in_the_same_share(n_samples, fraction, monkeypatch):
    monkeypatch.setattr(early_stopping, "_CHUNK_ROWS", 10)
    if ceil(fraction * n_samples) == n_samples:
        with pytest.raises(ValueError, match="holds out all"):
            HeldOutDraw(n_samples, fraction, 0)
        return
    draw = HeldOutDraw(n_samples, fraction, 0)
    mask = draw.mask()
    for stop in [*range(10, n_samples, 10), n_samples]:
        assert mask[:stop].sum() == ceil(fraction * stop)
    stretches = [(first, min(7, n_samples - first)) for first in range(0, n_samples, 7)]
    assert_array_equal(np.concatenate([*draw.masks(stretches)]), mask)
    for first, count in stretches:  # as a worker does, which has some of them
        assert_array_equal(next(draw.masks([(first, count)])), mask[first : first + count])


@each
def test_what_is_held_out_changes_no_other_draw(Autoencoder, monkeypatch):
    monkeypatch.setattr(HeldOutDraw, "mask", lambda self: np.arange(self.n_samples) >= self.n_samples - 10)
    watching = stopping_early(Autoencoder, max_iter=1).fit(X)
    others = X[np.lexsort(X.T[::-1])[:-10]]  # held-out rows are drawn among the sorted ones
    assert_array_equal(watching.coefs_[0], make(Autoencoder, max_iter=1).fit(others).coefs_[0])


@each
def test_without_early_stopping_there_is_no_validation_loss(Autoencoder):
    estimator = stopping_early(Autoencoder).fit(X)
    estimator.set_params(early_stopping=False).fit(X)
    assert estimator.validation_loss_curve_ is None
    assert estimator.best_validation_loss_ is None


@pytest.mark.parametrize(("n_samples", "fraction"), [(1, 0.1), (5, 0.9)])
def test_too_few_rows_to_hold_some_out(n_samples, fraction):
    with pytest.raises(ValueError, match=rf"validation_fraction={fraction} holds out all of n_samples={n_samples} "):
        stopping_early(AutoencoderTransformer, validation_fraction=fraction).fit(X[:n_samples])


def test_a_held_out_loss_that_is_not_finite_is_an_error(monkeypatch):
    scripted(monkeypatch, [np.inf, np.nan, np.inf] * 20)
    with pytest.raises(ValueError, match="held-out rows with a finite loss, but theirs was inf at every iteration"):
        stopping_early(AutoencoderTransformer).fit(X)


def test_a_held_out_outlier_is_an_error_that_names_it():
    rows = np.random.default_rng(0).uniform(size=(40, 3))
    rows[7] = 1e4  # the last one in lexicographic order
    with (
        mock.patch.object(HeldOutDraw, "mask", return_value=np.arange(40) == 39),
        pytest.raises(ValueError, match="some are far outside the range of the training rows"),
    ):
        stopping_early(AutoencoderTransformer, loss="poisson", activation="identity", alpha=0).fit(rows)


def test_penalties_that_look_like_overfitting_are_told_from_it(digits):
    settings = {"n_components": 40, "alpha": 1e-4, "penalties": (L1Sparsity(0.05),)}
    with pytest.warns(UserWarning, match=r"kept iteration \d+ of \d+, where the penalties had not taken effect"):
        stopping_early(AutoencoderTransformer, **settings).fit(digits)


def test_overfitting_is_not_taken_for_penalties(recwarn):
    rng = np.random.default_rng(0)
    few = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 10)) + 0.5 * rng.normal(size=(60, 10))
    overfitting = {"hidden_layer_sizes": (50,), "activation": "tanh", "penalties": (L1Sparsity(1e-3),)}
    stopped = stopping_early(AutoencoderTransformer, **overfitting).fit(few)
    assert np.argmin(stopped.validation_loss_curve_) < stopped.n_iter_ - 1
    assert not [warning for warning in recwarn if "penalties" in str(warning.message)]


def test_losses_that_are_negative_or_tiny_are_not_taken_for_penalties():
    rng = np.random.default_rng(0)
    counts = rng.poisson(100, size=(60, 6)).astype(float)
    plane = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 6))
    stopping_early(AutoencoderTransformer, n_components=2, loss="poisson", alpha=0).fit(counts)
    for seed in range(5):
        stopping_early(AutoencoderTransformer, n_components=2, alpha=1e-8, tol=0, random_state=seed).fit(plane)


# A solver that does not search.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"early_stopping": True}, "early_stopping=True"),
        ({"n_init": 3}, "n_init=3"),
        ({"early_stopping": True, "n_init": 2}, "early_stopping=True and n_init=2"),
    ],
)
def test_the_closed_form_refuses_what_it_cannot_honour(options, words):
    linear = make(AutoencoderTransformer, activation="identity", **options)
    with pytest.raises(ValueError, match=f"solver='svd' does not apply: it does not search, as {words} would need"):
        linear.set_params(solver="svd").fit(X)
    assert linear.set_params(solver="auto").fit(X).solver_ == "varpro"


# Restarts.


@pytest.fixture
def runs(monkeypatch):
    """The results of all runs of a fit, in a list."""
    seen, run = [], Training.run

    def spied(*arguments, **options):
        seen.append(run(*arguments, **options))
        return seen[-1]

    monkeypatch.setattr(Training, "run", spied)
    return seen


@pytest.mark.parametrize("settings", [{}, {"init": "pca"}], ids=["glorot", "pca"])
def test_restarts_share_the_statistics_of_the_rows(settings, monkeypatch):
    """No restart passes over X for means, scales or axes of its own."""
    passes, own = [], Rows.sum
    monkeypatch.setattr(Rows, "sum", lambda *arguments, **options: passes.append(1) or own(*arguments, **options))

    def passes_of(n_init):
        passes.clear()
        make(DenoisingAutoencoder, n_init=n_init, max_iter=2, **settings).fit(X)
        return len(passes)

    assert passes_of(5) == passes_of(1)


@each
@each_solver
def test_the_lowest_objective_is_kept(Autoencoder, solver, runs):
    if solver == "varpro" and Autoencoder is ContractiveAutoencoder:
        pytest.skip("its weights are tied")
    estimator = make(Autoencoder, solver=solver, n_init=4, max_iter=20).fit(X)
    objectives = [result.loss for result in runs]
    assert len(set(objectives)) == 4
    assert estimator.loss_ == min(objectives) == estimator.loss_curve_[-1]
    first = make(Autoencoder, solver=solver, max_iter=20).fit(X)
    assert first.loss_ == objectives[0]


def test_with_early_stopping_the_lowest_validation_loss_is_kept(runs):
    estimator = stopping_early(AutoencoderTransformer, n_init=4).fit(X)
    lowest = [min(result.validation_loss_curve) for result in runs]
    assert len(set(lowest)) == 4
    assert estimator.best_validation_loss_ == min(lowest)


@pytest.mark.parametrize("backend", ["loky", "threading", "multiprocessing"])
@pytest.mark.parametrize("Autoencoder", [AutoencoderTransformer, DenoisingAutoencoder])
def test_jobs_do_not_change_the_result(Autoencoder, backend):
    settings = {"n_init": 3, "max_iter": 15, "early_stopping": True}
    sequential = make(Autoencoder, **settings).fit(X)
    with joblib.parallel_config(backend=backend):
        parallel = make(Autoencoder, **settings, n_jobs=2).fit(X)
    assert_allclose(parallel.loss_curve_, sequential.loss_curve_, rtol=1e-9)
    assert_allclose(parallel.coefs_[0], sequential.coefs_[0], rtol=1e-6, atol=1e-9)
    assert_array_equal(parallel.n_evaluations_, sequential.n_evaluations_)


# Warm starts.


@each
@pytest.mark.parametrize("max_iter", [5, 2000])
def test_warm_start_goes_on_after_a_cap_and_after_convergence(Autoencoder, max_iter):
    estimator = make(Autoencoder, max_iter=max_iter, tol=1e-3, warm_start=True).fit(X)
    before = estimator.loss_
    again = estimator.set_params(max_iter=3).fit(X)
    assert again.loss_curve_[0] <= before * (1 + 1e-9)
    assert len(again.loss_curve_) <= 3


@pytest.mark.parametrize("random_state", [0, None])
def test_a_warm_start_that_stops_early_is_no_worse_than_its_start(random_state, held_out):
    rng = np.random.default_rng(0)
    few = rng.normal(size=(60, 2)) @ rng.normal(size=(2, 10)) + 0.5 * rng.normal(size=(60, 10))
    overfitting = {"hidden_layer_sizes": (50,), "activation": "tanh", "n_components": 2, "alpha": 0}
    estimator = stopping_early(AutoencoderTransformer, warm_start=True, random_state=random_state, **overfitting)
    lowest = [estimator.fit(few).best_validation_loss_ for _ in range(4)]
    assert lowest == sorted(lowest, reverse=True)
    for other in held_out[1:]:
        assert_array_equal(other.rows.X, held_out[0].rows.X)
    assert estimator.best_validation_loss_ == pytest.approx(-estimator.score_samples(held_out[0].rows.X).mean())


def test_a_warm_start_is_one_run(runs):
    estimator = make(AutoencoderTransformer, n_init=3, warm_start=True).fit(X)
    assert len(runs) == 3
    estimator.fit(X)
    assert len(runs) == 4


def test_a_warm_path_takes_fewer_iterations_than_cold_fits():
    strengths = np.geomspace(1, 1e-2, 6)
    settings = {"max_iter": 500, "tol": 1e-3}
    warm = make(SparseAutoencoder, warm_start=True, **settings)
    on_the_path = [warm.set_params(sparsity_weight=strength).fit(X).n_iter_ for strength in strengths]
    cold = [make(SparseAutoencoder, sparsity_weight=strength, **settings).fit(X).n_iter_ for strength in strengths]
    assert sum(on_the_path) < sum(cold)


# The log.

NUMBER = r"-?\d[\d.e+-]*"


def table(text):
    """Column names, and a dict a line."""
    lines = text.splitlines()
    assert len(set(map(len, lines))) == 1, "the lines are aligned"
    header, *rows = [line.split("]", 1)[1].split() for line in lines]
    return header, [dict(zip(header, row, strict=True)) for row in rows]


@each
@pytest.mark.parametrize(("verbose", "expected"), [(1, [1, 10, 20, 23]), (True, [1, 10, 20, 23]), (2, range(1, 24))])
def test_the_log_has_a_line_a_block(Autoencoder, verbose, expected, capsys):
    estimator = make(Autoencoder, verbose=verbose, max_iter=23, tol=0).fit(X)
    text = capsys.readouterr().out
    assert text.startswith(f"[{Autoencoder.__name__}] iteration ")
    _, rows = table(text)
    assert [int(row["iteration"]) for row in rows] == list(expected)
    logged = [float(row["objective"]) for row in rows]
    assert_allclose(logged, [estimator.loss_curve_[number - 1] for number in expected], rtol=1e-4)


def terms(estimator, inputs):
    """The terms of the objective by their formulas."""
    codes = estimator.transform(inputs)
    decoded = estimator.inverse_transform(codes)
    n_distinct = 1 if estimator.tied_weights else 2
    jacobians = estimator.encoder_jacobian(inputs)
    r = codes.mean(axis=0)
    return {
        "reconstruction": 0.5 * np.square(decoded - X).sum(axis=1).mean(),
        "WeightDecay": 0.5 * estimator.alpha * sum(np.square(W).sum() for W in estimator.coefs_[:n_distinct]),
        "L1Sparsity": 0.2 * np.abs(codes).sum(axis=1).mean(),
        "Contraction": 0.3 * np.square(jacobians).sum(axis=(1, 2)).mean(),
        "KLSparsity": 0.4 * np.sum(0.1 * np.log(0.1 / r) + 0.9 * np.log(0.9 / (1 - r))),
    }


@pytest.mark.parametrize(
    "settings", [{"solver": "varpro"}, {"solver": "lbfgs"}, {"tied_weights": True}], ids=["varpro", "lbfgs", "tied"]
)
def test_the_log_says_what_the_objective_is_the_sum_of(settings, capsys):
    penalties = (L1Sparsity(0.2), Contraction(0.3), KLSparsity(0.4, target=0.1))
    settings |= {"penalties": penalties, "alpha": 0.1, "scale_code": False}
    estimator = make(AutoencoderTransformer, verbose=1, **settings).fit(X)
    header, rows = table(capsys.readouterr().out)
    expected = terms(estimator, X)
    assert header == ["iteration", "objective", *expected, "fall", "validation", "seconds"]
    assert_allclose([float(rows[-1][name]) for name in expected], list(expected.values()), rtol=1e-4)
    assert float(rows[-1]["objective"]) == pytest.approx(sum(expected.values()), rel=1e-4)
    assert rows[-1]["validation"] == "-"


@pytest.mark.parametrize("tied", [False, True])
def test_the_log_of_the_closed_form(tied, capsys):
    settings = {"activation": "identity", "alpha": 0.1, "penalties": (Contraction(0.3),), "tied_weights": tied}
    estimator = make(AutoencoderTransformer, verbose=1, **settings).fit(X)
    assert estimator.solver_ == "svd"
    _, (row,) = table(capsys.readouterr().out)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = terms(estimator, X)
    for name in ("reconstruction", "WeightDecay", "Contraction"):
        assert float(row[name]) == pytest.approx(expected[name], rel=1e-4)


def test_the_log_tells_penalties_of_one_kind_apart(capsys):
    penalties = (KLSparsity(0.5), L1Sparsity(0.1), L1Sparsity(0.2), L1Sparsity(0.3))
    make(SparseAutoencoder, penalties=penalties, verbose=1).fit(X)
    header, rows = table(capsys.readouterr().out)
    assert header[4:9] == ["KLSparsity", "KLSparsity_2", "L1Sparsity", "L1Sparsity_2", "L1Sparsity_3"]
    assert float(rows[-1]["L1Sparsity_3"]) == pytest.approx(3 * float(rows[-1]["L1Sparsity"]), rel=1e-3)


@pytest.mark.parametrize("scale", [1e-40, 1e40])
def test_the_log_is_aligned_whatever_the_scale(scale, capsys):
    make(AutoencoderTransformer, verbose=1, alpha=0).fit(X * scale)
    table(capsys.readouterr().out)


def test_the_log_shows_the_validation_loss(capsys):
    estimator = stopping_early(AutoencoderTransformer, verbose=2).fit(X)
    _, rows = table(capsys.readouterr().out)
    assert_allclose([float(row["validation"]) for row in rows], estimator.validation_loss_curve_, rtol=1e-4)


def test_the_log_tells_the_starts_apart(capsys):
    make(AutoencoderTransformer, n_init=2, verbose=1, max_iter=3).fit(X)
    lines = capsys.readouterr().out.splitlines()
    for start in (1, 2):
        own = [line for line in lines if line.startswith(f"[AutoencoderTransformer, start {start} of 2] ")]
        assert re.match(rf".*\] +3  +{NUMBER}", own[-1])


@each
def test_silent_by_default(Autoencoder, capsys):
    make(Autoencoder, early_stopping=True, n_init=2).fit(X)
    assert capsys.readouterr() == ("", "")
