"""Stacks of layers: greedy training, the unrolled network, and the joint search that begins there."""

import re
import warnings

import numpy as np
import pandas as pd
import pytest
from configurations import AUTOENCODERS, N_FEATURES, WEIGHTS, X, assert_same_model, make
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

from skae import (
    AutoencoderTransformer,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
)
from skae.activations import Softplus
from skae.losses import Poisson

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::UserWarning")


def layer(n_components=3, Autoencoder=AutoencoderTransformer, **parameters):
    return Autoencoder(n_components, **{"max_iter": 15, **parameters})


def stack(*layers, **parameters):
    return StackedAutoencoder(list(layers) or [layer(5), layer(3)], **{"random_state": 0, **parameters})


@parametrize_with_checks([stack(layer(3), layer(2)), stack(layer(2, SparseAutoencoder), fine_tune=False)])
def test_scikit_learn_checks(estimator, check):
    check(estimator)


# The layers.

STACKS = {
    "four kinds": [
        layer(6, SparseAutoencoder),
        layer(5, DenoisingAutoencoder),
        layer(4, ContractiveAutoencoder),
        layer(3),
    ],
    "one layer": [layer(3)],
    "tanh, identity": [layer(5, activation="tanh"), layer(3, activation="identity")],
    "relu": [layer(5, activation="relu"), layer(3, activation="relu")],
    "softplus": [layer(5, activation=Softplus()), layer(3, code_activation="softplus")],
    "cross-entropy": [layer(5, loss="cross_entropy"), layer(3, loss="cross_entropy")],
    "poisson": [layer(5, loss="poisson"), layer(3)],
    "tied": [layer(5, tied_weights=True), layer(3, tied_weights=True)],
    "one tied": [layer(5), layer(3, tied_weights=True)],
    "share": [layer(0.99), layer(None)],
    "float32": [layer(5), layer(3)],
}


def rows_of(name):
    return X.astype(np.float32) if name == "float32" else X


@pytest.mark.parametrize("name", STACKS)
def test_without_fine_tuning_the_whole_is_its_layers(name):
    rows = rows_of(name)
    stacked = stack(*STACKS[name], fine_tune=False).fit(rows)
    code = rows
    for part in stacked.layers_:
        code = part.transform(code)
    reconstruction = code
    for part in reversed(stacked.layers_):
        reconstruction = part.inverse_transform(reconstruction)
    tolerance = 1e-5 if name == "float32" else 1e-12
    assert_allclose(stacked.transform(rows) * stacked.code_scale_, code, rtol=tolerance, atol=tolerance)
    assert_allclose(stacked.reconstruct(rows), reconstruction, rtol=tolerance, atol=tolerance)
    assert stacked.transform(rows).dtype == rows.dtype
    assert stacked.n_iter_ == 1


@pytest.mark.parametrize("name", ["four kinds", "poisson", "tied"])
def test_the_objective_of_the_whole_by_hand(name):
    stacked = stack(*STACKS[name], fine_tune=False).fit(X, sample_weight=WEIGHTS)
    decay = sum(alpha * (W**2).sum() / 2 for alpha, W in zip(stacked.alpha_, stacked.coefs_, strict=False))
    assert stacked.loss_ == pytest.approx(decay - np.average(stacked.score_samples(X), weights=WEIGHTS), rel=1e-10)


def test_each_layer_is_the_autoencoder_of_the_codes_below():
    """Fitted one by one, on the bare codes, by hand."""
    layers = [layer(5, DenoisingAutoencoder, random_state=1), layer(3, SparseAutoencoder, random_state=2)]
    stacked = stack(*layers, fine_tune=False).fit(X)
    first = clone(layers[0]).fit(X)
    codes = expit(X @ first.coefs_[0] + first.intercepts_[0])
    second = clone(layers[1]).set_params(output_activation="logistic", scale_code=False).fit(codes)
    assert_allclose(stacked.coefs_[0], first.coefs_[0], rtol=1e-6)
    assert_allclose(stacked.coefs_[1], second.coefs_[0], rtol=1e-3, atol=1e-6)
    assert not hasattr(layers[0], "coefs_")


def test_linear_layers_are_the_principal_components():
    """A linear stack of widths 5 and 3 without weight decay reconstructs as three principal components do."""
    linear = {"activation": "identity", "alpha": 0.0}
    stacked = stack(layer(5, **linear), layer(3, **linear), fine_tune=False).fit(X)
    centred = X - X.mean(axis=0)
    _, singular_values, _ = np.linalg.svd(centred, full_matrices=False)
    expected = (singular_values[:3] ** 2).sum() / (singular_values**2).sum()
    assert stacked.score(X) == pytest.approx(expected, rel=1e-6)


def test_tying():
    assert stack(*STACKS["tied"]).fit(X).coefs_[3].base is not None
    assert_array_equal(stack(*STACKS["tied"]).fit(X).coefs_[3], stack(*STACKS["tied"]).fit(X).coefs_[0].T)
    assert len(stack(*STACKS["one tied"]).fit(X).alpha_) == 4


# The whole.


@pytest.mark.parametrize("name", STACKS)
def test_fine_tuning_lowers_the_objective(name):
    whole, layers = (stack(*STACKS[name], fine_tune=tuned).fit(rows_of(name)) for tuned in (True, False))
    for tuned, before in zip(whole.layers_, layers.layers_, strict=True):
        assert_same_model(tuned, before)
    assert_array_equal(whole.alpha_, layers.alpha_)
    assert whole.loss_ < layers.loss_ * (1 + 1e-6)


def test_the_first_layer_has_the_settings_of_the_search():
    first = layer(5, max_iter=7, tol=0, alpha=0.01, early_stopping=True, validation_fraction=0.3, n_iter_no_change=50)
    stacked = stack(first, layer(3, max_iter=9)).fit(X)
    assert len(stacked.loss_curve_) == len(stacked.validation_loss_curve_) == stacked.n_iter_ == 7
    assert_array_equal(stacked.alpha_, [0.01] * 4)


def test_the_last_layer_decides_about_the_scale_of_codes():
    scaled, bare = (stack(layer(5, scale_code=False), layer(3, scale_code=scale)) for scale in ("auto", False))
    assert scaled.fit(X).transform(X).std(axis=0).mean() == pytest.approx(1, rel=0.2)
    assert bare.fit(X).code_scale_ == 1


def test_random_state_decides_everything():
    first, again, other = (
        stack(*STACKS["four kinds"], random_state=random_state).fit(X)
        for random_state in (np.random.RandomState(3), np.random.RandomState(3), 4)
    )
    assert_same_model(first, again)
    assert not np.array_equal(first.coefs_[0], other.coefs_[0])


@pytest.mark.parametrize("fine_tune", [False, True])
def test_weights_are_repetitions_in_any_order(fine_tune):
    stacked = stack(*STACKS["four kinds"], fine_tune=fine_tune)
    repeated = np.repeat(X, WEIGHTS.astype(int), axis=0)[::-1]
    assert_same_model(clone(stacked).fit(X, sample_weight=WEIGHTS), clone(stacked).fit(repeated))


def test_sparse_rows():
    rows = np.where(X > 0.6, X, 0)
    stacked = stack().fit(rows)
    sparse = stack().fit(csr_array(rows))
    assert_allclose(sparse.transform(csr_array(rows)), stacked.transform(rows), rtol=1e-4, atol=1e-4)


def test_frames():
    frame = pd.DataFrame(X, columns=[f"f{number}" for number in range(N_FEATURES)])
    frame["f0"] = frame["f0"] > 0.5
    stacked = stack(layer(5, loss="auto"), layer(3)).set_output(transform="pandas").fit(frame)
    assert list(stacked.transform(frame).columns) == [f"stackedautoencoder{number}" for number in range(3)]
    assert list(stacked.reconstruct(frame).columns) == list(frame.columns)
    assert "cross_entropy" in repr(stacked.losses_)


def test_warnings_name_the_estimator():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stack(layer(5, max_iter=1), layer(3)).fit(X)
    names = {str(warning.message).split()[0] for warning in caught if warning.category is ConvergenceWarning}
    assert names == {"StackedAutoencoder", "AutoencoderTransformer"}


# Refusals.

REFUSED = {
    "no layers": ([], "must be a list of at least one autoencoder"),
    "another kind": ([layer(), "autoencoder"], "must be a list of at least one autoencoder"),
    "hidden layers": ([layer(hidden_layer_sizes=(4,)), layer()], "layers[0] has hidden_layer_sizes=(4,)"),
    "mixed units": ([layer(), layer(activation="tanh"), layer()], "layers[1] has units Tanh()"),
    "linear decoder": ([layer(), layer(output_activation="identity")], "layers[1] has loss='squared_error'"),
    "another link": ([layer(activation="tanh"), layer(loss="cross_entropy")], "layers[1] has loss='cross_entropy'"),
    "another object": ([layer(), layer(loss=Poisson())], "layers[1] has loss=Poisson("),
    "loss by column": ([layer(), layer(loss="auto")], "layers[1] has loss='auto'"),
    "a bad parameter": ([layer(), layer(alpha=-1.0)], "The 'alpha' parameter"),
}


@pytest.mark.parametrize(("layers", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(layers, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        StackedAutoencoder(layers).fit(X)


def test_an_error_names_the_layer_and_leaves_the_estimator_as_it_was():
    def fails(rows, rng):
        raise ValueError("no more noise")

    stacked = stack().fit(X)
    before = stacked.coefs_
    stacked.set_params(layers=[layer(5), layer(3, DenoisingAutoencoder, corruption=fails)])
    with pytest.raises(ValueError, match="no more noise") as error:
        stacked.fit(X[:, :5])
    assert "Raised by the fit of layer 1, counted from 0 at the input." in error.value.__notes__
    assert stacked.coefs_ is before
    assert stacked.n_features_in_ == N_FEATURES


# Starts of deep estimators.

DEEP = {
    "default": {},
    "lbfgs": {"solver": "lbfgs"},
    "kfac": {"solver": "kfac"},
    "cross-entropy": {"loss": "cross_entropy"},
    "tied, tanh": {"activation": "tanh", "tied_weights": True},
    "identity code": {"activation": "relu", "code_activation": "identity"},
    "restarts": {"n_init": 2},
    "early stopping": {"early_stopping": True},
}


@pytest.mark.parametrize(
    ("Autoencoder", "name"),
    [(Autoencoder, name) for Autoencoder in AUTOENCODERS for name in ("default", "lbfgs")]
    + [(AutoencoderTransformer, name) for name in DEEP if name not in ("default", "lbfgs")]
    + [(DenoisingAutoencoder, "kfac")],
)
def test_init_stacked(Autoencoder, name):
    settings = {"hidden_layer_sizes": (6, 4), "max_iter": 3, **DEEP[name]}
    fits = [make(Autoencoder, init="stacked", **settings).fit(X) for _ in range(2)]
    assert_same_model(*fits)
    assert not np.array_equal(fits[0].coefs_[0], make(Autoencoder, **settings).fit(X).coefs_[0])
    assert fits[0].n_iter_ <= 3


def test_init_stacked_starts_lower():
    settings = {"hidden_layer_sizes": (7, 6), "solver": "lbfgs", "max_iter": 50, "tol": 0, "alpha": 1e-4}
    stacked, glorot = (make(AutoencoderTransformer, **settings, init=init).fit(X) for init in ("stacked", "glorot"))
    assert stacked.loss_curve_[0] < 0.7 * glorot.loss_curve_[0]


def test_init_stacked_is_the_stack_of_plain_layers():
    """The first iterate is about where the layers are together."""
    settings = {"alpha": 1e-3, "max_iter": 30, "tol": 0, "solver": "lbfgs"}
    deep = make(DenoisingAutoencoder, corruption_level=0.0, hidden_layer_sizes=(6,), init="stacked", **settings).fit(X)
    layers = stack(layer(6, max_iter=30, tol=0, alpha=1e-3), layer(3, max_iter=30, tol=0, alpha=1e-3), fine_tune=False)
    assert deep.loss_curve_[0] < layers.fit(X).loss_ * 1.05


def test_init_stacked_needs_hidden_layers():
    with pytest.raises(ValueError, match="init='stacked' trains the layers of a deep network"):
        AutoencoderTransformer(3, init="stacked").fit(X)


def test_a_warm_start_goes_on_from_the_fit():
    estimator = make(AutoencoderTransformer, hidden_layer_sizes=(6,), init="stacked", warm_start=True, tol=0).fit(X)
    loss = estimator.loss_
    assert estimator.fit(X).loss_curve_[0] <= loss
