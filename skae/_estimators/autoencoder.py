"""The plain autoencoder."""

from skae._estimators.base import BaseAutoencoder
from skae._estimators.declaration import estimator


@estimator
class AutoencoderTransformer(BaseAutoencoder):
    r"""Autoencoder: a nonlinear counterpart of PCA, regularised by weight decay.

    A row x is encoded as :math:`h = g(W x + b)` and decoded as :math:`\hat x = f(V h + c)`. The objective is

    .. math:: J = \frac1m \sum_i \ell(x_i, \hat x_i) + \sum_l \frac{\alpha_l}{2} \|W_l\|_F^2 + \text{penalties},

    the mean over m rows, minimised by L-BFGS over its exact gradient, or in closed form if it is linear.

    Parameters
    ----------
    {n_components}

    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    DenoisingAutoencoder : Learns to undo a corruption of its input.
    SparseAutoencoder : Holds the mean activation of every unit at a target.
    ContractiveAutoencoder : Penalises the derivative of the code in the input.
    sklearn.decomposition.PCA : The optimum among all encoders, if the decoder is linear.

    Notes
    -----
    With one linear decoder layer and squared error no encoder reconstructs better than `PCA` of the same code size;
    such an autoencoder can only give better features. A deep or nonlinear decoder can reconstruct better.

    {scale}

    References
    ----------
    G. E. Hinton and R. R. Salakhutdinov, "Reducing the dimensionality of data with neural networks", Science 313,
    2006.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> X = load_digits().data / 16
    >>> autoencoder = AutoencoderTransformer(16, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (1797, 16)
    >>> bool(autoencoder.score(X) > 0.8)
    True
    """
