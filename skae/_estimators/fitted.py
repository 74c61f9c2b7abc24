"""The methods of a fitted autoencoder: encode, decode, score and inspect."""

import warnings
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_array, check_is_fitted

from skae import metrics
from skae._compat import feature_names, in_input_container
from skae._estimators.description import Described
from skae._files.array import FileArray
from skae._files.formats import in_blocks
from skae._files.sink import sink_for
from skae._network.network import decode, encode, encoder_jacobian, entry_losses, excess_losses, network_of
from skae._network.parameters import Parameters
from skae._objective.problem import code_scale
from skae._onnx import OnnxMixin
from skae._rows.blocks import rows_of
from skae._typing import MatrixLike
from skae._validation import FLOATS, drop_weightless, hidden_widths, refuse_masked, validated_input, validated_weights
from skae._version import __version__
from skae.losses import Loss

# Entries of the widest array of a block of rows: few enough to leave memory alone, enough for threaded products.
_BLOCK_ENTRIES = 2**20


def fitted_attributes(result, problem, strength_names, scales_code, held_out_seed):
    """Return the attributes of an estimator with this TrainingResult.

    Parameters
    ----------
    result : TrainingResult

    problem : Problem

    strength_names : list of str
        The estimator's parameters that are the weights of the first penalties.

    scales_code : bool
        Whether `transform` is to divide by the spread of the codes.

    held_out_seed : int or None
        Seed of the held-out rows, which a warm start holds out again.
    """

    def cast(array):
        return np.ascontiguousarray(array, dtype=problem.targets.dtype)

    architecture, mean, parameters = problem.architecture, problem.mean, result.parameters
    strengths = [penalty.weight for penalty in problem.penalties[: len(strength_names)]]
    return {
        **{
            f"{name}_": np.array(strength) if isinstance(strength, tuple) else float(strength)
            for name, strength in zip(strength_names, strengths, strict=True)
        },
        "code_scale_": code_scale(problem, parameters) if scales_code else 1.0,
        "coefs_": _with_tied([cast(W) for W in parameters.weights[: architecture.n_distinct]], architecture),
        "intercepts_": [cast(b) for b in parameters.with_offset(np.zeros_like(mean)).intercepts],
        "mean_": cast(mean),
        "n_components_": architecture.widths[-1],
        "loss_": result.loss,
        "loss_curve_": result.loss_curve,
        "validation_loss_curve_": result.validation_loss_curve or None,
        "best_validation_loss_": result.validation_loss,
        "n_iter_": len(result.loss_curve),
        "n_evaluations_": result.n_evaluations,
        "solver_": result.solver,
        "_architecture": architecture,
        "_held_out_seed": held_out_seed,
        "_offset": cast(parameters.offset),
        "_offset_intercept": cast(parameters.intercepts[0]),
    }


def check_targets(loss, X):
    """Raise ValueError if X, an ndarray, CSR or FileArray, holds values for which the loss is not defined."""
    if isinstance(X, FileArray):
        if type(loss).check_targets is not Loss.check_targets:  # which takes everything, and needs no pass
            for block in rows_of(X).blocks():
                loss.check_targets(X[block])
    else:
        loss.check_targets(X)


def _with_tied(weights, architecture):
    """Return the distinct weights and, if they are tied, their transposes as the decoder's."""
    return [*weights, *(W.T for W in reversed(weights))] if architecture.tied else weights


def _has_one_layer(estimator):
    fitted = getattr(estimator, "_architecture", None)
    if fitted.depth > 1 if fitted else len(hidden_widths(estimator.hidden_layer_sizes)):
        raise AttributeError("Only the units of a one-layer encoder (hidden_layer_sizes=()) have such inputs.")
    return True


class FittedMethods(OnnxMixin, Described, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """The methods that depend on the fitted attributes alone."""

    _doc_link_module = "skae"
    _doc_link_template = "https://skae.readthedocs.io/en/stable/generated/{estimator_module}.{estimator_name}.html"

    # `out` is no metadata, which a Pipeline would route.
    __metadata_request__transform = {"out": UNUSED}
    __metadata_request__inverse_transform = {"out": UNUSED}

    def __getstate__(self):
        state = dict(super().__getstate__(), _skae_version=__version__)
        if "coefs_" in state:
            state["coefs_"] = self.coefs_[: self._architecture.n_distinct]
        return state

    def __setstate__(self, state):
        state = dict(state)
        version = state.pop("_skae_version", "of an unknown version")
        if version != __version__:
            warnings.warn(
                f"{type(self).__name__} was saved by skae {version} and is loaded by skae {__version__}, which may "
                f"break it or change its results. Fit it anew, or load it with skae {version}.",
                UserWarning,
                stacklevel=2,
            )
        if "coefs_" in state:
            state["coefs_"] = _with_tied(state["coefs_"], state["_architecture"])
        super().__setstate__(state)

    @property
    def components_(self):
        check_is_fitted(self)
        if self._architecture.depth > 1:
            raise AttributeError("components_ exists only for an encoder of one layer; see coefs_.")
        return self.coefs_[0].T

    @property
    def network_(self):
        check_is_fitted(self)
        return network_of(self._architecture, self._parameters, self.code_scale_)

    @property
    def losses_(self):
        check_is_fitted(self)
        return self._architecture.loss.declared

    @property
    def _parameters(self):
        """The Parameters, whose first intercept belongs to the offset."""
        return Parameters(self.coefs_, [self._offset_intercept, *self.intercepts_[1:]], self._offset)

    @property
    def _n_features_out(self):
        return self.n_components_

    def transform(self, X: MatrixLike, out: Any = None) -> Any:
        """Encode X.

        Parameters
        ----------
        X : {array-like, sparse matrix, file} of shape (n_samples, n_features)
            Rows to encode. They are never corrupted.

        out : {ndarray, memmap, zarr.Array, h5py.Dataset} of shape (n_samples, n_components_), default=None
            Where to write the result, block by block; of the dtype of the result, which is float32 if the estimator
            was fitted to float32 and X is float32, and float64 otherwise. If None, a new array.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_components_)
            The codes, divided by `code_scale_`; a frame if `set_output` asks for one; `out` if that is given.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with, or `out` cannot take the
            result. What is wrong with the rows of a file comes to light when they are read: `out` may have the results
            of rows before them then.
        """
        network, rows = self.network_, rows_of(self._validated(X, reset=False))
        return self._blockwise(
            lambda block, out: encode(network, rows, block, out), rows, self.n_components_, given=out
        )

    def inverse_transform(self, X: MatrixLike, out: Any = None) -> Any:
        """Decode codes.

        Parameters
        ----------
        X : {array-like, file} of shape (n_samples, n_components_)
            Codes.

        out : {ndarray, memmap, zarr.Array, h5py.Dataset} of shape (n_samples, n_features), default=None
            Where to write the result, block by block; of the dtype of the result, which is float32 if the estimator
            was fitted to float32 and X is float32, and float64 otherwise. If None, a new array.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features)
            The reconstructions, through the link of the loss; a frame with the names of the input's features if
            `set_output` asks for one; `out` if that is given.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width of the code, or `out` cannot take the result, as in
            `transform`.
        """
        network, codes = self.network_, self._validated_codes(X)
        decoded = self._blockwise(
            lambda block, out: decode(network, codes[block], out), codes, self.n_features_in_, given=out
        )
        return decoded if out is not None else in_input_container(self, decoded, X)

    def reconstruct(self, X: MatrixLike, out: Any = None) -> Any:
        """Encode and decode X.

        Parameters
        ----------
        X : {array-like, sparse matrix, file} of shape (n_samples, n_features)
            Rows to reconstruct.

        out : {ndarray, memmap, zarr.Array, h5py.Dataset} of shape (n_samples, n_features), default=None
            Where to write the result, block by block; of the dtype of the result, which is float32 if the estimator
            was fitted to float32 and X is float32, and float64 otherwise. If None, a new array.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features)
            The result of `inverse_transform(transform(X))`; `out` if that is given.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with, or `out` cannot take the
            result, as in `transform`.
        """
        network, rows = self.network_, rows_of(self._validated(X, reset=False))

        def write(block, out):
            decode(network, encode(network, rows, block), out)

        result = self._blockwise(write, rows, self.n_features_in_, given=out)
        return result if out is not None else in_input_container(self, result, X)

    def score(self, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of the variance of X that its reconstruction explains.

        The variance-weighted R2 about the mean of the scored rows, as `sklearn.metrics.r2_score`. `PCA.score` is a
        log-likelihood: to compare the two in a grid, give it `scoring=skae.metrics.reconstruction_r2`.

        Parameters
        ----------
        X : {array-like, sparse matrix, file} of shape (n_samples, n_features)
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
        network, X = self.network_, self._validated_target(X)
        weights, X = drop_weightless(validated_weights(sample_weight, X), X)
        rows = rows_of(X)
        with np.errstate(over="ignore", invalid="ignore"):
            return metrics.r2(X, lambda block: decode(network, encode(network, rows, block)), weights)

    def score_samples(self, X: MatrixLike) -> np.ndarray:
        """Return minus each row's reconstruction loss: the lower, the more anomalous.

        Parameters
        ----------
        X : {array-like, sparse matrix, file} of shape (n_samples, n_features)
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
        network, rows = self.network_, rows_of(self._validated_target(X))

        def write(block, out):
            np.negative(entry_losses(network, rows, block).sum(axis=1), out=out)

        return self._blockwise(write, rows)

    def feature_errors(self, X: MatrixLike) -> np.ndarray:
        """Return the reconstruction loss entry by entry.

        `skae.metrics.feature_errors` returns squared errors instead, in the units of X, of a Pipeline too.

        Parameters
        ----------
        X : {array-like, sparse matrix, file} of shape (n_samples, n_features)
            Rows to score.

        Returns
        -------
        ndarray or DataFrame of shape (n_samples, n_features)
            Which features of a row are badly reconstructed; a frame with the names of the input's features if
            `set_output` asks for one.

        Raises
        ------
        ValueError
            If X is not a finite 2D array of the width that the estimator was fitted with, or outside the domain of
            the loss.
        """
        network, rows = self.network_, rows_of(self._validated_target(X))

        def write(block, out):
            out[...] = entry_losses(network, rows, block)

        return in_input_container(self, self._blockwise(write, rows, self.n_features_in_), X)

    def encoder_jacobian(self, X: MatrixLike) -> np.ndarray:
        """Return the derivative of the code, as `transform` returns it, in the input.

        Parameters
        ----------
        X : {array-like, sparse matrix, file} of shape (n_samples, n_features)
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
        network, rows = self.network_, rows_of(self._validated(X, reset=False))

        def write(block, out):
            out[...] = encoder_jacobian(network, rows, block)

        return self._blockwise(write, rows, self.n_components_, self.n_features_in_)

    @available_if(_has_one_layer)
    def maximally_activating_inputs(self) -> np.ndarray:
        """Return, for each unit of the code, the input of unit norm that activates it most.

        Only of an encoder of one layer, where it is W_j / ||W_j||.

        Returns
        -------
        ndarray of shape (n_components_, n_features)
            Rows of unit norm; zeros for a unit that has no weights.
        """
        check_is_fitted(self)
        W = self.components_
        # Tiny weights have squares without digits.
        sizes = np.abs(W).max(axis=1, keepdims=True)
        W = W / np.where(sizes > 0, sizes, 1)
        norms = np.linalg.norm(W, axis=1, keepdims=True)
        return W / np.where(norms > 0, norms, 1)

    def _excess_losses(self, X):
        """Yield a slice of the rows of X and what their entries lose over a perfect reconstruction, in float64."""
        network, rows = self.network_, rows_of(self._validated_target(X))
        for block in _slices(len(rows), self._rows_together()):
            # An overflow is an infinite error.
            with np.errstate(over="ignore", invalid="ignore"):
                yield block, excess_losses(network, rows, block).astype(np.float64, copy=False)

    def _validated(self, X, reset):
        return validated_input(self, X, reset)

    def _validated_codes(self, X):
        refuse_masked(X)
        given = in_blocks(X)
        if isinstance(given, FileArray):
            codes, names = given.small_or_file(), feature_names(given.header)
        else:
            codes, names = check_array(X, dtype=FLOATS, input_name="X", estimator=self), feature_names(X)
        if codes.shape[1] != self.n_components_:
            raise ValueError(
                f"X has {codes.shape[1]} features, but {type(self).__name__} is expecting {self.n_components_} "
                "features as input: inverse_transform takes codes."
            )
        own = self.get_feature_names_out()
        if names is not None and sorted(names) == sorted(own) and list(names) != list(own):
            raise ValueError(
                f"The columns of X are those of the codes in another order: inverse_transform takes {list(own)}."
            )
        return codes

    def _validated_target(self, X):
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        check_targets(self._architecture.loss, X)
        return X

    def _blockwise(self, write, X, *shape, given=None):
        """Return an array of the given shape a row of X, which `write(block, out)` fills a slice of rows at a time.

        It is the one that is given, if there is one.
        """
        sink = sink_for((X.shape[0], *shape), np.result_type(X.dtype, self.mean_), self, given)
        # An overflow is an infinite reconstruction or error.
        with np.errstate(over="ignore", invalid="ignore"):
            for block in _slices(X.shape[0], sink.block_rows(self._rows_together(*shape))):
                with sink.block(block) as out:
                    write(block, out)
        return sink.result

    def _rows_together(self, *shape):
        """Return how many rows to work on at a time, for arrays of the given shape a row."""
        return max(16, _BLOCK_ENTRIES // max(*self._architecture.widths, prod(shape)))


def _slices(n_rows, n_together):
    """Yield slices of rows. gen_batches validates its parameters at every call, which is slow beside a single row."""
    for start in range(0, n_rows, n_together):
        yield slice(start, min(start + n_together, n_rows))
