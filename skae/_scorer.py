"""Scorers for scikit-learn's `scoring=` that can request sample weights, using only public names of scikit-learn."""

from collections.abc import Callable
from functools import update_wrapper
from importlib import import_module
from typing import Any

from numpy.typing import ArrayLike
from sklearn import get_config
from sklearn.utils.metadata_routing import MetadataRequest

from skae._typing import MatrixLike


class Scorer:
    """A function of a fitted estimator and rows, with the metadata routing of scikit-learn's scorers.

    `help`, Sphinx and doctest see the function, and a scorer is pickled by the function's name. Scorers are immutable:
    `set_score_request` returns a new scorer.

    Parameters
    ----------
    function : callable(estimator, X, y, sample_weight) -> float
        Function whose name in its module refers to the scorer.

    request : bool, str or None, default=None
        Request for the weights that are passed to a meta-estimator under metadata routing, as in `set_score_request`.
    """

    __wrapped__: Callable[..., float]

    def __init__(self, function, request=None):
        update_wrapper(self, function)
        self._request = request

    def __call__(self, estimator: Any, X: MatrixLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        return self.__wrapped__(estimator, X, y, sample_weight)

    def set_score_request(self, *, sample_weight: bool | str | None) -> "Scorer":
        """Return a scorer that requests sample weights, or does not, under scikit-learn's metadata routing.

        Parameters
        ----------
        sample_weight : bool, str or None
            If True, weights passed to a meta-estimator are used. If False, they are ignored. If None, they raise an
            error. If a str, they are used if they are passed under this name.

        Returns
        -------
        Scorer
            A new scorer, whereas scikit-learn's scorers return themselves.

        Raises
        ------
        RuntimeError
            If metadata routing is not enabled.
        """
        if not get_config()["enable_metadata_routing"]:
            raise RuntimeError(
                "set_score_request has an effect under metadata routing only: enable it with "
                "sklearn.set_config(enable_metadata_routing=True)."
            )
        scorer = Scorer(self.__wrapped__, sample_weight)
        scorer.get_metadata_routing()  # raises for an invalid request
        return scorer

    def get_metadata_routing(self) -> MetadataRequest:
        """Return the request as a `sklearn.utils.metadata_routing.MetadataRequest`."""
        request = MetadataRequest(owner=repr(self))
        request.score.add_request(param="sample_weight", alias=self._request)
        return request

    def _accept_sample_weight(self):
        """Tell scikit-learn, which asks each of several scorers without metadata routing, that weights are accepted."""
        return True

    def __get__(self, instance, owner=None):
        # `inspect` treats objects with this method as routines, so `help` and Sphinx show the signature.
        return self

    def __repr__(self):
        request = "" if self._request is None else f".set_score_request(sample_weight={self._request!r})"
        return self.__name__ + request

    def __reduce__(self):
        if self._request is None:
            return self.__qualname__
        return _requesting, (self.__module__, self.__qualname__, self._request)


def _requesting(module, name, request):
    return Scorer(getattr(import_module(module), name).__wrapped__, request)
