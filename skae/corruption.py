"""Corruptions of the input that a denoising autoencoder learns to undo."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial
from math import inf
from numbers import Integral
from typing import ClassVar

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_array, issparse, vstack
from sklearn.utils import gen_batches

from skae._rows.blocks import rows_of
from skae._rows.statistics import column_means
from skae._rows.threads import SERIAL
from skae._validation import canonical, check_number

__all__ = ["CORRUPTIONS", "Blur", "Corruption", "Gaussian", "Masking", "SaltAndPepper"]

# Entries drawn at a time.
_BLOCK_ENTRIES = 2**20


class Corruption(ABC):
    """A random map of the inputs.

    Attributes
    ----------
    keeps_sparse : bool
        Whether `corrupt` also takes CSR, and keeps zeros.
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

    def prepare(self, X, weights):
        """Return a function like `corrupt`, for blocks of rows, that uses the statistics of all rows.

        Parameters
        ----------
        X : {ndarray, CSR} of shape (n_samples, n_features)
            All rows.

        weights : ndarray of shape (n_samples,)
            Their weights.
        """
        return self.corrupt


@dataclass(frozen=True)
class Masking(Corruption):
    """Replaces a share of the entries, each drawn on its own, by 0, the column's mean, or a number.

    Parameters
    ----------
    level : float in [0, 1], default=0.25
        Share of the entries.

    fill : {"auto", "mean"} or float, default="auto"
        The replacement. "auto": 0 in a column of which more than half of the entries are 0, as in counts, intensities
        of ink and one-hot columns, and its mean elsewhere; "mean": every column's mean; or a number. Zeros and means
        are of the rows trained on, weighted. Sparse X takes "auto" or 0.

    References
    ----------
    P. Vincent, H. Larochelle, Y. Bengio and P.-A. Manzagol, "Extracting and composing robust features with
    denoising autoencoders", ICML 2008 (with 0).

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

    level: float = 0.25
    fill: float | str = "auto"

    def __post_init__(self):
        check_number(self, "level", 0, 1, closed="both")
        if isinstance(self.fill, str):
            if self.fill not in ("auto", "mean"):
                raise ValueError(f"Masking: fill must be 'auto', 'mean' or a float, got {self.fill!r}.")
        else:
            check_number(self, "fill", -inf, closed="neither")

    @property
    def keeps_sparse(self):
        return self.fill in ("auto", 0)

    def corrupt(self, X, rng):
        return self.prepare(X, np.ones(X.shape[0]))(X, rng)

    def prepare(self, X, weights):
        return partial(self._filled, self._filling(X, weights).astype(X.dtype))

    def _filling(self, X, weights):
        """Return the replacement in each column, (n_features,)."""
        if not isinstance(self.fill, str):
            return np.full(X.shape[1], self.fill)
        rows = rows_of(X)
        filling = column_means([rows], weights, SERIAL)
        if self.fill == "auto":
            of_others = rows.sum(lambda block: weights[block] @ (X[block] != 0), SERIAL)
            filling[of_others < weights.sum() / 2] = 0
        return filling

    def _filled(self, filling, X, rng):
        # Sparse or not, every entry has a draw of its own, so that both are masked alike.
        blocks = (
            (X[rows], rng.random((rows.stop - rows.start, X.shape[1]), dtype=X.dtype) < self.level)
            for rows in gen_batches(X.shape[0], max(1, _BLOCK_ENTRIES // X.shape[1]))
        )
        if issparse(X):
            return vstack([_sparse_filled(*block, filling) for block in blocks], format="csr", dtype=X.dtype)
        return np.concatenate([np.where(masked, filling, block) for block, masked in blocks])


def _sparse_filled(block, masked, filling):
    """Return a block of sparse rows, masked; the columns whose filling is not 0 are made dense on the way."""
    columns = np.flatnonzero(filling)
    dense = np.where(masked[:, columns], filling[columns], block[:, columns].toarray())
    stored_rows = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    kept = ~masked[stored_rows, block.indices] & (filling[block.indices] == 0)
    rows, filled = np.divmod(np.flatnonzero(dense), max(1, len(columns)))
    data = np.concatenate([block.data[kept], dense[dense != 0]])
    coords = [(stored_rows[kept], rows), (block.indices[kept], columns[filled])]
    coords = [np.concatenate(parts).astype(block.indices.dtype) for parts in coords]
    return coo_array((data, coords), shape=block.shape).tocsr()


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
        return self.prepare(X, np.ones(X.shape[0]))(X, rng)

    def prepare(self, X, weights):
        return partial(self._replaced, X.min(axis=0), X.max(axis=0))

    def _replaced(self, low, high, X, rng):
        draw = rng.random(X.shape, dtype=X.dtype)
        return np.where(draw < self.level, np.where(draw < self.level / 2, low, high), X)


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


def prepared(corruption, X, weights):
    """Prepare a Corruption or any callable(X, rng) on X, and return a function like it that checks its results.

    Raises ValueError if X is sparse and the corruption would make it dense. The corruption gets read-only arrays.
    """
    corrupt = corruption
    if isinstance(corruption, Corruption):
        if issparse(X) and not corruption.keeps_sparse:
            keeping = [name for name, part in CORRUPTIONS.items() if part().keeps_sparse]
            raise ValueError(
                f"X is sparse, and {corruption!r} would make it dense. Choose corruption from {keeping}, or give "
                "X.toarray() if it fits into memory."
            )
        corrupt = corruption.prepare(X, weights)

    def checked(X, rng):
        # An overflow is infinite, and refused.
        with np.errstate(over="ignore"):
            result = _called(corrupt, _read_only(X), rng, corruption)
        if result.shape != X.shape:
            raise ValueError(
                f"corruption must return an array of the shape that it was given, {X.shape}, but returned "
                f"{result.shape}: {corruption!r}."
            )
        if not np.isfinite(result.data if issparse(result) else result).all():
            raise ValueError(f"corruption returned NaN or infinity: {corruption!r}.")
        return result

    return checked


def _read_only(X):
    if issparse(X):
        parts = tuple(_read_only(part) for part in (X.data, X.indices, X.indptr))
        return type(X)(parts, shape=X.shape, copy=False)
    view = X.view()
    view.flags.writeable = False
    return view


def _called(corrupt, X, rng, corruption):
    try:
        result = corrupt(X, rng)
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
