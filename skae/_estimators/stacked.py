"""The stacked autoencoder: layers that are trained one after the other, then together."""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import clone

from skae._compat import InvalidParameterError, fit_context
from skae._estimators.base import BaseAutoencoder
from skae._estimators.callbacks import NoTask
from skae._estimators.fitted import FittedMethods
from skae._estimators.layerwise import train_layers, unrolled
from skae._rollback import unchanged_by_errors
from skae._rows.distinct import distinct_rows
from skae._solvers.search import Start
from skae._typing import MatrixLike
from skae._validation import hidden_widths, validated_weights
from skae.activations import make_activation
from skae.losses import SquaredError, make_loss
from skae.losses._choice import loss_for

# What the search of the whole network takes from the first layer.
_SEARCH = [
    *("max_iter", "tol", "n_iter_no_change", "max_fun", "maxcor"),
    *("early_stopping", "validation_fraction", "verbose"),
]


class StackedAutoencoder(FittedMethods):
    r"""Deep autoencoder whose layers are trained one after the other, then together.

    The first layer is an autoencoder of X, and each other one of the codes of the layer below. Unrolled, they are one
    network: the encoders in their order, then the decoders in the reverse order. It starts at the parameters of the
    layers, and is then trained as a whole, on the reconstruction loss of X with weight decay.

    Parameters
    ----------
    layers : list of autoencoders
        From the input upwards: any of `AutoencoderTransformer`, `DenoisingAutoencoder`, `SparseAutoencoder` and
        `ContractiveAutoencoder`, unfitted and without hidden layers of its own. Copies of them are fitted. All but the
        last one need the same activation, that of the hidden layers of the network. A layer above the first one
        reconstructs codes, through the activation that made them: a squared error gets that link by itself, and another
        loss has to have it, as cross-entropy has for logistic codes.

    fine_tune : bool, default=True
        Whether to train the whole network, from the layers' parameters. It has the `loss` of the first layer, and its
        `alpha`, `max_iter`, `tol`, `n_iter_no_change`, caps, `early_stopping`, `validation_fraction` and `verbose`.
        Corruptions and penalties of the layers are not part of it. If False, the layers stay as they are.

    random_state : int, RandomState instance or None, default=None
        Seed of all randomness, but for layers with a `random_state` of their own. Pass an int for the same model in
        every call.

    Attributes
    ----------
    layers_ : list of autoencoders
        The layers, fitted one after the other, as they were before the whole was trained. They have `code_scale_` 1.

    n_components_ : int
        Code size, that of the last layer.

    network_ : Network
        The whole network.

    losses_ : ColumnLosses or Loss
        The loss of each column.

    components_ : ndarray of shape (n_components_, n_features_in_)
        The encoder's weights, one unit a row. Absent if there are two layers or more.

    alpha_ : ndarray of shape (n_distinct_weights,)
        Weight decay of each weight matrix of the whole; of the encoder's alone, if they are tied. They are tied if
        those of all layers are.

    code_scale_ : float
        Number by which `transform` divides codes, with the `scale_code` of the last layer.

    coefs_, intercepts_ : list of ndarray
        Weights, (fan_in, fan_out), and intercepts, (fan_out,), of the encoder's layers, then of the decoder's.

    mean_ : ndarray of shape (n_features_in_,)
        Mean of the rows trained on.

    loss_ : float
        The objective of the whole: the mean loss of a row and the weight decay.

    loss_curve_ : list of float
        The objective after each iteration of the whole; its value at the layers' parameters without `fine_tune`.

    validation_loss_curve_, best_validation_loss_ : list of float or None, float or None
        The mean reconstruction loss of the held-out rows after each of these, and of the result. None without
        `early_stopping` of the first layer.

    n_iter_, n_evaluations_ : int
        Number of iterations, and of evaluations of the objective, of the whole; 1 without `fine_tune`.

    solver_ : str
        The solver that trained the whole; "start" without `fine_tune`.

    n_features_in_ : int
        Number of features seen during `fit`.

    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the features seen during `fit`. Only where X had string names.

    See Also
    --------
    AutoencoderTransformer : Deep with `hidden_layer_sizes`, and with `init="stacked"` pretrained by plain layers.
    to_mlp : A classifier or regressor that starts at the encoder.

    References
    ----------
    G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313,
    2006. Y. Bengio, P. Lamblin, D. Popovici and H. Larochelle, "Greedy layer-wise training of deep networks",
    NIPS 2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder, SparseAutoencoder, StackedAutoencoder
    >>> X = load_digits().data / 16
    >>> layers = [DenoisingAutoencoder(40), SparseAutoencoder(20, sparsity_target=0.2)]
    >>> stacked = StackedAutoencoder(layers, random_state=0).fit(X)
    >>> stacked.transform(X).shape
    (1797, 20)
    >>> stacked.network_.widths
    (64, 40, 20, 40, 64)
    """

    # What `describe` lists: the strengths, and further penalties, of which the whole has none.
    _penalty_parameters = ("alpha",)
    penalties = ()

    _parameter_constraints = {
        "layers": [list, tuple],
        "fine_tune": ["boolean"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        layers: Sequence[BaseAutoencoder],
        *,
        fine_tune: bool = True,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.layers = layers
        self.fine_tune = fine_tune
        self.random_state = random_state

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        if self.layers and isinstance(self.layers[0], BaseAutoencoder):
            tags.input_tags.positive_only = self.layers[0].__sklearn_tags__().input_tags.positive_only
        return tags

    @fit_context(prefer_skip_nested_validation=False)
    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the layers to X, one after the other, then the whole.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 is kept, all other types are converted to float64. Sparse X is converted to CSR and
            never made dense as a whole; the codes between the layers are dense.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight zero is left out, an integer weight repeats the row. If None, all rows
            have the same weight.

        Returns
        -------
        self : object
            The fitted estimator. After an error or an interrupt it is as it was before the call.

        Raises
        ------
        ValueError
            If a parameter, X or the weights are out of their domain, or if the layers do not make one network; the
            message names the layer and the reason.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning, UserWarning
            Those of the layers, and of the whole.
        """
        with unchanged_by_errors(self):
            self.__dict__.update(self._fit(X, sample_weight))
        return self

    def _fit(self, X, sample_weight):
        """Return the fitted attributes."""
        self._check_layers()
        given, X = X, self._validated(X, reset=True)
        weights = validated_weights(sample_weight, X)
        first, last = self.layers[0], self.layers[-1]
        loss = loss_for(first.loss, first.output_activation, given, X, weights)
        n_samples = len(weights)
        # Once for all layers: the codes of equal rows may differ by rounding.
        distinct = distinct_rows(X, weights)
        X, weights = distinct.take(X)
        weights = weights[:]
        rng = self._generator()
        layers = train_layers(self._linked(loss), X, weights, rng)
        whole = _Whole(
            layers[-1].n_components_,
            hidden_layer_sizes=[layer.n_components_ for layer in layers[:-1]],
            activation=_code_activation(first),
            code_activation=_code_activation(last),
            loss=loss,
            tied_weights=all(layer._architecture.tied for layer in layers),
            alpha=first.alpha,
            scale_code=last.scale_code,
            random_state=int(rng.integers(2**31)),
        )
        if self.fine_tune:
            whole.set_params(**{name: getattr(first, name) for name in _SEARCH})
        whole.begin_at(unrolled([layer.network_ for layer in layers]), stays=not self.fine_tune)
        fitted = whole._fit(X, weights, goes_on=False, task=NoTask())
        return {"layers_": layers, **fitted, "_fit_record": {**fitted["_fit_record"], "n_samples": n_samples}}

    def _check_layers(self):
        if not (self.layers and all(isinstance(layer, BaseAutoencoder) for layer in self.layers)):
            raise InvalidParameterError(
                f"The 'layers' parameter of {type(self).__name__} must be a list of at least one autoencoder of skae. "
                f"Got {self.layers!r} instead."
            )
        hidden = _code_activation(self.layers[0])
        for number, layer in enumerate(self.layers):
            layer._validate_params()
            if len(hidden_widths(layer.hidden_layer_sizes)):
                raise ValueError(
                    f"layers[{number}] has hidden_layer_sizes={layer.hidden_layer_sizes!r}, but a layer is one layer "
                    "of units. Give its hidden layers as layers of their own."
                )
            own = _code_activation(layer)
            if own != hidden and number < len(self.layers) - 1:
                raise ValueError(
                    f"layers[{number}] has units {own!r}, and layers[0] has {hidden!r}, but the hidden layers of a "
                    "network have one activation. Only that of the last layer, the code, may differ."
                )
            if number:
                _loss_of_codes(layer, number, hidden)

    def _linked(self, loss):
        """Return unfitted copies of the layers, with losses whose links make them decoders of one network."""
        first, *others = (clone(layer) for layer in self.layers)
        hidden = _code_activation(first)
        losses = [loss, *(_loss_of_codes(layer, number, hidden) for number, layer in enumerate(others, start=1))]
        return [
            layer.set_params(loss=loss, output_activation="auto")
            for layer, loss in zip((first, *others), losses, strict=True)
        ]

    def _generator(self):
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = seed.randint(np.iinfo(np.int32).max)
        return np.random.default_rng(seed)


def _code_activation(layer):
    return make_activation(layer.activation if layer.code_activation is None else layer.code_activation)


def _loss_of_codes(layer, number, activation):
    """Return the Loss of a layer above the first one, whose link is the activation that made the codes."""
    loss = make_loss(layer.loss, layer.output_activation)
    if loss == SquaredError() and layer.output_activation == "auto":
        return SquaredError(activation)
    if getattr(loss, "link", None) == activation:
        return loss
    raise ValueError(
        f"layers[{number}] has loss={layer.loss!r} and output_activation={layer.output_activation!r}, but it decodes "
        f"to units {activation!r} of the layer below, and needs that output. Leave it at loss='squared_error' and "
        "output_activation='auto', which takes it over."
    )


class _Whole(BaseAutoencoder):
    """The network of all layers, which begins at their parameters."""

    _name = "StackedAutoencoder"

    def begin_at(self, parameters, stays):
        """Set the Parameters to begin at, and whether they are the result."""
        self._parameters_of_layers, self._stays = parameters, stays

    def _start(self, *_):
        return self._parameters_of_layers

    def _choose_solver(self, problem):
        return Start() if self._stays else super()._choose_solver(problem)
