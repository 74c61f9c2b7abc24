"""The denoising autoencoder."""

import inspect
from collections.abc import Callable

from skae._compat import InvalidParameterError, one_of, reals
from skae._estimators.base import BaseAutoencoder
from skae._estimators.declaration import estimator
from skae._objective.noise import PreparedCorruption, drawn, marginal
from skae.corruption import CORRUPTIONS, Corruption


@estimator
class DenoisingAutoencoder(BaseAutoencoder):
    r"""Autoencoder that reconstructs the clean row from a corrupted one.

    The reconstruction loss of `AutoencoderTransformer` becomes

    .. math:: \frac1m \sum_i \ell(x_i, \hat x(\tilde x_i)), \qquad \tilde x_i = C(x_i).

    The inputs of the fit are corrupted once, before it starts, so that its objective is fixed. Penalties on the code
    are taken at the corrupted inputs. `transform` never corrupts.

    Parameters
    ----------
    {n_components}

    corruption : {"masking", "gaussian", "salt_and_pepper"}, Corruption or callable, default="masking"
        "masking" sets entries to zero in columns that are mostly zero, and to the column's mean in others; "gaussian"
        adds noise; "salt_and_pepper" sets entries to the minimum or the maximum of their column. Otherwise an object of
        `skae.corruption`, or a
        callable(X, rng) that returns a corrupted copy of X, drawing from the `numpy.random.Generator` it is given.
        Its X has the distinct rows of that of `fit`, in an order of their own and perhaps many times.
        Sparse X takes "masking", or a callable that gets CSR and returns it sparse.

    corruption_level : float, default=0.25
        Share of the entries, in [0, 1], or the standard deviation of the Gaussian noise, in the unit of X. Objects
        and callables have their own.

    n_corruptions : int, default=1
        Number of independent corruptions of every distinct row. The cost of a fit grows in proportion. Few rows are
        corrupted more often, so that there are at least 4,000 corrupted rows, or as many as make 2^22 entries.

    {parameters}

    Attributes
    ----------
    {attributes}

    See Also
    --------
    AutoencoderTransformer : The same on clean inputs.
    skae.corruption : The corruptions.

    Notes
    -----
    {scale}

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features with denoising
    autoencoders", ICML 2008.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skae import DenoisingAutoencoder
    >>> X = load_digits().data / 16
    >>> autoencoder = DenoisingAutoencoder(30, corruption_level=0.5, random_state=0).fit(X)
    >>> autoencoder.transform(X).shape
    (1797, 30)
    """

    corruption: str | Corruption | Callable = "masking"
    corruption_level: float = 0.25
    expectation: str = "auto"

    _parameter_constraints = {
        **BaseAutoencoder._parameter_constraints,
        "corruption": [one_of(*CORRUPTIONS), Corruption, callable],
        "corruption_level": [reals(0, closed="left")],
        "expectation": [one_of("auto", "marginal", "fresh")],
    }

    def _validate_params(self):
        super()._validate_params()
        if isinstance(self.corruption, type):
            raise InvalidParameterError(
                f"The 'corruption' parameter of {type(self).__name__} must be an object, not a class. "
                f"Got {self.corruption!r} instead: give {self.corruption.__name__}(...)."
            )
        try:
            self._corruption()
        except ValueError as error:
            raise InvalidParameterError(
                f"The 'corruption_level' parameter of {type(self).__name__} does not fit "
                f"corruption={self.corruption!r}. {error}"
            ) from error

    def _corruption(self):
        if isinstance(self.corruption, str):
            return CORRUPTIONS[self.corruption](self.corruption_level)
        default = inspect.signature(type(self)).parameters["corruption_level"].default
        if self.corruption_level != default:
            raise ValueError(f"An object or a callable has its own level: leave corruption_level at {default}.")
        return self.corruption

    def _noise(self, architecture, rows, weights, rng):
        prepared = PreparedCorruption(self._corruption(), rows.X, weights)
        if prepared.changes_nothing:
            return None
        reason = prepared.why_not_marginal(architecture, self.penalties)
        if self.expectation == "marginal" and reason is not None:
            raise ValueError(f"expectation='marginal' does not apply: {reason}. Set expectation='auto'.")
        if self.expectation == "fresh" or reason is not None:
            return drawn(prepared, rows, architecture.layer_widths, rng)
        return marginal(prepared, rows, weights, architecture.widths[-1], rng)
