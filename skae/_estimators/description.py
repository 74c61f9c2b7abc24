"""What a fitted autoencoder is, in a few lines: `describe` and its table in the HTML representation."""

from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skae._compat import HTMLTableMixin

# Values are cut to this many characters in the HTML table.
_WIDEST = 300


class Described(HTMLTableMixin, BaseEstimator):
    """The method `describe` of an estimator that records its fit in `_fit_record`."""

    # Parameters that belong to the description as they are.
    _described_parameters: ClassVar[tuple[str, ...]] = ()

    def describe(self) -> dict[str, Any]:
        """Return what was fitted, to what, and how it went.

        A summary for a model card or a log. It is also a table of the HTML representation in notebooks.

        Returns
        -------
        dict
            `estimator`, its name; `widths` of the layers, from the input to the reconstruction; `activations` of the
            encoder's layers; `loss`, with its link; `tied_weights`; the strengths that were used (`alpha`, one a weight
            matrix, and `sparsity_weight` or `contraction_weight`); `corruption` and its level; `penalties`, those of
            the parameter; `n_samples` and `n_features` of X; `explained`, the share that
            reconstructions of the rows trained on gain of what perfect ones would, over their mean, in the loss and
            without gross outliers (for squared error R2); `solver`; `n_iter`; and `warning`, the text of the one that
            `fit` issued, or None.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        network = self.network_
        strengths = {name: getattr(self, f"{name}_") for name in self._penalty_parameters}
        parameters = {name: getattr(self, name) for name in self._described_parameters}
        return {
            "estimator": type(self).__name__,
            "widths": network.widths,
            "activations": tuple(repr(layer.activation) for layer in network.encoder),
            "loss": repr(network.loss),
            "tied_weights": self._architecture.tied,
            **{name: np.asarray(strength).tolist() for name, strength in strengths.items()},
            **{name: value if isinstance(value, str | float) else repr(value) for name, value in parameters.items()},
            "penalties": tuple(map(repr, self.penalties)),
            "n_samples": self._fit_record["n_samples"],
            "n_features": self.n_features_in_,
            "explained": self._fit_record["explained"],
            "solver": self.solver_,
            "n_iter": self.n_iter_,
            "warning": self._fit_record["warning"],
        }

    def _html_table(self):
        if not hasattr(self, "_fit_record"):
            return None
        return "Fitted model", {name: _shown(value) for name, value in self.describe().items()}


def _shown(value):
    """Return a value as a cell of the table."""
    if isinstance(value, tuple | list):
        text = ", ".join(map(_shown, value)) or "none"
    else:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}..."
