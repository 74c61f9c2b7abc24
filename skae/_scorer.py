"""Scorers for scikit-learn's `scoring=` that can request sample weights, by public names of scikit-learn's alone."""

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

    It looks like the function to `help`, Sphinx and doctest, and is pickled by the function's name. It never changes:
    `set_score_request` returns another scorer.

    Parameters
    ----------
    function : callable(estimator, X, y, sample_weight) -> float
        Of a module in which the scorer has its name.

    request : bool, str or None, default=None
        How weights that are passed to a meta-estimator are treated under metadata routing, as in `set_score_request`.
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
            True: weights that are passed to a meta-estimator are used; False: they are ignored; None: they are an
            error; a str: they are used if they are passed by this name.

        Returns
        -------
        Scorer
            A new one, unlike with scikit-learn's scorers.

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
        """Without metadata routing, scikit-learn asks each of several scorers this way."""
        return True

    def __get__(self, instance, owner=None):
        # With this, `inspect` takes it for a routine, so that `help` and Sphinx show its signature.
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
