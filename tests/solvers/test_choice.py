"""Which solver a fit takes, and that they agree: one minimum of a linear autoencoder, no worse a one elsewhere."""

import gc
import re
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._objective.joint import Objective
from skae._solvers.registry import SOLVERS
from skae.activations import ACTIVATIONS
from skae.corruption import Masking
from skae.losses import LOSSES, ColumnLosses
from skae.penalties import Contraction, KLSparsity, L1Sparsity, Penalty, WeightDecay

EXACT = {"max_iter": 5000, "max_fun": 20000, "tol": 0, "random_state": 0}
X = np.random.default_rng(0).uniform(size=(30, 6))
X.flags.writeable = False
WEIGHTS = np.linspace(0.2, 3, len(X))
LINEAR = {"activation": "identity"}
EXACT_SOLVERS = ("svd", "varpro", "kfac", "lbfgs")


@dataclass(frozen=True)
class Ridge(Penalty):
    """Weight decay that does not say that it is one."""

    acts_on = "weights"

    def on_weights(self, weights, gradients):
        return WeightDecay(self.weight).on_weights(weights, gradients)


@pytest.fixture(autouse=True)
def short_stochastic_searches(monkeypatch):
    monkeypatch.setattr("skae._solvers.stochastic._ITERATION_ROWS", 500)
    monkeypatch.setattr("skae._objective.noise._MIN_DRAWN_ROWS", 200)


def halved(X, rng):
    return 0.5 * X


def make(Autoencoder=AutoencoderTransformer, **parameters):
    return Autoencoder(**{"n_components": 3, "max_iter": 5, "random_state": 0, **parameters})


# The estimator, what it is given, and for each solver that does not apply the words for why.

NOT_LINEAR = "it is for the linear autoencoder"
TIED = "tied_weights=True"
LOSS = "its loss, or output_activation"
FRESH = {"expectation": "fresh"}
PENALTY = r"takes WeightDecay and Contraction alone"
HALVES = [("squared_error", slice(0, 3)), ("squared_error", slice(3, 6))]
WEIGHTED = ColumnLosses([(*HALVES[0], 2.0), HALVES[1]])
CHOICES = [
    ({**LINEAR}, {}),
    ({**LINEAR, "alpha": 0}, {}),
    ({**LINEAR, "tied_weights": True}, {"varpro": TIED}),
    ({**LINEAR, "n_components": 9}, {}),
    ({"activation": "tanh", "code_activation": "identity"}, {}),
    ({**LINEAR, "penalties": (WeightDecay(0.1), Contraction(0.01))}, {}),
    ({**LINEAR, "penalties": (Contraction(0.01),), "alpha": 0}, {"svd": "there is no optimum"}),
    ({**LINEAR, "penalties": (Contraction(0.01),), "alpha": 0, "tied_weights": True}, {"varpro": TIED}),
    ({**LINEAR, "penalties": (L1Sparsity(0.01),)}, {"svd": PENALTY}),
    ({**LINEAR, "penalties": (Ridge(0.01),)}, {"svd": PENALTY, "varpro": "penalties hold one on the weights"}),
    ({**LINEAR, "hidden_layer_sizes": (4,)}, {"svd": NOT_LINEAR}),
    ({**LINEAR, "code_activation": "tanh"}, {"svd": NOT_LINEAR}),
    ({**LINEAR, "hidden_layer_sizes": (4,), "tied_weights": True}, {"svd": NOT_LINEAR, "varpro": TIED}),
    *(
        ({**LINEAR, "loss": loss}, {"svd": NOT_LINEAR, "varpro": LOSS})
        for loss in LOSSES
        if loss not in ("squared_error", "categorical")
    ),
    *(
        ({**LINEAR, "output_activation": link}, {"svd": NOT_LINEAR, "varpro": LOSS})
        for link in ACTIVATIONS
        if link != "identity"
    ),
    *(({"activation": activation}, {"svd": NOT_LINEAR}) for activation in ACTIVATIONS if activation != "identity"),
    ({"penalties": (KLSparsity(0.1), L1Sparsity(0.1), Contraction(0.1), WeightDecay(0.1))}, {"svd": NOT_LINEAR}),
    ({"tied_weights": True}, {"svd": NOT_LINEAR, "varpro": TIED}),
    ({**LINEAR, "loss": WEIGHTED}, {"svd": "unweighted squared error"}),
    ({**LINEAR, "loss": ColumnLosses(HALVES, balance=False)}, {}),
    ({**LINEAR, "loss": ColumnLosses([HALVES[0], ("poisson", slice(3, 6))])}, {"svd": NOT_LINEAR, "varpro": LOSS}),
]
CHOICES = [(AutoencoderTransformer, *choice) for choice in CHOICES] + [
    (DenoisingAutoencoder, LINEAR, {"svd": "the inputs are corrupted"}),
    (DenoisingAutoencoder, {}, {"svd": NOT_LINEAR}),
    (DenoisingAutoencoder, {"loss": WEIGHTED}, {"svd": NOT_LINEAR}),
    (DenoisingAutoencoder, {"tied_weights": True}, {"svd": NOT_LINEAR, "varpro": TIED}),
    (SparseAutoencoder, {}, {"svd": NOT_LINEAR}),
    (SparseAutoencoder, {**LINEAR, "code_activation": "tanh"}, {"svd": NOT_LINEAR}),
    (ContractiveAutoencoder, {}, {"svd": NOT_LINEAR}),
    (ContractiveAutoencoder, {"loss": "cross_entropy"}, {"svd": NOT_LINEAR, "varpro": TIED}),
    (ContractiveAutoencoder, {"tied_weights": True}, {"svd": NOT_LINEAR, "varpro": TIED}),
    (ContractiveAutoencoder, {**LINEAR, "contraction_weight": 0.01}, {}),
    (ContractiveAutoencoder, {**LINEAR, "contraction_weight": 0.01, "tied_weights": True}, {"varpro": TIED}),
]
# Minibatches are for noise that is drawn anew.
DRAWN = [
    (DenoisingAutoencoder, {**FRESH, **LINEAR}, {"svd": "the inputs are corrupted"}),
    (DenoisingAutoencoder, {**FRESH, "tied_weights": True}, {"svd": NOT_LINEAR, "varpro": TIED}),
    (DenoisingAutoencoder, {"corruption": Masking(emphasis=(2, 1))}, {"svd": NOT_LINEAR, "varpro": "emphasis"}),
    (DenoisingAutoencoder, {"loss": "cross_entropy"}, {"svd": NOT_LINEAR, "varpro": LOSS}),
    (DenoisingAutoencoder, {"activation": "relu"}, {"svd": NOT_LINEAR}),
    (DenoisingAutoencoder, {"corruption": halved, "tied_weights": True}, {"svd": NOT_LINEAR, "varpro": TIED}),
]
CHOICES += DRAWN


@pytest.mark.parametrize(("Autoencoder", "parameters", "refused"), CHOICES)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_auto_takes_the_first_that_applies(Autoencoder, parameters, refused, sparse):
    data = csr_array(X) if sparse else X
    is_drawn = (Autoencoder, parameters, refused) in DRAWN
    order = ("svd", "varpro", "kfac" if is_drawn else "lbfgs")
    expected = next(solver for solver in order if solver not in refused)
    automatic = make(Autoencoder, **parameters).fit(data)
    named = make(Autoencoder, **parameters, solver=expected).fit(data)
    assert automatic.solver_ == named.solver_ == expected
    assert_array_equal(automatic.coefs_[0], named.coefs_[0])


@pytest.mark.parametrize(("Autoencoder", "parameters", "refused"), CHOICES)
def test_a_named_solver_applies_or_says_why_not(Autoencoder, parameters, refused):
    for solver in SOLVERS:
        estimator = make(Autoencoder, **parameters, solver=solver)
        if solver not in refused:
            assert estimator.fit(X).solver_ == solver
            continue
        message = f"solver='{solver}' does not apply: .*{re.escape(refused[solver])}.*Set solver='auto'"
        with pytest.raises(ValueError, match=message):
            estimator.fit(X)
        assert not hasattr(estimator, "solver_")


def test_the_solvers_are_those_of_the_documentation():
    assert list(SOLVERS) == ["svd", "varpro", "kfac", "lbfgs"]
    assert all(f'"{solver}"' in AutoencoderTransformer.__doc__ for solver in ("auto", *SOLVERS))


# One minimum.


def fits(Autoencoder, data, weights=None, solvers=EXACT_SOLVERS, **parameters):
    return [
        Autoencoder(**{**EXACT, **parameters, "solver": solver}).fit(data, sample_weight=weights) for solver in solvers
    ]


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize(
    ("alpha", "contraction", "tied_weights"),
    # Contracted, untied and without decay there is no minimum.
    [case for case in product([0.0, 1e-3, 0.02], [0.0, 0.01], [False, True]) if case != (0.0, 0.01, False)],
)
def test_one_minimum_of_a_linear_autoencoder(alpha, weights, contraction, tied_weights):
    """And one reconstruction: the codes may be rotated, but their map to the reconstruction is unique."""
    closed, *searched = fits(
        ContractiveAutoencoder,
        X,
        weights,
        solvers=("svd", "kfac", "lbfgs") if tied_weights else EXACT_SOLVERS,
        n_components=3,
        activation="identity",
        alpha=alpha,
        contraction_weight=contraction,
        tied_weights=tied_weights,
    )
    assert closed.loss_ > 0
    for other in searched:
        assert_allclose(other.loss_, closed.loss_, rtol=1e-9)
        assert_allclose(other.reconstruct(X), closed.reconstruct(X), atol=1e-4)


@pytest.mark.parametrize("n_components", [2, 6, 9])
def test_one_minimum_at_every_code_size(n_components):
    closed, *searched = fits(AutoencoderTransformer, X, n_components=n_components, activation="identity", alpha=0.01)
    for other in searched:
        assert_allclose(other.loss_, closed.loss_, rtol=1e-9)


@pytest.mark.parametrize("parameters", [{"alpha": 0.05}, {"alpha": 0.3}, {"tied_weights": True}], ids=str)
def test_one_minimum_on_measurements(cancer, parameters):
    solvers = ("svd", "lbfgs") if parameters.get("tied_weights") else ("svd", "varpro", "lbfgs")
    parameters = {"n_components": 4, "activation": "identity", **parameters}
    closed, *searched = fits(AutoencoderTransformer, cancer, solvers=solvers, **parameters)
    for other in searched:
        assert_allclose(other.loss_, closed.loss_, rtol=1e-8)


# No worse a minimum.

MODELS = {
    "logistic": (AutoencoderTransformer, {}),
    "tanh": (AutoencoderTransformer, {"activation": "tanh"}),
    "softplus": (AutoencoderTransformer, {"activation": "softplus", "alpha": 1e-3}),
    "relu": (AutoencoderTransformer, {"activation": "relu"}),
    "no decay": (AutoencoderTransformer, {"activation": "tanh", "alpha": 0}),
    "deep": (AutoencoderTransformer, {"hidden_layer_sizes": (12,), "activation": "tanh"}),
    "denoising": (DenoisingAutoencoder, {}),
    "sparse": (SparseAutoencoder, {"sparsity_weight": 0.3, "sparsity_target": 0.2}),
    "contractive": (ContractiveAutoencoder, {"tied_weights": False, "contraction_weight": 0.05}),
    "l1": (AutoencoderTransformer, {"activation": "softplus", "penalties": (L1Sparsity(0.01),)}),
}


@pytest.mark.parametrize("rows", ["digits", "weighted cancer"])
@pytest.mark.parametrize("name", MODELS)
def test_projection_ends_no_higher_than_the_joint_search(name, rows, digits, cancer):
    """From the same start, with as many iterations; but for the local minimum that either may end in."""
    data, weights = (digits[::6], None) if rows == "digits" else (cancer[::3], np.linspace(0.2, 2, 190))
    Autoencoder, parameters = MODELS[name]
    parameters = {"n_components": 6, "tol": 1e-8, "max_iter": 400, "random_state": 1, **parameters}
    projected, joint = (
        Autoencoder(**parameters, solver=solver).fit(data, sample_weight=weights) for solver in ("varpro", "lbfgs")
    )
    assert projected.loss_ <= 1.005 * joint.loss_
    if Autoencoder is AutoencoderTransformer and not projected.penalties:
        # It is what the parameters give, not just what the search says.
        rows = np.sum((projected.reconstruct(data) - data) ** 2, axis=1) / 2
        decay = projected.alpha_ @ [np.sum(W**2) for W in projected.coefs_] / 2
        assert_allclose(projected.loss_, np.average(rows, weights=weights) + decay, rtol=1e-8)


# From one solver to the other.


@pytest.mark.parametrize("parameters", [{"alpha": 1e-4}, {"hidden_layer_sizes": (5,)}, {"alpha": 0}], ids=str)
def test_projection_goes_on_from_the_joint_search(parameters):
    """Its first value is no higher: the last layer is optimal at once."""
    estimator = make(warm_start=True, solver="lbfgs", max_iter=20, **parameters).fit(X)
    joint_loss, first_layer = estimator.loss_, estimator.coefs_[0].copy()
    estimator.set_params(solver="varpro", max_iter=1).fit(X)
    assert estimator.loss_curve_[0] < joint_loss
    assert_allclose(estimator.coefs_[0], first_layer, atol=0.5 * np.abs(first_layer).max())


@pytest.mark.parametrize("first", ["svd", "varpro"])
def test_the_joint_search_goes_on_from_the_others(first):
    """At their minimum it has nothing to do but to find that out."""
    estimator = make(warm_start=True, solver=first, **{**EXACT, **LINEAR}).fit(X)
    loss, reconstruction = estimator.loss_, estimator.reconstruct(X)
    estimator.set_params(solver="lbfgs", tol=1e-9).fit(X)
    assert estimator.n_iter_ <= estimator.n_iter_no_change
    assert_allclose(estimator.loss_, loss, rtol=1e-10)
    assert_allclose(estimator.reconstruct(X), reconstruction, atol=1e-5)


@pytest.mark.parametrize("solver", ["varpro", "kfac", "lbfgs"])
def test_caps_hold_for_all_searches(solver):
    with pytest.warns(ConvergenceWarning, match="it reached max_iter"):
        estimator = make(solver=solver, max_iter=3, tol=1e-12).fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 3


@pytest.mark.parametrize(
    "settings",
    [
        {"solver": "varpro"},
        {"solver": "lbfgs"},
        {"solver": "kfac", "tol": 1},
        {"solver": "kfac", "max_iter": 1},
        {"early_stopping": True},
        {"n_init": 2},
    ],
)
def test_no_objective_outlives_its_fit(settings):
    """Nothing refers to itself, so that an objective's buffers are gone without the garbage collector."""

    def objectives():
        return [part for part in gc.get_objects() if issubclass(type(part), Objective)]

    gc.collect()
    gc.disable()
    try:
        others = objectives()
        make(**settings).fit(X)
        assert not [part for part in objectives() if not any(part is other for other in others)]
    finally:
        gc.enable()
