"""Rows of another width or with other feature names than those fitted, and methods before a fit."""

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError

from skae import AutoencoderTransformer

METHODS_ON_ROWS = ["transform", "reconstruct", "score", "score_samples", "feature_errors", "encoder_jacobian"]


@pytest.mark.parametrize("method", METHODS_ON_ROWS)
def test_each_estimator_refuses_a_wrong_width(Autoencoder, method, fitted):
    message = f"X has 5 features, but {Autoencoder.__name__} is expecting 4 features as input"
    with pytest.raises(ValueError, match=message):
        getattr(fitted(Autoencoder), method)(np.ones((5, 5)))


@pytest.mark.parametrize("container", [np.asarray, csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("width", [3, 5])
def test_wrong_width(width, container, fitted):
    with pytest.raises(ValueError, match=f"X has {width} features, but .* is expecting 4 features as input"):
        fitted(AutoencoderTransformer).transform(container(np.ones((5, width))))


@pytest.mark.parametrize("width", [2, 4])
def test_wrong_width_of_codes(width, fitted):
    message = f"X has {width} features, but AutoencoderTransformer is expecting 3 features as input"
    with pytest.raises(ValueError, match=message):
        fitted(AutoencoderTransformer).inverse_transform(np.ones((5, width)))


@pytest.fixture
def frame(X):
    return pd.DataFrame(X, columns=list("abcd"))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("dcba", "must be in the same order"),
        ("abc", "seen at fit time, yet now missing"),
        ("abcz", "unseen at fit time"),
    ],
    ids=["reordered", "missing", "unseen"],
)
@pytest.mark.parametrize("method", METHODS_ON_ROWS)
def test_wrong_feature_names(method, columns, message, frame, make):
    estimator = make(AutoencoderTransformer).fit(frame)
    with pytest.raises(ValueError, match=f"(?s)feature names should match.*{message}"):
        getattr(estimator, method)(frame.reindex(columns=list(columns), fill_value=0.5))


def test_each_estimator_checks_feature_names(Autoencoder, frame, make):
    estimator = make(Autoencoder).fit(frame)
    with pytest.raises(ValueError, match="feature names should match"):
        estimator.transform(frame[list("dcba")])


def test_feature_names_of_mixed_types(frame, make):
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        make(AutoencoderTransformer).fit(frame.rename(columns={"a": 0}))


def test_feature_names_on_one_side_only(frame, X, make, fitted):
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        make(AutoencoderTransformer).fit(frame).transform(X)
    with pytest.warns(UserWarning, match="X has feature names, but"):
        fitted(AutoencoderTransformer).transform(frame)


@pytest.mark.parametrize("name", [*METHODS_ON_ROWS, "inverse_transform"])
def test_methods_before_fit(Autoencoder, name, X, make):
    with pytest.raises(NotFittedError):
        getattr(make(Autoencoder), name)(X)


@pytest.mark.parametrize("name", ["get_feature_names_out", "maximally_activating_inputs"])
def test_methods_without_data_before_fit(name, make):
    with pytest.raises(NotFittedError):
        getattr(make(AutoencoderTransformer), name)()
