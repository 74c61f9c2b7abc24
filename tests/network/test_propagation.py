"""Gradients of the pre-activations against finite differences."""

from itertools import pairwise

import numpy as np
import pytest

from skae._network.architecture import Architecture
from skae._network.propagation import every_output, layer_deltas
from skae._rows.factors import Dense
from skae.activations import ACTIVATIONS
from skae.losses import make_loss


def make_layers(activation, code, depth, rng):
    widths = (5, 4, 3)[: depth + 1]
    g, of_code = ACTIVATIONS[activation], ACTIVATIONS[code]
    architecture = Architecture(widths, g, of_code, make_loss("squared_error"), tied=False)
    along = architecture.layer_widths
    weights = [rng.standard_normal(shape) for shape in pairwise(along)]
    return architecture.layers(weights, [rng.standard_normal(width) for width in along[1:]])


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(("activation", "code"), [("logistic", "tanh"), ("softplus", "logistic"), ("relu", "identity")])
def test_layer_deltas(activation, code, depth):
    """A change of an intercept is one of every row's pre-activation, and rows do not see each other."""
    rng = np.random.default_rng(0)
    layers, X = make_layers(activation, code, depth, rng), Dense(rng.standard_normal((6, 5)))
    direction, step = rng.standard_normal((6, 5)), 1e-6
    deltas = layer_deltas(layers, every_output(layers, X), direction.copy())
    assert [delta.shape for delta in deltas] == [(6, len(layer.intercept)) for layer in layers]
    for layer, delta in zip(layers, deltas, strict=True):
        for unit in range(delta.shape[1]):
            ends = []
            for change in (step, -2 * step):
                layer.intercept[unit] += change
                ends.append(np.sum(direction * every_output(layers, X)[-1], axis=1))
            layer.intercept[unit] += step
            np.testing.assert_allclose(delta[:, unit], (ends[0] - ends[1]) / (2 * step), rtol=1e-7, atol=1e-8)
