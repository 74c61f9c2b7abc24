"""The flat vector of the parameters and its views."""

import numpy as np
import pytest

from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae.activations import ACTIVATIONS
from skae.losses import make_loss

WIDTHS = (5, 4, 3)
every_tying = pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])


def make_architecture(tied, widths=WIDTHS):
    g = ACTIVATIONS["tanh"]
    return Architecture(widths, g, g, make_loss("squared_error"), tied)


@every_tying
def test_views_have_the_shapes_of_the_layers(tied):
    layout = Layout(make_architecture(tied))
    weights, intercepts = layout.views(np.zeros(layout.size))
    assert [W.shape for W in weights] == [(5, 4), (4, 3), (3, 4), (4, 5)]
    assert [b.shape for b in intercepts] == [(4,), (3,), (4,), (5,)]
    assert layout.size == (20 + 12) * (1 if tied else 2) + 16


@every_tying
def test_views_cover_the_vector_once(tied):
    layout = Layout(make_architecture(tied))
    flat = np.zeros(layout.size)
    weights, intercepts = layout.views(flat)
    for part in [*layout.distinct(weights), *intercepts]:
        part += 1
    np.testing.assert_array_equal(flat, 1)
    assert len(layout.distinct(weights)) == (2 if tied else 4)


def test_tied_weights_are_transposed_views():
    layout = Layout(make_architecture(tied=True))
    flat = np.random.default_rng(0).standard_normal(layout.size)
    weights, _ = layout.views(flat)
    for encoder, decoder in zip(weights[:2], weights[:1:-1], strict=True):
        assert np.shares_memory(encoder, decoder)
        decoder[1, 2] = 9
        assert encoder[2, 1] == 9
        np.testing.assert_array_equal(encoder, decoder.T)
