"""Classifiers and regressors that start at an encoder."""

import inspect
import pickle
import re

import numpy as np
import pandas as pd
import pytest
from configurations import FUNCTIONS, N_SAMPLES, WEIGHTS, X, make
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from skae import (
    AutoencoderTransformer,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
    to_mlp,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")

y = np.arange(N_SAMPLES) % 3
TARGETS = {"classifier": y, "regressor": X[:, 0] + X[:, 1]}
MLPS = {"classifier": MLPClassifier, "regressor": MLPRegressor}
# A step that changes nothing shows the start.
STAYS = {"solver": "sgd", "learning_rate_init": 1e-300, "max_iter": 1, "random_state": 0}

ENCODERS = {
    "logistic": make(SparseAutoencoder),
    "tanh": make(DenoisingAutoencoder, activation="tanh"),
    "relu": make(AutoencoderTransformer, activation="relu", scale_code=True),
    "identity": make(AutoencoderTransformer, activation="identity"),
    "tied": make(ContractiveAutoencoder, loss="cross_entropy"),
    "deep": make(AutoencoderTransformer, hidden_layer_sizes=(6, 4)),
    "code_activation": make(AutoencoderTransformer, activation="softplus", code_activation="tanh"),
    "stacked": StackedAutoencoder([AutoencoderTransformer(5, max_iter=15), SparseAutoencoder(3, max_iter=15)]),
}
each_encoder = pytest.mark.parametrize("name", ENCODERS)
each_kind = pytest.mark.parametrize("kind", MLPS)


def fitted(name="logistic", rows=X):
    return clone(ENCODERS[name]).set_params(random_state=0).fit(rows)


def hidden_activations(mlp, rows):
    """The output of the last hidden layer, from the fitted attributes alone."""
    for W, b in zip(mlp.coefs_[:-1], mlp.intercepts_[:-1], strict=True):
        rows = FUNCTIONS[mlp.activation](rows @ W + b)
    return rows


@each_encoder
@each_kind
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shift", [0.0, 30.0])
def test_a_fit_starts_at_the_bare_codes(name, kind, dtype, shift):
    """A clone's, too, and behind a mean far above the spread of X."""
    rows = (X + shift if name != "tied" else X).astype(dtype)
    encoder = fitted(name, rows)
    mlp = clone(clone(to_mlp(encoder, kind=kind, **STAYS))).fit(rows, TARGETS[kind])
    largest = np.abs(rows).max() * max(1, np.abs(encoder.coefs_[0]).max())
    codes = encoder.transform(rows) * encoder.code_scale_
    assert_allclose(hidden_activations(mlp, rows), codes, rtol=0, atol=20 * np.finfo(dtype).eps * largest)
    assert mlp.coefs_[0].dtype == dtype


def test_an_encoder_of_another_dtype():
    mlp = to_mlp(fitted(rows=X.astype(np.float32)), **STAYS).fit(X, y)
    assert mlp.coefs_[0].dtype == np.float64
    assert to_mlp(fitted(), **STAYS).fit(X.astype(np.float32), y).coefs_[0].dtype == np.float32


@each_kind
@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
def test_training_leaves_the_encoder_alone(kind, solver):
    encoder = fitted("deep")
    before = [W.copy() for W in (*encoder.coefs_, *encoder.intercepts_)]
    mlp = to_mlp(encoder, kind=kind, solver=solver, max_iter=20, random_state=0).fit(X, TARGETS[kind])
    assert_array_equal(np.concatenate([W.ravel() for W in before]), flat(encoder))
    assert not np.array_equal(mlp.coefs_[0], encoder.coefs_[0])


def flat(estimator):
    return np.concatenate([W.ravel() for W in (*estimator.coefs_, *estimator.intercepts_)])


@each_kind
def test_it_is_an_mlp_with_one_more_parameter(kind):
    """With the encoder in the place of what it decides."""
    mlp, parameters = to_mlp(fitted("deep"), kind=kind, alpha=0.3), inspect.signature(MLPS[kind]).parameters
    assert isinstance(mlp, MLPS[kind])
    assert (is_classifier(mlp), is_regressor(mlp)) == (kind == "classifier", kind == "regressor")
    assert set(mlp.get_params(deep=False)) == {"encoder", *parameters} - {"hidden_layer_sizes", "activation"}
    defaults = {name: p.default for name, p in parameters.items() if name in mlp.get_params()}
    assert {**mlp.get_params(deep=False), "encoder": None} == {**defaults, "alpha": 0.3, "encoder": None}
    assert (mlp.hidden_layer_sizes, mlp.activation) == ((6, 4, 3), "logistic")
    assert isinstance(mlp.encoder, FrozenEstimator)


def test_it_trains_as_an_mlp_that_starts_there():
    """The same numbers as a plain MLP with warm_start, whose weights are written by hand."""
    mlp = to_mlp(fitted(), **STAYS).fit(X, y)
    plain = MLPClassifier((3,), activation="logistic", **{**STAYS, "warm_start": True}).fit(X, y)
    plain.coefs_, plain.intercepts_ = ([part.copy() for part in parts] for parts in (mlp.coefs_, mlp.intercepts_))
    trained = {"solver": "lbfgs", "max_iter": 10}
    plain.set_params(**trained).fit(X, y)
    assert_array_equal(flat(plain), flat(mlp.set_params(**trained, warm_start=True).fit(X, y)))
    fresh = to_mlp(fitted(), **{**STAYS, **trained}).fit(X, y)
    assert_array_equal(flat(plain), flat(fresh))


@each_kind
def test_a_refit_starts_afresh_and_a_warm_start_goes_on(kind):
    mlp = to_mlp(fitted(), kind=kind, max_iter=5, random_state=0).fit(X, TARGETS[kind])
    first = flat(mlp)
    assert_array_equal(flat(mlp.fit(X, TARGETS[kind])), first)
    mlp.set_params(warm_start=True, **{k: v for k, v in STAYS.items() if k != "max_iter"}).fit(X, TARGETS[kind])
    assert_array_equal(flat(mlp), first)


def test_partial_fit_starts_at_the_encoder_and_goes_on():
    """A step of Adam moves no weight by more than its rate, and twenty steps move some by more."""
    encoder = fitted()
    mlp = to_mlp(encoder, learning_rate_init=1e-3, random_state=0).partial_fit(X, y, classes=[0, 1, 2])
    assert np.abs(mlp.coefs_[0] - encoder.coefs_[0]).max() < 1.1e-3
    for _ in range(19):
        mlp.partial_fit(X, y)
    assert np.abs(mlp.coefs_[0] - encoder.coefs_[0]).max() > 5e-3


def test_weights_sparse_rows_early_stopping_and_pickle():
    settings = {"max_iter": 20, "random_state": 0}
    mlp = to_mlp(fitted(), early_stopping=True, **settings).fit(X, y, sample_weight=WEIGHTS + 1)
    assert_array_equal(pickle.loads(pickle.dumps(mlp)).predict(X), mlp.predict(X))
    dense, sparse = (to_mlp(fitted(), **settings).fit(rows, y) for rows in (X, csr_array(X)))
    assert_allclose(flat(dense), flat(sparse))


def test_model_selection_keeps_the_start():
    """Scores of folds are those of fits by hand; candidates may differ in their encoder."""
    scores = cross_val_score(to_mlp(fitted(), **STAYS), X, y, cv=[(np.arange(40), np.arange(40, 60))])
    by_hand = to_mlp(fitted(), **STAYS).fit(X[:40], y[:40])
    assert_array_equal(scores, [by_hand.score(X[40:], y[40:])])
    encoders = [FrozenEstimator(fitted("deep")), FrozenEstimator(fitted("tanh"))]
    search = GridSearchCV(to_mlp(fitted(), **STAYS), {"encoder": encoders, "alpha": [0.1, 1.0]}, cv=2).fit(X, y)
    best = search.best_estimator_
    assert_array_equal(best.coefs_[0], best.encoder.estimator.coefs_[0])
    assert best.encoder in encoders


@each_kind
def test_a_pipeline_gives_a_pipeline(kind):
    pipeline = make_pipeline(StandardScaler(), "passthrough", MinMaxScaler(), make(AutoencoderTransformer)).fit(X)
    mlp = to_mlp(pipeline, kind=kind, **STAYS)
    assert list(mlp.named_steps) == [*list(pipeline.named_steps)[:3], "mlp"]
    rows = pipeline[:-1].transform(X)
    clone(mlp).fit(X[:30] * 2, TARGETS[kind][:30])
    assert_array_equal(mlp[:-1].transform(X), rows)
    mlp.fit(X, TARGETS[kind])
    assert_allclose(hidden_activations(mlp[-1], rows), pipeline.transform(X) * pipeline[-1].code_scale_, atol=1e-12)
    mlp.set_params(mlp__alpha=3.0)
    assert mlp[-1].alpha == 3.0


REFUSED = {
    "kind": (lambda: to_mlp(fitted(), kind="cluster"), ValueError, "kind must be one of ['classifier', 'regressor']"),
    "widths": (lambda: to_mlp(fitted(), hidden_layer_sizes=(5,)), ValueError, "hidden_layer_sizes=(5,) cannot"),
    "activation": (lambda: to_mlp(fitted(), activation="tanh"), ValueError, "activation='tanh' cannot be given"),
    "no such": (lambda: to_mlp(fitted(), epochs=5), TypeError, "epochs"),
    "PCA": (lambda: to_mlp(PCA(2).fit(X)), TypeError, "must be a fitted autoencoder of skae, got PCA"),
    "a Pipeline of PCA": (lambda: to_mlp(make_pipeline(PCA(2)).fit(X)), TypeError, "must be a fitted autoencoder"),
    "unfitted": (lambda: to_mlp(make(AutoencoderTransformer)), NotFittedError, "not fitted yet"),
    "softplus": (
        lambda: to_mlp(make(AutoencoderTransformer, activation="softplus").fit(X)),
        ValueError,
        "The encoder has units Softplus(), but scikit-learn's MLP knows only 'identity', 'logistic', 'tanh', 'relu'.",
    ),
    "mixed": (
        lambda: to_mlp(make(AutoencoderTransformer, hidden_layer_sizes=(4,), code_activation="identity").fit(X)),
        ValueError,
        "The encoder has layers Logistic() and Identity(), but the hidden layers of an MLP have one activation.",
    ),
    "not frozen": (
        lambda: to_mlp(fitted()).set_params(encoder=fitted()).fit(X, y),
        ValueError,
        "must be a fitted autoencoder of skae in a FrozenEstimator",
    ),
    "width of X": (lambda: to_mlp(fitted()).fit(X[:, :5], y), ValueError, "X has 5 features, but the encoder"),
    "set widths": (lambda: to_mlp(fitted()).set_params(hidden_layer_sizes=(5,)), ValueError, "Invalid parameter"),
    "a parameter": (lambda: to_mlp(fitted(), alpha=-1.0).fit(X, y), ValueError, "The 'alpha' parameter"),
}


@pytest.mark.parametrize(("call", "error", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_features_in_another_order_are_refused():
    frame = pd.DataFrame(X).add_prefix("f")
    mlp = to_mlp(fitted(rows=frame), **STAYS)
    assert mlp.fit(frame, y).n_features_in_ == frame.shape[1]
    with pytest.raises(ValueError, match="in this order"):
        mlp.fit(frame[frame.columns[::-1]], y)
