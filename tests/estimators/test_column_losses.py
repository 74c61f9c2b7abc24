"""Estimators on a table of numbers, flags, counts and categories: output, balance, solvers, what must not matter."""

import numpy as np
import pandas as pd
import pytest
from configurations import AUTOENCODERS
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import rel_entr, xlogy
from scipy.stats import gmean
from sklearn.base import clone
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder
from skae.activations import ACTIVATIONS
from skae.corruption import Masking
from skae.losses import ColumnLosses, SquaredError
from skae.metrics import neg_reconstruction_error

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N = 80
NUMBERS, FLAG, VISITS = ["height", "weight"], ["smoker"], ["visits"]
JOB = ["job_cook", "job_smith", "job_tailor"]
LOSSES = [("squared_error", NUMBERS), ("cross_entropy", FLAG), ("poisson", VISITS), ("categorical", JOB)]
WEIGHTS = np.tile([1.0, 2.0, 0.0, 3.0], N // 4)
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
settings = pytest.mark.parametrize(
    "settings",
    [{}, {"hidden_layer_sizes": (6,)}, {"tied_weights": True, "activation": "tanh"}, {"loss": ColumnLosses(LOSSES)}],
    ids=["default", "deep", "tied", "declared"],
)


def make_table(n_rows=N):
    rng = np.random.default_rng(0)
    factors = rng.standard_normal((n_rows, 2))
    table = pd.DataFrame(factors + 0.2 * rng.standard_normal((n_rows, 2)), columns=NUMBERS)
    table["smoker"] = factors[:, 0] + 0.5 * rng.standard_normal(n_rows) > 0
    table["visits"] = rng.poisson(np.exp(1.5 + 0.7 * factors[:, 1]))
    jobs = np.argmax(factors @ [[2, 0, -2], [0, 2, 0]] + 0.3 * rng.standard_normal((n_rows, 3)), axis=1)
    table[JOB] = np.eye(3)[jobs]
    table.loc[3, JOB] = 0  # a job that the encoder does not know
    return table


TABLE = make_table()
ROWS = TABLE.to_numpy(dtype=float)
PLACES = {name: place for place, name in enumerate(TABLE)}


def make(Autoencoder=AutoencoderTransformer, **parameters):
    return Autoencoder(**{"n_components": 3, "max_iter": 15, "random_state": 0, "loss": "auto", "tol": 0, **parameters})


def by_index(losses):
    """The same losses for an array."""
    return ColumnLosses([(loss, [PLACES[name] for name in names], *weight) for loss, names, *weight in losses])


def errors_by_hand(estimator):
    factors = [weight for _, _, weight in estimator.losses_.losses]
    x, r = ROWS.T, estimator.reconstruct(TABLE).T
    numbers = factors[0] * 0.5 * (r[:2] - x[:2]) ** 2
    flag = -factors[1] * (xlogy(x[2], r[2]) + xlogy(1 - x[2], 1 - r[2]))
    visits = factors[2] * (r[3] - x[3] * np.log(r[3]))
    return np.vstack([numbers, flag, visits, -factors[3] * xlogy(x[4:], r[4:])]).T


def gains_by_hand(weights=None):
    mean = np.average(ROWS, axis=0, weights=weights)
    of_entries = 0.5 * (ROWS - mean) ** 2
    of_entries[:, 2] = (rel_entr(ROWS, mean) + rel_entr(1 - ROWS, 1 - mean))[:, 2]
    of_entries[:, 3] = (xlogy(ROWS, ROWS / mean) - ROWS + mean)[:, 3]
    of_entries[:, 4:] = rel_entr(ROWS[:, 4:], ROWS[:, 4:].sum(axis=1, keepdims=True) * mean[4:] / mean[4:].sum())
    of_columns = np.average(of_entries, axis=0, weights=weights)
    return [of_columns[:2].sum(), of_columns[2], of_columns[3], of_columns[4:].sum()]


@each
@settings
def test_output(Autoencoder, settings):
    estimator = make(Autoencoder, **settings).fit(TABLE)
    reconstruction = estimator.reconstruct(TABLE)
    assert_allclose(reconstruction, estimator.inverse_transform(estimator.transform(TABLE)), rtol=1e-12)
    assert_allclose(reconstruction[:, 4:].sum(axis=1), 1, rtol=1e-12)
    assert np.all((reconstruction[:, 2] > 0) & (reconstruction[:, 2] < 1))
    assert np.all(reconstruction[:, 3] > 0)


@each
@settings
def test_errors_are_those_of_the_formulas(Autoencoder, settings):
    estimator = make(Autoencoder, **settings).fit(TABLE)
    assert_allclose(estimator.feature_errors(TABLE), errors_by_hand(estimator), rtol=1e-8, atol=1e-10)
    assert_allclose(estimator.score_samples(TABLE), -errors_by_hand(estimator).sum(axis=1), rtol=1e-8)


@each
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_each_part_is_balanced_by_its_gain(Autoencoder, weights):
    estimator = make(Autoencoder, max_iter=1).fit(TABLE, sample_weight=weights)
    expected = [
        (loss, tuple(names), pytest.approx(n_variables / gain))
        for (loss, names), n_variables, gain in zip(LOSSES, [2, 1, 1, 1], gains_by_hand(weights), strict=True)
    ]
    assert sorted(estimator.losses_.losses) == sorted(expected)


@each
def test_what_was_chosen_can_be_passed_back(Autoencoder):
    estimator = make(Autoencoder).fit(TABLE)
    for loss, X in ((estimator.losses_, TABLE), (by_index(estimator.losses_.losses), ROWS)):
        again = make(Autoencoder, loss=loss).fit(X)
        assert_array_equal(again.coefs_[0], estimator.coefs_[0])
        assert again.loss_ == estimator.loss_


@each
def test_sparse_rows_are_as_dense_ones(Autoencoder):
    masking = {"corruption": Masking(0.25, fill=0)} if Autoencoder is DenoisingAutoencoder else {}
    losses = {"loss": by_index([(*entry, 1.0) for entry in LOSSES]), "max_iter": 3, **masking}
    dense, sparse = (make(Autoencoder, **losses).fit(X) for X in (ROWS, csr_array(ROWS)))
    assert_allclose(sparse.feature_errors(csr_array(ROWS)), dense.feature_errors(ROWS), rtol=1e-6, atol=1e-9)


@each
def test_integer_weights_repeat_rows(Autoencoder):
    counts = np.arange(N) % 3
    weighted = make(Autoencoder, max_iter=3).fit(TABLE, sample_weight=counts)
    repeated = make(Autoencoder, max_iter=3).fit(TABLE.loc[np.repeat(TABLE.index, counts)])
    assert_allclose(weighted.loss_, repeated.loss_, rtol=1e-9)
    assert_allclose(weighted.coefs_[0], repeated.coefs_[0], rtol=1e-6, atol=1e-9)


def test_float32():
    losses = {"loss": by_index(LOSSES), "max_iter": 3}
    single, double = (make(**losses).fit(ROWS.astype(kind)) for kind in (np.float32, np.float64))
    errors = single.feature_errors(ROWS.astype(np.float32))
    assert errors.dtype == np.float32
    assert_allclose(errors, double.feature_errors(ROWS), rtol=0.01, atol=0.01)


@each
@pytest.mark.parametrize("method", ["fit", "score", "score_samples", "feature_errors"])
def test_the_column_outside_its_domain_is_named(Autoencoder, method):
    estimator = make(Autoencoder, loss=ColumnLosses(LOSSES), max_iter=1).fit(TABLE)
    for column, value in (("smoker", 2), ("visits", -1), ("job_smith", 0.5)):
        with pytest.raises(ValueError, match=f"needs values.*column.*'{column}'"):
            getattr(estimator, method)(TABLE.assign(**{column: float(value)}))


def test_the_objective_falls_below_that_of_constants():
    """Which is the sum of the parts: every variable has the gain 1."""
    estimator = make(max_iter=200, tol=1e-3, alpha=0.0).fit(TABLE)
    factors = np.array([weight for _, _, weight in estimator.losses_.losses])
    perfect = factors[2] * np.sum(ROWS[:, 3] - xlogy(ROWS[:, 3], ROWS[:, 3])) / N
    assert estimator.loss_ - perfect < 0.2 * 5
    assert_allclose(estimator.loss_, errors_by_hand(estimator).sum() / N, rtol=1e-9)


def test_early_stopping():
    estimator = make(early_stopping=True, max_iter=30, tol=1e-3).fit(TABLE)
    assert estimator.best_validation_loss_ == min(estimator.validation_loss_curve_)


def test_a_warm_start_goes_on_with_other_rows():
    """Their balance differs a little, the architecture does not."""
    estimator = make(warm_start=True).fit(TABLE)
    before, coefs = estimator.losses_, estimator.coefs_[0].copy()
    estimator.set_params(max_iter=1).fit(TABLE[: N // 2])
    assert estimator.losses_ != before
    assert np.abs(estimator.coefs_[0] - coefs).max() < 0.5 * np.abs(coefs).max()
    with pytest.raises(ValueError, match="goes on with the architecture of the previous fit"):
        estimator.set_params(loss=ColumnLosses([("squared_error", list(TABLE))])).fit(TABLE)


@pytest.mark.parametrize("solver", ["svd", "varpro", "lbfgs"])
def test_squared_error_of_every_column_is_squared_error(solver):
    parameters = {"activation": "identity", "solver": solver, "alpha": 0.05, "max_iter": 2000, "max_fun": 5000}
    parts = ColumnLosses([("squared_error", [0, 2, 4]), ("squared_error", [1, 3, 5, 6])], balance=False)
    by_column, plain = (make(loss=loss, **parameters).fit(ROWS) for loss in (parts, "squared_error"))
    assert_allclose(by_column.loss_, plain.loss_, rtol=1e-6)
    assert_allclose(by_column.reconstruct(ROWS), plain.reconstruct(ROWS), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("solver", ["varpro", "lbfgs"])
def test_a_weight_of_all_columns_is_a_lower_alpha(solver):
    """w l + w a ||W||^2 / 2 is w times l + a ||W||^2 / 2."""
    exact = {"solver": solver, "max_iter": 300, "tol": 1e-7, "max_fun": 3000}
    weighted = make(loss=ColumnLosses([("squared_error", list(TABLE), 4.0)]), alpha=0.4, **exact).fit(TABLE)
    plain = make(loss="squared_error", alpha=0.1, **exact).fit(TABLE)
    assert_allclose(weighted.loss_, 4 * plain.loss_, rtol=1e-3)


@pytest.mark.parametrize("parameters", [{}, {"hidden_layer_sizes": (5,)}])
def test_projected_and_joint_searches_agree_on_columns_with_weights(parameters):
    loss = ColumnLosses([("squared_error", NUMBERS, 5.0), ("squared_error", [*FLAG, *VISITS, *JOB], 0.5)])
    exact = {"max_iter": 2000, "tol": 1e-8, "max_fun": 10000, "alpha": 0.05, "activation": "tanh", **parameters}
    projected, joint = (make(loss=loss, solver=solver, **exact).fit(TABLE) for solver in ("varpro", "lbfgs"))
    assert make(loss=loss, max_iter=1).fit(TABLE).solver_ == "varpro"
    assert_allclose(projected.loss_, joint.loss_, rtol=1e-2)


STOCHASTIC = {
    "default": (AutoencoderTransformer, {}),
    "tied": (AutoencoderTransformer, {"tied_weights": True, "activation": "tanh"}),
    "deep": (AutoencoderTransformer, {"hidden_layer_sizes": (6,), "activation": "tanh"}),
    "declared": (AutoencoderTransformer, {"loss": ColumnLosses(LOSSES)}),
    "drawn": (DenoisingAutoencoder, {}),
    "drawn, tied": (DenoisingAutoencoder, {"tied_weights": True}),
    "drawn, emphasis": (DenoisingAutoencoder, {"corruption": Masking(0.25, emphasis=(2, 1))}),
    "categorical": (AutoencoderTransformer, {"loss": "categorical"}),
    "categorical, deep": (AutoencoderTransformer, {"loss": "categorical", "hidden_layer_sizes": (4,)}),
}


def losses_of(name, X, solvers=("kfac", "lbfgs"), **parameters):
    """The objectives at the ends of fits."""
    Autoencoder, settings = STOCHASTIC[name]
    settings = {"max_iter": 300, "tol": 1e-4, "max_fun": 3000, **settings, **parameters}
    return [make(Autoencoder, solver=solver, **settings).fit(X).loss_ for solver in solvers]


@pytest.mark.parametrize("name", STOCHASTIC)
def test_minibatches_end_as_low_as_all_rows(name):
    X = TABLE.drop(index=3)
    if name.startswith("categorical"):
        X = X[JOB] * 0.8 + 0.2 * np.random.default_rng(0).dirichlet(np.ones(3), len(X))
    stochastic, exact = losses_of(name, X)
    assert stochastic < exact + 0.02 * (1 if name.startswith("categorical") else 5)


@pytest.mark.parametrize("name", ["deep", "drawn"])
def test_minibatches_are_chosen_where_they_pay(name):
    Autoencoder, settings = STOCHASTIC[name]
    estimator = make(Autoencoder, **settings).fit(make_table(600))
    assert estimator.solver_ == "kfac"
    assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]


@pytest.mark.parametrize("name", ["default", "tied", "drawn"])
def test_minibatches_of_float32(name):
    parameters = {"loss": by_index(LOSSES), "solvers": ["kfac"], "max_iter": 20}
    single, double = (losses_of(name, ROWS.astype(dtype), **parameters) for dtype in (np.float32, np.float64))
    assert_allclose(single, double, atol=0.02 * 5)  # of the gains of all variables


def test_no_column_drowns_the_others():
    """Two units: for two wide numbers, or for one of them and a flag that comes twice."""
    rng = np.random.default_rng(1)
    flag = rng.integers(0, 2, 200)
    X = np.column_stack([20 * rng.standard_normal((200, 2)), flag, flag])
    entries = [("squared_error", [0, 1]), ("cross_entropy", [2, 3])]
    balanced, raw = (
        make(n_components=2, max_iter=300, tol=1e-3, alpha=0.0, loss=ColumnLosses(entries, balance=balance)).fit(X)
        for balance in (True, False)
    )
    wrong = [np.mean(np.round(model.reconstruct(X)[:, 2]) != flag) for model in (balanced, raw)]
    assert wrong[0] == 0
    assert wrong[1] > 0.2


def test_strengths_have_the_unit_of_the_columns():
    """The last layer's unit is the geometric mean: 0.03 of the counts, the numbers' own spread, 1 of all others."""
    estimator = make(max_iter=1).fit(TABLE)
    spread = np.sqrt(ROWS[:, :2].var(axis=0).mean())
    raw_unit, g = gmean([spread, spread, 1, 0.03, 1, 1, 1]), 2 * 5 / 7  # the parts have the gains 2, 1, 1 and 1
    unit_of_inputs = np.sqrt(ROWS.var(axis=0).mean())
    assert_allclose(estimator.alpha_, 5e-3 * g * np.array([unit_of_inputs / 0.15, 0.15 / raw_unit]) ** 2, rtol=1e-9)


def test_a_part_of_constants_has_the_weight_1():
    """The mean of three times 0.1 is not 0.1 in float64, but that is rounding, not a gain."""
    X = np.column_stack([np.full(3, 0.1), np.full(3, 0.1), [0.0, 1.0, 3.0]])
    assert X[:, 0].mean() != 0.1
    loss = ColumnLosses([("squared_error", 0), ("poisson", 1), ("squared_error", 2)])
    weights = [weight for _, _, weight in make(loss=loss, n_components=1, max_iter=2).fit(X).losses_.losses]
    assert weights == [1, 1, pytest.approx(2 / np.var([0, 1, 3]))]


def test_weights_are_tied_where_no_column_has_squared_error():
    """Then X has its unit; a tied matrix counts once."""
    mixed, counts = (make(ContractiveAutoencoder, max_iter=1).fit(table) for table in (TABLE, TABLE[[*FLAG, *VISITS]]))
    assert len(mixed.alpha_) == 2
    assert len(counts.alpha_) == 1


def test_only_columns_of_squared_error_can_be_scaled():
    with pytest.warns(UserWarning, match="Scale the columns of squared error with StandardScaler"):
        make(alpha=3.0, max_iter=500, tol=1e-3).fit(TABLE.assign(height=100 * TABLE["height"]))


def test_one_loss_is_its_object():
    assert make(loss="squared_error", max_iter=2, tol=1).fit(TABLE).losses_ == SquaredError()


def test_a_link_that_does_not_reach_its_column_is_named():
    rng = np.random.default_rng(0)
    X = np.column_stack([100 + 20 * rng.standard_normal(60), rng.standard_normal((60, 2)) - 500])
    loss = ColumnLosses([(SquaredError(ACTIVATIONS["tanh"]), [0]), ("squared_error", [1, 2])], balance=False)
    low, high = X[:, 0].min(), X[:, 0].max()
    with pytest.warns(UserWarning, match=f"values between -1 and 1, but X goes from {low:.3g} to {high:.3g}"):
        make(loss=loss, max_iter=100, tol=1e-3).fit(X)


def test_in_a_pipeline_and_a_grid():
    raw = TABLE[[*NUMBERS, *FLAG, *VISITS]].assign(job=np.array(["cook", "smith", "tailor"])[np.arange(N) % 3])
    columns = ColumnTransformer(
        [("scaled", StandardScaler(), NUMBERS), ("encoded", OneHotEncoder(sparse_output=False), ["job"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    losses = ColumnLosses(
        [
            ("categorical", make_column_selector("job_")),
            ("squared_error", make_column_selector("ght$")),
            ("cross_entropy", ["smoker"]),
            ("poisson", ["visits"]),
        ]
    )
    search = GridSearchCV(
        make_pipeline(columns, make(max_iter=5, tol=0.1)),
        {"autoencodertransformer__loss": ["auto", losses]},
        scoring=lambda model, X: neg_reconstruction_error(model[-1], model[:-1].transform(X)),
        cv=2,
    ).fit(raw)
    auto, declared = search.cv_results_["mean_test_score"]
    assert auto == pytest.approx(declared, rel=0.5)
    assert dict(clone(search.best_estimator_[-1]).get_params())["loss"] in ("auto", losses)
    errors = (
        search.best_estimator_[-1]
        .set_output(transform="pandas")
        .feature_errors(search.best_estimator_[0].transform(raw))
    )
    assert list(errors.columns[-5:]) == ["job_cook", "job_smith", "job_tailor", "smoker", "visits"]
