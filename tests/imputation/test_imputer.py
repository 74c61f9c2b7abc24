"""AutoencoderImputer as scikit-learn's users see it."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.utils.estimator_checks import parametrize_with_checks

from skae import AutoencoderTransformer
from skae.impute import AutoencoderImputer

NUMBERS = load_iris().data[::3].copy()
NUMBERS[np.random.default_rng(0).random(NUMBERS.shape) < 0.2] = np.nan


def mixed(n_samples=60, seed=0):
    """A frame of every kind of column, all of which depend on one factor."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=n_samples)
    full = pd.DataFrame(
        {
            "float": factor + 0.1 * rng.normal(size=n_samples),
            "single": np.exp(factor).astype(np.float32),
            "count": pd.array(np.rint(10 + 3 * factor), dtype="Int64"),
            "flag": pd.array(factor > 0, dtype="boolean"),
            "text": np.where(factor > 0.4, "high", np.where(factor < -0.4, "low", "middle")),
            "category": pd.Categorical(np.where(factor > 0, "up", "down"), categories=["up", "down", "never"]),
            "object": (factor < 0).astype(object),
        },
        index=np.arange(100, 100 + n_samples),
    )
    hidden = pd.DataFrame(rng.random(full.shape) < 0.2, full.index, full.columns)
    holes = full.copy()
    for name in full:
        holes.loc[hidden[name], name] = None
    return full, holes, hidden


@parametrize_with_checks([AutoencoderImputer(random_state=0)])
def test_sklearn_checks(estimator, check):
    check(estimator)


def test_its_diagram_in_notebooks_links_to_its_page():
    assert (
        "skae.readthedocs.io/en/stable/generated/skae.impute.AutoencoderImputer.html"
        in AutoencoderImputer()._repr_html_()
    )


# What is filled -------------------------------------------------------------------------------------------------------


def test_gaussian_rows_are_imputed_nearly_as_well_as_their_distribution_allows():
    """The conditional mean under the true distribution has the lowest expected squared error of all."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    covariance = root @ root.T + 0.1 * np.eye(6)
    X = rng.multivariate_normal(np.zeros(6), covariance, size=1000)
    missing = rng.random(X.shape) < 0.3
    best = X.copy()
    for row, m in zip(best, missing, strict=True):
        row[m] = covariance[np.ix_(m, ~m)] @ np.linalg.solve(covariance[np.ix_(~m, ~m)], row[~m])
    filled = AutoencoderImputer(random_state=0).fit_transform(np.where(missing, np.nan, X))
    spread = X.std(axis=0)
    error, bound = (np.mean(((guess - X) / spread)[missing] ** 2) for guess in (filled, best))
    assert error < 1.05 * bound


@pytest.mark.parametrize(
    "estimator", [None, AutoencoderTransformer(3, activation="tanh", loss="auto", alpha=0.02, random_state=0)]
)
def test_a_frame_gives_a_frame(estimator):
    full, holes, hidden = mixed()
    before = holes.copy()
    filled = AutoencoderImputer(estimator, random_state=0).fit_transform(holes)
    pd.testing.assert_frame_equal(holes, before)
    assert list(filled.columns) == list(full.columns)
    assert filled.dtypes.tolist() == holes.dtypes.tolist()
    assert filled.index.equals(full.index)
    assert not filled.isna().any(axis=None)
    for name in full:
        seen = ~hidden[name]
        pd.testing.assert_series_equal(filled.loc[seen, name], holes.loc[seen, name])
    for name in ["flag", "text", "category", "object"]:
        rows = hidden[name].to_numpy()
        mode = full[name].mode()[0]
        wrong = (filled[name] != full[name])[rows].mean()
        assert wrong < 0.6 * (full[name] != mode)[rows].mean()
    rows = hidden["float"].to_numpy()
    assert np.mean((filled["float"] - full["float"])[rows] ** 2) < 0.5 * full["float"].var()


def test_columns_of_integers_keep_their_range():
    X = pd.DataFrame({"x": np.arange(40.0), "count": pd.array([0] * 20 + list(range(20)), dtype="UInt8")})
    X.loc[39, "count"] = X.loc[5, "count"] = pd.NA
    filled = AutoencoderImputer(random_state=0).fit(X).transform(X.assign(x=X["x"] * 100 - 2000))
    assert filled["count"].dtype == "UInt8"
    assert filled["count"].between(0, 18).all()


def test_ranks_let_it_see_what_is_monotone_but_not_linear():
    rng = np.random.default_rng(0)
    x = rng.normal(size=300)
    X = np.column_stack([x, np.exp(3 * x)])
    X[:60, 0] = np.nan
    filled = AutoencoderImputer(random_state=0).fit_transform(X)[:60, 0]
    assert np.mean((filled - x[:60]) ** 2) < 0.15  # of a variance of 1; a regression line leaves 0.8
    line = np.polyfit(X[60:, 1], x[60:], 1)
    assert np.mean((np.polyval(line, X[:60, 1]) - x[:60]) ** 2) > 0.5


def constant_table(n_samples):
    frame = pd.DataFrame({"x": np.full(n_samples, 0.1), "n": np.full(n_samples, 7), "colour": ["red"] * n_samples})
    return frame.assign(more=1e9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("n_samples", [1, 2, 40])
@pytest.mark.parametrize("n_missing", [0, 1])
@pytest.mark.parametrize("estimator", [None, AutoencoderTransformer(1, activation="identity", loss="auto")])
def test_constants_are_filled_without_a_warning(n_samples, n_missing, estimator):
    """A constant code is all there is to learn."""
    full = constant_table(n_samples)
    holes = full.copy()
    if n_samples > 1:
        holes.loc[: n_missing - 1, "x"] = np.nan
        holes.loc[1:n_missing, "colour"] = None
    filled = AutoencoderImputer(estimator, random_state=0).fit(holes).transform(holes)
    pd.testing.assert_frame_equal(filled, full, check_dtype=False, rtol=1e-3)


@pytest.mark.filterwarnings("error")
def test_constants_beside_one_column_that_varies():
    X = np.column_stack([np.arange(20.0), np.ones((20, 15))])
    X[3, 0] = X[5, 1] = np.nan
    filled = AutoencoderImputer(random_state=0).fit_transform(X)
    assert filled[5, 1] == 1
    np.testing.assert_allclose(filled[3, 0], np.nanmean(X[:, 0]))


# The conventions of imputers ------------------------------------------------------------------------------------------


def test_the_first_filling_is_that_of_simple_imputers():
    _, holes, _ = mixed()
    statistics = AutoencoderImputer(random_state=0).fit(holes).statistics_
    means = SimpleImputer().fit(holes[["float", "single"]]).statistics_
    np.testing.assert_allclose(statistics[:2].astype(float), means)
    assert statistics[3:].tolist() == [holes[name].mode()[0] for name in holes.columns[3:]]


@pytest.mark.parametrize("as_frame", [True, False])
def test_indicators(as_frame):
    X = pd.DataFrame(NUMBERS, columns=list("abcd")) if as_frame else NUMBERS
    X = X.assign(d=1.0) if as_frame else np.column_stack([X[:, :3], np.ones(len(X))])
    imputer = AutoencoderImputer(add_indicator=True, random_state=0)
    result = np.asarray(imputer.fit_transform(X))
    np.testing.assert_array_equal(result[:, 4:], MissingIndicator().fit_transform(X))
    names = "abcd" if as_frame else ["x0", "x1", "x2", "x3"]
    expected = [*names, *(f"missingindicator_{name}" for name in names[:3])]
    assert imputer.get_feature_names_out().tolist() == expected
    assert AutoencoderImputer().fit(X).indicator_ is None


@pytest.mark.parametrize("keep", [True, False])
def test_a_column_without_observed_entries(keep):
    X = pd.DataFrame(NUMBERS, columns=list("abcd")).assign(b=np.nan)
    imputer = AutoencoderImputer(keep_empty_features=keep, random_state=0).fit(X)
    result = imputer.transform(X)
    assert list(result.columns) == list(imputer.get_feature_names_out()) == list("abcd" if keep else "acd")
    assert np.isnan(imputer.statistics_[1])
    if keep:
        assert (result["b"] == 0).all()
        assert imputer.transform(X.assign(b=[7.0, *[np.nan] * 49]))["b"].tolist() == [7.0, *[0.0] * 49]
    array = AutoencoderImputer(keep_empty_features=keep, random_state=0).fit_transform(X.to_numpy())
    np.testing.assert_array_equal(array, result.to_numpy())


def test_a_row_without_observed_entries_is_the_mean_row():
    imputer = AutoencoderImputer(random_state=0).fit(NUMBERS)
    filled = imputer.transform(np.full((1, 4), np.nan))
    np.testing.assert_allclose(filled, np.mean(imputer.transform(NUMBERS), axis=0, keepdims=True), rtol=0.01)


def test_complete_rows_are_returned_and_learned_from():
    X = load_iris().data
    imputer = AutoencoderImputer(random_state=0).fit(X)
    np.testing.assert_array_equal(imputer.transform(X), X)
    assert imputer.n_iter_ == 1
    shown = X.copy()
    shown[:, 2] = np.nan
    assert np.corrcoef(imputer.transform(shown)[:, 2], X[:, 2])[0, 1] > 0.95


def test_a_level_that_fit_has_not_seen_is_missing():
    _, holes, _ = mixed()
    imputer = AutoencoderImputer(add_indicator=True, random_state=0).fit(holes)
    unseen = holes.assign(text="unseen")
    filled = imputer.transform(unseen)
    pd.testing.assert_frame_equal(filled, imputer.transform(holes.assign(text=pd.Series(pd.NA, holes.index, "str"))))
    assert set(filled["text"]) <= {"high", "middle", "low"}
    assert filled["missingindicator_text"].all()


@pytest.mark.parametrize("ordered", [False, True])
def test_categories_that_the_dtype_of_a_column_lacks(ordered):
    """As where a test set gets its own astype("category")."""
    factor = np.repeat([0.0, 1.0], 20)
    train = pd.DataFrame({"x": factor, "colour": np.where(factor > 0, "red", "blue")})
    test = pd.DataFrame({"x": [0.0, 1.0, 0.0], "colour": pd.Categorical(["blue", None, "green"], ordered=ordered)})
    imputer = AutoencoderImputer(random_state=0).fit(train.astype({"colour": "category"}))
    filled = imputer.transform(test)["colour"]
    assert filled.tolist() == ["blue", "red", "blue"]
    assert filled.dtype == pd.CategoricalDtype(["blue", "green", "red"], ordered)
    pd.testing.assert_series_equal(imputer.transform(test[:1])["colour"], test[:1]["colour"])


@pytest.mark.parametrize("dtype", [float, object])
def test_a_column_without_observed_entries_has_no_kind(dtype):
    imputer = AutoencoderImputer(random_state=0).fit(mixed()[1])
    holes = mixed()[1].assign(text=np.full(60, np.nan, dtype), float=np.full(60, np.nan, dtype))
    filled = imputer.transform(holes)
    assert set(filled["text"]) <= {"high", "middle", "low"}
    assert np.isfinite(filled["float"].astype(float)).all()


def test_no_category_becomes_a_flag():
    holes = mixed()[1]
    filled = AutoencoderImputer(random_state=0).fit(holes).transform(holes.assign(text=True))
    assert set(filled["text"]) <= {"high", "middle", "low"}


@pytest.mark.parametrize("placeholder", [-1, -1.0, None, pd.NA])
def test_missing_values(placeholder):
    expected = AutoencoderImputer(random_state=0).fit_transform(NUMBERS)
    X = pd.DataFrame(NUMBERS) if placeholder is None or placeholder is pd.NA else np.nan_to_num(NUMBERS, nan=-1)
    result = AutoencoderImputer(missing_values=placeholder, random_state=0).fit_transform(X)
    np.testing.assert_array_equal(result, expected)


def test_missing_values_of_a_frame():
    _, holes, _ = mixed()
    marked = holes[["text", "float"]].astype({"text": object})
    expected = AutoencoderImputer(random_state=0).fit_transform(marked.dropna(subset=["float"]))
    marked = marked.dropna(subset=["float"]).fillna({"text": "?"})
    result = AutoencoderImputer(missing_values="?", random_state=0).fit_transform(marked)
    pd.testing.assert_frame_equal(result, expected)


def test_set_output_and_polars():
    polars = pytest.importorskip("polars")
    frame = pd.DataFrame(NUMBERS, columns=list("abcd"))
    expected = AutoencoderImputer(random_state=0).fit_transform(NUMBERS)
    array = AutoencoderImputer(random_state=0).fit_transform(polars.from_pandas(frame))
    np.testing.assert_array_equal(array, expected)
    wrapped = AutoencoderImputer(random_state=0).set_output(transform="polars").fit_transform(frame)
    assert isinstance(wrapped, polars.DataFrame)
    np.testing.assert_array_equal(wrapped.to_numpy(), expected)
    with config_context(transform_output="pandas"):
        model = AutoencoderTransformer(2, activation="identity")
        for imputer in (AutoencoderImputer(add_indicator=True), AutoencoderImputer(model, max_iter=200, tol=0.01)):
            result = imputer.fit_transform(frame)
            assert list(result.columns) == list(imputer.get_feature_names_out())


# Weights, seeds, state ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame", [True, False])
def test_weights_are_repetitions_and_zero_leaves_out(frame):
    X = mixed()[1] if frame else NUMBERS
    times = np.random.default_rng(0).integers(0, 3, len(X))
    repeated = X.iloc[np.repeat(np.arange(len(X)), times)] if frame else np.repeat(X, times, axis=0)
    weighted = AutoencoderImputer(random_state=0).fit(X, sample_weight=times)
    unweighted = AutoencoderImputer(random_state=0).fit(repeated)
    assert weighted.alpha_ == unweighted.alpha_
    for W, V in zip(weighted.autoencoder_.coefs_, unweighted.autoencoder_.coefs_, strict=True):
        np.testing.assert_allclose(np.abs(W), np.abs(V), atol=1e-8)
    if frame:
        pd.testing.assert_frame_equal(weighted.transform(X), unweighted.transform(X))
    else:
        np.testing.assert_allclose(weighted.transform(X), unweighted.transform(X), rtol=1e-8)


def test_results_are_deterministic_and_pickle():
    _, holes, _ = mixed()
    imputer = AutoencoderImputer(random_state=0).fit(holes)
    expected = imputer.transform(holes)
    pd.testing.assert_frame_equal(clone(imputer).fit_transform(holes), expected)
    pd.testing.assert_frame_equal(pickle.loads(pickle.dumps(imputer)).transform(holes), expected)
    pd.testing.assert_frame_equal(imputer.transform(holes.iloc[7:9]), expected.iloc[7:9])


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_the_unit_of_a_column_does_not_matter(unit):
    units = np.array([1.0, unit, 1.0, 1.0])
    expected = AutoencoderImputer(random_state=0).fit_transform(NUMBERS) * units
    np.testing.assert_allclose(AutoencoderImputer(random_state=0).fit_transform(NUMBERS * units), expected, rtol=1e-6)


def test_float32_is_kept():
    result = AutoencoderImputer(random_state=0).fit_transform(NUMBERS.astype(np.float32))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, AutoencoderImputer(random_state=0).fit_transform(NUMBERS), rtol=1e-4)


def test_an_estimator_is_not_changed_and_its_settings_are_used():
    estimator = AutoencoderTransformer(0.8, activation="identity", warm_start=True)
    before = estimator.get_params()
    imputer = AutoencoderImputer(estimator, random_state=3, max_iter=200).fit(NUMBERS)
    assert estimator.get_params() == before
    assert not hasattr(estimator, "coefs_")
    assert imputer.autoencoder_.activation == "identity"
    assert imputer.autoencoder_.alpha == imputer.alpha_ == imputer.autoencoder_.alpha_[0]
    again = AutoencoderImputer(estimator, random_state=3, max_iter=200).fit(NUMBERS)
    np.testing.assert_array_equal(imputer.transform(NUMBERS), again.transform(NUMBERS))


@pytest.mark.parametrize(("own", "given", "used"), [("scale", 0.3, 0.3), (0.3, "auto", 0.3), (0.3, 0.3, 0.3)])
def test_a_strength_can_be_fixed(own, given, used):
    estimator = AutoencoderTransformer(2, activation="identity", alpha=own)
    assert AutoencoderImputer(estimator, alpha=given).fit(NUMBERS).alpha_ == used
    assert AutoencoderImputer(alpha=0.3).fit(NUMBERS).autoencoder_.alpha == 0.3


@pytest.mark.parametrize("estimator", [None, AutoencoderTransformer(2, activation="identity", alpha=0.01)])
def test_a_cap_is_said(estimator):
    imputer = AutoencoderImputer(estimator, max_iter=1, tol=1e-6)
    with pytest.warns(ConvergenceWarning, match="AutoencoderImputer did not converge: after max_iter=1 rounds"):
        imputer.fit(NUMBERS)
    assert imputer.n_iter_ == 1
    if estimator is not None:
        with pytest.warns(ConvergenceWarning, match="transform"):
            imputer.transform(NUMBERS)
