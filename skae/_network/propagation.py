"""Forward and backward passes through layers, over a block of rows."""

import numpy as np

from skae._network.jacobian import sensitivities
from skae._rows.factors import Dense

# Entries of the widest layer in one block of rows: few enough for its temporaries to stay in cache, enough for its
# products and sums to be worth the calls. Measured on MNIST with 64 to 500 units: 334 to 1000 rows differ by a few
# per cent, 167 are slower everywhere.
_BLOCK_ENTRIES = 400_000


def block_rows(widths):
    """Return how many rows of a network of these widths to work on at a time."""
    return max(16, _BLOCK_ENTRIES // max(widths))


def forward(layers, inputs, outputs):
    """Write each layer's output, (n_rows, fan_out), into `outputs`; the inputs are the first product's left factor."""
    for layer, A in zip(layers, outputs, strict=True):
        inputs.times(layer.weight, out=A)
        A += layer.intercept
        layer.activation.forward(A)
        inputs = Dense(A)


def every_output(layers, inputs, out=None):
    """Return every layer's output for these inputs, in new arrays but for the last, which may be given."""
    dtype = np.result_type(inputs.dtype, layers[0].weight)
    outputs = [np.empty((inputs.shape[0], layer.weight.shape[1]), dtype) for layer in layers]
    if out is not None:
        outputs[-1] = out
    forward(layers, inputs, outputs)
    return outputs


def output(layers, inputs, out=None):
    """Return the last layer's output, (n_rows, fan_out), for these inputs."""
    return every_output(layers, inputs, out)[-1]


def backward(layers, inputs, outputs, deltas, own_deltas, weight_gradients, intercept_gradients, scratch):
    """Add one block's gradients to the buffers, from the last layer to the first.

    Parameters
    ----------
    layers, inputs, outputs
        As in `forward`. The outputs are overwritten.

    deltas : list of ndarray of shape (n_rows, fan_out)
        The last one is the gradient of the last layer's output; the others, and it, become those of the
        pre-activations.

    own_deltas : list of ndarray of shape (n_rows, fan_out), or None
        Gradients of a layer's pre-activations that do not come from the layer above: those of the penalties.

    weight_gradients, intercept_gradients : list of ndarray
        Shaped like the layers' weights and intercepts.

    scratch : list of ndarray
        Shaped like the weights, in the dtype of the products.
    """
    for index in reversed(range(len(layers))):
        layer, delta = layers[index], deltas[index]
        layer.activation.backward(outputs[index], delta)
        if own_deltas[index] is not None:
            delta += own_deltas[index]
        below = Dense(outputs[index - 1]) if index else inputs
        below.transposed_times(delta, out=scratch[index])
        weight_gradients[index] += scratch[index]
        intercept_gradients[index] += delta.sum(axis=0)
        if index:
            np.matmul(delta, layer.weight.T, out=deltas[index - 1])


def layer_deltas(layers, outputs, delta):
    """Return the gradients of all layers' pre-activations, given that of the last output. All arguments but the first
    are used up.
    """
    deltas = [delta]
    for index in reversed(range(len(layers))):
        layers[index].activation.backward(outputs[index], deltas[-1])
        if index:
            deltas.append(deltas[-1] @ layers[index].weight.T)
    return deltas[::-1]


def jacobian(layers, inputs):
    """Return the derivative of the last layer's output in the inputs, (n_rows, last fan_out, n_features)."""
    outputs = every_output(layers, inputs)
    slopes = [layer.activation.derivative(A) for layer, A in zip(layers, outputs, strict=True)]
    return sensitivities([layer.weight for layer in layers], slopes)[0]
