"""Greedy layer-wise training: each layer is an autoencoder of the codes of the one below.

References
----------
G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313, 2006.
Y. Bengio, P. Lamblin, D. Popovici and H. Larochelle, "Greedy layer-wise training of deep networks", NIPS 2006.
"""

from skae._network.parameters import Parameters


def train_layers(layers, X, weights, rng):
    """Fit autoencoders of one layer each, and return them.

    Parameters
    ----------
    layers : iterable of BaseAutoencoder
        From the input upwards. They are set to hand on bare activations; one without a `random_state` is seeded by
        `rng`.

    X : {ndarray, CSR} of shape (n_samples, n_features)

    weights : ndarray of shape (n_samples,)

    rng : numpy.random.Generator
    """
    fitted, rows = [], X
    for number, layer in enumerate(layers):
        if number:
            rows = fitted[-1].transform(rows)
        layer.set_params(scale_code=False).set_output(transform="default")
        seed = int(rng.integers(2**31))
        if layer.random_state is None:
            layer.set_params(random_state=seed)
        try:
            fitted.append(layer.fit(rows, sample_weight=weights))
        except ValueError as error:
            error.add_note(f"Raised by the fit of layer {number}, counted from 0 at the input.")
            raise
    return fitted


def unrolled(networks):
    """Return the Parameters of one network, whose encoder is the encoders of networks of one layer, in their order."""
    first, *others = networks
    encoder = [first.encoder[0], *(_about_zero(network) for network in others)]
    layers = [*encoder, *(network.decoder[0] for network in reversed(networks))]
    return Parameters([layer.weight for layer in layers], [layer.intercept for layer in layers], first.offset)


def _about_zero(network):
    """Return the layer of an encoder, of rows that nothing is subtracted from."""
    (layer,) = network.encoder
    return layer._replace(intercept=layer.intercept - network.offset @ layer.weight)
