"""Scores of imputers on hidden entries, against errors by hand."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_transformer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skae.impute import AutoencoderImputer
from skae.metrics import make_imputation_scorer, neg_imputation_error

RNG = np.random.default_rng(0)
NUMBERS = RNG.normal(size=(50, 3)) * [1, 10, 100]
NUMBERS[RNG.random(NUMBERS.shape) < 0.2] = np.nan
FRAME = pd.DataFrame(
    {
        "x": NUMBERS[:, 0],
        "count": RNG.integers(0, 9, 50),
        "flag": RNG.random(50) < 0.5,
        "text": RNG.choice(["a", "b", None], 50),
        "category": pd.Categorical(RNG.choice(["u", "v"], 50)),
        "constant": 1.0,
    }
)


class Recorder(TransformerMixin, BaseEstimator):
    """Adds one spread to what it should find, or leaves it; keeps what it was shown."""

    def __init__(self, truth=None, off=0.0):
        self.truth = truth
        self.off = off

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        self.shown_ = X
        return np.where(np.isnan(X), self.truth + self.off * np.nanstd(self.truth, axis=0), X)


@pytest.mark.parametrize("off", [0.0, 1.0, -0.5])
def test_errors_are_in_units_of_the_spread(off):
    assert neg_imputation_error(Recorder(NUMBERS, off), NUMBERS) == pytest.approx(-abs(off))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.001, 0.999])
def test_the_share_that_is_hidden(share):
    recorder, n_observed = Recorder(NUMBERS), (~np.isnan(NUMBERS)).sum(axis=0)
    make_imputation_scorer(share=share)(recorder, NUMBERS)
    hidden = np.isnan(recorder.shown_).sum(axis=0) - np.isnan(NUMBERS).sum(axis=0)
    expected = np.clip(np.rint(share * n_observed), 1, n_observed - 1)
    np.testing.assert_array_equal(hidden, expected)


def test_all_calls_hide_the_same_entries():
    recorder, shown = Recorder(NUMBERS), []
    for seed in (0, 0, 1):
        make_imputation_scorer(random_state=seed)(recorder, NUMBERS)
        shown.append(np.isnan(recorder.shown_))
    assert (shown[0] == shown[1]).all()
    assert (shown[0] != shown[2]).any()


def test_a_frame_of_numbers_and_categories_by_hand():
    """Constants instead of all hidden entries: the errors follow from the entries that were hidden."""

    def as_objects(X):
        # Older releases of SimpleImputer take None for a value.
        return X.astype(object).where(X.notna(), np.nan)

    imputer = SimpleImputer(strategy="most_frequent").set_output(transform="pandas").fit(as_objects(FRAME))

    class AsObjects:
        def transform(self, X):
            self.shown = X
            return imputer.transform(as_objects(X))

    recorder, errors = AsObjects(), {}
    score = neg_imputation_error(recorder, FRAME)
    hidden = recorder.shown.isna() & FRAME.notna()
    for j, name in enumerate(FRAME):
        truth = FRAME[name][hidden[name]]
        if name in ("x", "count"):
            error = np.sqrt(np.mean((truth - imputer.statistics_[j]) ** 2)) / FRAME[name].std(ddof=0)
            errors.setdefault("numeric", []).append(error)
        elif name != "constant":
            errors.setdefault("categorical", []).append(np.mean(truth != imputer.statistics_[j]))
    assert not hidden["constant"].any()
    assert score == pytest.approx(-np.mean(np.concatenate(list(errors.values()))))
    for kind, expected in errors.items():
        assert make_imputation_scorer(kind=kind)(recorder, FRAME) == pytest.approx(-np.mean(expected))


def test_the_kinds_are_hidden_alike():
    recorder = AutoencoderImputer(random_state=0).fit(FRAME)
    both, parts = neg_imputation_error(recorder, FRAME), []
    for kind, count in (("numeric", 2), ("categorical", 3)):
        parts.append(count * make_imputation_scorer(kind=kind)(recorder, FRAME))
    assert -1.2 < both < 0
    assert max(parts) < 0


@pytest.mark.parametrize(
    "imputer",
    [
        SimpleImputer(),
        SimpleImputer(add_indicator=True),
        KNNImputer(),
        AutoencoderImputer(random_state=0),
        make_pipeline(AutoencoderImputer(random_state=0), SimpleImputer()),
        make_column_transformer((SimpleImputer(), ["a", "b"]), remainder=KNNImputer(), verbose_feature_names_out=False),
    ],
    ids=str,
)
def test_any_imputer(imputer):
    X = pd.DataFrame(NUMBERS, columns=["b", "c", "a"])
    imputer.set_output(transform="pandas")
    assert -1.5 < neg_imputation_error(imputer.fit(X), X) < -0.5


def test_arrays_of_objects():
    """One in three of the entries that differ from the mode: the score is their share among those hidden."""
    X = np.array([["a"], ["b"], ["a"], [np.nan]] * 100, dtype=object)
    imputer = SimpleImputer(strategy="most_frequent").fit(X)
    assert make_imputation_scorer(share=0.9)(imputer, X) == pytest.approx(-1 / 3, abs=0.03)


def test_grid_search_picks_the_imputer_that_imputes_best():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 1)) + 0.1 * rng.normal(size=(80, 4))
    search = GridSearchCV(AutoencoderImputer(random_state=0), {"alpha": [0.01, 50.0]}, scoring=neg_imputation_error)
    assert search.fit(X).best_params_ == {"alpha": 0.01}
    assert search.best_score_ < 0


def test_scorers_are_values():
    scorer = make_imputation_scorer(share=0.2, random_state=1, kind="numeric")
    assert (
        pickle.loads(pickle.dumps(scorer))
        == scorer
        == make_imputation_scorer(share=0.2, random_state=1, kind="numeric")
    )
    assert scorer != make_imputation_scorer(share=0.2)


@pytest.mark.parametrize(
    "parameters",
    [{"share": 0}, {"share": 1.0}, {"share": True}, {"random_state": None}, {"random_state": -1}, {"kind": "numbers"}],
)
def test_bad_parameters(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        make_imputation_scorer(**parameters)


class Returns(BaseEstimator):
    def __init__(self, make):
        self.make = make

    def transform(self, X):
        return self.make(X)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda X: X, "left entries missing"),
        (
            lambda X: np.zeros((len(X), 2)),
            r"must return the columns of X, of shape \(50, 3\).*returned shape \(50, 2\)",
        ),
        (lambda X: np.zeros((3, 3)), r"returned shape \(3, 3\)"),
        (lambda X: np.zeros(len(X)), r"returned shape \(50,\)"),
    ],
)
def test_results_that_are_no_imputations(make, message):
    with pytest.raises(ValueError, match=message):
        neg_imputation_error(Returns(make), NUMBERS)


def test_a_frame_that_comes_back_without_a_column():
    with pytest.raises(ValueError, match=r"no column 'x'.*keep_empty_features"):
        neg_imputation_error(Returns(lambda X: X.fillna(0).drop(columns="x")), FRAME[["x", "count"]])


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        (csr_array(np.eye(3)), TypeError, "sparse"),
        (NUMBERS[0], ValueError, "2D"),
        (NUMBERS[:0], ValueError, "2D"),
        (np.ones((5, 2)), ValueError, "no column to score"),
        (np.full((5, 2), np.nan), ValueError, "no column to score"),
        (np.ma.masked_invalid(NUMBERS), ValueError, "masked"),
    ],
)
def test_bad_rows(X, error, message):
    with pytest.raises(error, match=message):
        neg_imputation_error(Recorder(NUMBERS), X)
