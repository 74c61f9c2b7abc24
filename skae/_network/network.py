"""A network with its parameters: encoding, decoding and the loss of rows."""

from dataclasses import dataclass

import numpy as np

from skae._network.architecture import Layer
from skae._network.propagation import jacobian, output
from skae._rows.factors import Dense
from skae.losses import Loss


@dataclass(frozen=True, eq=False)
class Network:
    """An autoencoder with its parameters: the fitted model, apart from the estimator.

    A fitted estimator has it as `network_`. A row x is encoded as h = g(...g((x - offset) W_1 + b_1)...) / code_scale
    by the encoder's layers, and decoded by the decoder's layers, applied to h * code_scale, and the link of the loss.
    A layer is a named tuple of its weight, (fan_in, fan_out), its intercept, (fan_out,), and its activation.

    Parameters
    ----------
    encoder : list of Layer
        The encoder's layers. The output of the last one is the code.

    decoder : list of Layer
        The decoder's layers. The output of the last one is raw: the link of the loss makes it the reconstruction.

    offset : ndarray of shape (n_features,)
        Subtracted from every row. The intercept of `encoder[0]` belongs to it: `intercepts_[0]` of an estimator is
        `encoder[0].intercept - offset @ encoder[0].weight`.

    loss : Loss
        The reconstruction loss, whose `predict` applies the link.

    code_scale : float
        Number by which codes are divided.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from skae import AutoencoderTransformer
    >>> X = load_iris().data
    >>> autoencoder = AutoencoderTransformer(2, random_state=0).fit(X)
    >>> network = autoencoder.network_
    >>> network.widths
    (4, 2, 4)
    >>> [layer.activation for layer in network.encoder]
    [Logistic()]
    >>> layer = network.encoder[0]
    >>> Z = (X - network.offset) @ layer.weight + layer.intercept
    >>> np.allclose(layer.activation.forward(Z) / network.code_scale, autoencoder.transform(X))
    True
    """

    encoder: list[Layer]
    decoder: list[Layer]
    offset: np.ndarray
    loss: Loss
    code_scale: float = 1.0

    @property
    def layers(self):
        """All layers, those of the encoder first."""
        return [*self.encoder, *self.decoder]

    @property
    def widths(self):
        """Widths from the input to the reconstruction, a tuple of int."""
        return (*(layer.weight.shape[0] for layer in self.layers), len(self.decoder[-1].intercept))


def network_of(architecture, parameters, code_scale=1.0):
    """Return the Network of Parameters, which keep their dtype."""
    layers, depth = architecture.layers(parameters.weights, parameters.intercepts), architecture.depth
    return Network(layers[:depth], layers[depth:], parameters.offset, architecture.loss, code_scale)


def network_at(architecture, parameters, dtype):
    """Return the Network of Parameters, cast to the dtype of the products."""
    return network_of(architecture, parameters.astype(dtype))


def encode(network, rows, block=slice(None), out=None):
    """Return the codes, (n_rows, n_components), of a slice of Rows."""
    codes = output(network.encoder, rows.centred_by(network.offset, block), out)
    if network.code_scale != 1:
        codes /= network.code_scale
    return codes


def decode_raw(network, codes, out=None):
    """Return the raw outputs, (n_rows, n_features), of codes."""
    if network.code_scale != 1:
        codes = codes * network.code_scale
    return output(network.decoder, Dense(codes), out)


def decode(network, codes, out=None):
    """Return the reconstructions, (n_rows, n_features), of codes."""
    return network.loss.predict(decode_raw(network, codes, out))


def entry_losses(network, rows, block=slice(None)):
    """Return the reconstruction losses, entry by entry, of a slice of Rows."""
    return network.loss.entries(rows.dense(block), decode_raw(network, encode(network, rows, block)))


def excess_losses(network, rows, block=slice(None)):
    """Return what `entry_losses` does less the losses of perfect reconstructions, at least 0."""
    losses, target = entry_losses(network, rows, block), rows.dense(block)
    # Not in place: rounding may leave less than a perfect loss.
    return np.maximum(losses - network.loss.entries(target, network.loss.raw_output(target)), 0)


def encoder_jacobian(network, rows, block=slice(None)):
    """Return the derivatives of the codes in the inputs, (n_rows, n_components, n_features), of a slice of Rows."""
    return jacobian(network.encoder, rows.centred_by(network.offset, block)) / network.code_scale
