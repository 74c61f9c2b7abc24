"""The scikit-learn shell of all autoencoders: validation, fitted attributes, and the methods of a transformer."""

import warnings
from abc import ABC, abstractmethod

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import gen_batches
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted, validate_data

from skae import metrics
from skae._sklearn import InvalidParameterError, StrOptions, fit_context, integers, reals
from skae.activations import ACTIVATIONS
from skae.losses import LOSSES, make_loss
from skae.moments import column_means, principal_axes
from skae.network import Architecture, block_rows, jacobian, output
from skae.parameters import Parameters
from skae.penalties import Penalty, WeightDecay
from skae.solvers import LBFGS, Status
from skae.training import Problem, train

_ADVICE = {
    Status.MAX_ITER: "Increase max_iter, or raise tol if the result is good enough.",
    Status.MAX_FUN: "Increase max_fun, or raise tol if the result is good enough.",
    Status.LINE_SEARCH: "Scale X, fit in float64, or raise tol if the result is good enough.",
}


def _has_one_layer(estimator):
    fitted = getattr(estimator, "_architecture", None)
    if fitted.depth > 1 if fitted else len(estimator.hidden_layer_sizes):
        raise AttributeError("Only the units of a one-layer encoder (hidden_layer_sizes=()) have such inputs.")
    return True


def _refuse_masked(X):
    # scikit-learn would drop the mask and go on with what is under it.
    if np.ma.is_masked(X):
        raise ValueError("Input X is a masked array with masked entries: fill or drop them first.")


class BaseAutoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator, ABC):
    """Base of the autoencoders; a subclass adds a penalty or corrupts the inputs."""

    _parameter_constraints = {
        "n_components": [None, integers(1), reals(0, 1, closed="neither", not_int=True)],
        "hidden_layer_sizes": ["array-like"],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "code_activation": [None, StrOptions(set(ACTIVATIONS))],
        "loss": [StrOptions(set(LOSSES))],
        "output_activation": [StrOptions({"auto", *ACTIVATIONS})],
        "tied_weights": ["boolean"],
        "alpha": [reals(0, closed="left")],
        "penalties": [tuple, list],
        "solver": [StrOptions({"auto", "lbfgs"})],
        "init": [StrOptions({"glorot", "pca"})],
        "max_iter": [integers(1)],
        "tol": [reals(0, closed="left")],
        "max_fun": [integers(1)],
        "maxcor": [integers(1)],
        "warm_start": ["boolean"],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    @abstractmethod
    def __init__(
        self,
        n_components,
        *,
        hidden_layer_sizes,
        activation,
        code_activation,
        loss,
        output_activation,
        tied_weights,
        alpha,
        penalties,
        solver,
        init,
        max_iter,
        tol,
        max_fun,
        maxcor,
        warm_start,
        random_state,
        verbose,
    ):
        self.n_components = n_components
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.code_activation = code_activation
        self.loss = loss
        self.output_activation = output_activation
        self.tied_weights = tied_weights
        self.alpha = alpha
        self.penalties = penalties
        self.solver = solver
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.max_fun = max_fun
        self.maxcor = maxcor
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    # What a subclass contributes.

    def _own_penalties(self):
        return ()

    def _draws(self, X, rng):
        """The network's inputs, a list of arrays of the shape of X."""
        return [X]

    # Fitting.

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Training data. float32 is kept, everything else is worked on as float64.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; a row of weight zero is left out, an integer weight repeats the row. None: equal.

        Returns
        -------
        self : object
            The fitted estimator. After an error or an interrupt it is as it was before the call.

        Raises
        ------
        ValueError
            If a parameter, X or the weights are out of their domain; the message says which and what is allowed.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the solver hit a cap, or its line search failed above the tolerance.
        """
        before = vars(self).copy()
        try:
            fitted = self._fit(X, sample_weight)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            raise
        vars(self).update(fitted)
        return self

    def _fit(self, X, sample_weight):
        """Return the fitted attributes."""
        X = self._validated(X, reset=True)
        weights = metrics.validated_weights(sample_weight, X)
        if not weights.all():
            X, weights = X[weights > 0], weights[weights > 0]
        mean = column_means([X], weights)
        architecture = self._make_architecture(X, weights, mean)
        architecture.loss.check_targets(X)
        penalties = (WeightDecay(self.alpha), *self._own_penalties(), *self.penalties)
        for penalty in penalties:
            penalty.check_code(architecture.code)

        init_rng, corruption_rng = self._random_streams()
        problem = Problem(architecture, penalties, X, self._draws(X, corruption_rng), weights, mean)
        solver = LBFGS(self.max_iter, self.max_fun, self.tol, self.maxcor, np.finfo(X.dtype).eps)
        curve = []
        trained = train(
            problem,
            solver,
            self._make_callback(curve),
            start=self._warm_start(architecture),
            init=self.init,
            rng=init_rng,
        )
        self._check_result(trained.result)
        return self._fitted_attributes(architecture, trained, curve, X.dtype)

    def _validated(self, X, reset):
        _refuse_masked(X)
        return validate_data(self, X, dtype=[np.float64, np.float32], reset=reset)

    def _validate_params(self):
        super()._validate_params()
        for name, of_what, fits in (
            ("hidden_layer_sizes", "ints of at least 1", self._constraint_on_width),
            ("penalties", "objects of skae.penalties", lambda part: isinstance(part, Penalty)),
        ):
            value = getattr(self, name)
            if not all(fits(part) for part in value):
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be a sequence of {of_what}. "
                    f"Got {value!r} instead."
                )

    @staticmethod
    def _constraint_on_width(width):
        return integers(1).is_satisfied_by(width)

    def _make_architecture(self, X, weights, mean):
        hidden = ACTIVATIONS[self.activation]
        return Architecture(
            widths=(X.shape[1], *map(int, self.hidden_layer_sizes), self._code_size(X, weights, mean)),
            hidden=hidden,
            code=hidden if self.code_activation is None else ACTIVATIONS[self.code_activation],
            loss=make_loss(self.loss, self.output_activation),
            tied=self.tied_weights,
        )

    def _code_size(self, X, weights, mean):
        if self.n_components is None:
            return -(-X.shape[1] // 2)
        if self.n_components >= 1:
            return int(self.n_components)
        variances, _ = principal_axes(X, weights, mean)
        if not variances.any():
            return 1
        share = np.cumsum(variances) / variances.sum()
        return min(int(np.searchsorted(share, self.n_components, side="right")) + 1, *X.shape)

    def _random_streams(self):
        """Independent streams of `random_state`, so that what one of them draws does not change the others."""
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = seed.randint(np.iinfo(np.int32).max)
        return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(2)]

    def _warm_start(self, architecture):
        if not (self.warm_start and hasattr(self, "coefs_")):
            return None
        fitted = self._architecture
        if (fitted.widths, fitted.tied) != (architecture.widths, architecture.tied):
            raise ValueError(
                f"warm_start=True goes on from a network of the widths {fitted.widths}, tied_weights={fitted.tied}, "
                f"but this fit has {architecture.widths}, tied_weights={architecture.tied}. "
                "Set warm_start=False to start afresh."
            )
        return Parameters(self.coefs_, [self._centred_intercept, *self.intercepts_[1:]], self.mean_)

    def _make_callback(self, curve):
        def callback(theta, value):
            curve.append(value)
            if self.verbose:
                print(f"[{type(self).__name__}] iteration {len(curve)}: objective {value:.6g}")

        return callback

    def _check_result(self, result):
        if not (np.isfinite(result.fun) and np.isfinite(result.gradient_norm) and np.isfinite(result.x).all()):
            raise ValueError(
                f"The solver ended on values that are not finite (objective {result.fun}). "
                "Scale X (StandardScaler, MinMaxScaler), or fit in float64."
            )
        if result.status in _ADVICE:
            warnings.warn(
                f"{type(self).__name__} stopped before it converged: {result.status.value} (n_iter={result.n_iter}, "
                f"n_evaluations={result.n_evaluations}). The gradient's largest entry is {result.gradient_norm:.2g}, "
                f"with tol={self.tol:g}. {_ADVICE[result.status]}",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _fitted_attributes(self, architecture, trained, curve, dtype):
        def cast(array):
            return np.ascontiguousarray(array, dtype=dtype)

        parameters, result = trained.parameters, trained.result
        from_zero = parameters.about(np.zeros_like(parameters.offset))
        encoder = [cast(W) for W in parameters.weights[: architecture.depth]]
        decoder = (
            [W.T for W in reversed(encoder)]
            if architecture.tied
            else [cast(W) for W in parameters.weights[architecture.depth :]]
        )
        return {
            "coefs_": encoder + decoder,
            "intercepts_": [cast(b) for b in from_zero.intercepts],
            "mean_": cast(parameters.offset),
            "n_components_": architecture.widths[-1],
            "loss_": result.fun,
            "loss_curve_": curve,
            "n_iter_": result.n_iter,
            "n_evaluations_": result.n_evaluations,
            "solver_": "lbfgs",
            "_architecture": architecture,
            "_centred_intercept": cast(parameters.intercepts[0]),
        }

    # Using.

    @property
    def components_(self):
        check_is_fitted(self)
        if self._architecture.depth > 1:
            raise AttributeError("components_ exists only for an encoder of one layer; see coefs_.")
        return self.coefs_[0].T

    @property
    def _n_features_out(self):
        return self.n_components_

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.positive_only = self.loss != "squared_error"
        return tags

    def transform(self, X):
        """Encode X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to encode. They are never corrupted.

        Returns
        -------
        ndarray of shape (n_samples, n_components_)
            The codes.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with.
        """
        check_is_fitted(self)
        return self._blockwise(self._encode, self._validated(X, reset=False), self.n_components_)

    def inverse_transform(self, X):
        """Decode codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_components_)
            Codes.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            The reconstructions, through the link of the loss.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width of the code.
        """
        check_is_fitted(self)
        _refuse_masked(X)
        X = check_array(X, dtype=[np.float64, np.float32], input_name="X", estimator=self)
        if X.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_components_} "
                "features as input: inverse_transform takes codes."
            )
        return self._blockwise(self._decode, X, self.n_features_in_)

    def reconstruct(self, X):
        """Encode and decode X.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to reconstruct.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            What `inverse_transform(transform(X))` gives.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with.
        """
        check_is_fitted(self)
        return self._reconstruct(self._validated(X, reset=False))

    def score(self, X, y=None, sample_weight=None):
        """Return the share of the variance of X that its reconstruction explains.

        The variance-weighted R2 about the mean of the scored rows, as `sklearn.metrics.r2_score`. `PCA.score` is a
        log-likelihood: to compare the two in a grid, give it `scoring=skae.metrics.reconstruction_r2`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to score.

        y : None
            Ignored.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows; None: equal.

        Returns
        -------
        float
            1.0 is perfect, 0.0 as good as the mean of the scored rows.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with, or outside the domain of
            the loss.
        """
        X = self._validated_target(X)
        return metrics.r2(X, self._reconstruct(X), metrics.validated_weights(sample_weight, X))

    def score_samples(self, X):
        """Return minus each row's reconstruction loss: the lower, the more anomalous.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        ndarray of shape (n_samples,)
            The rows of `feature_errors`, summed, with a minus sign.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with, or outside the domain of
            the loss.
        """
        X = self._validated_target(X)
        return self._blockwise(lambda block: -self._errors(block).sum(axis=1), X)

    def feature_errors(self, X):
        """Return the reconstruction loss entry by entry.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Which features of a row are badly reconstructed.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with, or outside the domain of
            the loss.
        """
        return self._blockwise(self._errors, self._validated_target(X), self.n_features_in_)

    def encoder_jacobian(self, X):
        """Return the derivative of the code in the input.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Where to take it.

        Returns
        -------
        ndarray of shape (n_samples, n_components_, n_features)
            One Jacobian a row.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        encoder, _ = self._halves()
        return self._blockwise(
            lambda block: jacobian(encoder, block - self.mean_), X, self.n_components_, self.n_features_in_
        )

    @available_if(_has_one_layer)
    def maximally_activating_inputs(self):
        """Return, for each unit of the code, the input of unit norm that activates it most.

        Only of an encoder of one layer, where it is W_j / ||W_j||.

        Returns
        -------
        ndarray of shape (n_components_, n_features)
            Rows of unit norm; zeros for a unit that has no weights.
        """
        check_is_fitted(self)
        W = self.components_
        norms = np.linalg.norm(W, axis=1, keepdims=True)
        return W / np.where(norms > 0, norms, 1)

    # The same, without validation.

    def _halves(self):
        intercepts = [self._centred_intercept, *self.intercepts_[1:]]
        layers = self._architecture.layers(self.coefs_, intercepts)
        return layers[: self._architecture.depth], layers[self._architecture.depth :]

    def _encode(self, X):
        return output(self._halves()[0], X - self.mean_)

    def _decode_raw(self, codes):
        return output(self._halves()[1], codes)

    def _decode(self, codes):
        return self._architecture.loss.link.forward(self._decode_raw(codes))

    def _errors(self, X):
        return self._architecture.loss.entries(X, self._decode_raw(self._encode(X)))

    def _reconstruct(self, X):
        return self._blockwise(lambda block: self._decode(self._encode(block)), X, self.n_features_in_)

    def _validated_target(self, X):
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        self._architecture.loss.check_targets(X)
        return X

    def _blockwise(self, function, X, *shape):
        """Apply a function of rows in blocks; its results have the given shape a row."""
        result = np.empty((len(X), *shape), dtype=np.result_type(X, self.mean_))
        widest = max(*self._architecture.widths, int(np.prod(shape)))
        # An overflow is an infinite reconstruction or error, not news.
        with np.errstate(over="ignore", invalid="ignore"):
            for rows in gen_batches(len(X), block_rows([widest])):
                result[rows] = function(X[rows])
        return result
