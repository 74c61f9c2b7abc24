"""Classifiers and regressors that start at a fitted encoder: scikit-learn's MLP, with the encoder as a parameter."""

import inspect
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skae._compat import InvalidParameterError
from skae._estimators.fitted import FittedMethods
from skae.activations import ACTIVATIONS

# Those of scikit-learn's MLP, by name.
_ACTIVATIONS = ("identity", "logistic", "tanh", "relu")

# What the encoder stands for.
_REPLACED = ("hidden_layer_sizes", "activation")


def _with_encoder(cls):
    """Give a subclass of an MLP a constructor with `encoder` and the MLP's parameters but those that it replaces."""
    itself, *parameters = inspect.signature(cls.__mro__[2].__init__).parameters.values()
    first = itself.replace(name="encoder")
    others = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in parameters]
    kept = [parameter for parameter in others if parameter.name not in _REPLACED]
    signature = inspect.Signature([itself, first, *kept])

    def __init__(self, *args, **kwargs):
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        for name in list(signature.parameters)[1:]:
            setattr(self, name, bound.arguments[name])

    __init__.__signature__ = signature
    cls.__init__ = __init__
    return cls


class _EncoderStart:
    """Makes the hidden layers of an MLP start at its `encoder`; they have its widths and its activation."""

    @property
    def hidden_layer_sizes(self):
        return self._encoder_network.widths[1 : 1 + len(self._encoder_network.encoder)]

    @property
    def activation(self):
        return _activation_name(self._encoder_network)

    @property
    def _encoder_network(self):
        if not isinstance(self.encoder, FrozenEstimator):
            raise InvalidParameterError(
                f"The 'encoder' parameter of {type(self).__name__} must be a fitted autoencoder of skae in a "
                f"FrozenEstimator, which clone keeps as it is. Got {self.encoder!r} instead."
            )
        return _fitted(self.encoder.estimator).network_

    def _initialize(self, y, layer_units, dtype):
        super()._initialize(y, layer_units, dtype)
        encoder = self.encoder.estimator
        self._check_features(encoder)
        for layer in range(len(self.hidden_layer_sizes)):
            self.coefs_[layer] = encoder.coefs_[layer].astype(dtype)
            self.intercepts_[layer] = encoder.intercepts_[layer].astype(dtype)

    def _check_features(self, encoder):
        if self.n_features_in_ != encoder.n_features_in_:
            raise ValueError(
                f"X has {self.n_features_in_} features, but the encoder of {type(self).__name__} was fitted with "
                f"{encoder.n_features_in_}."
            )
        names, expected = (getattr(part, "feature_names_in_", None) for part in (self, encoder))
        if names is not None and expected is not None and list(names) != list(expected):
            raise ValueError(
                f"The features of X are {list(names)}, but the encoder of {type(self).__name__} was fitted with "
                f"{list(expected)}, in this order."
            )


@_with_encoder
class PretrainedMLPClassifier(_EncoderStart, MLPClassifier):
    """`MLPClassifier` whose hidden layers start at a fitted encoder; `to_mlp` makes it.

    Parameters
    ----------
    encoder : FrozenEstimator
        A fitted autoencoder. Its layers replace `hidden_layer_sizes` and `activation`; all other parameters, attributes
        and methods are those of `MLPClassifier`.
    """

    loss = "log_loss"


@_with_encoder
class PretrainedMLPRegressor(_EncoderStart, MLPRegressor):
    """`MLPRegressor` whose hidden layers start at a fitted encoder; `to_mlp` makes it.

    Parameters
    ----------
    encoder : FrozenEstimator
        A fitted autoencoder. Its layers replace `hidden_layer_sizes` and `activation`; all other parameters, attributes
        and methods are those of `MLPRegressor`.
    """


_KINDS = {"classifier": PretrainedMLPClassifier, "regressor": PretrainedMLPRegressor}


def to_mlp(fitted: Any, *, kind: str = "classifier", **mlp_parameters: Any) -> Any:
    """Return a classifier or regressor that starts at a fitted encoder and trains it on.

    It is scikit-learn's `MLPClassifier` or `MLPRegressor` with one more parameter, `encoder`, which replaces
    `hidden_layer_sizes` and `activation`. At every fresh `fit`, that of a clone too, the hidden layers start at the
    encoder's bare activations, before `scale_code`, and the output layer at random. With `warm_start`, and in later
    calls of `partial_fit`, training goes on.

    Parameters
    ----------
    fitted : estimator or Pipeline
        A fitted autoencoder, or a fitted Pipeline that ends in one.

    kind : {"classifier", "regressor"}, default="classifier"
        Which of the two.

    **mlp_parameters : dict
        Parameters of `MLPClassifier` or `MLPRegressor`, but for `hidden_layer_sizes` and `activation`.

    Returns
    -------
    estimator or Pipeline
        The unfitted classifier or regressor, with the autoencoder in a `FrozenEstimator` as its `encoder`: so it
        survives `clone`, `cross_val_score` and `GridSearchCV`. Of a Pipeline, a Pipeline of its fitted steps, each in
        a `FrozenEstimator`, and the classifier or regressor as the step "mlp".

    Raises
    ------
    ValueError
        If an activation of the encoder is none of the MLP's, or if its layers have different ones; if
        `hidden_layer_sizes` or `activation` is given.

    TypeError
        If `fitted` is no autoencoder, or a parameter is none of the MLP's.

    See Also
    --------
    StackedAutoencoder : Trains a deep encoder layer by layer.
    sklearn.frozen.FrozenEstimator : Keeps a fitted estimator as it is.

    Notes
    -----
    For a classifier on codes that stay as they are, no MLP is needed: `make_pipeline(FrozenEstimator(fitted),
    LogisticRegression())`.

    The autoencoder subtracts the mean of X before its first product. An MLP does not: the mean is part of the first
    intercept here, at the cost of digits in float32 where the mean of X is far above its spread.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder, to_mlp
    >>> X, y = load_digits(return_X_y=True)
    >>> X = X / 16
    >>> autoencoder = DenoisingAutoencoder(50, random_state=0).fit(X)
    >>> classifier = to_mlp(autoencoder, solver="lbfgs", max_iter=50, random_state=0)
    >>> bool(classifier.fit(X[::10], y[::10]).score(X, y) > 0.8)
    True
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {list(_KINDS)}, got {kind!r}.")
    for name in _REPLACED:
        if name in mlp_parameters:
            raise ValueError(f"{name}={mlp_parameters[name]!r} cannot be given: it is that of the fitted encoder.")
    if isinstance(fitted, Pipeline):
        *steps, (_, last) = fitted.steps
        frozen = [(name, step if step in (None, "passthrough") else FrozenEstimator(step)) for name, step in steps]
        return Pipeline([*frozen, ("mlp", to_mlp(last, kind=kind, **mlp_parameters))])
    _activation_name(_fitted(fitted).network_)
    return _KINDS[kind](FrozenEstimator(fitted), **mlp_parameters)


def _fitted(autoencoder):
    """Return an autoencoder, checked to be one and to be fitted."""
    if not isinstance(autoencoder, FittedMethods):
        raise TypeError(f"The encoder must be a fitted autoencoder of skae, got {autoencoder!r}.")
    check_is_fitted(autoencoder)
    return autoencoder


def _activation_name(network):
    """Return the name of the activation of all layers of the encoder; ValueError if MLPs do not have it."""
    names = {name: ACTIVATIONS[name] for name in _ACTIVATIONS}
    first, *others = (layer.activation for layer in network.encoder)
    for other in others:
        if other != first:
            raise ValueError(
                f"The encoder has layers {first!r} and {other!r}, but the hidden layers of an MLP have one activation. "
                "Fit the autoencoder with code_activation=None."
            )
    for name, activation in names.items():
        if activation == first:
            return name
    raise ValueError(
        f"The encoder has units {first!r}, but scikit-learn's MLP knows only {', '.join(map(repr, names))}. Fit the "
        "autoencoder with one of these."
    )
