"""The architecture of an autoencoder: widths, activations, loss and tying."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skae.activations import ACTIVATIONS, Activation
from skae.losses import Loss


def one_unit(units):
    """Return the geometric mean of units by column; one unit is returned as it is."""
    return float(np.exp(np.mean(np.log(units)))) if np.ndim(units) else units


class Layer(NamedTuple):
    """One layer, A' = g(A W + b).

    Attributes
    ----------
    weight : ndarray of shape (fan_in, fan_out)

    intercept : ndarray of shape (fan_out,)

    activation : Activation
    """

    weight: np.ndarray
    intercept: np.ndarray
    activation: Activation


@dataclass(frozen=True)
class Architecture:
    """An autoencoder without its parameters.

    Parameters
    ----------
    widths : tuple of int
        Of the encoder: n_features, hidden layers, n_components. The decoder mirrors them.

    hidden : Activation
        Of the hidden layers of encoder and decoder.

    code : Activation
        Of the code layer.

    loss : Loss
        The reconstruction loss, whose link ends the decoder.

    tied : bool
        Whether the decoder's weights are the encoder's, transposed.
    """

    widths: tuple
    hidden: Activation
    code: Activation
    loss: Loss
    tied: bool

    @property
    def depth(self):
        """Number of layers of the encoder, and of the decoder."""
        return len(self.widths) - 1

    @property
    def n_distinct(self):
        """Number of weight matrices, of which a tied pair counts once."""
        return self.depth if self.tied else 2 * self.depth

    @property
    def layer_widths(self):
        """The widths along encoder and decoder, from the input to the reconstruction."""
        return self.widths + self.widths[-2::-1]

    @property
    def activations(self):
        """One activation a layer, encoder then decoder. The last layer's output is raw: the loss applies the link."""
        hidden = [self.hidden] * (self.depth - 1)
        return [*hidden, self.code, *hidden, ACTIVATIONS["identity"]]

    def units(self, of_inputs, of_raw_output, of_others=1.0):
        """Return the unit of the inputs and of each layer's outputs, (1 + n_layers).

        A layer's output has the unit of its input if its activation is homogeneous, and otherwise that `of_others`.
        """
        units = [of_inputs]
        for activation in self.activations[:-1]:
            units.append(units[-1] if activation.homogeneous else of_others)
        return [*units, of_raw_output]

    def layers(self, weights, intercepts):
        """Return the first layers, as many as there are parameters."""
        return [Layer(*parts) for parts in zip(weights, intercepts, self.activations, strict=False)]
