"""Penalties that an objective adds to the mean reconstruction loss."""

from abc import ABC
from dataclasses import dataclass
from itertools import repeat
from typing import ClassVar

import numpy as np

from skae._network.jacobian import sensitivities
from skae._validation import check_number
from skae.activations import ACTIVATIONS

__all__ = ["PENALTIES", "Contraction", "KLSparsity", "L1Sparsity", "Penalty", "WeightDecay"]

# Mean activations are held this far inside (0, 1), in the KL penalty's value and gradient alike.
_MEAN_MARGIN = 4 * np.finfo(np.float64).eps

# A mean activation further from the sparsity target than by this factor misses it.
_FAR = 2.0

# Share of the range of bounded units at which contracted ones start. Nearer to the end they do not find their way back
# if the contraction is weak: with 0.1 a direction of a cloud in the plane is lost.
_TOWARDS_SATURATION = 0.25

# Rows are taken in chunks, so that one temporary of a deep contraction has at most so many entries.
_CHUNK_ENTRIES = 2**20


@dataclass(frozen=True)
class Penalty(ABC):
    """One term of the objective, acting on the weights, on the mean code, or on every row.

    A penalty overrides the one hook that `acts_on` names. Hooks return the term's value and ADD its gradient
    to the buffers they are given.

    Parameters
    ----------
    weight : float, at least 0
        Factor of the term.

    Attributes
    ----------
    acts_on : {"weights", "mean_code", "rows"}
        Which hook the objective calls.
    """

    weight: float
    acts_on: ClassVar[str]

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        parts = ("weights", "mean_code", "rows")
        if getattr(cls, "acts_on", None) not in parts:
            raise TypeError(f"{cls.__name__}.acts_on must be one of {parts}: it says which hook is called.")

    def __post_init__(self):
        if type(self) is Penalty:
            raise TypeError("Penalty is the base of the penalties: use one of them, or derive your own.")
        check_number(self, "weight", 0, closed="left")

    def check(self, architecture):  # noqa: B027 - most penalties work with any architecture
        """Raise ValueError if the penalty does not work with this Architecture."""

    @property
    def linear_decays(self):
        """The weight decays, of the encoder and of the decoder, that the term is for a linear autoencoder, or None."""
        return None

    def start_code(self, architecture):  # noqa: B027 - most penalties suit any start
        """Return the code's output about which a search should start, or None if any is as good."""

    def unmet(self, mean_code, activation):  # noqa: B027 - most penalties have no such aim
        """Return, in words, how a mean code, (n_components,), misses the penalty's aim by far, or None."""

    def on_weights(self, weights, gradients):
        """Add to the gradient of each distinct weight matrix (tied ones are listed once)."""
        raise NotImplementedError

    def on_mean_code(self, mean, activation, gradient):
        """Add to the gradient of the mean code, (n_components,)."""
        raise NotImplementedError

    def on_rows(self, encoder, outputs, row_weights, deltas, gradients):
        """Add to the gradients of one block of rows.

        Parameters
        ----------
        encoder : list of Layer

        outputs : list of ndarray of shape (n_rows, width)
            The outputs of each encoder layer; the last is the code.

        row_weights : ndarray of shape (n_rows,)
            Shares of the rows in the mean over all rows.

        deltas : list of ndarray of shape (n_rows, width)
            Gradients of each encoder layer's pre-activations, to add to.

        gradients : list of ndarray of shape (fan_in, fan_out)
            Gradients of each encoder layer's weights, to add to.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class WeightDecay(Penalty):
    """Weight decay, weight / 2 * sum_l ||W_l||_F^2; intercepts are free, a tied matrix counts once.

    Parameters
    ----------
    weight : float, at least 0, or tuple of float
        Strength, against the mean row loss; a tuple has one a distinct weight matrix. The estimators' `alpha` is one of
        these.

    Examples
    --------
    >>> from skae.penalties import WeightDecay
    >>> WeightDecay(0.01)
    WeightDecay(weight=0.01)
    """

    weight: float | tuple  # type: ignore[assignment]
    acts_on = "weights"

    def __post_init__(self):
        if isinstance(self.weight, tuple):
            for part in self.weight:
                WeightDecay(part)
        else:
            super().__post_init__()

    def check(self, architecture):
        if isinstance(self.weight, tuple) and len(self.weight) != architecture.n_distinct:
            raise ValueError(
                f"WeightDecay: weight must have one entry a distinct weight matrix, {architecture.n_distinct} here, "
                f"got {len(self.weight)}."
            )

    @property
    def linear_decays(self):
        strengths = self.weight if isinstance(self.weight, tuple) else (self.weight,)
        return strengths[0], strengths[-1]

    def on_weights(self, weights, gradients):
        strengths = self.weight if isinstance(self.weight, tuple) else repeat(self.weight)
        value = 0.0
        for strength, W, gradient in zip(strengths, weights, gradients, strict=False):
            value += 0.5 * strength * np.vdot(W, W)
            gradient += strength * W
        return value


@dataclass(frozen=True)
class KLSparsity(Penalty):
    """KL sparsity: holds every unit's mean activation near a target.

    With r_j the mean activation of unit j over all rows and rho the target, the term is
    weight * sum_j [rho log(rho / r_j) + (1 - rho) log((1 - rho) / (1 - r_j))]. Codes in (-1, 1) enter as (h + 1) / 2.

    Parameters
    ----------
    weight : float, at least 0
        Strength (beta).

    target : float in (0, 1), default=0.05
        Sparsity target (rho).

    References
    ----------
    A. Ng, "Sparse autoencoder", CS294A lecture notes, Stanford University, 2011.

    Examples
    --------
    >>> from skae.penalties import KLSparsity
    >>> KLSparsity(3.0, target=0.1)
    KLSparsity(weight=3.0, target=0.1)
    """

    target: float = 0.05

    acts_on = "mean_code"

    def __post_init__(self):
        super().__post_init__()
        check_number(self, "target", 0, 1, closed="neither")

    def check(self, architecture):
        activation = architecture.code
        if not activation.is_bounded:
            bounded = [name for name, g in ACTIVATIONS.items() if g.is_bounded]
            raise ValueError(
                f"KL sparsity needs a code between fixed bounds, but the code's activation is {activation!r}. "
                f"Choose code_activation from {bounded}, or use penalties=(L1Sparsity(...),)."
            )

    def start_code(self, architecture):
        low, high = architecture.code.bounds
        return low + self.target * (high - low) if self.weight else None

    def unmet(self, mean_code, activation):
        low, high = activation.bounds
        mean = float(np.mean((mean_code - low) / (high - low)))
        if not self.weight or self.target / _FAR <= mean <= self.target * _FAR:
            return None
        return f"the mean activation is {mean:.2g}, the sparsity target {self.target:g}"

    def on_mean_code(self, mean, activation, gradient):
        low, high = activation.bounds
        r = np.clip((mean - low) / (high - low), _MEAN_MARGIN, 1 - _MEAN_MARGIN)
        rho = self.target
        gradient += self.weight / (high - low) * ((1 - rho) / (1 - r) - rho / r)
        return self.weight * np.sum(rho * np.log(rho / r) + (1 - rho) * np.log((1 - rho) / (1 - r)))


@dataclass(frozen=True)
class L1Sparsity(Penalty):
    """L1 sparsity, weight * mean_i sum_j abs(h_ij), for codes of any activation.

    Parameters
    ----------
    weight : float, at least 0
        Strength.

    Examples
    --------
    >>> from skae.penalties import L1Sparsity
    >>> L1Sparsity(0.1)
    L1Sparsity(weight=0.1)
    """

    acts_on = "rows"

    def on_rows(self, encoder, outputs, row_weights, deltas, gradients):
        code = outputs[-1]
        slope = np.sign(code)
        slope *= encoder[-1].activation.derivative(code)
        slope *= (self.weight * row_weights).astype(code.dtype)[:, None]
        deltas[-1] += slope
        return self.weight * (row_weights @ np.abs(code).sum(axis=1))


@dataclass(frozen=True)
class Contraction(Penalty):
    """Contraction, weight * mean_i ||dh/dx at x_i||_F^2, exactly, for an encoder of any depth and activation.

    Parameters
    ----------
    weight : float, at least 0
        Strength (lambda).

    Notes
    -----
    With s = g'(z), one layer gives sum_j s_j^2 ||W_j||^2. Of a deep encoder the chain of layers 2 to L is
    multiplied out per row, and the first layer enters through its Gram matrix, so that the number of features
    drops out of the cost of a row.

    References
    ----------
    S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive auto-encoders: explicit invariance
    during feature extraction", ICML 2011.

    Examples
    --------
    >>> from skae.penalties import Contraction
    >>> Contraction(0.1)
    Contraction(weight=0.1)
    """

    acts_on = "rows"

    def start_code(self, architecture):
        # Bounded units contract towards saturation. Tied ones, which cannot shrink instead, stay in the middle of their
        # range for long: on MNIST the objective is at 4.0 where it is at 2.9 from here.
        low, high = architecture.code.bounds
        wants_saturation = self.weight and architecture.tied and architecture.code.is_bounded
        return low + _TOWARDS_SATURATION * (high - low) if wants_saturation else None

    @property
    def linear_decays(self):
        return 2 * self.weight, 0.0

    def on_rows(self, encoder, outputs, row_weights, deltas, gradients):
        if len(encoder) == 1:
            return self._one_layer(encoder[0], outputs[0], row_weights, deltas[0], gradients[0])
        widest = max(A.shape[1] for A in outputs) * outputs[-1].shape[1]
        step = max(1, _CHUNK_ENTRIES // widest)
        value = 0.0
        for start in range(0, len(row_weights), step):
            rows = slice(start, start + step)
            value += self._deep(
                encoder, [A[rows] for A in outputs], row_weights[rows], [d[rows] for d in deltas], gradients
            )
        return value

    def _one_layer(self, layer, code, row_weights, delta, gradient):
        # The weight and the norms may each leave the range of the block's dtype. Their product is in it.
        costs = self.weight * np.einsum("ij,ij->j", layer.weight, layer.weight, dtype=np.float64)
        slopes = layer.activation.derivative(code)
        shares = row_weights.astype(code.dtype)[:, None] * slopes
        mean_squares = np.einsum("ij,ij->j", shares, slopes, dtype=np.float64)
        gradient += 2 * self.weight * mean_squares * layer.weight
        shares *= layer.activation.second_derivative(code)
        shares *= (2 * costs).astype(code.dtype)
        delta += shares
        return float(mean_squares @ costs)

    def _deep(self, encoder, outputs, row_weights, deltas, gradients):
        # Letters as in the method's derivation: C_l = dh/dz_l and U_l = dh/da_(l-1) of one row, G the Gram matrix
        # of the first layer; a hat is a gradient. Arrays are (rows, n_components, width).
        slopes = [layer.activation.derivative(A) for layer, A in zip(encoder, outputs, strict=True)]
        curvatures = [layer.activation.second_derivative(A) for layer, A in zip(encoder, outputs, strict=True)]
        # The root of the weight scales W_1 before it is squared, so that the squares stay in the range of the dtype.
        U = sensitivities([layer.weight for layer in encoder[1:]], slopes[1:])
        C = [U_next * s[:, None, :] for U_next, s in zip(U, slopes[:-1], strict=True)]
        W_1 = (np.sqrt(self.weight) * encoder[0].weight).astype(slopes[0].dtype)
        CG = C[0] @ (W_1.T @ W_1)
        value = row_weights @ np.einsum("rij,rij->r", CG, C[0])

        shares = row_weights.astype(CG.dtype)[:, None, None]
        C_hat = 2 * shares * CG
        flat = C[0].reshape(-1, C[0].shape[2])
        gradients[0] += 2 * np.sqrt(self.weight) * (W_1 @ (flat.T @ (shares * C[0]).reshape(flat.shape)))
        for below in range(len(encoder) - 1):
            W = encoder[below + 1].weight
            deltas[below] += np.einsum("rij,rij->rj", C_hat, U[below]) * curvatures[below]
            U_hat = C_hat * slopes[below][:, None, :]
            if below + 1 == len(encoder) - 1:  # C of the code layer is the diagonal matrix of its slopes
                gradients[below + 1] += np.einsum("rij,ri->ji", U_hat, slopes[-1])
                deltas[-1] += np.einsum("rij,ji->ri", U_hat, W) * curvatures[-1]
            else:
                flat = U_hat.reshape(-1, U_hat.shape[2])
                gradients[below + 1] += flat.T @ C[below + 1].reshape(-1, W.shape[1])
                C_hat = U_hat @ W
        return value


PENALTIES = {
    "weight_decay": WeightDecay,
    "kl_sparsity": KLSparsity,
    "l1_sparsity": L1Sparsity,
    "contraction": Contraction,
}
