"""The scikit-learn shell of all autoencoders: validation, fitted attributes, and the methods of a transformer."""

import warnings
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import partial
from numbers import Integral
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike
from sklearn.utils.parallel import Parallel, delayed

from skae._compat import CallbackSupportMixin, InvalidParameterError, fit_context, integers, one_of, reals
from skae._estimators.callbacks import fit_task
from skae._estimators.fitted import FittedMethods, fitted_attributes
from skae._network.architecture import Architecture
from skae._network.parameters import Parameters
from skae._objective.problem import make_problem
from skae._objective.units import SCALE, units_of
from skae._rows.distinct import distinct_rows
from skae._rows.moments import column_means, scale_about
from skae._rows.principal_axes import count_for_share
from skae._rows.threads import row_threads
from skae._solvers.lbfgs import LBFGS
from skae._training.diagnosis import complaint
from skae._training.early_stopping import HeldOut, draw_held_out
from skae._training.history import Cancellation
from skae._training.log import Log
from skae._training.run import SOLVERS, choose_solver, run
from skae._typing import MatrixLike
from skae._validation import hidden_widths, validated_weights
from skae.activations import ACTIVATIONS
from skae.losses import LOSSES, make_loss
from skae.penalties import Penalty, WeightDecay

# Components of a code whose size is left to us.
_MAX_DEFAULT_SIZE = 100


class BaseAutoencoder(CallbackSupportMixin, FittedMethods, ABC):
    """Base of the autoencoders; a subclass adds a penalty or corrupts the inputs."""

    _parameter_constraints = {
        "n_components": [None, integers(1), reals(0, 1, closed="neither", not_int=True)],
        "hidden_layer_sizes": [integers(1), "array-like"],
        "activation": [one_of(*ACTIVATIONS)],
        "code_activation": [None, one_of(*ACTIVATIONS)],
        "loss": [one_of(*LOSSES)],
        "output_activation": [one_of("auto", *ACTIVATIONS)],
        "tied_weights": ["boolean"],
        "alpha": [reals(0, closed="left"), one_of(SCALE)],
        "scale_code": ["boolean", one_of("auto")],
        "penalties": [tuple, list],
        "solver": [one_of("auto", *SOLVERS)],
        "init": [one_of("glorot", "pca")],
        "n_init": [integers(1)],
        "n_jobs": [None, Integral],
        "max_iter": [integers(1)],
        "tol": [reals(0, closed="left")],
        "n_iter_no_change": [integers(1)],
        "max_fun": [integers(1)],
        "maxcor": [integers(1)],
        "early_stopping": ["boolean"],
        "validation_fraction": [reals(0, 1, closed="neither")],
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
        scale_code,
        penalties,
        solver,
        init,
        n_init,
        n_jobs,
        max_iter,
        tol,
        n_iter_no_change,
        max_fun,
        maxcor,
        early_stopping,
        validation_fraction,
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
        self.scale_code = scale_code
        self.penalties = penalties
        self.solver = solver
        self.init = init
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.max_iter = max_iter
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.maxcor = maxcor
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        tags.input_tags.positive_only = self.loss != "squared_error"
        return tags

    # alpha="scale" in the unit of each weight matrix.
    _alpha_scale = 5e-3

    # What a subclass contributes.

    _own_penalty_parameters: tuple[str, ...] = ()

    def _own_penalties(self, units):
        """Return the penalties whose weights these parameters are."""
        return ()

    def _ties_weights(self):
        return self.tied_weights

    def _draws(self, X, weights, rng):
        """Return the targets, the network's inputs, a list of arrays of their shape, and the weights of the rows."""
        return X, [X], weights

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
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
            If the solver hit a cap, or its line search failed while the objective was still falling.

        UserWarning
            If the result explains hardly more than the mean of the training rows, or mainly a few outliers; if the mean
            activation is far from the sparsity target; or if early stopping selected an iterate from before the
            penalties took effect. The text gives the cause as far as it is known, and what to change.

        Notes
        -----
        Equal rows are merged, and their weights added, if X has at most 2^22 entries or fewer than half of its rows are
        distinct. In the first case the result does not depend on the order of the rows.
        """
        going_on = self.warm_start and hasattr(self, "coefs_")
        # First, and left as it is by an error: scikit-learn tears down what this sets up.
        task = fit_task(self, 1 if going_on else self.n_init, self.max_iter)
        before = self.__dict__.copy()
        seed = self.random_state
        drawn_from = seed.get_state(legacy=False) if isinstance(seed, np.random.RandomState) else None
        try:
            fitted = self._fit(X, sample_weight, going_on, task)
            task.end(fitted)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            if drawn_from is not None:
                seed.set_state(drawn_from)
            raise
        self.__dict__.update(fitted)
        return self

    def _fit(self, X, sample_weight, going_on, task):
        """Return the fitted attributes."""
        given, every_row = X, self._validated(X, reset=True)
        weights = validated_weights(sample_weight, every_row)
        init_rng, corruption_rng, held_out_rng = self._random_streams()
        seed = self._held_out_seed if going_on and self._held_out_seed else int(held_out_rng.integers(1, 2**63))
        X, weights, held_out, rows, firsts = self._split(every_row, weights, seed)
        task.begin(every_row, given, sample_weight, rows)
        del every_row  # it may be a copy, and X another one

        with row_threads() as threads:
            mean = column_means([X], weights, threads)
            architecture = self._make_architecture(X, weights, mean, threads)
            n_distinct = X.shape[0]
            inputs = self._draws(X, weights, corruption_rng)
            problem = make_problem(architecture, (), *inputs, mean, threads, n_distinct)
            problem = replace(problem, penalties=self._every_penalty(units_of(problem), architecture))

        start = self._previous_parameters(architecture) if going_on else None
        rngs = [init_rng] if going_on else [init_rng, *init_rng.spawn(self.n_init - 1)]
        attributes = partial(fitted_attributes, problem, self._penalty_parameters, self._scales_code(architecture))
        precision = np.finfo(problem.X.dtype).eps
        search = LBFGS(self.max_iter, self.max_fun, self.tol, self.n_iter_no_change, self.maxcor, precision)
        trained = self._best_run(problem, search, held_out, rngs, task, attributes, start, threads.n_threads)
        self._check_result(trained, problem, search, firsts)
        return attributes(trained.outcome) | {"_held_out_seed": seed if self.early_stopping else None}

    @property
    def _penalty_parameters(self):
        return "alpha", *self._own_penalty_parameters

    def _every_penalty(self, units, architecture):
        decay = WeightDecay(units.weight_decays(self.alpha, self._alpha_scale))
        penalties = (decay, *self._own_penalties(units), *self.penalties)
        for penalty in penalties:
            penalty.check(architecture)
        return penalties

    def _scales_code(self, architecture):
        if self.scale_code == "auto":
            return architecture.code.is_bounded
        return self.scale_code

    def _split(self, X, weights, seed):
        """Split the distinct rows of X.

        Returns the rows to train on, their weights, HeldOut or None, the indices of all rows of X that equal those
        trained on, and the index of the first one that equals each.
        """
        loss = make_loss(self.loss, self.output_activation)
        distinct = distinct_rows(X, weights)
        trained_on, held_out = np.ones(len(distinct.weights), dtype=bool), None
        if self.early_stopping:
            trained_on = ~draw_held_out(len(trained_on), self.validation_fraction, seed)
            held_out = HeldOut(*distinct.take(X, ~trained_on))
            loss.check_targets(held_out.X)
        X, weights = distinct.take(X, trained_on)
        loss.check_targets(X)
        return X, weights, held_out, distinct.equal_to(trained_on), distinct.first(trained_on)

    def _best_run(self, problem, search, held_out, rngs, task, attributes, start, n_parts):
        """Return the best of the runs, one a generator, as Trained."""
        n_jobs = min(len(rngs), effective_n_jobs(self.n_jobs))
        settings = {
            "problem": problem,
            "solver": choose_solver(self.solver, problem, self._search_options()),
            "search": search,
            "thread_options": {"n_parts": n_parts, "at_most": max(1, n_parts // n_jobs)},
            "cancellation": Cancellation(),
            "held_out": held_out,
            "start": start,
            "init": self.init,
        }
        watchers = [
            [*self._logs(problem, index, len(rngs)), *task.searches(index, attributes)] for index in range(len(rngs))
        ]
        try:
            # One job stays here, where callbacks need no copies.
            runs = Parallel(n_jobs=n_jobs)(
                delayed(run)(**settings, rng=rng, watchers=watching)
                for rng, watching in zip(rngs, watchers, strict=True)
            )
        except BaseException:
            settings["cancellation"].cancel()
            raise
        return min(runs, key=lambda trained: trained.figure_of_merit)

    def _search_options(self):
        """The options, in words, that a solver without a search could not honour."""
        options = ["early_stopping=True"] if self.early_stopping else []
        return options + ([f"n_init={self.n_init}"] if self.n_init > 1 else [])

    def _logs(self, problem, index, n_runs):
        if not self.verbose:
            return []
        name = type(self).__name__ + (f", start {index + 1:{len(str(n_runs))}} of {n_runs}" if n_runs > 1 else "")
        terms = ["reconstruction", *(type(penalty).__name__ for penalty in problem.penalties)]
        return [Log(name, terms, every_iteration=self.verbose > 1)]

    def _validate_params(self):
        super()._validate_params()
        widths, is_width = hidden_widths(self.hidden_layer_sizes), integers(1).is_satisfied_by
        self._check_all("hidden_layer_sizes", map(is_width, widths), "an int of at least 1 or a sequence of such ints")
        are_penalties = (isinstance(part, Penalty) for part in self.penalties)
        self._check_all("penalties", are_penalties, "a sequence of objects of skae.penalties")

    def _check_all(self, name, parts_fit, expected):
        if not all(parts_fit):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(self).__name__} must be {expected}. "
                f"Got {getattr(self, name)!r} instead."
            )

    def _make_architecture(self, X, weights, mean, threads):
        hidden = ACTIVATIONS[self.activation]
        return Architecture(
            widths=(
                X.shape[1],
                *map(int, hidden_widths(self.hidden_layer_sizes)),
                self._code_size(X, weights, mean, threads),
            ),
            hidden=hidden,
            code=hidden if self.code_activation is None else ACTIVATIONS[self.code_activation],
            loss=make_loss(self.loss, self.output_activation),
            tied=self._ties_weights(),
        )

    def _code_size(self, X, weights, mean, threads):
        if self.n_components is None:
            return min(-(-X.shape[1] // 2), _MAX_DEFAULT_SIZE)
        if self.n_components >= 1:
            return int(self.n_components)
        scale_about([X], weights, mean, threads)  # raises for what has no principal axes in this dtype
        return count_for_share(X, weights, mean, threads, self.n_components)

    def _random_streams(self):
        """Independent streams of `random_state`, so that what one of them draws does not change the others."""
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = seed.randint(np.iinfo(np.int32).max)
        return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]

    def _previous_parameters(self, architecture):
        if self._architecture != architecture:
            raise ValueError(
                f"warm_start=True goes on with the architecture of the previous fit, {self._architecture}, "
                f"but this fit has {architecture}. Set warm_start=False to start afresh."
            )
        return Parameters(self.coefs_, [self._offset_intercept, *self.intercepts_[1:]], self._offset)

    def _check_result(self, trained, problem, search, firsts):
        """Raise if the result is unusable; warn if it is poor. `firsts` are where X has each distinct row first."""
        if not trained.is_finite:
            raise ValueError(
                f"The solver ended on values that are not finite (objective {trained.result.fun}). "
                "Scale X (StandardScaler, MinMaxScaler), or fit in float64."
            )
        if not np.isfinite(trained.figure_of_merit):
            raise ValueError(
                "early_stopping=True needs held-out rows with a finite loss, but theirs was "
                f"{trained.figure_of_merit} at every iteration: some are far outside what was trained on. Look for "
                "outliers, scale X, or set early_stopping=False."
            )
        own = [
            _assignment(name, getattr(self, name), penalty.weight)
            for name, penalty in zip(self._penalty_parameters, problem.penalties, strict=False)
        ]
        further = [f"{penalty!r} among the penalties" for penalty in self.penalties]
        warning = complaint(
            trained,
            problem,
            search,
            name=type(self).__name__,
            penalty_names=own + further,
            outliers=firsts[np.unique(problem.outliers % problem.n_distinct)],
        )
        if warning is not None:
            category, text = warning
            warnings.warn(text, category, stacklevel=5)


def _assignment(name, strength, resolved):
    """Return how a user would write a strength, and what came of it if that is another number."""
    return f"{name}={strength!r} ({np.max(resolved):.2g})" if strength == SCALE else f"{name}={strength:g}"
