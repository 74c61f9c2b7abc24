"""The autoencoder of a detector, alone or as the last step of a Pipeline: made, fitted, and its errors by column."""

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.validation import has_fit_parameter

from skae._compat import feature_names_in, safe_indexing
from skae._estimators.autoencoder import AutoencoderTransformer

# Weight decay of the default: principal components of standardised columns with less variance are not reconstructed,
# and the others are shrunk, so that little is learned from odd rows.
_ALPHA = 0.5

# Parts of the rows for errors by fits to the other parts. With three, fewer odd rows are found if the rows are few; ten
# cost twice as much, for nearly the same thresholds.
_PARTS = 5


def default_estimator():
    """Return the estimator that stands for None."""
    # The autoencoder centres the columns itself, and keeps sparse ones sparse.
    scaler = StandardScaler(with_mean=False)
    autoencoder = AutoencoderTransformer(activation="identity", alpha=_ALPHA)
    if _routes():
        scaler.set_fit_request(sample_weight=True)
        autoencoder.set_fit_request(sample_weight=True)
    return make_pipeline(scaler, autoencoder)


def autoencoder_of(estimator):
    """Return the autoencoder: the last step of a Pipeline, or the estimator itself."""
    return estimator.steps[-1][1] if isinstance(estimator, Pipeline) else estimator


def seeded(estimator, seed):
    """Return an unfitted copy, in which every random_state that was None is the seed, if there is one."""
    estimator = clone(estimator)
    if seed is None:
        return estimator
    parameters = estimator.get_params()
    names = [name for name in parameters if name.split("__")[-1] == "random_state" and parameters[name] is None]
    return estimator.set_params(**dict.fromkeys(names, seed))


def fitted(estimator, X, weights):
    """Return a copy of the estimator, fitted to weighted rows."""
    return clone(estimator).fit(X, **_fit_parameters(estimator, weights))


def _fit_parameters(estimator, weights):
    if (weights == weights[0]).all():
        return {}
    if _routes() or not isinstance(estimator, Pipeline):
        return {"sample_weight": weights}
    steps = [name for name, step in estimator.steps if has_fit_parameter(step, "sample_weight")]
    return {f"{name}__sample_weight": weights for name in steps}


def _routes():
    return sklearn.get_config()["enable_metadata_routing"]


def column_errors(estimator, X):
    """Yield a slice of the rows of X and their errors, (n_rows, n_columns), by column of what the autoencoder gets."""
    return autoencoder_of(estimator)._excess_losses(_prepared(estimator, X))


def cross_fitted_errors(estimator, X, weights):
    """Yield indices of weighted rows, two or more, and their `column_errors` by a fit of the autoencoder to the others.

    The steps before it, and what they make of X, stay as fitted, and so do the losses that it chose for the columns.
    """
    prepared, autoencoder = _prepared(estimator, X), autoencoder_of(estimator)
    unfitted = clone(autoencoder).set_params(loss=autoencoder.losses_, output_activation="auto")
    # At random, but always alike: rows next to each other may be alike, and so may every fifth.
    part_of = np.random.default_rng(0).permutation(len(weights)) % _PARTS
    for part in np.unique(part_of):
        held_out, others = np.flatnonzero(part_of == part), np.flatnonzero(part_of != part)
        of_others = fitted(unfitted, safe_indexing(prepared, others), weights[others])
        yield held_out, column_errors(of_others, safe_indexing(prepared, held_out))


def column_names(estimator):
    """Return the names of the columns that the autoencoder gets, as far as they have names."""
    steps = _preparation(estimator)
    try:
        if steps is not None:
            return steps.get_feature_names_out()
    except (AttributeError, ValueError):  # a step that does not name its columns
        pass
    return feature_names_in(autoencoder_of(estimator))


def _prepared(estimator, X):
    """Return what the autoencoder gets for X."""
    steps = _preparation(estimator)
    return X if steps is None else steps.transform(X)


def _preparation(estimator):
    """Return the steps before the autoencoder, or None."""
    return estimator[:-1] if isinstance(estimator, Pipeline) and len(estimator) > 1 else None
