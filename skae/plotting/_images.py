"""Displays of rows as grids of images."""

from math import ceil, prod, sqrt
from numbers import Integral

import numpy as np
from scipy.sparse import issparse
from sklearn.utils.validation import check_is_fitted

from skae._compat import some_rows
from skae._validation import validated_rows
from skae.plotting._support import pyplot, step_with, transforming_steps

# In inches: the longest side of a grid of images, the gap between two images, and the height of a line of text.
_GRID, _GAP, _TEXT = 8.0, 0.06, 0.17


class FilterDisplay:
    """Filters of a one-layer encoder, or of any linear transformer, as images.

    Use `from_estimator` to create a display.

    Parameters
    ----------
    filters : ndarray of shape (n_filters, n_features)
        Filters to plot, one image per row.

    image_shape : tuple of int
        Shape of the images: (height, width), or (height, width, 3) for colours.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure containing the grid.

    axes_ : ndarray of shape (n_rows, n_cols) of matplotlib Axes
        Axes of the images, row by row. Unused axes in the last row are switched off.

    See Also
    --------
    ReconstructionDisplay : Images and their reconstructions.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skae import SparseAutoencoder
    >>> from skae.plotting import FilterDisplay
    >>> X = load_digits().data / 16
    >>> autoencoder = SparseAutoencoder(12, tol=1e-2, random_state=0).fit(X)
    >>> display = FilterDisplay.from_estimator(autoencoder, image_shape=(8, 8))
    >>> display.axes_.shape
    (3, 4)
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, filters, image_shape):
        self.filters = filters
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls, estimator, *, image_shape, max_filters=100, labels=False, share_scale=False, cmap="RdBu_r", ax=None
    ):
        """Plot the rows of an estimator's `components_`.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `components_` of shape (n_components, n_features), such as `PCA`, `NMF` or an
            autoencoder whose encoder has one layer; or a Pipeline, whose last step with `components_` is used. The
            steps before it must keep the features, by name, as scalers do. The weights are those of the step, for its
            own input: after a `StandardScaler`, per standard deviation.

        image_shape : tuple of int
            Shape of the images: (height, width), or (height, width, 3) for colours. The features are laid out row by
            row. For data other than images, (1, n_features) plots each filter as a strip.

        max_filters : int, default=100
            Maximum number of filters. If there are more units, the first `max_filters` are plotted.

        labels : bool, default=False
            Whether to write the index of the unit above each filter.

        share_scale : bool, default=False
            Whether all filters share one colour scale, up to the largest absolute weight, which shows their relative
            sizes. By default each filter has its own scale, which shows its pattern even if its weights are small.

        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours of the weights, with zero in the middle. Filters of colour images are plotted in their own colours,
            with zero as mid grey.

        ax : matplotlib Axes, default=None
            Axes to subdivide and switch off. If None, a new figure is created.

        Returns
        -------
        FilterDisplay
            Object that stores the computed values.

        Raises
        ------
        ImportError, NotFittedError
            If matplotlib is not installed, or the estimator is not fitted.
        ValueError
            If the estimator has no `components_`, or is a Pipeline whose last step does not transform or whose earlier
            steps change the features; if `image_shape` does not match the number of features, `max_filters` is not an
            int of at least 1, or `ax` is already subdivided.
        """
        pyplot(cls)
        check_is_fitted(estimator)
        _check_count("max_filters", max_filters)
        needs = "an autoencoder with a one-layer encoder, hidden_layer_sizes=(), or a linear transformer like PCA"
        step, before = step_with("components_", estimator, needs)
        _check_features_are_kept(before, step)
        if not len(step.components_):
            raise ValueError(f"The components_ of {type(step).__name__} are empty: there are no filters to draw.")
        display = cls(filters=np.asarray(step.components_)[:max_filters], image_shape=image_shape)
        return display.plot(ax, labels=labels, share_scale=share_scale, cmap=cmap)

    def plot(self, ax=None, *, labels=False, share_scale=False, cmap="RdBu_r"):
        """Plot the filters.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to subdivide and switch off. If None, a new figure is created.

        labels, share_scale : bool, default=False
            Whether to write the index of the unit above each filter; whether all filters share one colour scale.

        cmap : str or matplotlib Colormap, default="RdBu_r"
            Colours of the weights.

        Returns
        -------
        FilterDisplay
            The display itself.
        """
        plt = pyplot(type(self))
        shape = _checked_shape(self.image_shape, self.filters.shape[1])
        n_filters = len(self.filters)
        text = _TEXT if labels else 0.0
        n_cols = _n_columns(n_filters, shape)
        self.figure_, self.axes_ = _image_grid(plt, ax, n_filters, n_cols, shape, largest=2.0, text=text)
        limits = np.abs(self.filters).max(axis=1)
        if share_scale:
            limits[:] = limits.max()
        # The filter of a unit without weights is zero on any scale.
        limits[limits == 0] = 1
        for unit, (image, limit) in enumerate(zip(self.filters, limits, strict=True)):
            cell = self.axes_.flat[unit]
            _show(cell, image.reshape(shape), -limit, limit, cmap)
            if labels:
                _write_above(cell, str(unit))
        return self


class ReconstructionDisplay:
    """Images above their reconstructions, one image per column.

    Use `from_estimator` to create a display.

    Parameters
    ----------
    original : ndarray of shape (n_images, n_features)
        Original images.

    reconstruction : ndarray of shape (n_images, n_features)
        Reconstructed images.

    image_shape : tuple of int
        Shape of the images: (height, width), or (height, width, 3) for colours.

    corrupted : ndarray of shape (n_images, n_features), default=None
        Images that were reconstructed, if not the originals.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure containing the grid.

    axes_ : ndarray of shape (n_rows, n_images) of matplotlib Axes
        Axes of the images. The rows are original, corrupted (if given) and reconstruction.

    See Also
    --------
    skae.metrics.reconstruction_r2 : Share of the variance that the reconstructions explain.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from skae.plotting import ReconstructionDisplay
    >>> X = load_digits().data / 16
    >>> display = ReconstructionDisplay.from_estimator(PCA(16).fit(X), X, image_shape=(8, 8))
    >>> display.axes_.shape
    (2, 10)
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, original, reconstruction, image_shape, corrupted=None):
        self.original = original
        self.reconstruction = reconstruction
        self.image_shape = image_shape
        self.corrupted = corrupted

    @classmethod
    def from_estimator(cls, estimator, X, *, image_shape, corrupted=None, max_images=10, cmap="gray", ax=None):
        """Plot rows of X and their reconstructions by `inverse_transform(transform(...))`.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `transform` and `inverse_transform`: a transformer or a Pipeline of transformers.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Original images, one per row.

        image_shape : tuple of int
            Shape of the images: (height, width), or (height, width, 3) for colours. The features are laid out row by
            row.

        corrupted : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Corrupted version of each row of X, to reconstruct and to plot between the two. If None, the originals are
            reconstructed.

        max_images : int, default=10
            Maximum number of images. If there are more rows, the first `max_images` are plotted.

        cmap : str or matplotlib Colormap, default="gray"
            Colours from the smallest to the largest entry of the plotted originals, for all images. Colour images are
            scaled by the same range and clipped to it.

        ax : matplotlib Axes, default=None
            Axes to subdivide and switch off. If None, a new figure is created.

        Returns
        -------
        ReconstructionDisplay
            Object that stores the computed values.

        Raises
        ------
        ImportError, NotFittedError
            If matplotlib is not installed, or the estimator is not fitted.
        ValueError
            If X is not a finite 2D array, `corrupted` or the reconstruction has another shape, `image_shape` does not
            match the number of features, a step has no `inverse_transform`, `max_images` is not an int of at least 1,
            or `ax` is already subdivided.
        """
        pyplot(cls)
        check_is_fitted(estimator)
        _check_count("max_images", max_images)
        _check_inverse(estimator)
        if corrupted is not None and np.shape(corrupted) != np.shape(X):
            raise ValueError(f"corrupted has the shape {np.shape(corrupted)}, but X, row for row, {np.shape(X)}.")
        first = slice(max_images)
        original = _dense(some_rows(X, first), "X")
        source = some_rows(X if corrupted is None else corrupted, first)
        reconstruction = _dense(estimator.inverse_transform(estimator.transform(source)), "reconstruction")
        if reconstruction.shape != original.shape:
            raise ValueError(
                f"inverse_transform(transform(X)) must have X's shape, {original.shape}, but "
                f"{type(estimator).__name__} returned {reconstruction.shape}."
            )
        display = cls(
            original=original,
            reconstruction=reconstruction,
            image_shape=image_shape,
            corrupted=None if corrupted is None else _dense(source, "corrupted"),
        )
        return display.plot(ax, cmap=cmap)

    def plot(self, ax=None, *, cmap="gray"):
        """Plot the images.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to subdivide and switch off. If None, a new figure is created.

        cmap : str or matplotlib Colormap, default="gray"
            Colours from the smallest to the largest entry of the originals.

        Returns
        -------
        ReconstructionDisplay
            The display itself.
        """
        plt = pyplot(type(self))
        shape = _checked_shape(self.image_shape, self.original.shape[1])
        rows = {"original": self.original, "corrupted": self.corrupted, "reconstruction": self.reconstruction}
        rows = {title: images for title, images in rows.items() if images is not None}
        n_images = len(self.original)
        self.figure_, self.axes_ = _image_grid(plt, ax, len(rows) * n_images, n_images, shape, largest=1.0, text=_TEXT)
        low, high = self.original.min(), self.original.max()
        for cells, (title, images) in zip(self.axes_, rows.items(), strict=True):
            _write_above(cells[0], title)
            for cell, image in zip(cells, images, strict=True):
                _show(cell, image.reshape(shape), low, high, cmap)
        return self


def _is_count(value):
    return isinstance(value, Integral) and not isinstance(value, bool) and value >= 1


def _check_count(name, value):
    if not _is_count(value):
        raise ValueError(f"{name} must be an int of at least 1, got {value!r}.")


def _checked_shape(image_shape, n_features):
    shape = tuple(image_shape) if np.iterable(image_shape) else ()
    if not all(map(_is_count, shape)) or len(shape) not in (2, 3) or shape[2:] not in ((), (3,)):
        raise ValueError(
            f"image_shape must be (height, width), or (height, width, 3) for colours, got {image_shape!r}."
        )
    shape = tuple(map(int, shape))
    if prod(shape) != n_features:
        raise ValueError(
            f"image_shape={shape} makes {prod(shape)} features, but there are {n_features}. Give the shape that the "
            f"images had before they became rows; (1, {n_features}) if the rows are no images."
        )
    return shape


def _check_features_are_kept(before, step):
    """Raise ValueError unless each step before `step` keeps the features, as judged by its output names."""
    for earlier in before:
        unnamed = [f"x{i}" for i in range(getattr(earlier, "n_features_in_", 0))]
        names = getattr(earlier, "feature_names_in_", unnamed)
        if not hasattr(earlier, "get_feature_names_out") or [*earlier.get_feature_names_out()] != [*names]:
            raise ValueError(
                f"The filters of {type(step).__name__} are not images of the features of X: {type(earlier).__name__}, "
                "an earlier step, makes other features of them. Give this display the step alone to see its weights."
            )


def _check_inverse(estimator):
    needs = "an autoencoder or another transformer with inverse_transform"
    for step in transforming_steps(estimator, needs):
        if not hasattr(step, "inverse_transform"):
            raise ValueError(f"{type(step).__name__} has no inverse_transform: this display needs {needs}.")


def _dense(X, name):
    rows = validated_rows(X, name)
    return rows.toarray() if issparse(rows) else rows


def _proportions(shape):
    """Return the width and height of an image of area one: with square pixels, unless the image is a strip."""
    ratio = shape[1] / shape[0]
    if 1 in shape[:2]:
        ratio = min(max(ratio, 1 / 4), 4)
    return np.array([sqrt(ratio), 1 / sqrt(ratio)])


def _n_columns(n_images, shape):
    """Return the number of columns for which the grid is nearly square, in inches, and its last row nearly full."""
    width, height = _proportions(shape)
    square = ceil(sqrt(n_images * height / width))
    return min(n_images, min(range(square, ceil(1.5 * square) + 1), key=lambda n_cols: -n_images % n_cols))


def _image_grid(plt, ax, n_images, n_cols, shape, *, largest, text):
    """Return a figure and an array of Axes, row by row, in a new figure or in the middle of `ax`.

    There are `text` inches above each image; unused cells are switched off. In a new figure, images have an area of
    `largest` squared, or the largest area that `_GRID` allows.
    """
    # All arrays are (width, height) in inches.
    counts, image = np.array([n_cols, ceil(n_images / n_cols)]), _proportions(shape)
    between = (counts - 1) * _GAP + counts * [0, text]
    if ax is None:
        image *= min(largest, *((_GRID - between) / (counts * image)).clip(0.1))
        box = between + counts * image + 2 * _GAP
        # No layout engine, which would change the sizes.
        figure = plt.figure(figsize=box, layout="none")
        place = figure.add_axes
    else:
        if not getattr(ax, "axison", False):
            raise ValueError("ax must be one Axes, and none that a grid of images is drawn in already.")
        figure, box = ax.figure, ax.get_window_extent().size / ax.figure.dpi
        # Use insets, not a GridSpec: insets stay together if a layout engine moves ax.
        place = ax.inset_axes
        ax.set_axis_off()
        image *= ((box - between) / (counts * image)).clip(0.1).min()
    first, step = (box - between - counts * image) / 2, image + np.array([_GAP, _GAP + text])
    axes = np.full(counts[::-1], None)
    for row, column in np.ndindex(axes.shape):
        corner = first + step * [column, counts[1] - 1 - row]
        axes[row, column] = place((*(corner / box), *(image / box)))
    for cell in axes.flat[n_images:]:
        cell.set_axis_off()
    return figure, axes


def _show(ax, image, low, high, cmap):
    aspect = "auto" if 1 in image.shape[:2] else "equal"
    if image.ndim == 3:
        ax.imshow(np.clip((image - low) / ((high - low) or 1), 0, 1), aspect=aspect)
    else:
        ax.imshow(image, vmin=low, vmax=high, cmap=cmap, aspect=aspect)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(color="0.8", linewidth=0.5)


def _write_above(ax, text):
    ax.set_title(text, fontsize=8, loc="left", pad=2)
