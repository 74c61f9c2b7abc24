"""The parameters of a network, and their places in one flat vector."""

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

    def with_offset(self, offset):
        """Return the parameters of the same function with another offset."""
        moved = self.intercepts[0] + (offset - self.offset) @ self.weights[0]
        return self._replace(intercepts=[moved, *self.intercepts[1:]], offset=offset)

    def with_output_shift(self, shift):
        """Return the parameters of the function whose raw output is larger by `shift`, (n_features,)."""
        return self._replace(intercepts=[*self.intercepts[:-1], self.intercepts[-1] + shift])

    def astype(self, dtype):
        """Return the parameters in another dtype."""
        weights, intercepts = ([part.astype(dtype) for part in parts] for parts in self[:2])
        return Parameters(weights, intercepts, self.offset.astype(dtype))

    @property
    def is_finite(self):
        return all(np.isfinite(part).all() for part in (*self.weights, *self.intercepts))


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

    depth : int
        Number of layers of the encoder.

    is_tied : bool
        Whether the decoder's weights are views of the encoder's.

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
        self.depth, self.is_tied = architecture.depth, architecture.tied
        self.weight_shapes = shapes[: self.depth] if self.is_tied else shapes
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
        if self.is_tied:
            weights += [W.T for W in reversed(weights)]
        return weights, intercepts

    def distinct(self, weights):
        """Return the weights without the tied ones."""
        return weights[: len(self.weight_shapes)]
