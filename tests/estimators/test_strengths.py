"""Strengths in the units of the data: what "scale" stands for, and that the unit of X does not matter then."""

import re
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from scipy.special import xlogy
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._network.architecture import Architecture, Layer
from skae.activations import ACTIVATIONS
from skae.losses import make_loss
from skae.penalties import Contraction, WeightDecay

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
WINE = StandardScaler().fit_transform(load_wine().data) * np.linspace(0.5, 3, 13)
CANCER = StandardScaler().fit_transform(load_breast_cancer().data)
WEIGHTS = np.random.default_rng(0).uniform(0.2, 3, len(WINE))
BOUNDED = 0.15


CONSTANTS = {"alpha": 5e-3, "sparsity_weight": 3, "contraction_weight": 1}


def spread(X, weights):
    """s: root mean square about the column means."""
    return np.sqrt(np.average((X - np.average(X, axis=0, weights=weights)) ** 2, axis=0, weights=weights).mean())


# The formulas.


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("settings", "units"),
    [
        ({}, "s b s"),
        ({"activation": "tanh"}, "s b s"),
        ({"activation": "softplus"}, "s b s"),
        ({"activation": "relu"}, "s s s"),
        ({"activation": "identity"}, "s s s"),
        ({"hidden_layer_sizes": (6, 5)}, "s b b b b b s"),
        ({"hidden_layer_sizes": 6, "activation": "relu", "code_activation": "logistic"}, "s s b b s"),
        ({"hidden_layer_sizes": 6, "activation": "tanh", "code_activation": "identity"}, "s b b b s"),
        ({"output_activation": "relu"}, "s b s"),
        ({"output_activation": "tanh"}, "s b 1"),
        ({"tied_weights": True}, "s 1"),
        ({"tied_weights": True, "activation": "relu"}, "s s"),
        ({"tied_weights": True, "hidden_layer_sizes": 6}, "s 1 1"),
    ],
)
def test_weight_decay_of_squared_error(settings, units, dtype, weights):
    X = WINE.astype(dtype)
    s = spread(WINE, weights)
    value = {"s": s, "b": BOUNDED, "1": 1.0}
    units = [value[unit] for unit in units.split()]
    estimator = AutoencoderTransformer(4, max_iter=2, random_state=0, **settings).fit(X, sample_weight=weights)
    expected = [5e-3 * s**2 * (below / above) ** 2 for below, above in pairwise(units)]
    assert_allclose(estimator.alpha_, expected, rtol=1e-5)
    assert len(estimator.alpha_) == len(estimator.coefs_) // (1 + settings.get("tied_weights", False))


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize(
    ("loss", "raw_unit", "gain"),
    [
        ("cross_entropy", 1.0, lambda x, r: xlogy(x, x / r) + xlogy(1 - x, (1 - x) / (1 - r))),
        ("poisson", 0.03, lambda x, r: xlogy(x, x / r) - x + r),
    ],
)
def test_strengths_of_other_losses(loss, raw_unit, gain, weights):
    X = np.random.default_rng(0).uniform(size=(len(WINE), 5))
    g = 2 * np.average(gain(X, np.average(X, axis=0, weights=weights)).sum(axis=1), weights=weights) / 5
    s = spread(X, weights)
    settings = {"n_components": 3, "loss": loss, "max_iter": 2, "random_state": 0}
    alpha = AutoencoderTransformer(**settings).fit(X, sample_weight=weights).alpha_
    assert_allclose(alpha, 5e-3 * g * np.array([(s / BOUNDED) ** 2, (BOUNDED / raw_unit) ** 2]), rtol=1e-9)
    sparse = SparseAutoencoder(**settings).fit(X, sample_weight=weights)
    assert sparse.sparsity_weight_ == pytest.approx(3 * g)
    contractive = ContractiveAutoencoder(**settings).fit(X, sample_weight=weights)
    assert len(contractive.alpha_) == 1  # tied
    assert contractive.contraction_weight_ == pytest.approx(g * s**2)


@pytest.mark.parametrize(
    ("settings", "unit"),
    [({}, BOUNDED), ({"activation": "relu"}, "s"), ({"hidden_layer_sizes": 5, "code_activation": "relu"}, BOUNDED)],
)
def test_contraction_and_sparsity_of_squared_error(settings, unit):
    s = spread(WINE, None)
    contractive = ContractiveAutoencoder(4, max_iter=2, random_state=0, **settings).fit(WINE)
    assert contractive.contraction_weight_ == pytest.approx(s**2 * (s / (s if unit == "s" else unit)) ** 2)
    assert SparseAutoencoder(4, max_iter=2).fit(WINE).sparsity_weight_ == pytest.approx(3 * s**2)


@each
def test_a_number_is_the_formula_of_the_documentation(Autoencoder):
    own = {SparseAutoencoder: "sparsity_weight", ContractiveAutoencoder: "contraction_weight"}.get(Autoencoder)
    estimator = Autoencoder(4, alpha=0.02, hidden_layer_sizes=(5,), max_iter=2, **({own: 3} if own else {})).fit(WINE)
    assert estimator.alpha_.tolist() == [0.02] * 4
    if own:
        strength = getattr(estimator, f"{own}_")
        assert strength == 3
        assert isinstance(strength, float)


@each
def test_constant_data_has_units_of_one(Autoencoder):
    estimator = Autoencoder(2, tied_weights=False, random_state=0).fit(np.full((10, 4), 3.0))
    assert_allclose(estimator.alpha_, [5e-3 / BOUNDED**2, 5e-3 * BOUNDED**2])


def test_a_refit_resolves_anew():
    estimator = ContractiveAutoencoder(4, max_iter=5, random_state=0, warm_start=True).fit(WINE)
    first = estimator.contraction_weight_
    assert estimator.fit(2 * WINE).contraction_weight_ == pytest.approx(16 * first)
    assert estimator.contraction_weight == estimator.alpha == "scale"


def test_a_gross_outlier_does_not_count():
    alphas = []
    for value in (1, 1e4):
        X = CANCER.copy()
        X[7] *= value
        estimator = AutoencoderTransformer(8, max_iter=1, random_state=0).fit(X)
        alphas.append(estimator.alpha_)
    assert_allclose(*alphas, rtol=0.05)


def test_rows_held_out_do_not_count():
    estimator = AutoencoderTransformer(4, early_stopping=True, validation_fraction=0.5, random_state=0).fit(WINE)
    assert not np.isclose(estimator.alpha_[0], AutoencoderTransformer(4, random_state=0).fit(WINE).alpha_[0], rtol=1e-3)


@each
def test_the_docstring_names_the_constants(Autoencoder):
    text = " ".join(Autoencoder.__doc__.split())
    for name in ("alpha", *Autoencoder._own_penalty_parameters):
        (described,) = re.findall(rf'{name} : float or "scale", default=.scale. .*?"scale" is (\S+) in the unit', text)
        assert float(described) == CONSTANTS[name]
    assert f"and {BOUNDED} for other activations" in text
    assert "1 for cross-entropy and 0.03 for Poisson" in text


def test_dense_and_sparse_have_the_same_strengths():
    X = np.where(WINE > 1, WINE, 0)
    for Autoencoder in AUTOENCODERS:
        dense, sparse = (Autoencoder(4, max_iter=3, random_state=0).fit(data) for data in (X, csr_array(X)))
        assert_allclose(dense.alpha_, sparse.alpha_, rtol=1e-12)


@pytest.mark.parametrize("name", ["alpha", "sparsity_weight", "contraction_weight"])
@pytest.mark.parametrize("value", ["auto", -1.0, None, np.nan])
def test_other_strengths_are_refused(name, value):
    Autoencoder = ContractiveAutoencoder if name == "contraction_weight" else SparseAutoencoder
    with pytest.raises(ValueError, match=rf"The '{name}' parameter .* or a str among \{{'scale'\}}"):
        Autoencoder(2, **{name: value}).fit(WINE)


# The unit of X.

PROMISED = [
    (AutoencoderTransformer, {}),
    (AutoencoderTransformer, {"activation": "relu"}),
    (AutoencoderTransformer, {"activation": "identity"}),
    (AutoencoderTransformer, {"activation": "softplus"}),
    (AutoencoderTransformer, {"hidden_layer_sizes": (12,), "activation": "tanh"}),
    (AutoencoderTransformer, {"hidden_layer_sizes": (12,), "activation": "relu", "code_activation": "logistic"}),
    (AutoencoderTransformer, {"tied_weights": True, "activation": "relu"}),
    (AutoencoderTransformer, {"tied_weights": True, "activation": "identity"}),
    (AutoencoderTransformer, {"output_activation": "relu"}),
    (DenoisingAutoencoder, {}),
    (DenoisingAutoencoder, {"corruption": "salt_and_pepper"}),
    (SparseAutoencoder, {}),
    (ContractiveAutoencoder, {}),
    (ContractiveAutoencoder, {"activation": "relu"}),
    (ContractiveAutoencoder, {"activation": "tanh", "hidden_layer_sizes": (12,)}),
    (ContractiveAutoencoder, {"activation": "relu", "hidden_layer_sizes": (12,), "code_activation": "logistic"}),
]


@pytest.mark.parametrize(("Autoencoder", "settings"), PROMISED)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fit_does_not_depend_on_the_unit(Autoencoder, settings, dtype):
    X = CANCER.astype(dtype)
    estimator = Autoencoder(8, random_state=0, **settings)
    expected = estimator.fit(X).score(X)
    reconstruction = estimator.reconstruct(X)
    # A power of two changes no digit; other units do, and a search may then take another path past relu's kinks.
    for unit in (2.0**-26, 2.0**26):
        reconstructed = estimator.fit(unit * X).reconstruct(unit * X) / unit
        assert_allclose(reconstructed, reconstruction, rtol=1e-3, atol=1e-3)
    for unit in (1e-8, 1e4):
        scaled = (unit * CANCER).astype(dtype)
        assert estimator.fit(scaled).score(scaled) == pytest.approx(expected, abs=3e-3)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_fit_to_counts_does_not_depend_on_the_unit(dtype):
    counts = np.random.default_rng(0).poisson(3 * np.random.default_rng(1).uniform(size=(300, 3)) @ np.ones((3, 12)))
    estimator = AutoencoderTransformer(4, loss="poisson", random_state=0)
    expected = estimator.fit(counts.astype(dtype)).score(counts)
    for unit in (1e-4, 1e4):
        assert estimator.fit((unit * counts).astype(dtype)).score(unit * counts) == pytest.approx(expected, abs=2e-3)


def test_a_number_for_all_layers_does_not_do_that():
    """At one unit it is nothing, at another it leaves nothing of the code."""
    scores = []
    for unit in (1e-4, 1, 1e4):
        scores.append(AutoencoderTransformer(8, alpha=1e-2, random_state=0).fit(unit * CANCER).score(unit * CANCER))
    assert np.ptp(scores) > 0.5


# Parts.


def test_a_weight_decay_for_each_matrix():
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=shape) for shape in [(4, 3), (3, 2), (2, 3)]]
    penalty, gradients = WeightDecay((0.1, 0.0, 2.0)), [np.zeros_like(W) for W in weights]
    value = penalty.on_weights(weights, gradients)
    assert value == pytest.approx(0.05 * np.sum(weights[0] ** 2) + np.sum(weights[2] ** 2))
    for gradient, strength, W in zip(gradients, penalty.weight, weights, strict=True):
        assert_allclose(gradient, strength * W)
    assert penalty.linear_decays == (0.1, 2.0)


@pytest.mark.parametrize("weight", [(0.1, -1.0), (0.1, np.nan), (0.1, True), ((0.1,), "scale")])
def test_bad_weight_decays(weight):
    with pytest.raises(ValueError, match=r"WeightDecay: weight must be a float in \[0, inf\)"):
        WeightDecay(weight)


def test_as_many_weight_decays_as_matrices():
    estimator = AutoencoderTransformer(3, penalties=(WeightDecay((0.1, 0.1, 0.1)),))
    with pytest.raises(ValueError, match="one entry a distinct weight matrix, 2 here, got 3"):
        estimator.fit(WINE)
    g = ACTIVATIONS["tanh"]
    WeightDecay((0.1, 0.2)).check(Architecture((5, 4, 3), g, g, make_loss("squared_error"), tied=True))


@pytest.mark.parametrize("activation", ["logistic", "relu"])
@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_a_contraction_in_tiny_and_huge_units_keeps_its_digits_in_float32(activation, depth, unit):
    """Its weight is the fourth power of the unit, the squared weights of the first layer are its inverse square."""
    g, rng = ACTIVATIONS[activation], np.random.default_rng(0)
    shapes, power = [(6, 4), (4, 3)][:depth], 4 if activation == "logistic" else 2
    weights = [rng.normal(size=shape) for shape in shapes]
    if activation == "logistic":
        weights[0] /= unit
    outputs = [g.forward(rng.normal(size=(20, width))) for _, width in shapes]
    shares = np.full(20, 0.05)
    results = []
    for dtype in (np.float64, np.float32):
        encoder = [Layer(W.astype(dtype), np.zeros(W.shape[1], dtype), g) for W in weights]
        activations = [A.astype(dtype) for A in outputs]
        deltas, gradients = [np.zeros_like(A) for A in activations], [np.zeros(shape) for shape in shapes]
        value = Contraction(0.1 * unit**power).on_rows(encoder, activations, shares, deltas, gradients)
        results.append([value, *gradients, *deltas])
    for double, single in zip(*results, strict=True):
        assert_allclose(single, double, rtol=1e-4, atol=1e-4 * np.abs(double).max())
        assert activation == "relu" or np.abs(single).max() > 0
