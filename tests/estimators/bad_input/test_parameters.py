"""Parameters that are refused, with a message that names the parameter and says what it may be.

The estimators share the constraints of all parameters but their own; every bad value is tried on one of them.
"""

import os
import subprocess
import sys

import numpy as np
import pytest

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._compat import InvalidParameterError
from skae.corruption import Blur, Gaussian, Masking
from skae.penalties import Contraction, KLSparsity, L1Sparsity, WeightDecay

BAD_WEIGHTS = [-0.1, np.nan, np.inf, True, "x", None]
BAD_PARAMETERS = {
    "n_components": [0, -1, 0.0, 1.0, 1.5, 2.0, np.nan, np.inf, "x", True, [3]],
    "hidden_layer_sizes": [0, -1, 2.0, True, (0,), (-1,), (2.0,), (True,), ("x",), "x", None],
    "activation": ["x", None, 1],
    "code_activation": ["x", 1],
    "loss": ["x", None],
    "output_activation": ["x", None],
    "tied_weights": ["x", 1, None],
    "alpha": BAD_WEIGHTS,
    "scale_code": ["x", 1, None],
    "penalties": [None, "x", L1Sparsity(0.1), (1,), (L1Sparsity,)],
    "solver": ["x", None, "sgd"],
    "init": ["x", None],
    "n_init": [0, -1, 1.5, True, None],
    "n_jobs": ["x", 1.5],
    "max_iter": [0, -1, 1.5, True, "x", None],
    "tol": BAD_WEIGHTS,
    "max_fun": [0, 1.5, True, None],
    "maxcor": [0, 1.5, True, None],
    "early_stopping": ["x", 1, None],
    "validation_fraction": [0.0, 1.0, -0.1, 1, np.nan, "x", None],
    "n_iter_no_change": [0, -1, 1.5, True, None],
    "warm_start": ["x", 1, None],
    "random_state": ["x", -1, 1.5],
    "verbose": ["x", -1],
}
OWN_BAD_PARAMETERS = {
    DenoisingAutoencoder: {
        "corruption": ["x", None, 1],
        "corruption_level": [1.1, *BAD_WEIGHTS],
        "expectation": ["x", None, 1, True],
    },
    SparseAutoencoder: {
        "sparsity_target": [0, 1, 0.0, 1.0, -0.1, 1.1, np.nan, True, "x", None],
        "sparsity_weight": BAD_WEIGHTS,
    },
    ContractiveAutoencoder: {"contraction_weight": BAD_WEIGHTS, "tied_weights": ["x", 1, None]},
}


def bad_values(values_of):
    return [(name, value) for name, values in values_of.items() for value in values]


@pytest.mark.parametrize(("name", "value"), bad_values(BAD_PARAMETERS))
def test_bad_parameter(name, value, X, make):
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of AutoencoderTransformer must be"):
        make(AutoencoderTransformer, **{name: value}).fit(X)


@pytest.mark.parametrize(
    ("Autoencoder", "name", "value"),
    [(Autoencoder, *bad) for Autoencoder, values_of in OWN_BAD_PARAMETERS.items() for bad in bad_values(values_of)],
)
def test_bad_parameter_of_one_class(Autoencoder, name, value, X, make):
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {Autoencoder.__name__}"):
        make(Autoencoder, **{name: value}).fit(X)


@pytest.mark.parametrize("name", ["alpha", "loss", "max_iter", "tied_weights", "warm_start"])
def test_each_estimator_checks_its_parameters(Autoencoder, name, X, make):
    with pytest.raises(InvalidParameterError, match=f"The '{name}' parameter of {Autoencoder.__name__} must be"):
        make(Autoencoder, **{name: -1}).fit(X)


def test_hidden_layer_sizes_say_what_is_allowed(X, make):
    for value in 0, True:
        with pytest.raises(
            InvalidParameterError, match=r"must be an int in the range \[1, inf\) or an array-like. Got"
        ):
            make(AutoencoderTransformer, hidden_layer_sizes=value).fit(X)
    with pytest.raises(
        InvalidParameterError, match=r"must be an int of at least 1 or a sequence of such ints. Got \(0,\)"
    ):
        make(AutoencoderTransformer, hidden_layer_sizes=(0,)).fit(X)


ACTIVATION_NAMES = "'identity', 'logistic', 'tanh', 'relu', 'softplus'"
OPTIONS = {
    "activation": ACTIVATION_NAMES,
    "code_activation": ACTIVATION_NAMES,
    "output_activation": f"'auto', {ACTIVATION_NAMES}",
    "loss": "'auto', 'squared_error', 'cross_entropy', 'poisson', 'categorical'",
    "solver": "'auto', 'svd', 'varpro', 'kfac', 'lbfgs'",
    "init": "'glorot', 'pca', 'stacked'",
    "corruption": "'masking', 'gaussian', 'salt_and_pepper', 'swap'",
    "expectation": "'auto', 'marginal', 'fresh'",
}
PRINT_ERRORS = """
from skae import DenoisingAutoencoder
for name in {names}:
    try:
        DenoisingAutoencoder(**{{name: "x"}}).fit([[0.0, 1.0]])
    except ValueError as error:
        print(error)
"""


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_options_are_listed_in_their_order(hash_seed):
    """The order of a set depends on the hash seed."""
    script = PRINT_ERRORS.format(names=list(OPTIONS))
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    for (name, options), line in zip(OPTIONS.items(), run.stdout.splitlines(), strict=True):
        assert line.startswith(f"The '{name}' parameter of DenoisingAutoencoder must be ")
        assert f"a str among {{{options}}}" in line


@pytest.mark.parametrize(
    ("corruption", "level"),
    [
        ("gaussian", -1),
        ("gaussian", np.inf),
        ("gaussian", np.nan),
        ("salt_and_pepper", 1.1),
        ("masking", 2),
        ("swap", 1.1),
    ],
)
def test_corruption_level_outside_its_range(corruption, level, X, make):
    with pytest.raises(InvalidParameterError, match=r"'corruption_level'.*[Gg]ot"):
        make(DenoisingAutoencoder, corruption=corruption, corruption_level=level).fit(X)


def test_gaussian_noise_may_be_large(X, make):
    make(DenoisingAutoencoder, corruption="gaussian", corruption_level=2.0).fit(X)


@pytest.mark.parametrize("corruption", [Masking(0.1), lambda X, rng: X], ids=["object", "callable"])
def test_corruption_level_that_cannot_apply(corruption, X, make):
    make(DenoisingAutoencoder, corruption=corruption).fit(X)
    with pytest.raises(ValueError, match=r"leave corruption_level at 0\.25"):
        make(DenoisingAutoencoder, corruption=corruption, corruption_level=0.5).fit(X)


@pytest.mark.parametrize(
    "part",
    [
        lambda: Masking(1.1),
        lambda: Gaussian(-1),
        lambda: Gaussian(np.nan),
        lambda: Masking(True),
        lambda: Blur((0, 4)),
        lambda: Blur((4,)),
        lambda: WeightDecay(-1),
        lambda: L1Sparsity(np.nan),
        lambda: L1Sparsity(np.inf),
        lambda: KLSparsity(1, 0),
        lambda: KLSparsity(1, 1.5),
        lambda: Contraction(True),
    ],
)
def test_parts_refuse_bad_numbers(part):
    with pytest.raises(ValueError, match="got"):
        part()


@pytest.mark.parametrize(
    ("loss", "link"), [("cross_entropy", "tanh"), ("cross_entropy", "identity"), ("poisson", "relu")]
)
def test_link_that_does_not_go_with_the_loss(loss, link, X, make):
    with pytest.raises(ValueError, match=f"output_activation='{link}' does not go with loss='{loss}'"):
        make(AutoencoderTransformer, loss=loss, output_activation=link).fit(X)


@pytest.mark.parametrize("activation", ["identity", "relu", "softplus"])
@pytest.mark.parametrize(
    ("Autoencoder", "penalties"),
    [(AutoencoderTransformer, (KLSparsity(1.0),)), (SparseAutoencoder, ())],
    ids=["penalty", "SparseAutoencoder"],
)
def test_kl_sparsity_of_an_unbounded_code(Autoencoder, penalties, activation, X, make):
    with pytest.raises(ValueError, match=r"KL sparsity.*'logistic', 'tanh'"):
        make(Autoencoder, activation=activation, penalties=penalties).fit(X)
    make(Autoencoder, activation=activation, penalties=penalties, code_activation="tanh").fit(X)
