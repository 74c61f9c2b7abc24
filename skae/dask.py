"""Autoencoders over Dask collections: the rows stay on the workers of a cluster. Needs the extra `skae[dask]`."""

from copy import deepcopy
from typing import Any, Self

try:
    import distributed
except ImportError as error:
    raise ImportError("skae.dask needs Dask: pip install 'skae[dask]'.") from error

from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.utils.validation import check_is_fitted

from skae._cluster.collections import checked, checked_weights, example_of, loaded
from skae._estimators.base import BaseAutoencoder
from skae.losses._choice import loss_for

__all__ = ["DaskAutoencoder"]


class DaskAutoencoder(TransformerMixin, BaseEstimator, auto_wrap_output_keys=None):
    def __init__(self, estimator: BaseAutoencoder, client: Any = None):
        self.estimator = estimator
        self.client = client

    def __sklearn_clone__(self):
        return type(self)(clone(self.estimator), self.client)

    def __getstate__(self):
        return dict(super().__getstate__(), client=None)

    def fit(self, X, y=None, sample_weight=None) -> Self:
        client = self.client or distributed.get_client()
        X = checked(X)
        if sample_weight is not None:
            sample_weight = checked_weights(sample_weight, X)
        estimator = clone(self.estimator)
        estimator._validate_params()
        estimator._validated(example_of(X), reset=True)
        loss = loss_for(estimator.loss, estimator.output_activation, None, None, None)
        rows, weights, numbers = loaded(client, X, sample_weight, estimator, loss)
        vars(estimator).update(estimator._fit_rows(rows, weights, loss, numbers))
        self.estimator_ = estimator
        return self
