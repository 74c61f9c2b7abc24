"""The loss of a one-hot group of columns."""

from dataclasses import dataclass

import numpy as np
from scipy.special import rel_entr, softmax

from skae.activations import SMALLEST
from skae.losses._elementwise import RANGE_TOLERANCE, Loss


@dataclass(frozen=True)
class Categorical(Loss):
    """Categorical loss, l = -sum_k x_k log x^_k: one variable, whose categories are the columns.

    With x^ = softmax(a) and S = sum_k x_k this is S log sum_k exp(a_k) - sum_k x_k a_k, whose gradient is S x^ - x.
    S is one; a row of zeros, as an encoder that ignores unknown categories makes, has no loss. Rows of shares between 0
    and 1 that sum to one are allowed.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.losses import Categorical
    >>> Categorical().entries(np.array([[0.0, 1.0], [0.0, 0.0]]), np.array([[0.0, 0.0], [2.0, 1.0]])).round(3)
    array([[0.   , 0.693],
           [0.   , 0.   ]])
    """

    bounds = (0.0, 1.0)

    def predict(self, raw):
        raw[...] = softmax(raw, axis=1)
        return raw

    def raw_output(self, reconstruction):
        # Of the outputs that differ by a constant, the logarithms.
        return np.log(np.maximum(reconstruction, SMALLEST))

    def raw_scale(self, scale):
        return 1.0

    def n_variables(self, n_columns):
        return 1

    def loss_gradient(self, target, raw, gradient_out):
        total = target.sum(axis=1)
        raw -= raw.max(axis=1, keepdims=True)
        np.exp(raw, out=gradient_out)
        of_all = gradient_out.sum(axis=1)
        losses = total * np.log(of_all) - np.einsum("ij,ij->i", raw, target)
        gradient_out *= (total / of_all)[:, None]
        gradient_out -= target
        return losses

    def weighted_loss_gradient(self, target, raw, entry_weights, gradient_out):
        # The loss is linear in the target.
        return self.loss_gradient(target * entry_weights, raw, gradient_out)

    def entries(self, target, raw):
        below = raw - raw.max(axis=1, keepdims=True)
        return target * (np.log(np.exp(below).sum(axis=1, keepdims=True)) - below)

    def curvature(self, target, raw):
        p = softmax(raw, axis=1)
        return target.sum(axis=1, keepdims=True) * p * (1 - p)

    def divergence(self, target, mean):
        target, mean = np.maximum(target, 0), np.maximum(mean, 0)
        return rel_entr(target, target.sum(axis=1, keepdims=True) * mean / max(mean.sum(), SMALLEST))

    def check_targets(self, X):
        if X.shape[1] < 2:
            raise ValueError(
                "loss='categorical' needs a column for each of two categories or more, but has one column. Choose "
                "loss='cross_entropy' for a column of zeros and ones."
            )
        low, totals = X.min(), np.asarray(X.sum(axis=1)).ravel()
        tolerance = RANGE_TOLERANCE * X.shape[1]
        wrong = np.flatnonzero((np.abs(totals - 1) > tolerance) & (np.abs(totals) > tolerance))
        if low < -RANGE_TOLERANCE or len(wrong):
            found = f"the value {low:.6g}" if low < -RANGE_TOLERANCE else f"a row with the sum {totals[wrong[0]]:.6g}"
            negative = "Negative values in data: " if low < -RANGE_TOLERANCE else ""
            raise ValueError(
                f"{negative}loss='categorical' needs values of at least 0 whose rows sum to 1, or are all 0, but X has "
                f"{found}. Encode one variable with OneHotEncoder; several variables are entries of ColumnLosses."
            )
