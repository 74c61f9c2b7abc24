"""Corruptions of the input that a denoising autoencoder learns to undo."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import issparse
from sklearn.utils import gen_batches

from skae._checks import check_number
from skae._validation import canonical

__all__ = ["CORRUPTIONS", "Blur", "Corruption", "Gaussian", "Masking", "SaltAndPepper"]

# What is drawn at a time.
_BLOCK_ENTRIES = 2**20


class Corruption(ABC):
    """A random map of the inputs.

    Attributes
    ----------
    keeps_sparse : bool
        Whether `corrupt` takes CSR too, and leaves zeros what they are.
    """

    keeps_sparse: ClassVar[bool] = False

    @abstractmethod
    def corrupt(self, X, rng):
        """Return a corrupted copy of X, in X's dtype.

        Parameters
        ----------
        X : {ndarray, CSR} of shape (n_samples, n_features)

        rng : numpy.random.Generator
            The only source of randomness.
        """


@dataclass(frozen=True)
class Masking(Corruption):
    """Sets a share of the entries to zero: P(x~_ij = 0) = level, each entry on its own.

    For data in which zero is nothing unusual: intensities, counts, or centred columns.

    Parameters
    ----------
    level : float in [0, 1], default=0.25
        Share of the entries.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features with
    denoising autoencoders", ICML 2008.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import Masking
    >>> Masking(1.0).corrupt(np.ones((1, 3)), np.random.default_rng(0))
    array([[0., 0., 0.]])
    """

    level: float = 0.25
    keeps_sparse: ClassVar[bool] = True

    def __post_init__(self):
        check_number(self, "level", 0, 1, closed="both")

    def corrupt(self, X, rng):
        result = X.copy()
        entries = result.data if issparse(X) else result
        for rows in gen_batches(X.shape[0], max(1, _BLOCK_ENTRIES // X.shape[1])):
            # Sparse or not, every entry has a draw of its own, so that both are masked alike.
            masked = rng.random((rows.stop - rows.start, X.shape[1]), dtype=X.dtype) < self.level
            if issparse(X):
                stored = slice(X.indptr[rows.start], X.indptr[rows.stop])
                lengths = np.diff(X.indptr[rows.start : rows.stop + 1])
                masked = masked[np.repeat(np.arange(len(lengths)), lengths), X.indices[stored]]
                entries[stored][masked] = 0
            else:
                entries[rows][masked] = 0
        if issparse(X):
            result.eliminate_zeros()
        return result


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


@dataclass(frozen=True)
class SaltAndPepper(Corruption):
    """Sets a share of the entries to their column's minimum or maximum, evenly.

    Parameters
    ----------
    level : float in [0, 1], default=0.25
        Share of the entries.

    Examples
    --------
    >>> import numpy as np
    >>> from skae.corruption import SaltAndPepper
    >>> SaltAndPepper(0.0).corrupt(np.ones((1, 3)), np.random.default_rng(0))
    array([[1., 1., 1.]])
    """

    level: float = 0.25

    def __post_init__(self):
        check_number(self, "level", 0, 1, closed="both")

    def corrupt(self, X, rng):
        draw = rng.random(X.shape, dtype=X.dtype)
        extreme = np.where(draw < self.level / 2, X.min(axis=0), X.max(axis=0))
        return np.where(draw < self.level, extreme, X)


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
CORRUPTIONS = {"masking": Masking, "gaussian": Gaussian, "salt_and_pepper": SaltAndPepper}


def corrupted(corruption, X, rng):
    """Return a draw of a Corruption or of any callable(X, rng), checked; X itself cannot be written to."""
    if issparse(X) and isinstance(corruption, Corruption) and not corruption.keeps_sparse:
        keeping = [name for name, part in CORRUPTIONS.items() if part.keeps_sparse]
        raise ValueError(
            f"X is sparse, and {corruption!r} would make it dense. Choose corruption from {keeping}, or give "
            "X.toarray() if it fits into memory."
        )
    draw = corruption.corrupt if isinstance(corruption, Corruption) else corruption
    # An overflow is infinite, and refused below.
    with np.errstate(over="ignore"):
        result = _called(draw, _read_only(X), rng, corruption)
    if result.shape != X.shape:
        raise ValueError(
            f"corruption must return an array of the shape that it was given, {X.shape}, but returned {result.shape}: "
            f"{corruption!r}."
        )
    if not np.isfinite(result.data if issparse(result) else result).all():
        raise ValueError(f"corruption returned NaN or infinity: {corruption!r}.")
    return result


def _read_only(X):
    if issparse(X):
        parts = tuple(_read_only(part) for part in (X.data, X.indices, X.indptr))
        return type(X)(parts, shape=X.shape, copy=False)
    view = X.view()
    view.flags.writeable = False
    return view


def _called(draw, X, rng, corruption):
    try:
        result = draw(X, rng)
    except ValueError as error:
        error.add_note(f"Raised by corruption={corruption!r}, which gets X read-only and must return a copy.")
        raise
    if issparse(X) != issparse(result):
        kind, got = ("a sparse array", "an ndarray") if issparse(X) else ("an ndarray", "a sparse array")
        raise ValueError(f"corruption must return {kind}, as X is, but returned {got}: {corruption!r}.")
    entries = canonical(result.tocsr()) if issparse(result) else np.asarray(result)
    if isinstance(result, np.ma.MaskedArray) or entries.dtype.kind not in "biuf":
        raise ValueError(
            f"corruption must return an array of real numbers, but returned a {type(result).__name__} of dtype "
            f"{entries.dtype}: {corruption!r}."
        )
    return entries.astype(X.dtype, copy=False)
