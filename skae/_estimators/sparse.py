"""The sparse autoencoder."""

from collections.abc import Sequence

import numpy as np

from skae._compat import one_of, reals
from skae._estimators.base import BaseAutoencoder
from skae._estimators.docstrings import documented
from skae._objective.units import SCALE
from skae.penalties import KLSparsity, Penalty


@documented
class SparseAutoencoder(BaseAutoencoder):
    r"""Autoencoder whose units are active on few rows each.

    To the objective of `AutoencoderTransformer` it adds the KL penalty

    .. math:: \beta \sum_j \left[\rho \log\frac{\rho}{r_j} + (1 - \rho) \log\frac{1 - \rho}{1 - r_j}\right],
              \qquad r_j = \frac1m \sum_i h_{ij},

    which is zero when the mean activation of every unit is the sparsity target rho. Codes in (-1, 1) enter as
    (h + 1) / 2. All this is of the bare activations, before `scale_code`. For codes without bounds use
    `penalties=(skae.penalties.L1Sparsity(...),)` with any estimator.

    Parameters
    ----------
    {n_components}

    sparsity_target : float in (0, 1), default=0.05
        Mean activation to hold the units at (rho).

    sparsity_weight : float or "scale", default="scale"
        Strength of the penalty (beta), at least 0. "scale" is 3 in the unit of the loss (see Notes), resolved in
        `sparsity_weight_`.

    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    AutoencoderTransformer : The same without the penalty.
    skae.penalties.KLSparsity : The penalty, for use with any estimator.

    Notes
    -----
    {scale}

    References
    ----------
    A. Ng, "Sparse autoencoder", CS294A lecture notes, Stanford University, 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import SparseAutoencoder
    >>> X = load_digits().data / 16
    >>> autoencoder = SparseAutoencoder(30, sparsity_target=0.1, random_state=0).fit(X)
    >>> bare = autoencoder.transform(X) * autoencoder.code_scale_
    >>> print(bare.mean().round(1))
    0.1
    """

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "sparsity_target": [reals(0, 1, closed="neither")],
        "sparsity_weight": [reals(0, closed="left"), one_of(SCALE)],
    }

    def __init__(
        self,
        n_components: int | float | None = None,
        *,
        sparsity_target: float = 0.05,
        sparsity_weight: float | str = "scale",
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
        self.sparsity_target = sparsity_target
        self.sparsity_weight = sparsity_weight

    # sparsity_weight="scale" in the unit of the loss.
    _sparsity_weight_scale = 3.0

    _own_penalty_parameters = ("sparsity_weight",)

    def _own_penalties(self, units):
        return (KLSparsity(units.sparsity(self.sparsity_weight, self._sparsity_weight_scale), self.sparsity_target),)
