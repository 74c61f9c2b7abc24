"""Strengths of the penalties in the units of the data, as `gamma="scale"` of a kernel is.

A strength "scale" is a constant of the estimator, without a unit, times a unit in which its term does not depend on
the unit of X. A fit to c X is then c times the fit to X for squared error with a homogeneous link, and the same for the
Poisson loss.
"""

from dataclasses import dataclass

import numpy as np

from skae._network.architecture import Architecture, one_unit

SCALE = "scale"

# Outputs of bounded activations have no natural unit. This is about the standard deviation of a logistic output. With
# a smaller one, weight decay favours small codes in the linear range of the activation: new rows are reconstructed
# better, but a classifier gets worse features from overcomplete codes. A tied matrix cannot trade the two, so its
# unit is 1.
_BOUNDED = 0.15


@dataclass(frozen=True)
class Units:
    """Units of the data and of the layers' outputs, in which strengths are expressed.

    Attributes
    ----------
    loss : float
        g, twice the gain of a perfect reconstruction over the mean, divided by the number of features: for squared
        error the mean variance of a column.

    outputs : tuple of float
        Of the inputs and of each layer's outputs, the raw one included.

    architecture : Architecture
    """

    loss: float
    outputs: tuple
    architecture: Architecture

    def weight_decays(self, strength, constant):
        """Return one weight decay a distinct weight matrix; layer l has constant g (u_(l-1) / u_l)^2."""
        n_distinct = self.architecture.n_distinct
        if strength != SCALE:
            return (strength,) * n_distinct
        pairs = zip(self.outputs[:n_distinct], self.outputs[1:], strict=False)
        return tuple(_checked(constant * self.loss * (below / above) ** 2) for below, above in pairs)

    def contraction(self, strength, constant):
        """Return the weight of a contraction, constant g (u_0 / u_code)^2."""
        if strength != SCALE:
            return strength
        return _checked(constant * self.loss * (self.outputs[0] / self.outputs[self.architecture.depth]) ** 2)

    def sparsity(self, strength, constant):
        """Return the weight of a penalty on codes that have no unit, constant g."""
        return strength if strength != SCALE else constant * self.loss


def _checked(strength):
    """Return a strength, which has up to the fourth power of the scale of X; ValueError if that leaves the range."""
    if not 0 < strength < np.inf:
        raise ValueError(
            f"X is on a scale where strengths {SCALE!r} leave the range of float64. Scale X first, for example with "
            "StandardScaler or MinMaxScaler."
        )
    return strength


def units_of(problem):
    """Return the Units of a Problem; outliers do not count."""
    architecture, spread = problem.architecture, problem.typical_scale or 1.0
    # One strength for all columns, so one unit.
    raw_output = one_unit(architecture.loss.raw_scale(spread) * architecture.loss.raw_unit)
    return Units(
        loss=2 * problem.loss_unit / problem.targets.shape[1] if problem.typical_scale else 1.0,
        outputs=tuple(architecture.units(spread, raw_output, 1.0 if architecture.tied else _BOUNDED)),
        architecture=architecture,
    )
