"""The chain of derivatives through a stack of layers, row by row."""


def sensitivities(weights, slopes):
    """Return, for each layer and row, the derivative of the last layer's output in that layer's input.

    Parameters
    ----------
    weights : list of ndarray of shape (fan_in, fan_out)

    slopes : list of ndarray of shape (n_rows, fan_out)
        The derivatives of the layers' activations.

    Returns
    -------
    list of ndarray of shape (n_rows, last fan_out, fan_in)
        The first one is the Jacobian of the whole stack.
    """
    U = slopes[-1][:, :, None] * weights[-1].T
    chain = [U]
    for W, s in zip(weights[-2::-1], slopes[-2::-1], strict=True):
        U = (U * s[:, None, :]) @ W.T
        chain.insert(0, U)
    return chain
