"""Where the parameters sit in one flat vector, where they start, and the variables the solver sees instead."""

from itertools import pairwise
from typing import NamedTuple

import numpy as np


class Parameters(NamedTuple):
    """Weights and intercepts, one a layer, where the first layer is Z = (X - offset) W + b.

    The offset keeps the digits that an intercept far larger than the pre-activations would lose.
    """

    weights: list
    intercepts: list
    offset: np.ndarray

    def about(self, offset):
        """Return the same function with another offset."""
        moved = self.intercepts[0] + (offset - self.offset) @ self.weights[0]
        return Parameters(self.weights, [moved, *self.intercepts[1:]], offset)


class Layout:
    """Weights and intercepts of an architecture as views of one flat vector.

    The views of a tied decoder's weights are the encoder's, transposed, so that reading, writing and
    accumulating into them needs no case of its own.

    Parameters
    ----------
    architecture : Architecture

    n_layers : int, default=None
        How many layers, from the first on, to lay out, if the weights are not tied; None: all.

    Attributes
    ----------
    n_layers : int
        Number of layers laid out.

    is_whole : bool
        Whether these are all.

    size : int
        Length of the flat vector.

    weight_shapes : list of tuple
        Of the distinct weights: of the encoder alone, if they are tied.
    """

    def __init__(self, architecture, n_layers=None):
        every = list(pairwise(architecture.layer_widths))
        shapes = every[:n_layers]
        self.is_whole = len(shapes) == len(every)
        self.n_layers = len(shapes)
        self._tied = architecture.tied
        self.weight_shapes = shapes[: architecture.depth] if self._tied else shapes
        self._intercept_shapes = [(fan_out,) for _, fan_out in shapes]
        self.size = sum(int(np.prod(shape)) for shape in self.weight_shapes + self._intercept_shapes)

    def views(self, flat):
        """Return the lists of weights and of intercepts, one an encoder or decoder layer."""
        parts, start = [], 0
        for shape in self.weight_shapes + self._intercept_shapes:
            stop = start + int(np.prod(shape))
            parts.append(flat[start:stop].reshape(shape))
            start = stop
        weights, intercepts = parts[: len(self.weight_shapes)], parts[len(self.weight_shapes) :]
        if self._tied:
            weights += [W.T for W in reversed(weights)]
        return weights, intercepts

    def distinct(self, weights):
        """Return the weights without the tied ones."""
        return weights[: len(self.weight_shapes)]


def glorot(shape, rng):
    """Return weights from Glorot and Bengio's uniform range, whose variance suits inputs of unit variance."""
    bound = np.sqrt(6 / sum(shape))
    return rng.uniform(-bound, bound, shape)


class CentredVariables:
    """The linear change of variables in which the solver works: theta instead of the parameters.

    W = scale * theta_W and b = unit * theta_b - offset W, where a tied matrix has the larger of its two scales, and
    theta_W and theta_b go through a whitening first if there is one. In these variables every layer sees inputs that
    are about centred and of unit size, whatever the unit of X and the level of the activations. The objective stays
    the one of the parameters, only better conditioned.

    Parameters
    ----------
    layout : Layout

    scales : list of float
        One a layer, of its weights; those of layers that are not laid out are left out, as in all these lists.

    units : list of float
        One a layer, of its intercepts.

    offsets : list of ndarray of shape (fan_in,) or None
        One a layer; None where the inputs are centred already.
    """

    def __init__(self, layout, scales, units, offsets):
        self.layout = layout
        self._scales, self._units, self._offsets = (part[: layout.n_layers] for part in (scales, units, offsets))
        self._whitenings = []
        self._factors = np.empty(layout.size)
        weights, intercepts = layout.views(self._factors)
        self._factors[...] = 0
        for W, scale in zip(weights, self._scales, strict=True):
            np.maximum(W, scale, out=W)
        for b, unit in zip(intercepts, self._units, strict=True):
            b[...] = unit

    def moved(self, offset):
        """Return these variables with an offset of the first layer's inputs, (n_features,)."""
        return CentredVariables(self.layout, self._scales, self._units, [offset, *self._offsets[1:]])

    def whitened(self, whitenings, means):
        """Return these variables with other offsets, the layers' mean inputs, and whitened.

        The first layer's inputs are centred by the objective; a tied decoder goes by its encoder's whitening.
        """
        result = CentredVariables(self.layout, self._scales, self._units, [self._offsets[0], *means[1:]])
        result._whitenings = whitenings
        return result

    def start(self, weights, output):
        """Return the theta of weights that are given in units of each layer's scale.

        The pre-activations start about centred, the raw output about `output`, (n_features,), unless its layer is
        left out.
        """
        theta = np.zeros(self.layout.size)
        theta_weights, theta_intercepts = self.layout.views(theta)
        factors, _ = self.layout.views(self._factors)
        for theta_W, W, scale, factor in zip(theta_weights, weights, self._scales, factors, strict=False):
            theta_W[...] = W * (scale / factor)
        if self.layout.is_whole:
            theta_intercepts[-1][...] = output / self._units[-1]
        return theta

    def to_parameters(self, theta, out):
        """Write the parameters of theta into the flat vector `out`."""
        np.multiply(theta, self._factors, out=out)
        for whitening, W, b in self._whitened_layers(out):
            whitening.to_parameters(W, b)
        for W, b, offset in self._moved_layers(out):
            b -= offset @ W

    def from_parameters(self, parameters):
        """Return the theta of a flat vector of parameters."""
        theta = parameters.copy()
        for W, b, offset in self._moved_layers(theta):
            b += offset @ W
        for whitening, W, b in self._whitened_layers(theta):
            whitening.from_parameters(W, b)
        theta /= self._factors
        return theta

    def pull_back(self, gradient):
        """Turn the gradient for the parameters into the one for theta, in place."""
        for dW, db, offset in self._moved_layers(gradient):
            dW -= np.outer(offset, db)
        for whitening, dW, db in self._whitened_layers(gradient):
            whitening.pull_back(dW, db)
        gradient *= self._factors

    def _whitened_layers(self, flat):
        return zip(self._whitenings, *self.layout.views(flat), strict=False)

    def _moved_layers(self, flat):
        for W, b, offset in zip(*self.layout.views(flat), self._offsets, strict=True):
            if offset is not None:
                yield W, b, offset
