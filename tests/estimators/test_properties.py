"""Properties of every fit, on small arrays and over all parameters, with examples that hypothesis looks for.

The default run is the same every time. SKAE_EXAMPLES=50 tries fifty times as many examples, other ones every time.
"""

import copy
import os
import traceback
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from problems import make_problem, subset
from scipy.sparse import csr_array, issparse

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.problem import make_problem as problem_of
from skae._objective.projected import ProjectedObjective
from skae._rows.statistics import column_means, statistics_of
from skae._rows.threads import SERIAL
from skae._solvers.registry import SOLVERS
from skae._solvers.search import ProjectedSearch
from skae._variables.centring import centred_variables
from skae._weights import Weights
from skae.activations import ACTIVATIONS
from skae.corruption import CORRUPTIONS, Blur, Gaussian, Masking, SaltAndPepper
from skae.losses import LOSSES, make_loss
from skae.penalties import Contraction, KLSparsity, L1Sparsity, WeightDecay

_MORE = os.environ.get("SKAE_EXAMPLES")


def examples(count):
    """How many examples a property is tried on."""
    return settings(
        max_examples=count * int(_MORE or 1),
        derandomize=_MORE is None,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


# Warnings are errors here, but for those that the estimators document.
pytestmark = [
    pytest.mark.filterwarnings("ignore:early_stopping=True kept:UserWarning"),
]


@pytest.fixture(autouse=True)
def short_iterations(monkeypatch):
    """The search on minibatches, whose number of steps is no property."""
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 400)


# Rows.

shapes = st.tuples(st.integers(1, 12), st.integers(1, 6))
seeds = st.integers(0, 2**32 - 1)
often = st.integers(0, 9).map(bool)
seldom = st.integers(0, 9).map(lambda number: number == 9)
LARGEST = {np.float64: 1e300, np.float32: 1e38}
DOMAINS = {
    "squared_error": (-np.inf, np.inf),
    "cross_entropy": (0, 1),
    "poisson": (0, np.inf),
    "categorical": (0, np.inf),
}


def any_size(largest):
    """Numbers of any size and sign, and zero."""
    exponents = st.floats(-np.log10(largest), np.log10(largest))
    return st.just(0.0) | st.builds(lambda exponent, sign: sign * 10**exponent, exponents, st.sampled_from([-1, 1]))


def into_domain(X, loss):
    """X with its entries folded, and cut, into what the loss is defined for."""
    low, high = DOMAINS[loss]
    X = np.clip(X if low < 0 else np.abs(X), low, high)
    if loss != "categorical":
        return X
    X = X if X.shape[1] > 1 else np.hstack([X, X])
    sizes = X.max(axis=1, keepdims=True)
    X = np.divide(X, sizes, out=np.zeros_like(X), where=sizes > 0)
    totals = X.sum(axis=1, keepdims=True)
    return np.divide(X, totals, out=X, where=totals > 0)


@st.composite
def ordinary_rows(draw, shape=shapes, loss="squared_error"):
    """Rows on a scale of about one, in float64."""
    X = draw(arrays(np.float64, draw(shape), elements=st.integers(-300, 300).map(lambda number: number / 100)))
    return into_domain(X, loss)


@st.composite
def any_rows(draw, loss="squared_error"):
    """Rows of any kind: ordinary, huge, tiny, mixed; constant, repeated; in float64 or float32."""
    dtype, shape = draw(st.sampled_from([np.float64, np.float32])), draw(shapes)
    largest = LARGEST[dtype]
    kind = draw(st.sampled_from(["ordinary", "counts", "one scale", "far from zero", "any size", "zeros"]))
    if kind == "any size":
        X = draw(arrays(np.float64, shape, elements=any_size(largest)))
    elif kind == "counts":
        X = draw(arrays(np.float64, shape, elements=st.integers(0, 20).map(float)))
    elif kind == "zeros":
        X = np.zeros(shape)
    else:
        X = draw(ordinary_rows(st.just(shape)))
    if kind == "one scale":
        X *= draw(any_size(largest))
    if kind == "far from zero":
        X += draw(any_size(largest))
    if draw(seldom):
        X = X[draw(st.lists(st.integers(0, min(len(X), 3) - 1), min_size=1, max_size=12))]
    if draw(seldom):
        constant = draw(arrays(bool, X.shape[1]))
        X[:, constant] = X[0, constant]
    if draw(often):
        X = into_domain(X, loss)
    return np.clip(X, -largest, largest).astype(dtype)


# Parameters.

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
LINKS = [(loss, link) for loss in LOSSES for link in ("auto", *LOSSES[loss].links)]
BOUNDED = [name for name, g in ACTIVATIONS.items() if np.isfinite(g.bounds).all()]
strengths = st.sampled_from([0.0, 1e-4, 0.1, 1.0])
any_strengths = strengths | st.sampled_from([1e-300, 1e4, 1e300])
targets = st.sampled_from([1e-6, 0.05, 0.5, 0.9])
activations = st.sampled_from(list(ACTIVATIONS))
hidden_layers = st.sampled_from([(), (3,), (4, 3)])


def penalties(strengths):
    return st.lists(
        st.builds(WeightDecay, strengths)
        | st.builds(KLSparsity, strengths, targets)
        | st.builds(L1Sparsity, strengths)
        | st.builds(Contraction, strengths),
        max_size=2,
    ).map(tuple)


corruption_options = st.one_of(
    *(
        st.fixed_dictionaries({"corruption": st.just(name), "corruption_level": st.sampled_from([0.0, 0.25, 1.0])})
        for name in CORRUPTIONS
    ),
    st.fixed_dictionaries(
        {
            "corruption": st.sampled_from(
                [Gaussian(2.0), Masking(0.5), SaltAndPepper(0.5), Masking(0.5, emphasis=(2, 1))]
            )
        }
    ),
    st.fixed_dictionaries({"corruption": st.just(lambda X, rng: X[::-1].copy())}),
)


def own_options(Autoencoder, strengths):
    return {
        AutoencoderTransformer: st.just({}),
        DenoisingAutoencoder: st.builds(
            lambda corruption, expectation: {**corruption, "expectation": expectation},
            corruption_options,
            st.sampled_from(["auto", "auto", "fresh"]),
        ),
        SparseAutoencoder: st.fixed_dictionaries({"sparsity_weight": strengths, "sparsity_target": targets}),
        ContractiveAutoencoder: st.fixed_dictionaries({"contraction_weight": strengths}),
    }[Autoencoder]


def model_options(strengths):
    return st.fixed_dictionaries(
        {"max_iter": st.integers(1, 12), "random_state": st.integers(0, 99)},
        optional={
            "n_components": st.none() | st.integers(1, 8) | st.floats(0.01, 0.99),
            "hidden_layer_sizes": hidden_layers,
            "activation": activations,
            "code_activation": activations,
            "tied_weights": st.booleans(),
            "alpha": strengths,
            "penalties": penalties(strengths),
            "init": st.sampled_from(["glorot", "pca"]),
        },
    )


search_options = st.fixed_dictionaries(
    {},
    optional={
        "solver": st.sampled_from(["auto", *SOLVERS]),
        "tol": st.sampled_from([0.0, 1e-5, 1e-2]),
        "max_fun": st.integers(1, 20),
        "maxcor": st.integers(1, 20),
        "n_init": st.integers(1, 3),
        "early_stopping": st.booleans(),
        "validation_fraction": st.floats(0.05, 0.9),
        "n_iter_no_change": st.integers(1, 5),
        "warm_start": st.booleans(),
    },
)


def applicable(Autoencoder, parameters):
    """The parameters, with a code that KL sparsity works with where it is asked for."""
    code = parameters.get("code_activation") or parameters.get("activation", "logistic")
    with_kl = any(isinstance(penalty, KLSparsity) for penalty in parameters.get("penalties", ()))
    if code not in BOUNDED and (with_kl or Autoencoder is SparseAutoencoder):
        return {**parameters, "code_activation": "tanh"}
    return parameters


class Fit(NamedTuple):
    """What a fit is given."""

    Autoencoder: type
    parameters: dict
    X: np.ndarray
    sample_weight: np.ndarray | None = None

    def estimator(self, **others):
        return self.Autoencoder(**{**self.parameters, **others})

    def run(self, **others):
        return self.estimator(**others).fit(self.X, sample_weight=self.sample_weight)


@st.composite
def any_fits(draw):
    """Any estimator with any parameters, on any rows; what cannot apply is seldom, but there."""
    Autoencoder = draw(st.sampled_from(AUTOENCODERS))
    loss, link = draw(st.sampled_from(LINKS))
    parameters = {"loss": loss, "output_activation": link, **draw(model_options(any_strengths))}
    parameters |= {**draw(search_options), **draw(own_options(Autoencoder, any_strengths))}
    if draw(often):
        parameters = applicable(Autoencoder, parameters)
    X = draw(any_rows(loss))
    weights = draw(st.none() | arrays(np.float64, len(X), elements=st.integers(0, 3).map(float) | st.floats(0, 1e3)))
    return Fit(Autoencoder, parameters, csr_array(X) if draw(seldom) else X, weights)


@st.composite
def ordinary_fits(draw, corrupting=True, dtypes=(np.float64, np.float32)):
    """Fits that no estimator refuses, without held-out rows and without a solver's name."""
    Autoencoder = draw(st.sampled_from([each for each in AUTOENCODERS if corrupting or each != DenoisingAutoencoder]))
    loss, link = draw(st.sampled_from(LINKS))
    parameters = {"loss": loss, "output_activation": link, **draw(model_options(strengths))}
    parameters |= draw(own_options(Autoencoder, strengths))
    X = draw(ordinary_rows(loss=loss)).astype(draw(st.sampled_from(dtypes)))
    return Fit(Autoencoder, applicable(Autoencoder, parameters), X)


# A fit on anything.


def dense(X):
    return X.toarray() if issparse(X) else X


def assert_refused_in_words(error):
    """Raised by a line of this package or of scikit-learn's validation, not by an operation that went wrong."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    assert "skae" in last.filename or "sklearn" in last.filename, error
    assert last.line.startswith("raise "), error


def assert_sound(estimator, X):
    """Finite, of the right shapes and in the dtype of X; the rows X are among those fitted."""
    (n_samples, n_features), size = X.shape, estimator.n_components_
    for part in (*estimator.coefs_, *estimator.intercepts_):
        assert np.isfinite(part).all()
        assert part.dtype == X.dtype
    assert np.isfinite([estimator.loss_, *estimator.loss_curve_]).all()
    codes, reconstructions = estimator.transform(X), estimator.reconstruct(X)
    assert codes.shape == (n_samples, size)
    assert reconstructions.shape == (n_samples, n_features)
    assert codes.dtype == reconstructions.dtype == X.dtype
    assert np.isfinite(codes).all()
    assert not np.isnan(reconstructions).any()
    assert estimator.loss == "poisson" or np.isfinite(reconstructions).all()
    assert not np.isnan(estimator.score_samples(X)).any()
    assert estimator.score(X) <= 1
    assert np.isfinite(estimator.encoder_jacobian(X)).all()
    if len(estimator.hidden_layer_sizes) == 0:
        norms = np.linalg.norm(estimator.maximally_activating_inputs().astype(float), axis=1)
        assert_allclose(norms[norms > 0], 1, rtol=1e-5)


# The weight is zero in float32, and of the pre-activations' gradients it is that row's alone that are not zero.
ROW_WITHOUT_SHARE = Fit(
    AutoencoderTransformer,
    {"output_activation": "logistic", "activation": "relu", "init": "pca", "max_iter": 1, "random_state": 99},
    np.array([[0, 2, 1], [0, 0, 18], [0, 0, 1]], dtype=np.float32),
    np.array([321, 1, 2e-313]),
)


@examples(160)
@given(any_fits())
@example(Fit(AutoencoderTransformer, {}, np.array([[-1e155]])))  # a mean whose square overflows
@example(Fit(AutoencoderTransformer, {"n_components": 0.5}, np.array([[0, 0, 1e213], [1, 0, 0]])))
@example(Fit(AutoencoderTransformer, {"loss": "cross_entropy"}, np.array([[1, 1], [0.25, 1]]), np.array([1, 1e-20])))
@example(Fit(AutoencoderTransformer, {"alpha": 1e12, "random_state": 0}, np.eye(2, dtype=np.float32)))  # tiny weights
@example(ROW_WITHOUT_SHARE)
def test_a_fit_is_sound_or_refused(fit):
    estimator = fit.estimator()
    before = dict(vars(estimator))
    try:
        estimator.fit(fit.X, sample_weight=fit.sample_weight)
    except (ValueError, TypeError) as error:
        event(f"refused: {str(error)[:40]}")
        assert_refused_in_words(error)
        assert vars(estimator) == before
        return
    event("fitted")
    rows = slice(None) if fit.sample_weight is None else np.flatnonzero(fit.sample_weight)
    assert_sound(estimator, fit.X[rows])
    if estimator.warm_start:
        before = copy.copy(vars(estimator))
        try:
            estimator.fit(fit.X, sample_weight=fit.sample_weight)
        except ValueError as error:
            assert_refused_in_words(error)
            assert all(vars(estimator)[name] is value for name, value in before.items())
        assert_sound(estimator, fit.X[rows])


# The objective.


@st.composite
def any_problem(draw):
    """Any architecture, loss, penalties and corruption, on ordinary rows, dense or CSR."""
    loss, link = draw(st.sampled_from(LINKS))
    X = draw(ordinary_rows(loss=loss))
    hidden, code = draw(activations), draw(activations)
    widths = (X.shape[1], *draw(hidden_layers), draw(st.integers(1, 8)))
    architecture = Architecture(
        widths, ACTIVATIONS[hidden], ACTIVATIONS[code], make_loss(loss, link), draw(st.booleans())
    )
    every = (*draw(penalties(strengths)), WeightDecay(draw(strengths)))
    chosen = [penalty for penalty in every if code in BOUNDED or not isinstance(penalty, KLSparsity)]
    corruption = draw(st.sampled_from([None, None, Masking(0.3), Gaussian(0.2), SaltAndPepper(0.4), Blur((1, 1))]))
    if isinstance(corruption, Blur):
        corruption = Blur((1, X.shape[1]), sigma=0.7)
    if (corruption is None or corruption.keeps_sparse) and draw(st.booleans()):
        X = csr_array(X)
    rng = np.random.default_rng(draw(seeds))
    return make_problem(architecture, X, chosen, corruption, rng.uniform(0.5, 2, X.shape[0]), rng=rng)


def objectives(problem):
    """The joint objective, and the projected one where that is determined: it needs a weight decay for that."""
    classes = [Objective]
    if ProjectedSearch().why_not(problem) is None and decay_of(problem) > 0:
        classes.append(ProjectedObjective)
    offset = column_means(problem.inputs, problem.weights, SERIAL)
    for kind in classes:
        variables = centred_variables(Layout(problem.architecture, kind.n_layers), problem.architecture, 0.6, 0.7)
        yield kind(problem, variables, offset=offset, block_size=5)


def decay_of(problem):
    return sum(penalty.weight for penalty in problem.penalties if isinstance(penalty, WeightDecay))


def theta_of(objective, seed):
    return 0.7 * np.random.default_rng(seed).standard_normal(objective.size)


def assert_same_objectives(problem, other, seed):
    """At the same theta, to rounding."""
    for objective, another in zip(objectives(problem), objectives(other), strict=True):
        theta = theta_of(objective, seed)
        (value, gradient, terms, _), (other_value, other_gradient, *_) = objective(theta), another(theta)
        sizes = np.abs(terms).sum()
        assert_allclose(other_value, value, rtol=1e-11, atol=1e-11 * sizes)
        assert_allclose(other_gradient, gradient, rtol=1e-9, atol=1e-10 * max(np.abs(gradient).max(), sizes))


@examples(150)
@given(any_problem(), seeds)
def test_gradient_is_that_of_finite_differences(problem, seed):
    """Along a random direction, in which a wrong entry shows; at the best of a few steps, because of kinks."""
    for objective in objectives(problem):
        theta = theta_of(objective, seed)
        direction = np.random.default_rng(seed + 1).standard_normal(objective.size)
        _, gradient, terms, _ = objective(theta)
        allowed = 1e-6 * np.linalg.norm(gradient) * np.linalg.norm(direction)
        errors = {}
        for step in (1e-4, 1e-5, 1e-6, 1e-7):
            numeric = (objective(theta + step * direction)[0] - objective(theta - step * direction)[0]) / (2 * step)
            errors[step] = abs(gradient @ direction - numeric) - 1e-14 * np.abs(terms).sum() / step
        assert min(errors.values()) <= allowed, errors


@examples(150)
@given(any_problem(), seeds)
def test_order_of_the_rows_leaves_the_objective(problem, seed):
    order = np.random.default_rng(seed).permutation(len(problem.targets))
    assert_same_objectives(problem, subset(problem, order), seed)


@examples(150)
@given(any_problem(), seeds)
def test_integer_weights_are_repetitions_in_the_objective(problem, seed):
    counts = np.random.default_rng(seed).integers(1, 4, len(problem.targets))
    repeated = subset(problem, np.repeat(np.arange(len(counts)), counts))

    def with_weights(part, weights):
        weights = Weights(weights)
        statistics = statistics_of([part.targets], weights, SERIAL)
        return problem_of(
            problem.architecture, problem.penalties, part.targets, weights, statistics, SERIAL, part.noise
        )

    assert_same_objectives(
        with_weights(problem, counts.astype(float)), with_weights(repeated, np.ones(counts.sum())), seed
    )


# Rows and weights of a fit.

# Some layers' outputs are the same for all rows but for rounding.
CONSTANT_OUTPUTS = Fit(
    AutoencoderTransformer,
    {"loss": "cross_entropy", "activation": "relu", "hidden_layer_sizes": (3,), "random_state": 12},
    1.01327896e-06 * np.eye(12, 1),
)


@examples(60)
@given(any_fits(), seeds)
def test_weight_zero_removes_a_row(fit, seed):
    """Exactly, from all that a fit does: means, corruptions, held-out rows."""
    rng = np.random.default_rng(seed)
    weights = rng.integers(0, 3, fit.X.shape[0]).astype(float)
    kept = np.flatnonzero(weights)
    assume(0 < len(kept) < len(weights))
    try:
        expected = fit.estimator().fit(fit.X[kept], sample_weight=weights[kept])
    except ValueError as error:
        with pytest.raises(type(error)):
            fit.estimator().fit(fit.X, sample_weight=weights)
        return
    estimator = fit.estimator().fit(fit.X, sample_weight=weights)
    assert estimator.loss_curve_ == expected.loss_curve_
    for part, expected_part in zip(estimator.coefs_, expected.coefs_, strict=True):
        assert_array_equal(part, expected_part)


@examples(60)
@given(any_fits(), seeds)
@example(CONSTANT_OUTPUTS, 32)
def test_integer_weights_are_repetitions_in_a_fit(fit, seed):
    counts = np.random.default_rng(seed).integers(0, 4, fit.X.shape[0])
    assume(counts.any())
    repeated = np.repeat(np.arange(len(counts)), counts)
    assert_same_fit(fit._replace(sample_weight=counts), fit._replace(X=fit.X[repeated], sample_weight=None))


@examples(60)
@given(any_fits(), seeds)
def test_order_of_the_rows_leaves_a_fit(fit, seed):
    order = np.random.default_rng(seed).permutation(fit.X.shape[0])
    weights = None if fit.sample_weight is None else fit.sample_weight[order]
    assert_same_fit(fit, fit._replace(X=fit.X[order], sample_weight=weights))


def assert_same_fit(fit, other):
    """The same to the last bit, or the same error."""
    try:
        expected = fit.run()
    except ValueError as error:
        with pytest.raises(type(error)):
            other.run()
        return
    estimator = other.run()
    assert estimator.loss_curve_ == expected.loss_curve_
    for part, expected_part in zip(estimator.coefs_, expected.coefs_, strict=True):
        assert_array_equal(part, expected_part)


# Units.


@st.composite
def scale_free_fits(draw):
    """Without what has a scale of its own: penalties, weight decay, and tied weights, whose product has one.

    And with a decoder of one layer, of many different rows, and a code no wider than they are: where the last layer is
    hardly determined, as behind hidden layers that are almost linear, rounding decides where a search goes.
    """
    X = np.random.default_rng(draw(seeds)).standard_normal((20, draw(st.integers(1, 6))))
    parameters = draw(model_options(strengths)) | {"alpha": 0.0, "tied_weights": False, "penalties": ()}
    parameters |= {
        "hidden_layer_sizes": (),
        "n_components": draw(st.integers(1, X.shape[1])),
        "max_iter": draw(st.integers(1, 3)),
    }
    return Fit(AutoencoderTransformer, parameters, X)


@examples(60)
@given(scale_free_fits(), st.floats(-6, 6), st.floats(-100, 100))
def test_unit_and_origin_leave_the_share_of_variance(fit, exponent, origin):
    """Of other links and of masking this is not true: they have a unit, or an origin."""
    moved = fit._replace(X=10**exponent * (fit.X + origin))
    assert_allclose(moved.run().score(moved.X), fit.run().score(fit.X), atol=1e-5)


# Iterations.


@examples(60)
@given(ordinary_fits(), st.integers(1, 10))
def test_further_iterations_go_on_from_the_same_and_never_raise_the_objective(fit, further):
    shorter = fit.run()
    longer = fit.run(max_iter=shorter.max_iter + further)
    assert longer.loss_curve_[: shorter.n_iter_] == shorter.loss_curve_
    curve = np.array(longer.loss_curve_)
    rounding = 1e4 * np.finfo(fit.X.dtype).eps * max(1, np.abs(curve).max())
    assert (np.diff(curve) <= rounding).all()
    assert longer.loss_ <= shorter.loss_ + rounding


# What is fitted.


@examples(80)
@given(ordinary_fits(), seeds)
def test_rows_are_transformed_each_on_its_own(fit, seed):
    """Whatever their number, order and layout in memory."""
    estimator, X = fit.run(), fit.X
    codes = estimator.transform(X)
    # No activation is steeper than the identity.
    size = max(1, np.abs(X).max()) * np.prod([max(1, np.abs(W).sum(axis=0).max()) for W in estimator.coefs_])
    rounding = {"rtol": 0, "atol": 1e3 * np.finfo(X.dtype).eps * size}
    order = np.random.default_rng(seed).permutation(len(X))
    layouts = [np.asfortranarray(X), X[::-1].copy()[::-1], X[:, ::-1].copy()[:, ::-1], np.repeat(X, 2, axis=0)[::2]]
    for same in [*layouts, csr_array(X)]:
        assert_allclose(estimator.transform(same), codes, **rounding)
    assert_allclose(estimator.transform(X[order]), codes[order], **rounding)
    for row, code in zip(X, codes, strict=True):
        assert_allclose(estimator.transform(row[None])[0], code, **rounding)


@examples(80)
@given(ordinary_fits())
def test_methods_agree_with_each_other(fit):
    estimator, X = fit.run(), fit.X
    assert_array_equal(fit.estimator().fit_transform(X), estimator.transform(X))
    assert_array_equal(estimator.inverse_transform(estimator.transform(X)), estimator.reconstruct(X))
    assert_array_equal(-estimator.score_samples(X), estimator.feature_errors(X).sum(axis=1))


def kl_divergence(codes, target):
    """Of mean activations, kept inside of (0, 1)."""
    r = np.clip(codes.mean(axis=0), 1e-15, 1 - 1e-15)
    return np.sum(target * np.log(target / r) + (1 - target) * np.log((1 - target) / (1 - r)))


@examples(80)
@given(ordinary_fits(corrupting=False, dtypes=[np.float64]))
def test_loss_is_that_of_the_formulas_at_what_was_fitted(fit):
    """A tied matrix counts once; codes of tanh enter the divergence as (h + 1) / 2."""
    estimator, X = fit.run(), fit.X
    scale, code = estimator.code_scale_, estimator.code_activation or estimator.activation
    codes = estimator.transform(X) * scale
    decays = zip(estimator.alpha_, estimator.coefs_, strict=False)
    own = {
        SparseAutoencoder: lambda: [KLSparsity(estimator.sparsity_weight_, estimator.sparsity_target)],
        ContractiveAutoencoder: lambda: [Contraction(estimator.contraction_weight_)],
    }
    every = [*estimator.penalties, *own.get(type(estimator), list)()]
    terms = {
        WeightDecay: lambda: sum(np.sum(W**2) for W in estimator.coefs_[: len(estimator.alpha_)]) / 2,
        L1Sparsity: lambda: np.abs(codes).sum(axis=1).mean(),
        Contraction: lambda: np.sum((estimator.encoder_jacobian(X) * scale) ** 2) / len(X),
    }
    expected = -estimator.score_samples(X).mean() + sum(alpha * np.sum(W**2) for alpha, W in decays) / 2
    for penalty in every:
        if isinstance(penalty, KLSparsity):
            expected += penalty.weight * kl_divergence((codes + 1) / 2 if code == "tanh" else codes, penalty.target)
        else:
            expected += penalty.weight * terms[type(penalty)]()
    assert_allclose(estimator.loss_, expected, rtol=1e-6, atol=1e-9)
