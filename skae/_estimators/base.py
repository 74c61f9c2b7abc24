"""The scikit-learn side of all autoencoders: parameters, validation and `fit`."""

import warnings
from collections.abc import Sequence
from dataclasses import field, replace
from functools import partial
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import ArrayLike

from skae._compat import CallbackSupportMixin, InvalidParameterError, fit_context, integers, one_of, reals
from skae._estimators.callbacks import fit_task
from skae._estimators.declaration import estimator
from skae._estimators.fitted import FittedMethods, check_targets, fitted_attributes
from skae._estimators.layerwise import train_layers, unrolled
from skae._files.array import FileArray
from skae._files.formats import in_blocks
from skae._network.architecture import Architecture
from skae._objective.problem import column_gains, make_problem
from skae._objective.units import SCALE, units_of
from skae._rollback import unchanged_by_errors
from skae._rows.blocks import rows_of
from skae._rows.distinct import distinct_rows
from skae._rows.principal_axes import count_for_share, principal_axes
from skae._rows.statistics import statistics_of
from skae._rows.threads import row_threads
from skae._solvers.lbfgs import LBFGS
from skae._solvers.registry import SOLVERS, choose_solver
from skae._training.diagnosis import examine
from skae._training.early_stopping import HeldOut, HeldOutDraw
from skae._training.log import Log
from skae._training.messages import warning_about
from skae._training.run import Training
from skae._typing import MatrixLike
from skae._validation import hidden_widths, validated_weights
from skae.activations import ACTIVATIONS, Activation, make_activation
from skae.losses import LOSSES, ColumnLosses, Loss, SquaredError
from skae.losses._choice import AUTO, loss_for
from skae.penalties import Penalty, WeightDecay

# Largest default of n_components.
_MAX_DEFAULT_SIZE = 100


@estimator
class BaseAutoencoder(CallbackSupportMixin, FittedMethods):
    """Base of the autoencoders; a subclass adds a penalty or corrupts the inputs."""

    n_components: int | float | None = field(default=None, kw_only=False)
    hidden_layer_sizes: int | Sequence[int] = ()
    activation: str | Activation = "logistic"
    code_activation: str | Activation | None = None
    loss: str | Loss | ColumnLosses = "squared_error"
    output_activation: str = "auto"
    tied_weights: bool | str = False
    alpha: float | str = SCALE
    scale_code: bool | str = "auto"
    penalties: Sequence[Penalty] = ()
    solver: str = "auto"
    init: str = "glorot"
    n_init: int = 1
    n_jobs: int | None = None
    max_iter: int = 1000
    tol: float = 1e-3
    n_iter_no_change: int = 10
    max_fun: int = 15000
    maxcor: int = 10
    early_stopping: bool = False
    validation_fraction: float = 0.1
    warm_start: bool = False
    random_state: int | np.random.RandomState | None = None
    verbose: int | bool = 0

    _parameter_constraints = {
        "n_components": [None, integers(1), reals(0, 1, closed="neither", not_int=True)],
        "hidden_layer_sizes": [integers(1), "array-like"],
        "activation": [one_of(*ACTIVATIONS), Activation],
        "code_activation": [None, one_of(*ACTIVATIONS), Activation],
        "loss": [one_of(AUTO, *LOSSES), Loss, ColumnLosses],
        "output_activation": [one_of("auto", *ACTIVATIONS)],
        "tied_weights": ["boolean"],
        "alpha": [reals(0, closed="left"), one_of(SCALE)],
        "scale_code": ["boolean", one_of("auto")],
        "penalties": [tuple, list],
        "solver": [one_of("auto", *SOLVERS)],
        "init": [one_of("glorot", "pca", "stacked")],
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        tags.input_tags.sparse = True
        loss = LOSSES.get(self.loss) if isinstance(self.loss, str) else self.loss
        tags.input_tags.positive_only = isinstance(loss, Loss | type) and not np.any(loss.takes_any_unit)
        return tags

    # alpha="scale" in the unit of each weight matrix.
    _alpha_scale: ClassVar[float] = 5e-3

    # The contributions of a subclass.

    @property
    def _name(self):
        """Its name in logs and warnings."""
        return type(self).__name__

    _own_penalty_parameters: ClassVar[tuple[str, ...]] = ()

    def _own_penalties(self, units):
        """Return the penalties whose weights these parameters are."""
        return ()

    def _ties_weights(self, loss):
        return self.tied_weights

    def _noise(self, architecture, rows, weights, rng):
        """Return the Noise of the inputs, or None."""

    @fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Self:
        """Fit the autoencoder to X.

        Parameters
        ----------
        X : {array-like, sparse matrix, file} of shape (n_samples, n_features)
            Training data. float32 is kept, all other types are converted to float64. Sparse X is converted to CSR and
            never made dense as a whole. A file, which is a `zarr.Array`, an `h5py.Dataset` or a
            `pyarrow.parquet.ParquetFile`, is read in blocks of rows, and never in memory as a whole.

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
            If a parameter, X or the weights are out of their domain; the message names it, and the allowed values.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the solver hit a cap, or ended at the precision of the dtype or in a failed line search while the
            objective was still falling.

        UserWarning
            If the result explains hardly more than the mean of the training rows, or mainly a few outliers; if the mean
            activation is far from the sparsity target; if tied weights do not suit the scale of X; or if early stopping
            selected an iterate from before the penalties took effect. The text gives the cause as far as it is known,
            and a change to try.

        Notes
        -----
        Equal rows are merged, and their weights added, if X has at most 2^22 entries or fewer than half of its rows are
        distinct. In the first case the result does not depend on the order of the rows.
        """
        goes_on = self.warm_start and hasattr(self, "coefs_")
        # Before the snapshot, because scikit-learn itself cleans up what this call adds.
        task = fit_task(self, 1 if goes_on else self.n_init, self.max_iter)
        with unchanged_by_errors(self):
            fitted = self._fit(X, sample_weight, goes_on, task)
            task.end(fitted)
            self.__dict__.update(fitted)
        return self

    def _fit(self, X, sample_weight, goes_on, task):
        """Return the fitted attributes."""
        given = in_blocks(X)
        header = self._header_of_file(given) if isinstance(given, FileArray) else given
        every_row = self._validated(given, reset=True)
        weights = validated_weights(sample_weight, every_row)
        n_samples = len(weights)
        init_rng, corruption_rng, held_out_rng = self._random_streams()
        seed = self._seed_of_held_out(held_out_rng, goes_on)
        loss = loss_for(self.loss, self.output_activation, header, every_row, weights)
        X, weights, held_out, rows, firsts = self._split(every_row, weights, loss, seed)
        task.begin(every_row, given, sample_weight, rows)
        del given, header, every_row, rows  # each may be a copy, and X another one

        with row_threads() as threads:
            problem = self._make_problem(rows_of(X), weights, loss, corruption_rng, threads)
            training = self._make_training(problem, held_out, threads, goes_on)
        return self._trained(training, init_rng, task, firsts, n_samples, seed)

    def _fit_loaded(self, loaded, loss, task, goes_on):
        """Return the fitted attributes, given rows that are validated and loaded elsewhere."""
        init_rng, corruption_rng, held_out_rng = self._random_streams()
        seed, draw, held_out = self._seed_of_held_out(held_out_rng, goes_on), None, None
        if self.early_stopping:
            draw = HeldOutDraw(len(loaded), self.validation_fraction, seed)
            held_out = HeldOut(*loaded.rows(draw, are_held_out=True))
        rows, weights = loaded.rows(draw)
        n_samples = loaded.n_samples
        del loaded  # the chosen rows may be copies
        with row_threads() as threads:
            problem = self._make_problem(rows, weights, loss, corruption_rng, threads)
            training = self._make_training(problem, held_out, threads, goes_on)
        task.prepare(problem, n_samples)
        return self._trained(training, init_rng, task, rows.firsts_of, n_samples, seed)

    def _trained(self, training, rng, task, firsts, n_samples, held_out_seed):
        """Run the training, once a start; return the fitted attributes of the best run."""
        problem, goes_on = training.problem, training.goes_on
        rngs = [rng] if goes_on else self._rngs_of_runs(rng)
        starts = [self._start(problem, goes_on, rng) for rng in rngs]
        attributes = partial(
            fitted_attributes,
            problem=problem,
            strength_names=self._penalty_parameters,
            scales_code=self._scales_code(problem.architecture),
            held_out_seed=held_out_seed if self.early_stopping else None,
        )
        watchers = [
            [*self._logs(problem, index, len(rngs)), *task.searches(index, attributes)] for index in range(len(rngs))
        ]
        result = training.best(rngs, starts, watchers, self.n_jobs)
        _check_usable(result)
        with row_threads() as threads:
            verdict = examine(problem, result, threads)
        warning = self._warn_about(result, verdict, training, firsts)
        record = {"n_samples": n_samples, "explained": float(verdict.share), "warning": warning}
        return {**attributes(result), "_fit_record": record}

    # The steps of a fit, in their order.

    def _header_of_file(self, file):
        """Return what tells of the features of a file; ValueError for parameters that do not go with one."""
        if self.loss == AUTO:
            raise ValueError(
                "loss='auto' looks at all values of a column, and X is a file. Take the losses from some of its rows: "
                f"{type(self).__name__}(loss='auto').fit(rows).losses_."
            )
        if self.n_init > 1 and effective_n_jobs(self.n_jobs) > 1:
            raise ValueError(
                f"n_jobs={self.n_jobs} runs the n_init={self.n_init} starts in processes, which cannot share the open "
                "file X. Set n_jobs=None: every start uses all cores."
            )
        return file.header

    def _validate_params(self):
        super()._validate_params()
        widths, is_width = hidden_widths(self.hidden_layer_sizes), integers(1).is_satisfied_by
        self._check_all("hidden_layer_sizes", map(is_width, widths), "an int of at least 1 or a sequence of such ints")
        are_penalties = (isinstance(part, Penalty) for part in self.penalties)
        self._check_all("penalties", are_penalties, "a sequence of objects of skae.penalties")
        if self.init == "stacked" and not len(widths):
            raise InvalidParameterError(
                "init='stacked' trains the layers of a deep network one after the other: set hidden_layer_sizes, or "
                "leave init at 'glorot'."
            )

    def _check_all(self, name, parts_fit, expected):
        if not all(parts_fit):
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(self).__name__} must be {expected}. "
                f"Got {getattr(self, name)!r} instead."
            )

    def _random_streams(self):
        """Return independent streams of `random_state`: draws from one of them do not change the others."""
        seed = self.random_state
        if isinstance(seed, np.random.RandomState):
            seed = seed.randint(np.iinfo(np.int32).max)
        return [np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)]

    def _rngs_of_runs(self, rng):
        return [rng, *rng.spawn(self.n_init - 1)]

    def _seed_of_held_out(self, rng, goes_on):
        return self._held_out_seed if goes_on and self._held_out_seed else int(rng.integers(1, 2**63))

    def _split(self, X, weights, loss, seed):
        """Split the distinct rows of X.

        Returns the rows to train on, their weights, HeldOut or None, the function that returns the indices of all rows
        of X that equal one of those trained on, and the one that returns where X has each of some of these first.
        """
        distinct, trained_on, held_out = distinct_rows(X, weights), None, None
        if self.early_stopping:
            is_held_out = HeldOutDraw(len(distinct.weights), self.validation_fraction, seed).mask()
            held_out_X, held_out_weights = distinct.take(X, is_held_out)
            check_targets(loss, held_out_X)
            held_out = HeldOut(rows_of(held_out_X), held_out_weights)
            trained_on = np.logical_not(is_held_out, out=is_held_out)
        X, weights = distinct.take(X, trained_on)
        check_targets(loss, X)
        return X, weights, held_out, partial(distinct.equal_to, trained_on), distinct.firsts(trained_on)

    def _make_problem(self, rows, weights, loss, rng, threads):
        statistics = statistics_of([rows], weights, threads)
        loss = loss.balanced(partial(column_gains, loss, rows, weights, statistics.mean, threads))
        architecture = self._make_architecture(rows, weights, loss, statistics, threads)
        noise = self._noise(architecture, rows, weights, rng)
        problem = make_problem(architecture, (), rows, weights, statistics, threads, noise)
        return replace(problem, penalties=self._every_penalty(units_of(problem), architecture))

    def _make_architecture(self, rows, weights, loss, statistics, threads):
        hidden = make_activation(self.activation)
        widths = (
            rows.shape[1],
            *map(int, hidden_widths(self.hidden_layer_sizes)),
            self._code_size(rows, weights, statistics, threads),
        )
        return Architecture(
            widths=widths,
            hidden=hidden,
            code=hidden if self.code_activation is None else make_activation(self.code_activation),
            loss=loss,
            tied=self._ties_weights(loss),
        )

    def _code_size(self, rows, weights, statistics, threads):
        if self.n_components is None:
            return min(-(-rows.shape[1] // 2), _MAX_DEFAULT_SIZE)
        if self.n_components >= 1:
            return int(self.n_components)
        return count_for_share(rows, weights, statistics.mean, threads, self.n_components)

    @property
    def _penalty_parameters(self):
        return "alpha", *self._own_penalty_parameters

    def _every_penalty(self, units, architecture):
        decay = WeightDecay(units.weight_decays(self.alpha, self._alpha_scale))
        penalties = (decay, *self._own_penalties(units), *self.penalties)
        for penalty in penalties:
            penalty.check(architecture)
        return penalties

    def _make_training(self, problem, held_out, threads, goes_on=False):
        solver, axes = self._choose_solver(problem), None
        if self.init == "pca" and not goes_on and solver.is_search:
            width = problem.architecture.widths[1]
            axes = principal_axes(problem.targets, problem.weights, problem.mean, threads, width)[:2]
        precision = np.finfo(problem.targets.dtype).eps
        limits = LBFGS(self.max_iter, self.max_fun, self.tol, self.n_iter_no_change, self.maxcor, precision)
        return Training(problem, solver, limits, held_out, axes, goes_on, n_parts=threads.n_threads)

    def _choose_solver(self, problem):
        return choose_solver(self.solver, problem, self._search_options())

    def _search_options(self):
        """Return the options, in words, that a solver without a search could not honour."""
        options = ["early_stopping=True"] if self.early_stopping else []
        return options + ([f"n_init={self.n_init}"] if self.n_init > 1 else [])

    def _start(self, problem, goes_on, rng):
        """Return the Parameters to go on from, or None to start afresh."""
        if goes_on:
            return self._previous_parameters(problem.architecture)
        if self.init != "stacked":
            return None
        problem = problem.for_start(rng)
        layers = train_layers(self._start_layers(problem.architecture), problem.targets.X, problem.weights[:], rng)
        return unrolled([layer.network_ for layer in layers])

    def _start_layers(self, architecture):
        """Return plain layers of this architecture, with the estimator's own weight decay and limits."""
        loss, names = architecture.loss, ("alpha", "max_iter", "tol", "n_iter_no_change", "max_fun", "maxcor")
        options = {name: getattr(self, name) for name in names} | {"tied_weights": architecture.tied}
        codes = [architecture.hidden] * (architecture.depth - 1) + [architecture.code]
        for width, code in zip(architecture.widths[1:], codes, strict=True):
            yield _StartLayer(width, activation=code, loss=loss, **options)
            loss = SquaredError(code)

    def _previous_parameters(self, architecture):
        if self._architecture != architecture:
            raise ValueError(
                f"warm_start=True goes on with the architecture of the previous fit, {self._architecture}, "
                f"but this fit has {architecture}. Set warm_start=False to start afresh."
            )
        return self._parameters

    def _logs(self, problem, index, n_runs):
        if not self.verbose:
            return []
        name = self._name + (f", start {index + 1:{len(str(n_runs))}} of {n_runs}" if n_runs > 1 else "")
        return [Log(name, problem.term_names, every_iteration=self.verbose > 1)]

    def _scales_code(self, architecture):
        return architecture.code.is_bounded if self.scale_code == "auto" else self.scale_code

    def _warn_about(self, result, verdict, training, firsts):
        """Warn if the result is poor; return the text or None. `firsts` gives where X has each of some rows first."""
        problem = training.problem
        own = [
            _assignment(name, getattr(self, name), penalty.weight)
            for name, penalty in zip(self._penalty_parameters, problem.penalties, strict=False)
        ]
        warning = warning_about(
            result,
            verdict,
            problem,
            training.limits,
            name=self._name,
            penalty_names=own + [f"{penalty!r} among the penalties" for penalty in self.penalties],
            outliers=firsts(problem.outliers),
        )
        if warning is None:
            return None
        category, text = warning
        warnings.warn(text, category, stacklevel=6)
        return text


class _StartLayer(BaseAutoencoder):
    """A layer of a start, which need not be good."""

    def _warn_about(self, result, verdict, training, firsts):
        return None


def _check_usable(result):
    """Raise ValueError if a TrainingResult is no model."""
    if not result.is_finite:
        raise ValueError(
            f"The solver ended on values that are not finite (objective {result.loss}). "
            "Scale X (StandardScaler, MinMaxScaler), or fit in float64."
        )
    if not np.isfinite(result.selection_loss):
        raise ValueError(
            "early_stopping=True needs held-out rows with a finite loss, but theirs was "
            f"{result.validation_loss} at every iteration: some are far outside the range of the training rows. "
            "Look for outliers, scale X, or set early_stopping=False."
        )


def _assignment(name, strength, resolved):
    """Return a strength as a user would write it, with the resolved value after "scale"."""
    return f"{name}={strength!r} ({np.max(resolved):.2g})" if strength == SCALE else f"{name}={strength:g}"
