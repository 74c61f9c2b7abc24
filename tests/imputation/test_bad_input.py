"""What bad input gets."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

import skae
from skae import AutoencoderTransformer
from skae.impute import AutoencoderImputer

X = np.array([[1.0, 2.0], [np.nan, 4.0], [3.0, 5.0], [4.0, np.nan]])
FRAME = pd.DataFrame({"x": [1.0, np.nan, 3.0], "colour": ["red", "blue", None]})

BAD = {
    "infinity": (np.array([[np.inf, 1.0], [2.0, 3.0]]), ValueError, "contains infinity"),
    "infinity in a frame": (pd.DataFrame({"x": [np.inf, 1.0]}), ValueError, "contains infinity.*column 'x'"),
    "sparse": (csr_array(np.eye(3)), TypeError, "Sparse data was passed"),
    "strings": (np.array([["a", "b"]] * 2), ValueError, "could not convert"),
    "no rows": (X[:0], ValueError, "0 sample"),
    "no rows in a frame": (FRAME.iloc[:0], ValueError, "0 sample"),
    "no columns in a frame": (FRAME[[]], ValueError, "0 feature"),
    "one dimension": (X[0], ValueError, "Expected 2D array"),
    "masked": (np.ma.masked_invalid(X), ValueError, "masked array"),
    "all missing": (np.full((3, 2), np.nan), ValueError, "no observed entry"),
    "dates": (
        pd.DataFrame({"day": pd.to_datetime(["2020-01-01"] * 2)}),
        ValueError,
        "Column 'day' .* has dtype datetime",
    ),
    "lists": (pd.DataFrame({"tags": [["a"], ["b"]]}), ValueError, "Column 'tags' .* no categories: unhashable"),
    "complex": (pd.DataFrame({"z": [1j, 2.0]}), ValueError, "Column 'z' .* has dtype complex"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_rows(case):
    rows, error, message = BAD[case]
    imputer = AutoencoderImputer()
    with pytest.raises(error, match=message):
        imputer.fit(rows)
    assert vars(imputer) == vars(AutoencoderImputer()) or not hasattr(imputer, "n_features_in_")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0}, "'alpha' parameter"),
        ({"alpha": "scale"}, "'alpha' parameter"),
        ({"max_iter": 0}, "'max_iter' parameter"),
        ({"tol": -1.0}, "'tol' parameter"),
        ({"estimator": "auto"}, "'estimator' parameter"),
        ({"missing_values": [0]}, "'missing_values' parameter"),
        ({"missing_values": "?"}, "missing_values='\\?' is for pandas frames"),
        ({"missing_values": -1}, "Input X contains NaN"),
        ({"estimator": AutoencoderTransformer(alpha=0.1), "alpha": 0.2}, "alpha=0.2, but the estimator has alpha=0.1"),
        ({"estimator": AutoencoderTransformer(loss="poisson")}, "loss='poisson' does not fit X.*standardised"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderImputer(**parameters).fit(X)


@pytest.mark.parametrize("loss", ["cross_entropy", "categorical", skae.losses.ColumnLosses([("squared_error", [0])])])
def test_a_loss_that_does_not_fit_a_mixed_frame(loss):
    imputer = AutoencoderImputer(AutoencoderTransformer(1, loss=loss))
    with pytest.raises(ValueError, match=r"does not fit X.*'colour'.*Set loss='auto'"):
        imputer.fit(FRAME)


def test_a_placeholder_beside_missing_entries_of_a_frame():
    with pytest.raises(ValueError, match="Input X contains NaN, but missing_values='red'"):
        AutoencoderImputer(missing_values="red").fit(FRAME)


def test_an_empty_column_of_categories_cannot_be_kept():
    frame = FRAME.assign(colour=pd.Series([None] * 3, dtype=object))
    with pytest.raises(ValueError, match="Column 'colour' of X has no observed entry, so there is no category"):
        AutoencoderImputer(keep_empty_features=True).fit(frame)
    assert list(AutoencoderImputer().fit_transform(frame).columns) == ["x"]


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0, 1.0], [1.0], [0.0] * 4, [np.nan] * 4])
def test_bad_weights(weights):
    with pytest.raises(ValueError, match=r"(?i)sample.weight"):
        AutoencoderImputer().fit(X, sample_weight=weights)


def test_an_error_leaves_the_imputer_as_it_was():
    imputer = AutoencoderImputer(random_state=0).fit(X)
    before = vars(imputer).copy()
    with pytest.raises(ValueError, match="infinity"):
        imputer.fit(np.full((3, 3), np.inf))
    assert vars(imputer) == before


@pytest.mark.parametrize("frame", [FRAME[["colour", "x"]], FRAME.assign(more=1.0), FRAME[["x"]]])
def test_other_columns_than_in_fit(frame):
    with pytest.raises(ValueError, match="feature names should match"):
        AutoencoderImputer().fit(FRAME).transform(frame)


KINDS = {
    "numbers as strings": (
        FRAME.assign(x=["1", None, "3"]),
        "'x' of X holds categories, such as '1', but held numbers",
    ),
    "numbers as flags": (FRAME.assign(x=True), "'x' of X holds categories, such as True, but held numbers in fit"),
    "categories as numbers": (FRAME.assign(colour=[2.5, np.nan, 1]), "'colour' of X holds numbers, such as .*2.5"),
    "an array": (np.ones((2, 2)), "'colour' of X holds numbers, such as .*1.0.*, but held categories in fit"),
}


@pytest.mark.parametrize("case", KINDS)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
def test_another_kind_of_column_than_in_fit(case):
    X, message = KINDS[case]
    with pytest.raises(ValueError, match=f"Column {message}"):
        AutoencoderImputer().fit(FRAME).transform(X)


@pytest.mark.parametrize(
    "name", ["AutoencoderTransformer", "DenoisingAutoencoder", "SparseAutoencoder", "ContractiveAutoencoder"]
)
def test_the_autoencoders_name_the_imputer(name):
    message = f"^Input X contains NaN.\\n{name} does not accept missing entries.*skae.impute.AutoencoderImputer"
    with pytest.raises(ValueError, match=message):
        getattr(skae, name)().fit(X)


def test_a_failed_fit_gives_the_generator_its_state_back():
    random_state = np.random.RandomState(0)
    imputer = AutoencoderImputer(AutoencoderTransformer(loss="poisson"), alpha=0.1, random_state=random_state)
    with pytest.raises(ValueError, match="does not fit X"):
        imputer.fit([[1.0, np.nan], [2.0, 3.0], [np.nan, 5.0]])
    assert random_state.random_sample() == np.random.RandomState(0).random_sample()
