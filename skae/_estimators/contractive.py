"""The contractive autoencoder."""

import numpy as np

from skae._compat import one_of, reals
from skae._estimators.base import BaseAutoencoder
from skae._estimators.declaration import estimator
from skae._objective.units import SCALE
from skae.penalties import Contraction


@estimator
class ContractiveAutoencoder(BaseAutoencoder):
    r"""Autoencoder whose code changes little where the data does not.

    To the objective of `AutoencoderTransformer` it adds

    .. math:: \lambda\, \frac1m \sum_i \left\| \frac{\partial h}{\partial x}(x_i) \right\|_F^2,

    the squared Frobenius norm of the encoder's Jacobian, exactly and for an encoder of any depth and activation.

    Parameters
    ----------
    {n_components}

    contraction_weight : float or "scale", default="scale"
        Strength of the penalty (lambda), at least 0. "scale" is 1 in the units of loss, input and code (see Notes),
        resolved in `contraction_weight_`.

    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    AutoencoderTransformer : The same without the penalty.
    skae.penalties.Contraction : The penalty, for use with any estimator.

    Notes
    -----
    An untied decoder can undo the penalty: the encoder's weights shrink, and the decoder's grow by as much. Weight
    decay of the decoder limits that; with alpha=0 the penalty has no effect. Tied weights rule it out, but under
    squared error lose much of the reconstruction of most tables.

    {scale}

    References
    ----------
    S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive auto-encoders: explicit invariance during
    feature extraction", ICML 2011.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import ContractiveAutoencoder
    >>> X = load_digits().data / 16
    >>> free, contracted = (
    ...     ContractiveAutoencoder(16, contraction_weight=weight, random_state=0).fit(X)
    ...     for weight in (0.0, 0.3)
    ... )
    >>> bool((contracted.encoder_jacobian(X) ** 2).mean() < (free.encoder_jacobian(X) ** 2).mean())
    True
    """

    contraction_weight: float | str = SCALE
    tied_weights: bool | str = "auto"

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "contraction_weight": [reals(0, closed="left"), one_of(SCALE)],
        "tied_weights": ["boolean", one_of("auto")],
    }

    # contraction_weight="scale" in the units of loss, input and code.
    _contraction_weight_scale = 1.0

    _own_penalty_parameters = ("contraction_weight",)

    def _ties_weights(self, loss):
        return not np.any(loss.takes_any_unit) if self.tied_weights == "auto" else self.tied_weights

    def _own_penalties(self, units):
        return (Contraction(units.contraction(self.contraction_weight, self._contraction_weight_scale)),)
