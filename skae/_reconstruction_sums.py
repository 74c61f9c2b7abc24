"""Sums over rows from which the score of a reconstruction follows; those of parts of the rows can be merged."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class ReconstructionSums:
    """Weighted sums over rows and their reconstruction, all by column, (n_features,).

    Attributes
    ----------
    weight : float
        Sum of the weights.

    exponent : ndarray of int
        Means and sums are of columns over these powers of two, so that squares stay in range.

    mean, squares : ndarray
        Mean of the rows, and sum of the squares of their deviations from it.

    residual : ndarray
        Sum of the squares of what the reconstruction lacks.

    low, high : ndarray
        Extremes of the rows.
    """

    weight: float
    exponent: np.ndarray
    mean: np.ndarray
    squares: np.ndarray
    residual: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def scaled_to(self, exponent):
        """Return the same with larger exponents."""
        shift = self.exponent - exponent
        return ReconstructionSums(
            self.weight,
            exponent,
            np.ldexp(self.mean, shift),
            np.ldexp(self.squares, 2 * shift),
            np.ldexp(self.residual, 2 * shift),
            self.low,
            self.high,
        )

    def __add__(self, other):
        """Return the sums over both sets of rows; means by the formula of Chan, Golub and LeVeque."""
        exponent = np.maximum(self.exponent, other.exponent)
        one, two = self.scaled_to(exponent), other.scaled_to(exponent)
        weight, share = one.weight + two.weight, two.weight / (one.weight + two.weight)
        shift = two.mean - one.mean
        with np.errstate(over="ignore"):
            residual = one.residual + two.residual
        return ReconstructionSums(
            weight,
            exponent,
            one.mean + share * shift,
            one.squares + two.squares + one.weight * share * shift**2,
            residual,
            np.minimum(one.low, two.low),
            np.maximum(one.high, two.high),
        )

    def r2(self, precision):
        """Return the variance-weighted R2; `precision` is the relative rounding of the rows' dtype.

        Constant columns do not count. If all are constant, it is 1.0 for a reconstruction that is exact to rounding.
        """
        varies = self.low < self.high
        counts = varies if varies.any() else ~varies
        top = self.exponent[counts].max()
        with np.errstate(over="ignore", invalid="ignore"):
            sums = self.scaled_to(np.full_like(self.exponent, top))
            if not varies.any():
                largest = np.ldexp(np.maximum(self.high, -self.low).max(), -top)
                return float(np.all(sums.residual <= self.weight * (16 * precision * largest) ** 2))
            return float(1 - sums.residual[varies].sum() / sums.squares[varies].sum())


def reconstruction_sums(X, reconstruction, weights):
    """Return the ReconstructionSums of some rows, an ndarray, with positive weights."""
    low, high = X.min(axis=0), X.max(axis=0)
    exponent = np.frexp(np.maximum(high, -low).astype(np.float64))[1]
    weight = weights.sum()
    # Constant columns and infinite reconstructions may overflow.
    with np.errstate(over="ignore", invalid="ignore"):
        X = np.ldexp(X.astype(np.float64, copy=False), -exponent)
        residual = weights @ np.square(X - np.ldexp(reconstruction.astype(np.float64, copy=False), -exponent))
        mean = weights @ X / weight
        deviations = X - mean
        # The second term corrects for the rounding of the mean, which matters if the spread is a few units in the last
        # place.
        squares = weights @ np.square(deviations) - (weights @ deviations) ** 2 / weight
    return ReconstructionSums(weight, exponent, mean, squares, residual, low, high)
