"""Rows that every loss takes, the four estimators in many configurations, and the package's modules."""

import importlib
import importlib.util
import pkgutil

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit, xlogy

import skae
from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.corruption import CORRUPTIONS
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


def every_module():
    """All modules of skae, but for those that need Dask where it is not installed."""
    names = [module.name for module in pkgutil.walk_packages(skae.__path__, "skae.")]
    has_dask = importlib.util.find_spec("distributed")
    return [
        importlib.import_module(name)
        for name in names
        if has_dask or not name.startswith(("skae._cluster", "skae.dask"))
    ]


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
    if squared_error and estimator.tied_weights in (False, "auto"):
        return "varpro"
    # One layer, smooth, with named noise: its expectation is a formula, which needs no minibatches.
    is_marginal = squared_error and not estimator.hidden_layer_sizes and not estimator.penalties
    return "kfac" if type(estimator) is DenoisingAutoencoder and not is_marginal else "lbfgs"


def assert_same_model(first, second):
    for name in ("coefs_", "intercepts_"):
        for value, expected in zip(getattr(first, name), getattr(second, name), strict=True):
            assert_array_equal(value, expected)
    assert_array_equal(first.mean_, second.mean_)


def assert_close_models(first, second, X=X):
    assert_allclose(first.transform(X), second.transform(X), rtol=1e-6)
    assert_allclose(first.reconstruct(X), second.reconstruct(X), rtol=1e-6)


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


def halved(X, rng):
    return 0.5 * X
