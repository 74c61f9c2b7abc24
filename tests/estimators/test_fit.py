"""Fits against the formulas written out, limit cases, starts and randomness."""

import warnings
from itertools import pairwise

import joblib
import numpy as np
import pandas as pd
import pytest
from configurations import (
    CONFIGURATIONS,
    ERRORS,
    N_FEATURES,
    N_SAMPLES,
    SWITCHED_OFF,
    WEIGHTS,
    X,
    assert_close_models,
    assert_same_model,
    by_hand,
    configured,
    each,
    expected_solver,
    in_every_configuration,
    jacobian_by_differences,
    make,
    may_be_trivial,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Objective
from skae.activations import Activation, Logistic, Tanh
from skae.losses import SquaredError
from skae.penalties import Contraction, KLSparsity, L1Sparsity

# The formulas, from the fitted attributes alone.


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


def objective_by_hand(estimator, target, inputs, weights):
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
    """A corruption that remembers its draws, and of which rows they were; those of minibatches apart."""

    def __init__(self):
        self._blocks = {}

    def __call__(self, X, rng):
        draw = X + 0.1 * rng.standard_normal(X.shape)
        if len(X) <= N_SAMPLES / 2:
            self._blocks[joblib.hash(draw)] = X, draw
        return draw

    @property
    def rows_and_draws(self):
        """The fixed draws, each row as often as it was drawn."""
        return [np.concatenate(parts) for parts in zip(*self._blocks.values(), strict=True)]


def failing(X, rng):
    raise RuntimeError("out of noise")


@each
@in_every_configuration
@pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")  # so it is, deep and at this alpha
@pytest.mark.usefixtures("only_fixed_draws")
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
def test_loss_is_the_objective(Autoencoder, name, weights):
    estimator = configured(Autoencoder, name)
    noise = Noise()
    if Autoencoder is DenoisingAutoencoder:
        estimator.set_params(corruption=noise)
    estimator.fit(X, sample_weight=weights)
    weights = np.ones(N_SAMPLES) if weights is None else weights
    kept = weights > 0
    rows = inputs = X[kept]
    if Autoencoder is DenoisingAutoencoder:
        rows, inputs = noise.rows_and_draws
        assert_array_equal(np.unique(rows, axis=0), np.unique(X[kept], axis=0))
        assert len(rows) == -(-600 // kept.sum()) * kept.sum()
    weights = dict(zip(map(tuple, X), weights, strict=True))
    expected = objective_by_hand(estimator, rows, inputs, [weights[tuple(row)] for row in rows])
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
        make(DenoisingAutoencoder, corruption=noise).fit(X)
    rows, draws = first.rows_and_draws
    assert len(np.unique(draws - rows, axis=0)) == len(rows) == 600
    for part, again in zip((rows, draws), second.rows_and_draws, strict=True):
        assert_array_equal(np.unique(part, axis=0), np.unique(again, axis=0))


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
    first_loss, values = estimator.loss_, []

    def record(name, evaluate):
        def recorded(self, theta):
            result = evaluate(self, theta)
            values.append(result.terms.sum())
            return result

        monkeypatch.setattr(Objective, name, recorded)

    record("__call__", Objective.__call__)
    record("value", Objective.value)
    estimator.set_params(max_iter=1).fit(X)
    assert values[0] == pytest.approx(first_loss, rel=1e-9)
    # The first iteration on minibatches may find nothing better.
    loss = estimator.loss_curve_[0]
    assert loss < first_loss or (estimator.solver_ == "kfac" and loss == pytest.approx(first_loss, rel=1e-9))


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


# Objects in place of names.


@each
def test_an_object_is_as_good_as_its_name(Autoencoder):
    by_name = make(Autoencoder, activation="tanh", loss="squared_error", output_activation="logistic").fit(X)
    by_object = make(Autoencoder, activation=Tanh(), code_activation=Tanh(), loss=SquaredError(Logistic())).fit(X)
    assert_same_model(by_name, by_object)
    assert by_object.network_.loss == by_name.network_.loss == SquaredError(Logistic())
    assert by_object.__sklearn_tags__().input_tags.positive_only == by_name.__sklearn_tags__().input_tags.positive_only


class Steep(Activation):
    """tanh(slope z)."""

    bounds = (-1.0, 1.0)

    def __init__(self, slope):
        self.slope = slope

    def forward(self, Z):
        return np.tanh(self.slope * Z, out=Z)

    def derivative(self, A):
        return self.slope * (1 - A**2)

    def second_derivative(self, A):
        return -2 * self.slope**2 * A * (1 - A**2)

    def inverse(self, A):
        return np.arctanh(A) / self.slope


@pytest.mark.parametrize("solver", ["varpro", "lbfgs"])
def test_an_activation_of_ones_own(solver):
    """With a contraction, which takes its second derivative."""
    settings = {"solver": solver, "alpha": 0, "penalties": (Contraction(0.01),), "scale_code": False, "max_iter": 60}
    steep = make(AutoencoderTransformer, activation=Steep(2.0), **settings).fit(X)
    assert_allclose(steep.transform(X), np.tanh(2 * (X @ steep.coefs_[0] + steep.intercepts_[0])), rtol=1e-9)
    contraction = 0.01 * np.sum(steep.encoder_jacobian(X) ** 2, axis=(1, 2))
    assert steep.loss_ == pytest.approx(np.mean(contraction - steep.score_samples(X)), rel=1e-9)
    assert steep.loss_ < 0.5 * steep.loss_curve_[0]


def test_activations_compare_by_value():
    assert Steep(2.0) == Steep(2.0) != Steep(3.0)
    assert len({Steep(2.0), Steep(2.0), Steep(3.0), Tanh()}) == 3
    assert repr(Steep(2.0)) == "Steep(slope=2.0)"
    warm = make(AutoencoderTransformer, activation=Steep(2.0), warm_start=True).fit(X)
    warm.fit(X)
    with pytest.raises(ValueError, match="goes on with the architecture of the previous fit"):
        warm.set_params(activation=Steep(3.0)).fit(X)


@each
def test_a_loss_object_has_its_own_link(Autoencoder):
    with pytest.raises(ValueError, match=r"output_activation='tanh' does not go with .*, which has its own link"):
        make(Autoencoder, loss=SquaredError(), output_activation="tanh").fit(X)


@each
@in_every_configuration
def test_the_network_is_the_model(Autoencoder, name):
    """By its description alone."""
    estimator = configured(Autoencoder, name).fit(X)
    network = estimator.network_
    outputs = X - network.offset
    for layer in network.encoder:
        outputs = layer.activation.forward(outputs @ layer.weight + layer.intercept)
    assert_allclose(outputs / network.code_scale, estimator.transform(X), rtol=1e-10)
    for layer in network.decoder:
        outputs = layer.activation.forward(outputs @ layer.weight + layer.intercept)
    assert_allclose(network.loss.predict(outputs), estimator.reconstruct(X), rtol=1e-10)
    assert network.widths == (N_FEATURES, *(layer.weight.shape[1] for layer in (*network.encoder, *network.decoder)))
    assert_allclose(network.encoder[0].intercept - network.offset @ network.encoder[0].weight, estimator.intercepts_[0])


def test_there_is_no_network_before_a_fit():
    assert not hasattr(AutoencoderTransformer(), "network_")
