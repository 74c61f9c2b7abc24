"""Corruptions of the input that a denoising autoencoder learns to undo."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import inf
from numbers import Integral, Real
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import issparse, vstack
from sklearn.utils import gen_batches

from skae._rows.blocks import rows_of
from skae._rows.replacements import Extremes, Filling, OtherRows
from skae._rows.statistics import column_means
from skae._rows.threads import SERIAL
from skae._validation import check_number
from skae._weights import Weights

__all__ = ["CORRUPTIONS", "Blur", "Corruption", "Gaussian", "Masking", "Moments", "SaltAndPepper", "Swap"]

# Entries drawn at a time.
_BLOCK_ENTRIES = 2**20


class Moments(NamedTuple):
    """Mean and variance of a corrupted entry, given the clean one x of column k.

    The mean is (1 - share) x + share filling_k, the variance share (1 - share) (x - filling_k)^2 + variance_k.

    Parameters
    ----------
    share : float
        Share of the entries that are replaced.

    filling : ndarray of shape (n_features,)
        Mean of the replacements.

    variance : ndarray of shape (n_features,)
        Variance that does not depend on x.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import Gaussian
    >>> Gaussian(0.5).prepare(np.ones((3, 2)), np.ones(3)).moments(2)
    Moments(share=0.0, filling=array([0., 0.]), variance=array([0.25, 0.25]))
    """

    share: float
    filling: np.ndarray
    variance: np.ndarray


class Corruption(ABC):
    """A random map of the inputs.

    Attributes
    ----------
    keeps_sparse : bool
        Whether `corrupt` also takes CSR, and keeps zeros.

    is_random : bool
        Whether two calls of `corrupt` differ.
    """

    keeps_sparse: ClassVar[bool] = False
    is_random: ClassVar[bool] = True

    @abstractmethod
    def corrupt(self, X, rng):
        """Return a corrupted copy of X, in X's dtype.

        Parameters
        ----------
        X : {ndarray, CSR} of shape (n_samples, n_features)

        rng : numpy.random.Generator
            The only source of randomness.
        """

    def prepare(self, X, weights):
        """Return a corruption for blocks of rows that uses the statistics of all rows.

        Parameters
        ----------
        X : {ndarray, CSR} of shape (n_samples, n_features)
            All rows.

        weights : ndarray of shape (n_samples,)
            Their weights.

        Returns
        -------
        Corruption
        """
        return self

    def _prepared_on(self, rows, weights, rng):
        """Return what `prepare` returns, given Rows and Weights; the generator is for rows that are not at hand."""
        return self if type(self).prepare is Corruption.prepare else self.prepare(rows.X, weights[:])

    def moments(self, n_features):  # noqa: B027 - most corruptions have none
        """Return the Moments of corrupted entries that are drawn each on its own, or None. Of a prepared corruption."""

    def entry_weights(self, shape, dtype, rng):  # noqa: B027
        """Return the weights of the entries' losses, of mean 1, in the draw that `corrupt` makes, or None if all are 1.

        Of a prepared corruption.

        Parameters
        ----------
        shape : tuple of int

        dtype : dtype

        rng : numpy.random.Generator
            In the state in which `corrupt` gets it.
        """


@dataclass(frozen=True)
class _Replacing(Corruption):
    """Replaces a share of the entries, each drawn on its own."""

    level: float = 0.25
    emphasis: tuple[float, float] = field(default=(1, 1), kw_only=True)

    def __post_init__(self):
        check_number(self, "level", 0, 1, closed="both")
        pair = self.emphasis if isinstance(self.emphasis, tuple | list) else ()
        if len(pair) != 2 or not all(_is_weight(weight) for weight in pair):
            raise ValueError(
                f"{type(self).__name__}: emphasis must be (corrupted, clean), two floats of at least 0, "
                f"got {self.emphasis!r}."
            )
        if self.level * pair[0] + (1 - self.level) * pair[1] == 0:
            raise ValueError(
                f"{type(self).__name__}: emphasis={self.emphasis!r} with level={self.level!r} gives every entry a "
                "weight of 0. Make a weight of entries that occur positive."
            )

    def corrupt(self, X, rng):
        prepared = self.prepare(X, np.ones(X.shape[0]))
        blocks = [prepared.corrupt(X[rows], rng) for rows in gen_batches(X.shape[0], _block_rows(X.shape[1]))]
        return vstack(blocks, format="csr", dtype=X.dtype) if issparse(X) else np.concatenate(blocks)

    def prepare(self, X, weights):
        return self._made_on(rows_of(X), Weights(weights), None)

    def _prepared_on(self, rows, weights, rng):
        has_own = type(self).prepare is not _Replacing.prepare
        return super()._prepared_on(rows, weights, rng) if has_own else self._made_on(rows, weights, rng)

    def _made_on(self, rows, weights, rng):
        return _Replacement(self.level, self.emphasis, self._source(rows, weights, rng))

    @abstractmethod
    def _source(self, rows, weights, rng):
        """Return the source of the replacements, from all rows and their weights."""


def _block_rows(n_features):
    return max(1, _BLOCK_ENTRIES // n_features)


def _is_weight(value):
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= value < inf


@dataclass(frozen=True, eq=False)
class _Replacement(Corruption):
    """A corruption that replaces entries, prepared on all rows."""

    level: float
    emphasis: tuple
    source: Any

    def corrupt(self, X, rng):
        # Sparse or not, every entry has a draw of its own, so that both are masked alike.
        return self.source.replaced(X, self._selected(X.shape, X.dtype, rng), rng)

    def _selected(self, shape, dtype, rng):
        return rng.random(shape, dtype=dtype) < self.level

    def moments(self, n_features):
        return Moments(self.level, self.source.mean, self.level * self.source.variance)

    def entry_weights(self, shape, dtype, rng):
        corrupted, clean = self.emphasis
        if corrupted == clean:
            return None
        mean = self.level * corrupted + (1 - self.level) * clean
        return np.where(self._selected(shape, dtype, rng), dtype.type(corrupted / mean), dtype.type(clean / mean))


@dataclass(frozen=True)
class Masking(_Replacing):
    """Replaces a share of the entries, each drawn on its own, by 0, the column's mean, or a number.

    Parameters
    ----------
    level : float in [0, 1], default=0.25
        Share of the entries.

    fill : {"auto", "mean"} or float, default="auto"
        The replacement. "auto": 0 in a column of which more than half of the entries are 0, as in counts, intensities
        of ink and one-hot columns, and its mean elsewhere; "mean": every column's mean; or a number. Zeros and means
        are of the rows trained on, weighted. Sparse X takes "auto" or 0.

    emphasis : (float, float), default=(1, 1)
        Weights of the losses of corrupted and of clean entries, up to a common factor: they are divided by their mean
        over all entries.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features with
    denoising autoencoders", ICML 2008 (with 0). P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio and P.-A. Manzagol,
    "Stacked denoising autoencoders", Journal of Machine Learning Research 11, 2010 (with an emphasis).

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import Masking
    >>> X = np.array([[0.0, 1.0], [0.0, 2.0], [1.0, 3.0]])
    >>> Masking(1.0).corrupt(X, np.random.default_rng(0))
    array([[0., 2.],
           [0., 2.],
           [0., 2.]])
    """

    fill: float | str = "auto"

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.fill, str):
            if self.fill not in ("auto", "mean"):
                raise ValueError(f"Masking: fill must be 'auto', 'mean' or a float, got {self.fill!r}.")
        else:
            check_number(self, "fill", -inf, closed="neither")

    @property
    def keeps_sparse(self):
        return self.fill in ("auto", 0)

    def _source(self, rows, weights, rng):
        return Filling(self._filling(rows, weights).astype(rows.dtype))

    def _filling(self, rows, weights):
        """Return the replacement in each column, (n_features,)."""
        if not isinstance(self.fill, str):
            return np.full(rows.shape[1], self.fill)
        filling = column_means([rows], weights, SERIAL)
        if self.fill == "auto":
            of_others = rows.sum(lambda block: rows.weighted_counts(block, weights[block]), SERIAL)
            filling[of_others < weights.sum() / 2] = 0
        return filling


@dataclass(frozen=True)
class Swap(_Replacing):
    """Replaces a share of the entries, each drawn on its own, by the entry of another row in the same column.

    The other row is drawn for every entry anew, in proportion to the weights, and may be the same one. A corrupted
    entry so has a value that occurs in its column, which suits tables of mixed columns. If X is in a file or on a
    cluster, the other rows are of a random sample, 2^20 entries.

    Parameters
    ----------
    level : float in [0, 1], default=0.25
        Share of the entries.

    emphasis : (float, float), default=(1, 1)
        As in `Masking`.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import Swap
    >>> X = np.array([[0, 10.0], [1, 11.0], [2, 12.0]])
    >>> Swap(1.0).corrupt(X, np.random.default_rng(0))
    array([[ 1., 12.],
           [ 1., 12.],
           [ 2., 10.]])
    """

    def _source(self, rows, weights, rng):
        return OtherRows(rows, weights, rng)


@dataclass(frozen=True)
class SaltAndPepper(_Replacing):
    """Sets a share of the entries to their column's minimum or maximum, evenly.

    Parameters
    ----------
    level : float in [0, 1], default=0.25
        Share of the entries.

    emphasis : (float, float), default=(1, 1)
        As in `Masking`.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import SaltAndPepper
    >>> SaltAndPepper(0.0).corrupt(np.ones((1, 3)), np.random.default_rng(0))
    array([[1., 1., 1.]])
    """

    def _source(self, rows, weights, rng):
        return Extremes(*rows.extremes())


@dataclass(frozen=True)
class Gaussian(Corruption):
    """Adds Gaussian noise: x~_ij = x_ij + level * N(0, 1).

    Parameters
    ----------
    level : float, at least 0, default=0.25
        Standard deviation of the noise, in the unit of X.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import Gaussian
    >>> Gaussian(0.0).corrupt(np.ones((1, 3)), np.random.default_rng(0))
    array([[1., 1., 1.]])
    """

    level: float = 0.25

    def __post_init__(self):
        check_number(self, "level", 0, closed="left")

    def corrupt(self, X, rng):
        noise = rng.standard_normal(X.shape, dtype=X.dtype)
        noise *= self.level
        noise += X
        return noise

    def moments(self, n_features):
        return Moments(0.0, np.zeros(n_features), np.full(n_features, np.square(float(self.level))))


@dataclass(frozen=True)
class Blur(Corruption):
    """Blurs every row, an image, with a Gaussian kernel; the border repeats the outermost pixels.

    Parameters
    ----------
    image_shape : tuple of int
        (height, width), or (height, width, channels); channels are blurred each on its own.

    sigma : float, at least 0, default=1.0
        Standard deviation of the kernel, in pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import Blur
    >>> Blur((2, 2)).corrupt(np.ones((1, 4)), np.random.default_rng(0)).round(6)
    array([[1., 1., 1., 1.]])
    """

    image_shape: tuple
    sigma: float = 1.0

    is_random = False

    def __post_init__(self):
        sides = self.image_shape if isinstance(self.image_shape, tuple | list) else ()
        if len(sides) not in (2, 3) or not all(isinstance(side, Integral) and side >= 1 for side in sides):
            raise ValueError(
                "Blur: image_shape must be (height, width) or (height, width, channels), integers of at least 1, "
                f"got {self.image_shape!r}."
            )
        check_number(self, "sigma", 0, closed="left")

    def corrupt(self, X, rng):
        if np.prod(self.image_shape) != X.shape[1]:
            raise ValueError(
                f"Blur: image_shape={self.image_shape!r} has {np.prod(self.image_shape)} pixels, "
                f"but X has {X.shape[1]} features."
            )
        images = X.reshape(-1, *self.image_shape)
        sigmas = (0, self.sigma, self.sigma, 0)[: images.ndim]
        return gaussian_filter(images, sigmas, mode="nearest").reshape(X.shape)


# The corruptions that one number, their level, describes.
CORRUPTIONS = {"masking": Masking, "gaussian": Gaussian, "salt_and_pepper": SaltAndPepper, "swap": Swap}
