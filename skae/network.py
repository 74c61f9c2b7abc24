"""Feed-forward networks: the forward trace, the backward accumulation, and the encoder's Jacobian."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skae.activations import ACTIVATIONS, Activation
from skae.jacobian import sensitivities
from skae.losses import Loss
from skae.rows import Dense

# Entries of the widest layer in one block of rows: few enough for its temporaries to stay in cache, enough for its
# products and sums to be worth the calls. Measured on MNIST with 64 to 500 units: 334 to 1000 rows differ by a few
# per cent, 167 are slower everywhere.
_BLOCK_ENTRIES = 400_000


def block_rows(widths):
    """Return how many rows of a network of these widths to work on at a time."""
    return max(16, _BLOCK_ENTRIES // max(widths))


class Layer(NamedTuple):
    """A' = g(A W + b), with W of shape (fan_in, fan_out)."""

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
        """Number of layers of the encoder, which the decoder has too."""
        return len(self.widths) - 1

    @property
    def n_distinct(self):
        """Number of weight matrices that are not another one's transpose."""
        return self.depth if self.tied else 2 * self.depth

    @property
    def layer_widths(self):
        """The widths along encoder and decoder, from the input to the reconstruction."""
        return self.widths + self.widths[-2::-1]

    @property
    def activations(self):
        """One activation a layer, encoder then decoder; the last layer's output is raw, its link is the loss's."""
        hidden = [self.hidden] * (self.depth - 1)
        return [*hidden, self.code, *hidden, ACTIVATIONS["identity"]]

    def units(self, of_inputs, of_targets, of_others=1.0):
        """Return the unit of the inputs and of each layer's outputs, (1 + n_layers).

        A layer's output has the unit of its input if its activation is homogeneous, and that `of_others` if not; the
        raw output has that of the targets if the link is homogeneous, and else one of its own.
        """
        units = [of_inputs]
        for activation in self.activations[:-1]:
            units.append(units[-1] if activation.homogeneous else of_others)
        return [*units, of_targets if self.loss.link.homogeneous else 1.0]

    def layers_at(self, parameters, dtype):
        """Return all layers at given Parameters, cast to the dtype of the products."""
        return self.layers(*([part.astype(dtype) for part in parts] for parts in parameters[:2]))

    def layers(self, weights, intercepts):
        """Return the first layers, as many as there are parameters."""
        return [Layer(*parts) for parts in zip(weights, intercepts, self.activations, strict=False)]


def forward(layers, inputs, outputs):
    """Write each layer's output, (n_rows, fan_out), into `outputs`; the inputs are the first product's left factor."""
    for layer, A in zip(layers, outputs, strict=True):
        inputs.times(layer.weight, out=A)
        A += layer.intercept
        layer.activation.forward(A)
        inputs = Dense(A)


def trace(layers, inputs, out=None):
    """Return every layer's output for these inputs, in new arrays but for the last, which may be given."""
    dtype = np.result_type(inputs.dtype, layers[0].weight)
    outputs = [np.empty((inputs.shape[0], layer.weight.shape[1]), dtype) for layer in layers]
    if out is not None:
        outputs[-1] = out
    forward(layers, inputs, outputs)
    return outputs


def output(layers, inputs, out=None):
    """Return the last layer's output, (n_rows, fan_out), for these inputs."""
    return trace(layers, inputs, out)[-1]


def backward(layers, inputs, outputs, deltas, direct, weight_gradients, intercept_gradients, scratch):
    """Add one block's gradients to the buffers, from the last layer to the first.

    Parameters
    ----------
    layers, inputs, outputs
        As in `forward`. The outputs are used up.

    deltas : list of ndarray of shape (n_rows, fan_out)
        The last one is the gradient of the last layer's output; the others, and it, become those of the
        pre-activations.

    direct : list of ndarray of shape (n_rows, fan_out), or None
        What acts on a layer's pre-activations directly, on top of what comes down from the layer above.

    weight_gradients, intercept_gradients : list of ndarray
        Shaped like the layers' weights and intercepts.

    scratch : list of ndarray
        Shaped like the weights, in the dtype of the products.
    """
    for index in reversed(range(len(layers))):
        layer, delta = layers[index], deltas[index]
        layer.activation.backward(outputs[index], delta)
        if direct[index] is not None:
            delta += direct[index]
        below = Dense(outputs[index - 1]) if index else inputs
        below.transposed_times(delta, out=scratch[index])
        weight_gradients[index] += scratch[index]
        intercept_gradients[index] += delta.sum(axis=0)
        if index:
            np.matmul(delta, layer.weight.T, out=deltas[index - 1])


def jacobian(layers, inputs):
    """Return the derivative of the last layer's output in the inputs, (n_rows, last fan_out, n_features)."""
    outputs = trace(layers, inputs)
    slopes = [layer.activation.derivative(A) for layer, A in zip(layers, outputs, strict=True)]
    return sensitivities([layer.weight for layer in layers], slopes)[0]
