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

    The reconstruction loss of `AutoencoderTransformer` becomes its expectation over a corruption C,

    .. math:: \frac1m \sum_i \mathrm{E}_{\tilde x \sim C(x_i)}\, \ell(x_i, \hat x(\tilde x)).

    Penalties on the code are taken at the corrupted inputs. `transform` never corrupts.

    Parameters
    ----------
    {n_components}

    corruption : {"masking", "gaussian", "salt_and_pepper", "swap"}, Corruption or callable, default="masking"
        "masking" sets entries to zero in columns that are mostly zero, and to the column's mean in others; "gaussian"
        adds noise; "salt_and_pepper" sets entries to the minimum or the maximum of their column; "swap" sets them to
        the entry of another row in the same column. Otherwise an object of `skae.corruption`, or a callable(X, rng)
        that returns a corrupted copy of X, drawing from the `numpy.random.Generator` it is given. Its X is a block of
        the distinct rows of that of `fit`, in an order of their own; several threads may call it at a time.
        Sparse X takes "masking", or a callable that gets CSR and returns it sparse.

    corruption_level : float, default=0.25
        Share of the entries, in [0, 1], or the standard deviation of the Gaussian noise, in the unit of X. Objects
        and callables have their own.

    expectation : {"auto", "marginal", "fresh"}, default="auto"
        "marginal" computes the expectation from mean and variance of the corrupted entries: of one layer of units with
        a smooth activation under squared error with an identity output, without penalties on the code, for the four
        named corruptions without an emphasis. "fresh" draws new noise: the solver "kfac" for every minibatch, the
        others on fixed draws of at least 20,000 rows (100 draws at most), which are made anew whenever they are needed,
        unless they have at most 2^22 entries. "auto" is "marginal" where that applies and at most a third of the
        entries is replaced, and "fresh" otherwise.

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
    Under "marginal" the pre-activation of a unit is taken for Gaussian over the corruption. Its mean and variance are
    exact, those of the unit's output are from three nodes of a Gauss-Hermite rule, and covariances of units from the
    first two terms of their expansion, with the variances of the noise averaged over up to 64 groups of similar rows.
    Gaussian noise has this expectation to third order in its level. Its part that does not come from the mean code is
    the term "corruption" of the log.

    {scale}

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features with denoising
    autoencoders", ICML 2008. M. Chen, K. Weinberger, F. Sha and Y. Bengio, "Marginalized denoising auto-encoders for
    nonlinear representations", ICML 2014.

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

    _described_parameters = ("corruption", "corruption_level")

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
        prepared = PreparedCorruption(self._corruption(), rows, weights, rng)
        if prepared.changes_nothing:
            return None
        reason = prepared.why_not_marginal(architecture, self.penalties)
        if self.expectation == "marginal" and reason is not None:
            raise ValueError(f"expectation='marginal' does not apply: {reason}. Set expectation='auto'.")
        prefers_draws = reason is not None or not prepared.suits_moments
        if self.expectation == "fresh" or (self.expectation == "auto" and prefers_draws):
            return drawn(prepared, rows, architecture.layer_widths, rng)
        return marginal(prepared, rows, weights, architecture.widths[-1], rng)
