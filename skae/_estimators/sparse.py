"""The sparse autoencoder."""

from skae._compat import one_of, reals
from skae._estimators.base import BaseAutoencoder
from skae._estimators.declaration import estimator
from skae._objective.units import SCALE
from skae.penalties import KLSparsity


@estimator
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

    sparsity_target: float = 0.05
    sparsity_weight: float | str = SCALE

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "sparsity_target": [reals(0, 1, closed="neither")],
        "sparsity_weight": [reals(0, closed="left"), one_of(SCALE)],
    }

    # sparsity_weight="scale" in the unit of the loss.
    _sparsity_weight_scale = 3.0

    _own_penalty_parameters = ("sparsity_weight",)

    def _own_penalties(self, units):
        return (KLSparsity(units.sparsity(self.sparsity_weight, self._sparsity_weight_scale), self.sparsity_target),)
