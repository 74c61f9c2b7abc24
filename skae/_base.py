"""The scikit-learn shell of all autoencoders: validation, fitted attributes, and the methods of a transformer."""

import warnings
from abc import ABC, abstractmethod

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skae._methods import FittedMethods
from skae._sklearn import InvalidParameterError, StrOptions, fit_context, integers, reals
from skae._validation import validated_weights
from skae.activations import ACTIVATIONS
from skae.losses import LOSSES, make_loss
from skae.moments import column_means, principal_axes
from skae.network import Architecture
from skae.objective import Problem
from skae.parameters import Parameters
from skae.penalties import Penalty, WeightDecay
from skae.solvers import LBFGS, Status
from skae.threads import row_threads
from skae.training import SOLVERS, choose_solver, row_offset, train

_ADVICE = {
    Status.MAX_ITER: "Increase max_iter, or raise tol if the result is good enough.",
    Status.MAX_FUN: "Increase max_fun, or raise tol if the result is good enough.",
    Status.LINE_SEARCH: "Scale X, fit in float64, or raise tol if the result is good enough.",
}


class BaseAutoencoder(FittedMethods, ABC):
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
        "solver": [StrOptions({"auto", *SOLVERS})],
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = self.loss != "squared_error"
        return tags

    # What a subclass contributes.

    def _own_penalties(self):
        return ()

    def _draws(self, X, rng):
        """The network's inputs, a list of arrays of the shape of X."""
        return [X]

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, sample_weight=None):
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data. float32 is kept, everything else is worked on as float64. Sparse X is worked on as CSR and
            never made dense as a whole.

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

        UserWarning
            If the code came out the same for all rows.
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
        weights = validated_weights(sample_weight, X)
        if not weights.all():
            X, weights = X[weights > 0], weights[weights > 0]
        curve = []
        with row_threads() as threads:
            mean = column_means([X], weights, threads)
            architecture = self._make_architecture(X, weights, mean, threads)
            architecture.loss.check_targets(X)
            penalties = (WeightDecay(self.alpha), *self._own_penalties(), *self.penalties)
            for penalty in penalties:
                penalty.check_code(architecture.code)

            init_rng, corruption_rng = self._random_streams()
            problem = Problem(architecture, penalties, X, self._draws(X, corruption_rng), weights, mean)
            trained = train(
                problem,
                choose_solver(self.solver, problem),
                LBFGS(self.max_iter, self.max_fun, self.tol, self.maxcor, np.finfo(X.dtype).eps),
                self._make_callback(curve),
                threads=threads,
                start=self._warm_start(architecture),
                init=self.init,
                rng=init_rng,
            )
        self._check_result(trained.result)
        if trained.trivial:
            self._warn_of_trivial_code(trained.scale)
        return self._fitted_attributes(architecture, trained, curve, X.dtype)

    def _validate_params(self):
        super()._validate_params()
        self._check_sequence("hidden_layer_sizes", "ints of at least 1", integers(1).is_satisfied_by)
        self._check_sequence("penalties", "objects of skae.penalties", lambda part: isinstance(part, Penalty))

    def _check_sequence(self, name, of_what, fits):
        value = getattr(self, name)
        if not all(fits(part) for part in value):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(self).__name__} must be a sequence of {of_what}. "
                f"Got {value!r} instead."
            )

    def _make_architecture(self, X, weights, mean, threads):
        hidden = ACTIVATIONS[self.activation]
        return Architecture(
            widths=(X.shape[1], *map(int, self.hidden_layer_sizes), self._code_size(X, weights, mean, threads)),
            hidden=hidden,
            code=hidden if self.code_activation is None else ACTIVATIONS[self.code_activation],
            loss=make_loss(self.loss, self.output_activation),
            tied=self.tied_weights,
        )

    def _code_size(self, X, weights, mean, threads):
        if self.n_components is None:
            return -(-X.shape[1] // 2)
        if self.n_components >= 1:
            return int(self.n_components)
        variances, _, _ = principal_axes(X, weights, mean, threads, min(X.shape))
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
        if self._architecture != architecture:
            raise ValueError(
                f"warm_start=True goes on with the architecture of the previous fit, {self._architecture}, "
                f"but this fit has {architecture}. Set warm_start=False to start afresh."
            )
        return Parameters(self.coefs_, [self._offset_intercept, *self.intercepts_[1:]], self._offset)

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

    def _warn_of_trivial_code(self, scale):
        warnings.warn(
            f"{type(self).__name__} found a code that is the same for all rows, and says nothing of them. Either the "
            f"penalties outweigh the reconstruction of data on this scale (the standard deviation of X is "
            f"{scale:.2g}): scale X with StandardScaler, or lower alpha={self.alpha:g} and the other penalties. Or "
            "the units are saturated or dead: try StandardScaler, another activation or another random_state.",
            UserWarning,
            stacklevel=5,
        )

    def _fitted_attributes(self, architecture, trained, curve, dtype):
        def cast(array):
            return np.ascontiguousarray(array, dtype=dtype)

        mean, result = trained.parameters.offset, trained.result
        parameters = trained.parameters.about(row_offset(mean, trained.scale))
        from_zero = parameters.about(np.zeros_like(mean))
        encoder = [cast(W) for W in parameters.weights[: architecture.depth]]
        decoder = (
            [W.T for W in reversed(encoder)]
            if architecture.tied
            else [cast(W) for W in parameters.weights[architecture.depth :]]
        )
        return {
            "coefs_": encoder + decoder,
            "intercepts_": [cast(b) for b in from_zero.intercepts],
            "mean_": cast(mean),
            "n_components_": architecture.widths[-1],
            "loss_": result.fun,
            "loss_curve_": curve,
            "n_iter_": result.n_iter,
            "n_evaluations_": result.n_evaluations,
            "solver_": trained.solver,
            "_architecture": architecture,
            "_offset": cast(parameters.offset),
            "_offset_intercept": cast(parameters.intercepts[0]),
        }
