"""Displays of curves."""

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import gen_batches
from sklearn.utils.validation import check_is_fitted

from skae._compat import some_rows
from skae.plotting._support import pyplot, step_with

# Number of entries in a block of Jacobians.
_BLOCK_ENTRIES = 2**20


class LossCurveDisplay:
    """Losses of a fit at each iteration.

    Use `from_estimator` to create a display.

    Parameters
    ----------
    loss_curve : list of float
        Minimised objective, including penalties, after each iteration.

    validation_loss_curve : list of float, default=None
        Reconstruction loss, without penalties, of the rows held out by early stopping.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure containing the axes.

    ax_ : matplotlib Axes
        Axes with the curves.

    lines_ : list of matplotlib Line2D
        Line of the objective; with early stopping also that of the validation loss and the marker at its minimum.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skae import AutoencoderTransformer
    >>> from skae.plotting import LossCurveDisplay
    >>> X = load_digits().data / 16
    >>> autoencoder = AutoencoderTransformer(12, tol=1e-2, random_state=0).fit(X)
    >>> display = LossCurveDisplay.from_estimator(autoencoder)
    >>> display.ax_.get_xlabel()
    'iteration'
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, loss_curve, validation_loss_curve=None):
        self.loss_curve = loss_curve
        self.validation_loss_curve = validation_loss_curve

    @classmethod
    def from_estimator(cls, estimator, *, ax=None):
        """Plot an estimator's `loss_curve_` and, if it has one, `validation_loss_curve_`.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `loss_curve_`, or a Pipeline, whose last step with `loss_curve_` is used.

        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure and axes are created.

        Returns
        -------
        LossCurveDisplay
            Object that stores the computed values.

        Raises
        ------
        ImportError, NotFittedError
            If matplotlib is not installed, or the estimator is not fitted.
        ValueError
            If the estimator has no `loss_curve_`, or is a Pipeline whose last step does not transform.
        """
        pyplot(cls)
        check_is_fitted(estimator)
        step, _ = step_with("loss_curve_", estimator, "an autoencoder of skae or another estimator with a loss curve")
        display = cls(
            loss_curve=step.loss_curve_,
            validation_loss_curve=getattr(step, "validation_loss_curve_", None),
        )
        return display.plot(ax)

    def plot(self, ax=None):
        """Plot the curves, on a logarithmic scale if they are positive and span more than a decade.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure and axes are created.

        Returns
        -------
        LossCurveDisplay
            The display itself.
        """
        self.figure_, self.ax_ = _line_axes(pyplot(type(self)), ax)
        self.lines_ = [_curve(self.ax_, self.loss_curve, label="training objective, penalties included")]
        if self.validation_loss_curve is not None:
            validation = np.asarray(self.validation_loss_curve)
            best = validation.argmin()
            line = _curve(self.ax_, validation, label="validation loss, reconstruction alone")
            mark = self.ax_.plot(
                best + 1, validation[best], "o", color=line.get_color(), label=f"kept: iteration {best + 1}"
            )
            self.lines_ += [line, *mark]
        _set_scale(self.ax_, _drawn(self.ax_))
        self.ax_.set(xlabel="iteration", ylabel="loss")
        self.ax_.legend()
        return self


class JacobianSpectrumDisplay:
    """Singular values of the encoder's Jacobian, averaged over samples.

    A few large values mean that the code follows the data along few directions and ignores the others, which is the
    purpose of a contractive penalty. Use `from_estimator` to create a display.

    Parameters
    ----------
    singular_values : ndarray of shape (min(n_components, n_features),)
        Mean singular values in decreasing order.

    name : str, default=None
        Name of the curve in the legend. If None, there is no legend.

    Attributes
    ----------
    figure_ : matplotlib Figure
        Figure containing the axes.

    ax_ : matplotlib Axes
        Axes with the curve. Pass it as `ax` to another display to compare the two.

    line_ : matplotlib Line2D
        Line of the spectrum.

    References
    ----------
    S. Rifai, P. Vincent, X. Muller, X. Glorot and Y. Bengio, "Contractive auto-encoders: explicit invariance during
    feature extraction", ICML 2011.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from skae import ContractiveAutoencoder
    >>> from skae.plotting import JacobianSpectrumDisplay
    >>> X = load_digits().data[:200] / 16
    >>> free, contracted = (
    ...     ContractiveAutoencoder(12, contraction_weight=weight, random_state=0).fit(X) for weight in (0.0, 0.3)
    ... )
    >>> display = JacobianSpectrumDisplay.from_estimator(free, X)
    >>> overlaid = JacobianSpectrumDisplay.from_estimator(contracted, X, ax=display.ax_)
    >>> bool(overlaid.singular_values[0] < display.singular_values[0])
    True
    >>> plt.close(display.figure_)
    """

    def __init__(self, *, singular_values, name=None):
        self.singular_values = singular_values
        self.name = name

    @classmethod
    def from_estimator(cls, estimator, X, *, name=None, ax=None, **kwargs):
        """Plot the mean over the samples of X of the Jacobians' singular values, sorted for each sample.

        The values are computed in float64, in blocks of rows. Values within rounding of zero, by the tolerance of
        `numpy.linalg.matrix_rank`, count as zero.

        Parameters
        ----------
        estimator : object
            Fitted estimator with `encoder_jacobian`, or a Pipeline, whose last step with `encoder_jacobian` is used.
            The derivative is with respect to the input of that step, for example the scaled features after a scaler.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Samples at which to evaluate the Jacobians. The earlier steps of a Pipeline transform them first.

        name : str, default=None
            Name of the curve in the legend. If None, the class of the estimator or step.

        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure and axes are created.

        **kwargs : dict
            Keyword arguments for matplotlib's `plot`: colour, style and so on.

        Returns
        -------
        JacobianSpectrumDisplay
            Object that stores the computed values.

        Raises
        ------
        ImportError, NotFittedError
            If matplotlib is not installed, or the estimator is not fitted.
        ValueError
            If the estimator has no `encoder_jacobian` or is a Pipeline whose last step does not transform, or if X is
            not a finite 2D array with the number of features seen during fit.
        """
        pyplot(cls)
        check_is_fitted(estimator)
        step, before = step_with("encoder_jacobian", estimator, "an autoencoder of skae")
        display = cls(
            singular_values=_mean_singular_values(step, before, X),
            name=type(step).__name__ if name is None else name,
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax=None, *, name=None, **kwargs):
        """Plot the spectrum, on a logarithmic scale if all values on the axes are non-negative and span over a decade.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on. If None, a new figure and axes are created.

        name : str, default=None
            Name of the curve in the legend. If None, the display's `name`.

        **kwargs : dict
            Keyword arguments for matplotlib's `plot`.

        Returns
        -------
        JacobianSpectrumDisplay
            The display itself.
        """
        self.figure_, self.ax_ = _line_axes(pyplot(type(self)), ax)
        name = self.name if name is None else name
        self.line_ = _curve(self.ax_, self.singular_values, label=name, **kwargs)
        drawn = _drawn(self.ax_)
        # A logarithmic axis omits zeros; zeros do not prevent a logarithmic scale.
        _set_scale(self.ax_, drawn[drawn != 0])
        self.ax_.set(xlabel="index of the singular value", ylabel="mean singular value of the encoder's Jacobian")
        if name is not None:
            self.ax_.legend()
        return self


def _mean_singular_values(autoencoder, before, X):
    n_samples, X = np.shape(X)[0], X.tocsr() if issparse(X) else X
    size = max(1, _BLOCK_ENTRIES // (autoencoder.n_components_ * autoencoder.n_features_in_))
    total = 0.0
    # The estimator raises the error for X without rows.
    for rows in gen_batches(max(1, n_samples), size):
        block = some_rows(X, rows)
        for step in before:
            block = step.transform(block)
        jacobians = autoencoder.encoder_jacobian(block)
        values = np.linalg.svd(jacobians.astype(np.float64, copy=False), compute_uv=False)
        rounding = max(jacobians.shape[1:]) * np.finfo(jacobians.dtype).eps * values[:, :1]
        total += np.where(values > rounding, values, 0).sum(axis=0)
    return total / n_samples


def _line_axes(plt, ax):
    if ax is None:
        ax = plt.subplots(layout="constrained")[1]
    return ax.figure, ax


def _curve(ax, values, **kwargs):
    from matplotlib.ticker import MaxNLocator

    # A line through a single value is invisible.
    marker = {"marker": "."} if len(values) == 1 else {}
    (line,) = ax.plot(np.arange(1, len(values) + 1), values, **marker | kwargs)
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, min_n_ticks=1))
    return line


def _drawn(ax):
    return np.concatenate([line.get_ydata(orig=False) for line in ax.lines])


def _set_scale(ax, values):
    """Set a logarithmic y scale if the values are positive and span more than a decade, otherwise a linear one."""
    wide = values.size and values.min() > 0 and values.max() > 10 * values.min()
    ax.set_yscale("log" if wide else "linear")
