"""Reconstruction losses: minus the log-likelihood of the input given the decoder's raw output.

The parameter `loss` of the estimators takes the names in `LOSSES`, or an object of one of these classes, or of a class
derived from `Loss`; and a `ColumnLosses`, where columns have different losses, or "auto", which makes one. For another
type of input, choose its distribution given the mean, connect the mean to the raw output by a link, and take minus the
logarithm.
"""

from skae.losses._categorical import Categorical
from skae.losses._columns import ColumnLosses
from skae.losses._elementwise import CrossEntropy, Loss, Poisson, SquaredError
from skae.losses._registry import LOSSES
from skae.losses._registry import make_loss as make_loss

__all__ = ["LOSSES", "Categorical", "ColumnLosses", "CrossEntropy", "Loss", "Poisson", "SquaredError"]
