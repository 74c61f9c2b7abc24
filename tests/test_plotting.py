"""What the displays draw, against the fitted attributes, the rows and numpy's own decompositions."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csc_array, csr_array
from sklearn.base import BaseEstimator
from sklearn.decomposition import NMF, PCA
from sklearn.exceptions import NotFittedError
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.plotting import FilterDisplay, JacobianSpectrumDisplay, LossCurveDisplay, ReconstructionDisplay

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
plt = pytest.importorskip("matplotlib.pyplot")

FILTERS = {
    "AutoencoderTransformer": AutoencoderTransformer(12, max_iter=5, random_state=0),
    "SparseAutoencoder": SparseAutoencoder(12, max_iter=5, random_state=0),
    "linear": AutoencoderTransformer(12, activation="identity"),
    "PCA": PCA(12),
    "NMF": NMF(12, init="nndsvda", max_iter=20),
}
RECONSTRUCTIONS = {
    "DenoisingAutoencoder": DenoisingAutoencoder(6, max_iter=5, random_state=0),
    "deep": AutoencoderTransformer(3, hidden_layer_sizes=(8,), max_iter=5, random_state=0),
    "PCA": PCA(6),
    "Pipeline": make_pipeline(StandardScaler(), PCA(6)),
}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def pca(digits):
    return PCA(12).fit(digits)


class Fixed(BaseEstimator):
    """Fitted, with the attributes and methods that it is given."""

    def __init__(self, **attributes):
        vars(self).update(attributes)

    def fit(self, X):
        return self

    def __sklearn_is_fitted__(self):
        return True


class Forward(BaseEstimator):
    """Transforms, and nothing else."""

    def fit(self, X, y=None):
        self.n_features_in_ = X.shape[1]
        return self

    def transform(self, X):
        return X


class LinearMap(Fixed):
    """An encoder whose Jacobian at the row x is A + x_0 B, and which notes how many rows it is asked for."""

    def __init__(self, A, B):
        self.A, self.B, self.n_rows = A, B, []
        self.n_components_, self.n_features_in_ = A.shape

    def encoder_jacobian(self, X):
        self.n_rows.append(len(X))
        return self.A + X[:, :1, None] * self.B


def image_of(ax):
    """Return the one image on the axes, and its colour limits."""
    (image,) = ax.images
    return np.asarray(image.get_array()), image.get_clim()


def drawn(display):
    """Return the axes of a grid that hold an image, row by row; the others are switched off."""
    assert all(not ax.axison for ax in display.axes_.flat if not ax.images)
    return [ax for ax in display.axes_.flat if ax.images]


# Filters.


@pytest.mark.parametrize("name", FILTERS)
def test_filters_are_the_components(name, digits):
    estimator = FILTERS[name].fit(digits[:200])
    display = FilterDisplay.from_estimator(estimator, image_shape=(8, 8))
    assert display.axes_.shape == (3, 4)
    for ax, weights in zip(drawn(display), estimator.components_, strict=True):
        data, (low, high) = image_of(ax)
        np.testing.assert_array_equal(data, weights.reshape(8, 8))
        assert high == -low == np.abs(weights).max(), "zero is the middle of the colours"
        assert ax.figure is display.figure_
        assert not ax.get_xticks().size + ax.get_yticks().size
        assert ax.get_title(loc="left") == ""


def test_filters_on_one_scale(pca):
    display = FilterDisplay.from_estimator(pca, image_shape=(8, 8), share_scale=True)
    largest = np.abs(pca.components_).max()
    assert {image_of(ax)[1] for ax in drawn(display)} == {(-largest, largest)}


def test_a_filter_without_weights_is_the_colour_of_zero(pca):
    weights = np.vstack([np.zeros(64), pca.components_[0]])
    display = FilterDisplay(filters=weights, image_shape=(8, 8)).plot(cmap="RdBu_r")
    image = display.axes_.flat[0].images[0]
    np.testing.assert_array_equal(image.cmap(image.norm(image.get_array()))[0, 0], matplotlib.colormaps["RdBu_r"](0.5))


@pytest.mark.parametrize(
    ("n_filters", "grid"),
    [(1, (1, 1)), (2, (1, 2)), (4, (2, 2)), (10, (2, 5)), (11, (3, 4)), (36, (6, 6)), (100, (10, 10))],
)
def test_the_grid_is_nearly_square_and_nearly_full(n_filters, grid, rng):
    display = FilterDisplay(filters=rng.standard_normal((n_filters, 6)), image_shape=(2, 3)).plot()
    square = FilterDisplay(filters=rng.standard_normal((n_filters, 4)), image_shape=(2, 2)).plot()
    assert len(drawn(display)) == len(drawn(square)) == n_filters
    assert square.axes_.shape == grid
    assert max(*square.figure_.get_size_inches(), *display.figure_.get_size_inches()) < 9


@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("shape", [(2, 2), (3, 9), (1, 30), (30, 1), (4, 4, 3)])
def test_neighbours_do_not_overlap_and_pixels_are_square(shape, labels, rng):
    """Unless the image is a strip, in inches as they are drawn."""
    filters = rng.standard_normal((14, np.prod(shape)))
    display = FilterDisplay(filters=filters, image_shape=shape).plot(labels=labels)
    display.figure_.canvas.draw()
    boxes = [ax.get_window_extent() for ax in drawn(display)]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for ax, box in zip(drawn(display), boxes, strict=True):
        assert ax.get_tightbbox().x0 >= 0
        assert ax.get_tightbbox().y1 <= display.figure_.bbox.y1
        if 1 not in shape:
            np.testing.assert_allclose(box.height / box.width, shape[0] / shape[1], rtol=1e-3)


def test_labels_are_indices_of_units_row_by_row(pca):
    display = FilterDisplay.from_estimator(pca, image_shape=(8, 8), labels=True)
    assert [ax.get_title(loc="left") for ax in drawn(display)] == [str(unit) for unit in range(12)]


def test_the_first_max_filters_are_drawn(pca):
    display = FilterDisplay.from_estimator(pca, image_shape=(8, 8), max_filters=3)
    assert len(drawn(display)) == 3
    np.testing.assert_array_equal(image_of(drawn(display)[2])[0], pca.components_[2].reshape(8, 8))


def test_by_default_a_hundred_are(rng):
    many = Fixed(components_=rng.standard_normal((103, 4)))
    assert len(drawn(FilterDisplay.from_estimator(many, image_shape=(2, 2)))) == 100


def test_filters_in_colour():
    """One pixel red by +2, one blue by -1: the range is from -2 to 2, zero is mid grey."""
    filters = np.array([[2.0, 0, 0, 0, 0, -1]])
    display = FilterDisplay.from_estimator(Fixed(components_=filters), image_shape=(1, 2, 3))
    np.testing.assert_allclose(image_of(display.axes_[0, 0])[0], [[[1, 0.5, 0.5], [0.5, 0.5, 0.25]]])


def test_filters_of_tables_are_strips(cancer):
    pca = PCA(4).fit(cancer)
    display = FilterDisplay.from_estimator(pca, image_shape=(1, 30))
    for ax, weights in zip(drawn(display), pca.components_, strict=True):
        np.testing.assert_array_equal(image_of(ax)[0], weights[None])
        size = ax.get_window_extent().size / display.figure_.dpi
        assert size.min() > 0.5, "inches, though square pixels would make it 0.1"


@pytest.mark.parametrize("layout", [None, "constrained", "tight"])
def test_a_given_ax_is_subdivided(layout, pca, digits):
    figure, (left, right) = plt.subplots(1, 2, layout=layout)
    filters = FilterDisplay.from_estimator(pca, image_shape=(8, 8), ax=left, labels=True)
    images = ReconstructionDisplay.from_estimator(pca, digits, image_shape=(8, 8), ax=right)
    figure.canvas.draw()
    for display, ax in (filters, left), (images, right):
        assert display.figure_ is figure
        assert not ax.axison
        area = ax.get_window_extent().padded(1)
        for cell in drawn(display):
            box = cell.get_window_extent()
            assert area.x0 <= box.x0 < box.x1 <= area.x1
            assert area.y0 <= box.y0 < box.y1 <= area.y1
    with pytest.raises(ValueError, match="drawn in already"):
        FilterDisplay.from_estimator(pca, image_shape=(8, 8), ax=left)
    with pytest.raises(ValueError, match="one Axes"):
        FilterDisplay.from_estimator(pca, image_shape=(8, 8), ax=np.array([left, right]))


@pytest.mark.parametrize(
    ("image_shape", "message"),
    [
        ((8, 9), r"image_shape=\(8, 9\) makes 72 features, but there are 64.*\(1, 64\)"),
        ((8, 8, 3), r"makes 192 features, but there are 64"),
        ((64,), r"must be \(height, width\), or \(height, width, 3\) for colours, got \(64,\)"),
        ((4, 8, 2), "must be"),
        ((8.0, 8.0), "must be"),
        ((-8, -8), "must be"),
        (64, "must be .*got 64"),
        (None, "must be"),
    ],
)
def test_bad_image_shape(image_shape, message, pca, digits):
    with pytest.raises(ValueError, match=message):
        FilterDisplay.from_estimator(pca, image_shape=image_shape)
    with pytest.raises(ValueError, match=message):
        ReconstructionDisplay.from_estimator(pca, digits, image_shape=image_shape)
    assert not plt.get_fignums(), "no empty figure is left"


@pytest.mark.parametrize("count", [0, -1, 2.0, True, None, "all"])
def test_bad_counts(count, pca, digits):
    with pytest.raises(ValueError, match="max_filters must be an int of at least 1"):
        FilterDisplay.from_estimator(pca, image_shape=(8, 8), max_filters=count)
    with pytest.raises(ValueError, match="max_images must be an int of at least 1"):
        ReconstructionDisplay.from_estimator(pca, digits, image_shape=(8, 8), max_images=count)


def test_only_one_layer_has_filters(digits):
    deep = AutoencoderTransformer(3, hidden_layer_sizes=(8,), max_iter=2, random_state=0).fit(digits[:50])
    with pytest.raises(ValueError, match=r"AutoencoderTransformer has no components_.*hidden_layer_sizes=\(\)"):
        FilterDisplay.from_estimator(deep, image_shape=(8, 8))


def test_no_components(digits):
    with pytest.raises(ValueError, match="components_ of PCA are empty"):
        FilterDisplay.from_estimator(PCA(0).fit(digits), image_shape=(8, 8))


# Reconstructions.


@pytest.mark.parametrize("corrupt", [False, True])
@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_rows_above_their_reconstructions(name, corrupt, digits, rng):
    estimator = RECONSTRUCTIONS[name].fit(digits[:200])
    corrupted = rng.uniform(-1, 2, digits.shape) if corrupt else None
    display = ReconstructionDisplay.from_estimator(estimator, digits, image_shape=(8, 8), corrupted=corrupted)
    source = corrupted if corrupt else digits
    reconstruction = estimator.inverse_transform(estimator.transform(source))
    expected = {"original": digits, "corrupted": corrupted, "reconstruction": reconstruction}
    expected = {title: rows for title, rows in expected.items() if rows is not None}
    assert display.axes_.shape == (len(expected), 10)
    for axes, (title, rows) in zip(display.axes_, expected.items(), strict=True):
        assert [ax.get_title(loc="left") for ax in axes] == [title] + 9 * [""]
        for ax, row in zip(axes, rows, strict=False):
            data, limits = image_of(ax)
            np.testing.assert_allclose(data, row.reshape(8, 8), rtol=1e-12, atol=1e-15)
            assert limits == (digits[:10].min(), digits[:10].max()), "one scale, the originals'"
            assert not ax.get_xticks().size + ax.get_yticks().size
    display.figure_.canvas.draw()
    heights = [axes[0].get_window_extent().y0 for axes in display.axes_]
    assert heights == sorted(heights, reverse=True)


@pytest.mark.parametrize(("n_rows", "max_images", "n_drawn"), [(3, 10, 3), (30, 4, 4), (30, 15, 15)])
def test_the_first_max_images_are_drawn(n_rows, max_images, n_drawn, pca, digits):
    display = ReconstructionDisplay.from_estimator(pca, digits[:n_rows], image_shape=(8, 8), max_images=max_images)
    assert display.axes_.shape == (2, n_drawn)
    np.testing.assert_array_equal(image_of(display.axes_[0, -1])[0], digits[n_drawn - 1].reshape(8, 8))
    assert display.figure_.get_size_inches().max() < 9


@pytest.mark.parametrize("to", ["list", "pandas", "polars", csr_array, csc_array], ids=str)
def test_kinds_of_rows(to, digits, rng):
    """Frames are encoded as frames: another kind of rows would be warned about, as having no names."""
    X, noise = digits[:100], digits[:100] * (rng.uniform(size=(100, 64)) > 0.3)
    names = [f"pixel {index}" for index in range(64)]
    if to == "pandas":
        X, noise = (pytest.importorskip("pandas").DataFrame(rows, columns=names) for rows in (X, noise))
    elif to == "polars":
        X, noise = (pytest.importorskip("polars").DataFrame(rows, schema=names) for rows in (X, noise))
    else:
        X, noise = (rows.tolist() if to == "list" else to(rows) for rows in (X, noise))
    estimator = AutoencoderTransformer(4, max_iter=3, random_state=0).fit(X)
    if to == "pandas":
        estimator.set_output(transform="pandas")
    display = ReconstructionDisplay.from_estimator(estimator, X, corrupted=noise, image_shape=(8, 8), max_images=2)
    expected = estimator.inverse_transform(estimator.transform(noise))
    np.testing.assert_array_equal(image_of(display.axes_[0, 1])[0], digits[1].reshape(8, 8))
    np.testing.assert_allclose(image_of(display.axes_[2, 1])[0], np.asarray(expected)[1].reshape(8, 8), rtol=1e-12)
    spectrum = JacobianSpectrumDisplay.from_estimator(estimator, X).singular_values
    values = np.linalg.svd(estimator.encoder_jacobian(X), compute_uv=False).mean(axis=0)
    np.testing.assert_allclose(spectrum, values, rtol=1e-10)


def test_colour_images_are_clipped_to_the_range_of_the_originals():
    """The originals range from 1 to 3; what lies below or above is 0 or 1."""
    shift = Fixed(transform=lambda X: X, inverse_transform=lambda codes: codes + 1)
    X = np.array([[1.0, 2, 3], [2, 2, 2]])
    display = ReconstructionDisplay.from_estimator(shift, X, corrupted=X - 2, image_shape=(1, 1, 3))
    images = [[image_of(ax)[0].ravel().tolist() for ax in axes] for axes in display.axes_]
    assert images == [[[0, 0.5, 1], [0.5] * 3], [[0, 0, 0], [0] * 3], [[0, 0, 0.5], [0] * 3]]


def test_constant_originals_are_drawn(pca):
    for X, shape in (np.zeros((2, 64)), (8, 8)), (np.full((2, 48), 0.5), (4, 4, 3)):
        identity = Fixed(transform=lambda X: X, inverse_transform=lambda codes: codes)
        ReconstructionDisplay.from_estimator(identity, X, image_shape=shape).figure_.canvas.draw()


def test_bad_rows(pca, digits):
    draw = ReconstructionDisplay.from_estimator
    with pytest.raises(ValueError, match=r"corrupted has the shape \(5, 64\), but X, row for row, \(6, 64\)"):
        draw(pca, digits[:6], corrupted=digits[:5], image_shape=(8, 8))
    with pytest.raises(ValueError, match="0 sample"):
        draw(pca, digits[:0], image_shape=(8, 8))
    with pytest.raises(ValueError, match="Expected 2D array"):
        draw(pca, digits[0], image_shape=(8, 8))
    with pytest.raises(ValueError, match="NaN"):
        draw(pca, np.full((2, 64), np.nan), image_shape=(8, 8))
    halves = Fixed(transform=lambda X: X, inverse_transform=lambda codes: codes[:, :32])
    with pytest.raises(ValueError, match=r"must have X's shape, \(10, 64\), but Fixed returned \(10, 32\)"):
        draw(halves, digits, image_shape=(8, 8))


# Losses.


def test_loss_curve(digits):
    estimator = SparseAutoencoder(6, max_iter=8, random_state=0).fit(digits[:200])
    display = LossCurveDisplay.from_estimator(estimator)
    (line,) = display.ax_.lines
    assert display.lines_ == [line]
    np.testing.assert_array_equal(line.get_xdata(), range(1, len(estimator.loss_curve_) + 1))
    np.testing.assert_array_equal(line.get_ydata(), estimator.loss_curve_)
    assert display.ax_.get_xlabel() == "iteration"
    assert "penalties" in display.ax_.get_legend().get_texts()[0].get_text()


def test_the_iterate_that_early_stopping_kept_is_marked(digits):
    estimator = AutoencoderTransformer(
        30, hidden_layer_sizes=(30,), alpha=0, early_stopping=True, n_iter_no_change=5, random_state=0
    ).fit(digits[:100])
    display = LossCurveDisplay.from_estimator(estimator)
    training, validation, mark = display.ax_.lines
    np.testing.assert_array_equal(training.get_ydata(), estimator.loss_curve_)
    np.testing.assert_array_equal(validation.get_ydata(), estimator.validation_loss_curve_)
    np.testing.assert_array_equal(validation.get_xdata(), range(1, estimator.n_iter_ + 1))
    assert mark.get_ydata() == [estimator.best_validation_loss_]
    (kept,) = mark.get_xdata()
    assert estimator.validation_loss_curve_[kept - 1] == min(estimator.validation_loss_curve_)
    assert 1 < kept < estimator.n_iter_, "neither end, so that the test says something"
    texts = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert texts[2] == f"kept: iteration {kept}"
    assert "reconstruction alone" in texts[1]


@pytest.mark.parametrize(
    ("training", "validation", "scale"),
    [
        ([20.0, 3, 1.9], None, "log"),
        ([20.0, 3, 2.1], None, "linear"),
        ([20.0, 3, 2.1], [1.5, 1.0, 1.2], "log"),
        ([20.0, 3, 0], None, "linear"),
        ([20.0, 3, -1], None, "linear"),
        ([0.3], None, "linear"),
    ],
)
def test_scale_of_losses(training, validation, scale):
    estimator = Fixed(loss_curve_=training, validation_loss_curve_=validation)
    display = LossCurveDisplay.from_estimator(estimator)
    display.figure_.canvas.draw()
    assert display.ax_.get_yscale() == scale


def test_one_iteration_is_a_point(digits):
    """A line through one point is invisible."""
    display = LossCurveDisplay.from_estimator(AutoencoderTransformer(6, activation="identity").fit(digits))
    display.figure_.canvas.draw()
    assert display.lines_[0].get_marker() == "."
    low, high = display.ax_.get_xlim()
    assert [tick for tick in display.ax_.get_xticks() if low < tick < high] == [1]


def test_no_loss_curve(pca):
    with pytest.raises(ValueError, match="PCA has no loss_curve_"):
        LossCurveDisplay.from_estimator(pca)


# Spectra.


@pytest.mark.parametrize("n_components", [5, 70], ids=["narrow", "overcomplete"])
@pytest.mark.parametrize("estimator", [ContractiveAutoencoder, AutoencoderTransformer])
def test_spectrum_row_by_row(estimator, n_components, digits):
    X = digits[:20]
    estimator = estimator(n_components, max_iter=3, random_state=0).fit(X)
    display = JacobianSpectrumDisplay.from_estimator(estimator, X)
    expected = np.mean([np.linalg.svd(J, compute_uv=False) for J in estimator.encoder_jacobian(X)], axis=0)
    np.testing.assert_allclose(display.singular_values, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(display.line_.get_ydata(), display.singular_values)
    np.testing.assert_array_equal(display.line_.get_xdata(), range(1, min(n_components, 64) + 1))
    assert (np.diff(display.singular_values) <= 0).all()
    assert display.ax_.get_legend().get_texts()[0].get_text() == type(estimator).__name__


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_linear_encoder_has_the_spectrum_of_its_weights(dtype, cancer):
    X = cancer.astype(dtype)
    estimator = AutoencoderTransformer(8, activation="identity", alpha=0.1).fit(X)
    display = JacobianSpectrumDisplay.from_estimator(estimator, X)
    expected = np.linalg.svd(estimator.coefs_[0].astype(float), compute_uv=False)
    np.testing.assert_allclose(display.singular_values, expected, rtol=1e-10)


def test_the_principal_axes_are_orthonormal(cancer):
    """So at alpha=0 all singular values are one."""
    estimator = AutoencoderTransformer(8, activation="identity", alpha=0).fit(cancer)
    display = JacobianSpectrumDisplay.from_estimator(estimator, cancer)
    np.testing.assert_allclose(display.singular_values, np.ones(8), rtol=1e-10)
    assert display.ax_.get_yscale() == "linear"


def test_blocks_of_rows_bound_the_memory(rng):
    """By the Jacobians asked for at a time; the last block is smaller than the others."""
    A, B, X = rng.standard_normal((100, 500)), rng.standard_normal((100, 500)), rng.standard_normal((53, 500))
    estimator = LinearMap(A, B)
    display = JacobianSpectrumDisplay.from_estimator(estimator, X)
    assert sum(estimator.n_rows) == 53
    assert max(estimator.n_rows) * A.size <= 2**20
    expected = np.mean([np.linalg.svd(A + x[0] * B, compute_uv=False) for x in X], axis=0)
    np.testing.assert_allclose(display.singular_values, expected, rtol=1e-10)


def test_small_singular_values_keep_their_digits():
    """The eigenvalues of J J^T would lose all of 1e-12."""
    expected = np.array([1, 1e-6, 1e-12])
    display = JacobianSpectrumDisplay.from_estimator(LinearMap(np.diag(expected), np.zeros((3, 3))), np.ones((4, 3)))
    np.testing.assert_allclose(display.singular_values, expected, rtol=1e-10)
    assert display.ax_.get_yscale() == "log"


@pytest.mark.parametrize(("small", "scale"), [(0.5, "linear"), (0.05, "log")])
def test_zeros_do_not_stretch_the_scale(small, scale, rng):
    """Rank two, but for rounding, and one Jacobian that vanishes."""
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    estimator = LinearMap(rotation @ np.diag([1, small, 0, 0]) @ rotation.T, np.zeros((4, 4)))
    display = JacobianSpectrumDisplay.from_estimator(estimator, np.ones((3, 4)))
    display.figure_.canvas.draw()
    np.testing.assert_allclose(display.singular_values, [1, small, 0, 0], rtol=1e-10)
    assert (display.singular_values[2:] == 0).all()
    assert display.ax_.get_yscale() == scale
    if scale == "log":
        assert display.ax_.get_ylim()[0] > small / 2
    zero = JacobianSpectrumDisplay.from_estimator(LinearMap(np.zeros((2, 3)), np.zeros((2, 3))), np.ones((2, 3)))
    zero.figure_.canvas.draw()
    assert zero.singular_values.tolist() == [0, 0]


def test_overlaid_spectra(rng):
    """The scale suits both: each alone spans less than a decade."""
    flat = np.zeros((2, 3))
    large, small = LinearMap(np.eye(2, 3), flat), LinearMap(0.01 * np.eye(2, 3), flat)
    X = np.ones((2, 3))
    first = JacobianSpectrumDisplay.from_estimator(large, X, name="large", color="black")
    assert first.ax_.get_yscale() == "linear"
    second = JacobianSpectrumDisplay.from_estimator(small, X, ax=first.ax_)
    assert second.ax_ is first.ax_
    assert second.figure_ is first.figure_
    assert first.ax_.get_yscale() == "log"
    assert first.ax_.lines[:] == [first.line_, second.line_]
    assert first.line_.get_color() == "black"
    assert [text.get_text() for text in first.ax_.get_legend().get_texts()] == ["large", "LinearMap"]
    assert first.plot(name="again").line_.get_label() == "again"


def test_bad_rows_of_spectra(pca, digits):
    estimator = AutoencoderTransformer(3, max_iter=2, random_state=0).fit(digits[:50])
    for X, message in (digits[:, :5], "5 features"), (digits[:0], "0 sample"), (digits[0], "2D array"):
        with pytest.raises(ValueError, match=message):
            JacobianSpectrumDisplay.from_estimator(estimator, X)
    with pytest.raises(ValueError, match="PCA has no encoder_jacobian"):
        JacobianSpectrumDisplay.from_estimator(pca, digits)


# Steps of Pipelines.


@pytest.fixture(scope="module")
def pipeline(digits):
    """An autoencoder behind a scaler in a Pipeline of its own, its code scaled once more."""
    autoencoder = SparseAutoencoder(6, max_iter=8, early_stopping=True, random_state=0)
    scaled = Pipeline([("nothing", "passthrough"), ("scale", StandardScaler()), ("encode", autoencoder)])
    return make_pipeline(scaled, StandardScaler()).fit(digits[:200])


def test_losses_of_a_step(pipeline):
    display, autoencoder = LossCurveDisplay.from_estimator(pipeline), pipeline[0]["encode"]
    np.testing.assert_array_equal(display.lines_[0].get_ydata(), autoencoder.loss_curve_)
    np.testing.assert_array_equal(display.lines_[1].get_ydata(), autoencoder.validation_loss_curve_)


def test_filters_of_a_step(pipeline, digits):
    for fitted, components in (
        (pipeline, pipeline[0]["encode"].components_),
        (
            make_pipeline(MaxAbsScaler(), PCA(4)).fit(digits),
            PCA(4).fit(MaxAbsScaler().fit_transform(digits)).components_,
        ),
    ):
        display = FilterDisplay.from_estimator(fitted, image_shape=(8, 8))
        for ax, weights in zip(drawn(display), components, strict=True):
            np.testing.assert_allclose(image_of(ax)[0], weights.reshape(8, 8), rtol=1e-9, atol=1e-12)


def test_filters_behind_a_scaler_of_a_frame(digits):
    frame = pytest.importorskip("pandas").DataFrame(digits[:50], columns=[f"pixel {index}" for index in range(64)])
    fitted = make_pipeline(StandardScaler(), PCA(3)).set_output(transform="pandas").fit(frame)
    np.testing.assert_array_equal(
        FilterDisplay.from_estimator(fitted, image_shape=(8, 8)).filters, fitted[1].components_
    )


@pytest.mark.parametrize(
    ("before", "name"),
    [
        (PCA(64), "PCA"),
        (make_pipeline(StandardScaler(), PCA(64)), "PCA"),
        (FunctionTransformer(lambda X: X[:, ::-1]), "FunctionTransformer"),
    ],
)
def test_filters_of_other_features_are_no_images(before, name, digits):
    """As many as there are pixels, so that they would fit."""
    fitted = make_pipeline(before, AutoencoderTransformer(3, max_iter=2, random_state=0)).fit(digits[:100])
    with pytest.raises(
        ValueError, match=f"filters of AutoencoderTransformer are not images of the features of X: {name}, "
    ):
        FilterDisplay.from_estimator(fitted, image_shape=(8, 8))
    FilterDisplay.from_estimator(fitted[-1], image_shape=(8, 8))


def test_a_deep_autoencoder_is_not_passed_over(digits):
    deep = AutoencoderTransformer(3, hidden_layer_sizes=8, max_iter=2, random_state=0)
    fitted = make_pipeline(PCA(4), deep).fit(digits[:50])
    with pytest.raises(ValueError, match=r"^AutoencoderTransformer has no components_.*one-layer encoder"):
        FilterDisplay.from_estimator(fitted, image_shape=(2, 2))


@pytest.mark.parametrize("to", ["pandas", np.asarray, csr_array], ids=str)
def test_spectrum_of_a_step(to, digits):
    """At the rows as the steps before it make them; a block of rows at a time."""
    to = pytest.importorskip("pandas").DataFrame if to == "pandas" else to
    autoencoder = ContractiveAutoencoder(40, max_iter=3, random_state=0)
    fitted = make_pipeline(MaxAbsScaler(), autoencoder, StandardScaler()).fit(to(digits))
    display = JacobianSpectrumDisplay.from_estimator(fitted, to(digits[:500]))
    rows = digits[:500] / np.where(digits.max(axis=0) > 0, digits.max(axis=0), 1)
    expected = np.linalg.svd(fitted[1].encoder_jacobian(rows), compute_uv=False).mean(axis=0)
    np.testing.assert_allclose(display.singular_values, expected, rtol=1e-9, atol=1e-12)
    assert display.name == "ContractiveAutoencoder"


# All of them.

EVERY = {
    FilterDisplay: lambda estimator, X: FilterDisplay.from_estimator(estimator, image_shape=(8, 8)),
    ReconstructionDisplay: lambda estimator, X: ReconstructionDisplay.from_estimator(estimator, X, image_shape=(8, 8)),
    LossCurveDisplay: lambda estimator, X: LossCurveDisplay.from_estimator(estimator),
    JacobianSpectrumDisplay: JacobianSpectrumDisplay.from_estimator,
}
every_display = pytest.mark.parametrize("display", EVERY, ids=lambda display: display.__name__)


@every_display
def test_unfitted(display, digits):
    with pytest.raises(NotFittedError, match="not fitted yet"):
        EVERY[display](AutoencoderTransformer(3), digits)
    assert not plt.get_fignums()


@every_display
def test_a_pipeline_that_ends_in_a_classifier(display, digits):
    autoencoder = AutoencoderTransformer(3, max_iter=2, random_state=0)
    fitted = make_pipeline(StandardScaler(), autoencoder, GaussianNB()).fit(digits[:50], np.arange(50) % 2)
    with pytest.raises(ValueError, match=r"GaussianNB, does not transform.*an autoencoder.*pipeline\[:-1\]"):
        EVERY[display](fitted, digits[:50])
    assert not plt.get_fignums()
    EVERY[display](fitted[:-1], digits[:50])


@every_display
def test_a_pipeline_without_an_autoencoder(display, digits):
    fitted = make_pipeline(StandardScaler(), Forward()).fit(digits[:50])
    with pytest.raises(ValueError, match=r"Forward has no \w+: this display needs an autoencoder"):
        EVERY[display](fitted, digits[:50])
    with pytest.raises(ValueError, match=r"Forward has no \w+: this display needs an autoencoder"):
        EVERY[display](fitted[1], digits[:50])


@every_display
def test_frames_of_sparse_columns(display):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"a": list("pqrstuvw") * 8, "b": np.arange(64) % 56}).astype(str)
    frame = pandas.get_dummies(table, sparse=True)
    assert frame.shape == (64, 64)
    for kind in bool, int:
        X = frame.astype(pandas.SparseDtype(kind))
        EVERY[display](AutoencoderTransformer(3, max_iter=2, random_state=0).fit(X), X)


@every_display
def test_a_display_can_be_drawn_again(display, digits):
    estimator = AutoencoderTransformer(3, max_iter=2, random_state=0).fit(digits[:50])
    once = EVERY[display](estimator, digits[:3])
    figure = once.figure_
    assert once.plot() is once
    assert once.figure_ is not figure
    for drawing in figure, once.figure_:
        drawing.canvas.draw()


@every_display
def test_without_matplotlib(display, digits, monkeypatch):
    estimator = AutoencoderTransformer(3, max_iter=2, random_state=0).fit(digits[:50])
    drawn_before = EVERY[display](estimator, digits[:3])
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    for draw in (lambda: EVERY[display](estimator, digits), drawn_before.plot):
        with pytest.raises(ImportError, match=rf'{display.__name__} needs matplotlib: pip install "skae\[plot\]"'):
            draw()


def test_importing_the_module_does_not_import_matplotlib():
    script = "import sys, skae; assert 'skae.plotting' not in sys.modules; import skae.plotting; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "matplotlib" not in result.stdout.split()
