"""The private names of scikit-learn that skae rests on, in one place.

Parameter validation and `_fit_context` are what scikit-learn's own estimators declare their parameters with, and
its common tests know them; there is no public counterpart in the supported releases.
"""

from numbers import Integral, Real

from sklearn.base import _fit_context as fit_context
from sklearn.utils._param_validation import Interval, InvalidParameterError, RealNotInt, StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = ["InvalidParameterError", "StrOptions", "check_sample_weight", "fit_context", "integers", "reals"]


class _Number(Interval):
    """An interval of numbers that does not take True and False for 1 and 0."""

    def is_satisfied_by(self, val):
        return not isinstance(val, bool) and super().is_satisfied_by(val)


def integers(low):
    """Integers of at least `low`."""
    return _Number(Integral, low, None, closed="left")


def reals(low, high=None, *, closed, not_int=False):
    """Finite floats, and with them integers unless `not_int`, between two bounds."""
    return _Number(RealNotInt if not_int else Real, low, high, closed=closed)
