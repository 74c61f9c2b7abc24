"""The plain autoencoder."""

from collections.abc import Sequence

import numpy as np

from skae._estimators.base import BaseAutoencoder
from skae._estimators.docstrings import documented
from skae.penalties import Penalty


@documented
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
    what such an autoencoder can have over it are better features. A deep or nonlinear decoder can reconstruct better.

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

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        hidden_layer_sizes: int | Sequence[int] = (),
        activation: str = "logistic",
        code_activation: str | None = None,
        loss: str = "squared_error",
        output_activation: str = "auto",
        tied_weights: bool = False,
        alpha: float | str = "scale",
        scale_code: bool | str = "auto",
        penalties: Sequence[Penalty] = (),
        solver: str = "auto",
        init: str = "glorot",
        n_init: int = 1,
        n_jobs: int | None = None,
        max_iter: int = 1000,
        tol: float = 1e-3,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        maxcor: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int | bool = 0,
    ) -> None:
        super().__init__(
            n_components,
            hidden_layer_sizes=hidden_layer_sizes,
            activation=activation,
            code_activation=code_activation,
            loss=loss,
            output_activation=output_activation,
            tied_weights=tied_weights,
            alpha=alpha,
            scale_code=scale_code,
            penalties=penalties,
            solver=solver,
            init=init,
            n_init=n_init,
            n_jobs=n_jobs,
            max_iter=max_iter,
            tol=tol,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
            maxcor=maxcor,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )
