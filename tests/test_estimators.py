"""The four estimators against the formulas written out, scikit-learn's own functions, and limit cases."""

import copy
import io
import pickle
import warnings
from itertools import pairwise

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, xlogy
from sklearn.base import clone
from sklearn.decomposition import NMF, PCA, KernelPCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Objective
from skae.activations import ACTIVATIONS
from skae.corruption import CORRUPTIONS
from skae.metrics import neg_reconstruction_error, reconstruction_r2
from skae.penalties import Contraction, KLSparsity, L1Sparsity

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
# What each brings beyond the plain autoencoder, switched off.
SWITCHED_OFF = [
    (DenoisingAutoencoder, {"corruption": corruption, "corruption_level": 0.0}) for corruption in CORRUPTIONS
] + [
    (SparseAutoencoder, {"sparsity_weight": 0.0}),
    (ContractiveAutoencoder, {"contraction_weight": 0.0, "tied_weights": False}),
]
REGULARISERS = [
    (AutoencoderTransformer, {"alpha": [0.0, 0.1]}),
    (DenoisingAutoencoder, {"corruption_level": [0.1, 0.5]}),
    (SparseAutoencoder, {"sparsity_weight": [0.1, 1.0]}),
    (ContractiveAutoencoder, {"contraction_weight": [0.0, 0.3]}),
]
CONFIGURATIONS = {
    "default": {},
    "untied": {"tied_weights": False},
    "untied, joint": {"tied_weights": False, "solver": "lbfgs"},
    "linear": {"activation": "identity"},
    "tied": {"tied_weights": True},
    "deep": {"hidden_layer_sizes": (6, 5)},
    "deep, joint": {"hidden_layer_sizes": (6, 5), "solver": "lbfgs"},
    "deep, tied, tanh": {"hidden_layer_sizes": (6,), "tied_weights": True, "activation": "tanh"},
    "two activations": {"hidden_layer_sizes": (6,), "activation": "softplus", "code_activation": "tanh"},
    "overcomplete": {"n_components": 12},
    "link": {"output_activation": "logistic"},
    "cross-entropy": {"loss": "cross_entropy", "hidden_layer_sizes": (6,)},
    "poisson": {"loss": "poisson", "tied_weights": True},
    "penalties": {"penalties": (L1Sparsity(0.05), Contraction(0.02), KLSparsity(0.1, 0.3)), "hidden_layer_sizes": [6]},
}
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
# Strong weight decay on data of small spread leaves nothing of the code, and says so.
may_be_trivial = pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")
in_every_configuration = pytest.mark.parametrize("name", CONFIGURATIONS)

N_SAMPLES, N_FEATURES = 60, 8
FACTORS = np.random.default_rng(0).uniform(size=(N_SAMPLES, 3))
# In [0, 1], which every loss takes.
X = expit(3 * FACTORS @ np.random.default_rng(1).standard_normal((3, N_FEATURES)))
X.flags.writeable = False
WEIGHTS = np.tile([1.0, 2.0, 0.0, 3.0], N_SAMPLES // 4)


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": 3, "max_iter": 15, "random_state": 0, **parameters})


def configured(Autoencoder, name, **parameters):
    if name == "linear" and Autoencoder is SparseAutoencoder:
        parameters["code_activation"] = "tanh"
    if name == "linear" and Autoencoder is ContractiveAutoencoder:
        parameters["contraction_weight"] = 0.01  # at 0.1 the best code of X is a constant
    return make(Autoencoder, **CONFIGURATIONS[name], **parameters)


def expected_solver(estimator):
    """What solver="auto" takes, written out for the configurations."""
    squared_error = estimator.loss == "squared_error" and estimator.output_activation == "auto"
    if estimator.solver != "auto":
        return estimator.solver
    if estimator.activation == "identity" and type(estimator) in (AutoencoderTransformer, ContractiveAutoencoder):
        return "svd"
    return "varpro" if squared_error and estimator.tied_weights in (False, "auto") else "lbfgs"


def assert_same_model(first, second):
    for name in ("coefs_", "intercepts_"):
        for value, expected in zip(getattr(first, name), getattr(second, name), strict=True):
            assert_array_equal(value, expected)
    assert_array_equal(first.mean_, second.mean_)


def assert_close_models(first, second, X=X):
    assert_allclose(first.transform(X), second.transform(X), rtol=1e-6)
    assert_allclose(first.reconstruct(X), second.reconstruct(X), rtol=1e-6)


# The formulas, from the fitted attributes alone.

FUNCTIONS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "softplus": lambda z: np.logaddexp(0, z),
}
LINKS = {"squared_error": FUNCTIONS["identity"], "cross_entropy": expit, "poisson": np.exp}
ERRORS = {
    "squared_error": lambda x, r: (r - x) ** 2 / 2,
    "cross_entropy": lambda x, r: -xlogy(x, r) - xlogy(1 - x, 1 - r),
    "poisson": lambda x, r: r - xlogy(x, r),
}


def by_hand(estimator, X):
    """Bare codes and reconstructions of X."""
    n_hidden = len(estimator.hidden_layer_sizes)
    g = FUNCTIONS[estimator.activation]
    code = FUNCTIONS[estimator.code_activation or estimator.activation]
    auto = estimator.output_activation == "auto"
    link = LINKS[estimator.loss] if auto else FUNCTIONS[estimator.output_activation]
    outputs = [X]
    functions = [g] * n_hidden + [code] + [g] * n_hidden + [link]
    for W, b, function in zip(estimator.coefs_, estimator.intercepts_, functions, strict=True):
        outputs.append(function(outputs[-1] @ W + b))
    return outputs[n_hidden + 1], outputs[-1]


def jacobian_by_differences(encode, X, step=1e-5):
    steps = step * np.eye(X.shape[1])
    return np.stack([(encode(X + h) - encode(X - h)) / (2 * step) for h in steps], axis=2)


def penalty_by_hand(penalty, estimator, inputs, weights):
    def encode(X):
        return by_hand(estimator, X)[0]

    if isinstance(penalty, L1Sparsity):
        rows = np.abs(encode(inputs)).sum(axis=1)
    elif isinstance(penalty, Contraction):
        rows = np.square(jacobian_by_differences(encode, inputs)).sum(axis=(1, 2))
    else:
        r, rho = np.average(encode(inputs), weights=weights, axis=0), penalty.target
        if "tanh" in (estimator.code_activation, estimator.activation):
            r = (r + 1) / 2
        rows = np.sum(rho * np.log(rho / r) + (1 - rho) * np.log((1 - rho) / (1 - r)))
    return penalty.weight * np.average(np.broadcast_to(rows, len(inputs)), weights=weights)


def objective_by_hand(estimator, X, draws, weights):
    inputs, target, weights = np.concatenate(draws), np.tile(X, (len(draws), 1)), np.tile(weights, len(draws))
    row_losses = ERRORS[estimator.loss](target, by_hand(estimator, inputs)[1]).sum(axis=1)
    decay = sum(alpha / 2 * np.sum(W**2) for alpha, W in zip(estimator.alpha_, estimator.coefs_, strict=False))
    penalties = list(estimator.penalties)
    if isinstance(estimator, SparseAutoencoder):
        penalties.append(KLSparsity(estimator.sparsity_weight_, estimator.sparsity_target))
    if isinstance(estimator, ContractiveAutoencoder):
        penalties.append(Contraction(estimator.contraction_weight_))
    return (
        np.average(row_losses, weights=weights)
        + decay
        + sum(penalty_by_hand(penalty, estimator, inputs, weights) for penalty in penalties)
    )


class Noise:
    """A corruption that remembers its draws, and of which rows they were."""

    def __init__(self):
        self.rows, self.draws = None, []

    def __call__(self, X, rng):
        self.rows = X
        self.draws.append(X + 0.1 * rng.standard_normal(X.shape))
        return self.draws[-1]


def halved(X, rng):
    return 0.5 * X


def failing(X, rng):
    raise RuntimeError("out of noise")


@each
@in_every_configuration
@pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")  # so it is, deep and at this alpha
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_loss_is_the_objective(Autoencoder, name, weights):
    estimator = configured(Autoencoder, name)
    noise = Noise()
    if Autoencoder is DenoisingAutoencoder:
        estimator.set_params(corruption=noise, n_corruptions=2)
    estimator.fit(X, sample_weight=weights)
    weights = np.ones(N_SAMPLES) if weights is None else weights
    rows, draws = X[weights > 0], noise.draws or [X[weights > 0]]
    if noise.draws:
        rows = noise.rows
        assert_array_equal(np.unique(rows, axis=0), np.unique(X[weights > 0], axis=0))
    weights = dict(zip(map(tuple, X), weights, strict=True))
    expected = objective_by_hand(estimator, rows, draws, [weights[tuple(row)] for row in rows])
    assert_allclose(estimator.loss_, expected, rtol=1e-7)


@each
@in_every_configuration
def test_transform_and_reconstruction_from_the_attributes(Autoencoder, name):
    estimator = configured(Autoencoder, name).fit(X)
    codes, reconstruction = by_hand(estimator, X)
    assert_allclose(estimator.transform(X), codes / estimator.code_scale_, rtol=1e-9)
    assert_allclose(estimator.reconstruct(X), reconstruction, rtol=1e-9)
    assert_allclose(estimator.inverse_transform(codes / estimator.code_scale_), reconstruction, rtol=1e-9)


@each
@in_every_configuration
def test_fitted_attributes(Autoencoder, name):
    estimator = configured(Autoencoder, name).fit(X)
    widths = [N_FEATURES, *estimator.hidden_layer_sizes, estimator.n_components]
    widths += widths[-2::-1]
    assert [W.shape for W in estimator.coefs_] == list(pairwise(widths))
    assert [b.shape for b in estimator.intercepts_] == [(width,) for width in widths[1:]]
    assert isinstance(estimator.coefs_, list)
    assert isinstance(estimator.intercepts_, list)
    assert estimator.n_components_ == estimator.n_components
    assert estimator.n_features_in_ == N_FEATURES
    assert_allclose(estimator.mean_, X.mean(axis=0))
    assert estimator.solver_ == expected_solver(estimator)
    assert 1 <= estimator.n_iter_ <= estimator.n_evaluations_


@each
@in_every_configuration
def test_loss_curve_falls_to_the_loss(Autoencoder, name):
    estimator = configured(Autoencoder, name).fit(X)
    assert len(estimator.loss_curve_) == estimator.n_iter_
    assert np.all(np.diff(estimator.loss_curve_) <= 0)
    assert estimator.loss_ == pytest.approx(estimator.loss_curve_[-1], rel=1e-14)


@each
@pytest.mark.parametrize("hidden_layer_sizes", [(), (6, 5)])
def test_tied_decoder_is_the_encoder_transposed(Autoencoder, hidden_layer_sizes):
    coefs = make(Autoencoder, tied_weights=True, hidden_layer_sizes=hidden_layer_sizes).fit(X).coefs_
    for encoder, decoder in zip(coefs, reversed(coefs), strict=True):
        assert_array_equal(decoder, encoder.T)


@each
def test_components_only_of_one_layer(Autoencoder):
    estimator = make(Autoencoder)
    assert not hasattr(estimator, "components_")
    estimator.fit(X)
    assert_array_equal(estimator.components_, estimator.coefs_[0].T)
    estimator.set_params(hidden_layer_sizes=(5,)).fit(X)
    assert not hasattr(estimator, "components_")
    estimator.set_params(hidden_layer_sizes=()).fit(X)
    assert estimator.components_.shape == (3, N_FEATURES)


@each
def test_maximally_activating_inputs_only_of_one_layer(Autoencoder):
    assert hasattr(make(Autoencoder), "maximally_activating_inputs")
    deep = make(Autoencoder, hidden_layer_sizes=(5,))
    assert not hasattr(deep, "maximally_activating_inputs")
    deep.fit(X).set_params(hidden_layer_sizes=())  # what counts is what was fitted
    with pytest.raises(AttributeError, match="maximally_activating_inputs"):
        deep.maximally_activating_inputs()


@each
@pytest.mark.parametrize("activation", ["logistic", "tanh"])
def test_maximally_activating_inputs_beat_all_others(Autoencoder, activation, rng):
    estimator = make(Autoencoder, activation=activation).fit(X)
    best = estimator.maximally_activating_inputs()
    assert best.shape == (3, N_FEATURES)
    assert_allclose(np.linalg.norm(best, axis=1), 1)
    nearby = (best[:, None] + 0.1 * rng.standard_normal((3, 200, N_FEATURES))).reshape(-1, N_FEATURES)
    others = np.concatenate([nearby, rng.standard_normal((2000, N_FEATURES))])
    others /= np.linalg.norm(others, axis=1, keepdims=True)
    assert np.all(np.diag(estimator.transform(best)) > estimator.transform(others).max(axis=0))


# The code size.


@each
@pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")  # so it is, of one contracted feature
@pytest.mark.parametrize(("n_features", "expected"), [(8, 4), (7, 4), (1, 1)])
def test_half_of_the_features_by_default(Autoencoder, n_features, expected):
    assert make(Autoencoder, n_components=None).fit(X[:, :n_features]).n_components_ == expected


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.8, 0.9, 0.95, 0.99, 0.99999])
@pytest.mark.parametrize("n_samples", [1797, 40])
def test_share_of_variance_as_pca(digits, share, n_samples):
    expected = PCA(share, svd_solver="full").fit(digits[:n_samples]).n_components_
    estimator = make(AutoencoderTransformer, n_components=share, max_iter=1).fit(digits[:n_samples])
    assert estimator.n_components_ == expected


@each
def test_share_of_the_weighted_variance(Autoencoder):
    expected = PCA(0.9, svd_solver="full").fit(np.repeat(X, WEIGHTS.astype(int), axis=0)).n_components_
    assert make(Autoencoder, n_components=0.9).fit(X, sample_weight=WEIGHTS).n_components_ == expected


@each
def test_share_of_no_variance(Autoencoder):
    assert 1 <= make(Autoencoder, n_components=0.9).fit(np.ones((5, 4))).n_components_ <= 4


@each
def test_numpy_integers_as_sizes(Autoencoder):
    estimator = make(Autoencoder, n_components=np.int64(2), hidden_layer_sizes=np.array([5])).fit(X)
    assert estimator.transform(X).shape == (N_SAMPLES, 2)


@each
@pytest.mark.parametrize("size", [5, np.int64(5)])
def test_an_int_is_one_hidden_layer(Autoencoder, size):
    """As in scikit-learn's MLP; the parameter stays as it was given."""
    estimator = make(Autoencoder, hidden_layer_sizes=size)
    assert not hasattr(estimator, "maximally_activating_inputs")
    estimator.fit(X)
    assert estimator.hidden_layer_sizes is size
    assert clone(estimator).hidden_layer_sizes == size
    assert [W.shape for W in estimator.coefs_] == [(N_FEATURES, 5), (5, 3), (3, 5), (5, N_FEATURES)]
    expected = make(Autoencoder, hidden_layer_sizes=(5,)).fit(X)
    np.testing.assert_array_equal(estimator.transform(X), expected.transform(X))
    assert not hasattr(estimator, "maximally_activating_inputs")
    assert not hasattr(estimator, "components_")
    # The architecture is the same, so a warm start goes on.
    estimator.set_params(hidden_layer_sizes=[5], warm_start=True).fit(X)


# Methods.


@each
@pytest.mark.parametrize("name", ["default", "deep", "overcomplete", "cross-entropy", "poisson"])
def test_reconstruct_is_inverse_transform_of_transform(Autoencoder, name):
    estimator = configured(Autoencoder, name).fit(X)
    assert_allclose(estimator.inverse_transform(estimator.transform(X)), estimator.reconstruct(X), rtol=1e-13)


@each
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_score_is_the_variance_weighted_r2(Autoencoder, weights):
    estimator = make(Autoencoder).fit(X)
    expected = r2_score(X, by_hand(estimator, X)[1], sample_weight=weights, multioutput="variance_weighted")
    assert estimator.score(X, sample_weight=weights) == pytest.approx(expected, rel=1e-10)
    assert reconstruction_r2(estimator, X, sample_weight=weights) == pytest.approx(expected, rel=1e-10)


@each
@pytest.mark.parametrize("loss", ERRORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_feature_errors_are_the_loss_by_entry(Autoencoder, loss, dtype):
    estimator = make(Autoencoder, loss=loss).fit(X.astype(dtype))
    errors = estimator.feature_errors(X.astype(dtype))
    tolerance = 1e-4 if dtype == np.float32 else 1e-9
    expected = ERRORS[loss](X, by_hand(estimator, X)[1])
    assert_allclose(errors, expected, rtol=tolerance, atol=tolerance * np.abs(expected).max())
    assert_array_equal(errors.sum(axis=1), -estimator.score_samples(X.astype(dtype)))


@each
def test_the_odd_row_scores_lowest(Autoencoder):
    estimator = make(Autoencoder).fit(X)
    rows = X.copy()
    rows[7] = 1 - rows[7] + 5
    assert estimator.score_samples(rows).argmin() == 7


@each
@pytest.mark.parametrize("hidden_layer_sizes", [(), (6, 5)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_encoder_jacobian_is_the_derivative_of_transform(Autoencoder, activation, hidden_layer_sizes):
    code_activation = "tanh" if Autoencoder is SparseAutoencoder else None
    estimator = make(
        Autoencoder,
        activation=activation,
        code_activation=code_activation,
        hidden_layer_sizes=hidden_layer_sizes,
        random_state=2,  # whose relu units live
    ).fit(X)
    jacobians = estimator.encoder_jacobian(X[:10])
    assert jacobians.shape == (10, 3, N_FEATURES)
    assert_allclose(jacobians, jacobian_by_differences(estimator.transform, X[:10]), atol=1e-7)


@each
def test_rows_do_not_depend_on_their_block(Autoencoder, digits):
    estimator = make(Autoencoder, max_iter=2).fit(digits)
    many = np.tile(digits, (3, 1))
    for method in (estimator.transform, estimator.reconstruct, estimator.score_samples):
        expected = np.tile(method(digits).T, 3).T
        assert_allclose(method(many), expected, rtol=1e-11, atol=1e-14)


@each
def test_y_is_ignored(Autoencoder):
    y = np.arange(N_SAMPLES)
    estimator = make(Autoencoder).fit(X, y)
    assert_same_model(estimator, make(Autoencoder).fit(X))
    assert estimator.score(X, y) == estimator.score(X)


@each
def test_transform_never_corrupts(Autoencoder):
    estimator = make(Autoencoder).fit(X)
    assert_array_equal(estimator.transform(X), estimator.transform(X))
    assert_array_equal(make(Autoencoder).fit_transform(X), estimator.transform(X))


# Dtypes.


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", ["default", "tied", "deep", "cross-entropy", "poisson"])
def test_dtype_is_kept(Autoencoder, name, dtype):
    data = X.astype(dtype)
    estimator = configured(Autoencoder, name).fit(data)
    results = [*estimator.coefs_, *estimator.intercepts_, estimator.mean_]
    results += [estimator.inverse_transform(estimator.transform(data)), estimator.fit_transform(data)]
    methods = ("transform", "reconstruct", "score_samples", "feature_errors", "encoder_jacobian")
    results += [getattr(estimator, method)(data) for method in methods]
    if not estimator.hidden_layer_sizes:
        results += [estimator.components_, estimator.maximally_activating_inputs()]
    assert {result.dtype for result in results} == {np.dtype(dtype)}


@each
def test_float32_fit_is_close_to_float64_fit(Autoencoder):
    # The generator draws other numbers in float32.
    fixed = {"corruption": halved} if Autoencoder is DenoisingAutoencoder else {}
    settings = {"alpha": 1e-4, "max_iter": 5, **fixed}
    single, double = (make(Autoencoder, **settings).fit(X.astype(dtype)) for dtype in (np.float32, np.float64))
    assert single.loss_ == pytest.approx(double.loss_, rel=1e-4)


@each
@pytest.mark.parametrize(("fitted", "given"), [(np.float64, np.float32), (np.float32, np.float64)])
def test_rows_of_another_dtype_than_the_fit(Autoencoder, fitted, given):
    estimator = make(Autoencoder).fit(X.astype(fitted))
    codes = estimator.transform(X.astype(given))
    assert codes.dtype == np.float64
    assert_allclose(codes, estimator.transform(X.astype(fitted)), rtol=1e-4)


# Regularisers, switched off or given by hand.


@pytest.mark.parametrize(("Autoencoder", "off"), SWITCHED_OFF)
@pytest.mark.parametrize("name", ["untied", "deep", "cross-entropy"])
def test_switched_off_it_is_the_plain_autoencoder(Autoencoder, off, name):
    parameters = {"max_iter": 40, **CONFIGURATIONS[name]}
    plain = make(AutoencoderTransformer, **parameters).fit(X)
    assert_same_model(make(Autoencoder, **{**parameters, **off}).fit(X), plain)


@pytest.mark.parametrize(
    ("Autoencoder", "penalty"),
    [
        (make(SparseAutoencoder, sparsity_weight=1.0, sparsity_target=0.05), KLSparsity(1.0, 0.05)),
        (make(ContractiveAutoencoder, contraction_weight=0.2, tied_weights=False), Contraction(0.2)),
    ],
    ids=["sparse", "contractive"],
)
@pytest.mark.parametrize("hidden_layer_sizes", [(), (6,)])
def test_penalty_as_a_parameter(Autoencoder, penalty, hidden_layer_sizes):
    expected = clone(Autoencoder).set_params(hidden_layer_sizes=hidden_layer_sizes).fit(X)
    plain = make(AutoencoderTransformer, penalties=(penalty,), hidden_layer_sizes=hidden_layer_sizes).fit(X)
    assert_same_model(plain, expected)
    assert plain.loss_ == expected.loss_


def test_the_default_code_size():
    for n_features, expected in ((1, 1), (7, 4), (199, 100), (200, 100), (300, 100)):
        estimator = AutoencoderTransformer(max_iter=1).fit(np.random.default_rng(0).normal(size=(20, n_features)))
        assert estimator.n_components_ == expected


@pytest.mark.parametrize("loss", ERRORS)
def test_contractive_weights_are_tied_by_default_but_under_squared_error(loss):
    automatic = make(ContractiveAutoencoder, loss=loss).fit(X)
    named = make(ContractiveAutoencoder, loss=loss, tied_weights=loss != "squared_error").fit(X)
    assert_same_model(automatic, named)
    assert len(automatic.alpha_) == (2 if loss == "squared_error" else 1)


@may_be_trivial
def test_alpha_shrinks_the_weights():
    sizes = [
        sum(np.sum(W**2) for W in make(AutoencoderTransformer, alpha=alpha).fit(X).coefs_) for alpha in (0, 0.01, 0.1)
    ]
    assert sizes[0] > sizes[1] > sizes[2]


def test_sparsity_holds_the_mean_activation():
    estimator = make(SparseAutoencoder, sparsity_target=0.2, sparsity_weight=100, max_iter=100).fit(X)
    assert_allclose(estimator.transform(X).mean(axis=0) * estimator.code_scale_, 0.2, atol=0.01)


def test_contraction_flattens_the_code():
    loose, tight = (
        make(ContractiveAutoencoder, contraction_weight=weight, max_iter=50).fit(X) for weight in (0.001, 0.1)
    )
    assert np.mean(tight.encoder_jacobian(X) ** 2) < np.mean(loose.encoder_jacobian(X) ** 2)


def test_denoising_undoes_its_corruption(digits, rng):
    denoising, plain = (
        Autoencoder(40, max_iter=60, random_state=0).fit(digits)
        for Autoencoder in (DenoisingAutoencoder, AutoencoderTransformer)
    )
    masked = digits * (rng.uniform(size=digits.shape) >= 0.25)
    errors = [np.mean((estimator.reconstruct(masked) - digits) ** 2) for estimator in (denoising, plain)]
    assert errors[0] < 0.8 * errors[1]


# Randomness.


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_same_seed_same_model(Autoencoder, dtype):
    first, second = (make(Autoencoder, max_iter=50, random_state=3).fit(X.astype(dtype)) for _ in range(2))
    assert_same_model(first, second)
    assert first.loss_curve_ == second.loss_curve_


@each
def test_other_seed_other_model(Autoencoder):
    seeds = (0, 1, None, None)
    losses = {make(Autoencoder, random_state=seed).fit(X).loss_ for seed in seeds}
    assert len(losses) == len(seeds)


@each
def test_random_state_instance(Autoencoder):
    first, second = (make(Autoencoder, random_state=np.random.RandomState(5)).fit(X) for _ in range(2))
    assert_same_model(first, second)
    shared = np.random.RandomState(5)
    assert_same_model(make(Autoencoder, random_state=shared).fit(X), first)
    assert make(Autoencoder, random_state=shared).fit(X).loss_ != first.loss_


@each
@pytest.mark.parametrize("random_state", [0, None])
def test_global_random_state_is_left_alone(Autoencoder, random_state):
    before = np.random.get_state()  # noqa: NPY002
    make(Autoencoder, random_state=random_state).fit(X)
    after = np.random.get_state()  # noqa: NPY002
    assert joblib.hash(after) == joblib.hash(before)


def test_every_corruption_of_a_row_is_another_draw():
    first, second = Noise(), Noise()
    for noise in (first, second):
        make(DenoisingAutoencoder, corruption=noise, n_corruptions=3).fit(X)
    assert len({joblib.hash(draw) for draw in first.draws}) == 3
    assert_array_equal(first.draws, second.draws)


# Sample weights.


@each
def test_weight_zero_removes_the_row(Autoencoder):
    weighted = make(Autoencoder).fit(X, sample_weight=WEIGHTS)
    kept = WEIGHTS > 0
    assert_same_model(weighted, make(Autoencoder).fit(X[kept], sample_weight=WEIGHTS[kept]))


@each
def test_equal_weights_are_no_weights(Autoencoder):
    assert_same_model(make(Autoencoder).fit(X, sample_weight=np.ones(N_SAMPLES)), make(Autoencoder).fit(X))
    assert_close_models(make(Autoencoder).fit(X, sample_weight=np.full(N_SAMPLES, 7.0)), make(Autoencoder).fit(X))


@each
@in_every_configuration
def test_integer_weight_repeats_the_row(Autoencoder, name):
    estimator = configured(Autoencoder, name)
    repeated = clone(estimator).fit(np.repeat(X, WEIGHTS.astype(int), axis=0))
    assert_same_model(estimator.fit(X, sample_weight=WEIGHTS), repeated)


# Starts.


@each
@pytest.mark.parametrize("name", [name for name in CONFIGURATIONS if name != "linear"])  # the closed form has no start
def test_warm_start_goes_on_from_the_fitted_parameters(Autoencoder, name, monkeypatch):
    estimator = configured(Autoencoder, name, warm_start=True).fit(X)
    first_loss, values, evaluate = estimator.loss_, [], Objective.__call__

    def recorded(self, theta):
        result = evaluate(self, theta)
        values.append(result.terms.sum())
        return result

    monkeypatch.setattr(Objective, "__call__", recorded)
    estimator.set_params(max_iter=1).fit(X)
    assert values[0] == pytest.approx(first_loss, rel=1e-9)
    assert estimator.loss_curve_[0] < first_loss


@each
def test_warm_start_on_other_rows(Autoencoder):
    estimator = make(Autoencoder, warm_start=True).fit(X[:30])
    assert_allclose(estimator.fit(X[30:]).mean_, X[30:].mean(axis=0))


@each
@pytest.mark.parametrize(
    "change",
    [{"n_components": 4}, {"hidden_layer_sizes": (5,)}, {"tied_weights": "other"}],
    ids=lambda c: next(iter(c)),
)
def test_warm_start_of_another_network(Autoencoder, change):
    estimator = make(Autoencoder, warm_start=True).fit(X)
    if "tied_weights" in change:
        change = {"tied_weights": estimator.tied_weights is not True}
    with pytest.raises(ValueError, match="Set warm_start=False to start afresh"):
        estimator.set_params(**change).fit(X)


@each
def test_warm_start_with_another_width(Autoencoder):
    estimator = make(Autoencoder, warm_start=True).fit(X)
    with pytest.raises(ValueError, match=r"widths=\(8, 3\).* but this fit has Architecture\(widths=\(5, 3\)"):
        estimator.fit(X[:, :5])


@each
def test_first_warm_start_is_a_cold_one(Autoencoder):
    assert_same_model(make(Autoencoder, warm_start=True).fit(X), make(Autoencoder).fit(X))


@each
def test_refit_starts_afresh(Autoencoder):
    assert_same_model(make(Autoencoder).fit(X[:20]).fit(X), make(Autoencoder).fit(X))


def test_pca_start_lies_on_the_principal_axes(cancer):
    """The gradient of a tied linear autoencoder that starts on the principal subspace never leaves it."""
    axes = PCA(4, svd_solver="full").fit(cancer).components_
    estimator = AutoencoderTransformer(
        4, activation="identity", tied_weights=True, init="pca", max_iter=3, random_state=0
    ).fit(cancer)
    W = estimator.coefs_[0]
    assert_allclose(W, axes.T @ (axes @ W), atol=1e-8 * np.abs(W).max())
    assert np.linalg.matrix_rank(W) == 4


@each
@pytest.mark.parametrize("parameters", [{}, {"hidden_layer_sizes": (5,)}, {"n_components": 12}], ids=str)
def test_pca_start(Autoencoder, parameters):
    pca, glorot = (make(Autoencoder, init=init, **parameters).fit(X) for init in ("pca", "glorot"))
    assert np.isfinite(pca.loss_)
    assert pca.loss_ != glorot.loss_


# Messages.


@each
@pytest.mark.parametrize("cap", ["max_iter", "max_fun"])
def test_convergence_warning_says_which_cap(Autoencoder, cap):
    estimator = make(Autoencoder, **{"max_iter": 200, cap: 3, "tol": 1e-12})
    with pytest.warns(ConvergenceWarning, match=f"it reached {cap}.*tol=1e-12.*Increase {cap}") as record:
        estimator.fit(X)
    assert Autoencoder.__name__ in str(record[0].message)
    assert record[0].filename == __file__


@each
def test_no_warning_on_convergence(Autoencoder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = make(Autoencoder, tol=0.05, max_iter=200).fit(X)
    assert estimator.n_iter_ < 200


@each
def test_smaller_tolerance_smaller_loss(Autoencoder):
    losses = [make(Autoencoder, tol=tol, max_iter=500).fit(X).loss_ for tol in (1e-1, 1e-2, 1e-3)]
    assert losses[0] > losses[1] > losses[2]


# Copies.


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


@each
@pytest.mark.parametrize("name", ["default", "deep, tied, tanh", "poisson", "penalties"])
@pytest.mark.parametrize(
    "copied",
    [lambda estimator: pickle.loads(pickle.dumps(estimator)), through_joblib, copy.deepcopy, copy.copy],
    ids=["pickle", "joblib", "deepcopy", "copy"],
)
def test_copies_are_the_same_model(Autoencoder, name, copied):
    estimator = configured(Autoencoder, name).fit(X)
    twin = copied(estimator)
    assert_same_model(twin, estimator)
    assert_array_equal(twin.transform(X), estimator.transform(X))
    assert_array_equal(twin.feature_errors(X), estimator.feature_errors(X))
    assert str(twin.get_params()) == str(estimator.get_params())


@each
@in_every_configuration
def test_clone_has_the_parameters_and_no_fit(Autoencoder, name):
    estimator = configured(Autoencoder, name).fit(X)
    twin = clone(estimator)
    assert twin.get_params() == estimator.get_params()
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(twin)
    assert_same_model(twin.fit(X), estimator)


@each
def test_size_does_not_grow_with_the_rows(Autoencoder):
    few, many = (make(Autoencoder, max_iter=2).fit(rows) for rows in (X, np.tile(X, (20, 1))))
    assert abs(len(pickle.dumps(many)) - len(pickle.dumps(few))) < 100


# Inside scikit-learn.


reads_polars = pytest.mark.filterwarnings("ignore:Support for the dataframe interchange protocol")  # scikit-learn 1.7


@reads_polars
@each
def test_frame_in(Autoencoder):
    names = [f"f{i}" for i in range(N_FEATURES)]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        estimator = make(Autoencoder, max_iter=5).fit(frame)
        assert list(estimator.feature_names_in_) == names
        assert_allclose(estimator.transform(frame), make(Autoencoder, max_iter=5).fit(X).transform(X), rtol=1e-6)


@reads_polars
@each
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_frame_out(Autoencoder, library):
    estimator = make(Autoencoder).set_output(transform=library.__name__).fit(X)
    codes = estimator.transform(X)
    assert isinstance(codes, library.DataFrame)
    assert list(codes.columns) == [f"{Autoencoder.__name__.lower()}{j}" for j in range(3)]
    assert list(codes.columns) == list(estimator.get_feature_names_out())
    assert_array_equal(codes.to_numpy(), make(Autoencoder).fit(X).transform(X))
    for reconstruction in (estimator.inverse_transform(codes), estimator.reconstruct(X)):
        assert isinstance(reconstruction, library.DataFrame)
        assert list(reconstruction.columns) == [f"x{i}" for i in range(N_FEATURES)]
        assert_array_equal(reconstruction.to_numpy(), make(Autoencoder).fit(X).reconstruct(X))


@reads_polars
@each
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_reconstructions_have_the_names_of_the_input(Autoencoder, library):
    names = [f"feature {i}" for i in range(N_FEATURES)]
    frame = library.DataFrame(dict(zip(names, X.T, strict=True)))
    pipeline = make_pipeline(StandardScaler(), make(Autoencoder)).fit(frame)
    assert isinstance(pipeline[1].reconstruct(X), np.ndarray)
    estimator = make(Autoencoder).fit(frame).set_output(transform=library.__name__)
    reconstructions = (estimator.inverse_transform(estimator.transform(frame)), estimator.reconstruct(frame))
    for output in (*reconstructions, estimator.feature_errors(frame)):
        assert isinstance(output, library.DataFrame)
        assert list(output.columns) == names
    bare = make(Autoencoder).fit(frame)
    assert_array_equal(estimator.feature_errors(frame).to_numpy(), bare.feature_errors(frame))
    assert isinstance(bare.feature_errors(frame), np.ndarray)


@each
def test_codes_in_another_order_are_refused(Autoencoder):
    estimator = make(Autoencoder).set_output(transform="pandas").fit(X)
    codes = estimator.transform(X)
    with pytest.raises(ValueError, match="in another order: inverse_transform takes"):
        estimator.inverse_transform(codes[codes.columns[::-1]])
    renamed = codes.set_axis(list("abc"), axis=1)
    assert_array_equal(estimator.inverse_transform(renamed), estimator.inverse_transform(codes))


@each
def test_a_global_configuration_counts_too(Autoencoder):
    estimator = make(Autoencoder).fit(X)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(estimator.reconstruct(X), pd.DataFrame)
        pipeline = make_pipeline(StandardScaler(), make(Autoencoder)).fit(X)
        decoded = pipeline.inverse_transform(pipeline.transform(X))
        in_frames = reconstruction_r2(pipeline, X)
    assert in_frames == pytest.approx(r2_score(X, decoded, multioutput="variance_weighted"))


@each
def test_frame_keeps_its_index(Autoencoder):
    frame = pd.DataFrame(X, index=np.arange(N_SAMPLES) + 100)
    estimator = make(Autoencoder).set_output(transform="pandas")
    codes = estimator.fit_transform(frame)
    errors = estimator.feature_errors(frame)
    for output in (codes, estimator.inverse_transform(codes), estimator.reconstruct(frame), errors):
        assert list(output.index) == list(frame.index)


@each
def test_refit_leaves_nothing_behind(Autoencoder):
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(N_FEATURES)])
    estimator = make(Autoencoder, hidden_layer_sizes=(6,)).fit(frame)
    estimator.set_params(hidden_layer_sizes=(), n_components=2).fit(X[:, :5])
    fresh = make(Autoencoder, n_components=2).fit(X[:, :5])
    assert_same_model(estimator, fresh)
    assert set(vars(estimator)) == set(vars(fresh))
    assert estimator.n_features_in_ == 5


@each
def test_pipeline(Autoencoder, cancer):
    y = cancer[:, 0] > 0
    pipeline = make_pipeline(StandardScaler(), make(Autoencoder), StandardScaler(), LogisticRegression())
    assert pipeline.fit(cancer, y).score(cancer, y) > 0.75
    assert list(pipeline[:2].get_feature_names_out()) == [f"{Autoencoder.__name__.lower()}{j}" for j in range(3)]


@each
def test_pipeline_reconstructs_in_the_units_of_its_input(Autoencoder):
    data = 1000 * X + 7
    pipeline = make_pipeline(StandardScaler(), make(Autoencoder)).fit(data)
    expected = r2_score(data, pipeline.inverse_transform(pipeline.transform(data)), multioutput="variance_weighted")
    assert reconstruction_r2(pipeline, data) == pytest.approx(expected, rel=1e-10)


@may_be_trivial
@pytest.mark.parametrize(("Autoencoder", "grid"), REGULARISERS)
def test_grid_over_a_regulariser(Autoencoder, grid):
    search = GridSearchCV(make(Autoencoder, max_iter=5), {"alpha": [1e-4, 1e-2], **grid}, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    expected = cross_val_score(make(Autoencoder, max_iter=5).set_params(**search.best_params_), X, cv=2).mean()
    assert search.best_score_ == pytest.approx(expected)


def test_grid_over_the_reducer():
    reducers = [PCA(2), *(make(Autoencoder, n_components=2, max_iter=5) for Autoencoder in AUTOENCODERS)]
    y = FACTORS[:, 0] > 0.5
    pipeline = Pipeline([("reduce", PCA()), ("scale", StandardScaler()), ("classify", LogisticRegression())])
    search = GridSearchCV(pipeline, {"reduce": reducers, "classify__C": [1, 10]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.cv_results_["params"]) == 10


@pytest.mark.parametrize("scorer", [reconstruction_r2, neg_reconstruction_error])
def test_one_scorer_for_all_reducers_in_original_units(scorer, cancer):
    data = np.abs(cancer[:120] * np.geomspace(0.1, 10, cancer.shape[1]))  # NMF takes no negative values
    reducers = [
        PCA(2),
        NMF(2, max_iter=500, tol=1e-2),
        KernelPCA(2, kernel="rbf", fit_inverse_transform=True),
        *(make(Autoencoder, n_components=2) for Autoencoder in AUTOENCODERS),
    ]
    pipeline = Pipeline([("scale", None), ("reduce", None)])
    folds = [(np.arange(80), np.arange(80, 120))]
    grid = {"scale": [MinMaxScaler(clip=True), MaxAbsScaler()], "reduce": reducers}
    search = GridSearchCV(pipeline, grid, cv=folds, scoring=scorer, error_score="raise").fit(data)
    for parameters, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        fitted = clone(pipeline).set_params(**clone_values(parameters)).fit(data[:80])
        decoded = fitted.inverse_transform(fitted.transform(data[80:]))
        if scorer is reconstruction_r2:
            expected = r2_score(data[80:], decoded, multioutput="variance_weighted")
        else:
            expected = -np.square(data[80:] - decoded).sum(axis=1).mean()
        assert score == pytest.approx(expected, rel=1e-6)


def clone_values(parameters):
    return {name: clone(value) for name, value in parameters.items()}


@each
def test_the_html_links_to_the_documentation(Autoencoder):
    assert f"/generated/skae.{Autoencoder.__name__}.html" in make(Autoencoder)._repr_html_()


@each
def test_sample_weight_is_routed(Autoencoder):
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            make(Autoencoder).set_fit_request(sample_weight=True),
            LogisticRegression().set_fit_request(sample_weight=False),
        )
        pipeline.fit(X, FACTORS[:, 0] > 0.5, sample_weight=WEIGHTS)
    direct = make(Autoencoder).fit(StandardScaler().fit_transform(X), sample_weight=WEIGHTS)
    assert_same_model(pipeline[1], direct)


@may_be_trivial
@each
def test_sample_weight_is_routed_to_the_score(Autoencoder):
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = make(Autoencoder).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        folds = [(np.arange(30), np.arange(30, 60))]
        search = GridSearchCV(estimator, {"alpha": [0.01]}, cv=folds).fit(X, sample_weight=WEIGHTS)
    direct = make(Autoencoder, alpha=0.01).fit(X[:30], sample_weight=WEIGHTS[:30])
    assert search.best_score_ == pytest.approx(direct.score(X[30:], sample_weight=WEIGHTS[30:]))


# Faults in the middle of a fit.


@pytest.fixture
def interrupt(monkeypatch):
    """A function after which the fourth evaluation of an objective is interrupted."""
    evaluate, calls = Objective.__call__, []

    def interrupted(self, theta):
        calls.append(theta)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return evaluate(self, theta)

    return lambda: monkeypatch.setattr(Objective, "__call__", interrupted)


def state(estimator):
    return {name: id(value) for name, value in vars(estimator).items()}, joblib.hash(vars(estimator))


@pytest.fixture(params=["unfitted", "fitted", "fitted on a frame"])
def before(request):
    def prepare(estimator):
        if request.param == "fitted":
            estimator.fit(X)
        if request.param == "fitted on a frame":
            estimator.fit(pd.DataFrame(X[:, :5], columns=list("abcde")))
        return estimator

    return prepare


@each
@pytest.mark.parametrize("warm_start", [False, True])
def test_interrupt_leaves_the_estimator_as_it_was(Autoencoder, warm_start, before, interrupt):
    estimator = before(make(Autoencoder, warm_start=warm_start))
    data = X[:, : getattr(estimator, "n_features_in_", N_FEATURES)]
    expected = state(estimator)
    interrupt()
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(data)
    assert state(estimator) == expected


def test_error_in_a_corruption_leaves_the_estimator_as_it_was(before):
    estimator = before(make(DenoisingAutoencoder)).set_params(corruption=failing)
    expected = state(estimator)
    with pytest.raises(RuntimeError, match="out of noise"):
        estimator.fit(X[::2, ::2])
    assert state(estimator) == expected


BAD_FITS = [{"X": np.full((5, 4), np.nan)}, {"X": X, "sample_weight": [1.0]}]


@each
@pytest.mark.parametrize("bad", BAD_FITS, ids=["X", "weights"])
def test_bad_data_leaves_the_estimator_as_it_was(Autoencoder, bad, before):
    estimator = before(make(Autoencoder))
    expected = state(estimator)
    with pytest.raises(ValueError, match=r"NaN|sample_weight"):
        estimator.fit(**bad)
    assert state(estimator) == expected
