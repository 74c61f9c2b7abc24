"""Reconstruction scores of scikit-learn's transformers and of skae's, against scikit-learn's own measures."""

import numpy as np
import pytest
from sklearn.decomposition import NMF, PCA, KernelPCA
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import skae
from skae.metrics import neg_reconstruction_error, reconstruction_r2

TRANSFORMERS = {
    "PCA": PCA(5),
    "NMF": NMF(5, init="nndsvda", max_iter=20),
    "KernelPCA": KernelPCA(5, kernel="rbf", fit_inverse_transform=True),
    "Pipeline": make_pipeline(StandardScaler(), PCA(5)),
    "Pipeline of scalers": make_pipeline(MinMaxScaler(feature_range=(3, 5)), StandardScaler(), PCA(3)),
    **{
        name: getattr(skae, name)(5, max_iter=10, random_state=0)
        for name in skae.__all__
        if name.endswith(("Autoencoder", "Transformer"))
    },
}
SCORERS = [reconstruction_r2, neg_reconstruction_error]
every_scorer = pytest.mark.parametrize("scorer", SCORERS)
every_weighting = pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])


class Constant:
    """Reconstructs every row as the same."""

    def __init__(self, row):
        self.row = row

    def transform(self, X):
        return np.asarray(X)[:, :1]

    def inverse_transform(self, codes):
        return np.tile(self.row, (len(codes), 1))


class Offset:
    """Reconstructs every row with the same error."""

    def __init__(self, error):
        self.error = error

    def transform(self, X):
        return np.asarray(X)

    def inverse_transform(self, codes):
        return codes + self.error


@pytest.fixture(scope="module", params=TRANSFORMERS)
def fitted(request, digits):
    """A transformer fitted to 200 digits, the next 100, and some weights of theirs, one of them zero."""
    weights = np.random.default_rng(0).uniform(size=100)
    weights[3] = 0
    return TRANSFORMERS[request.param].fit(digits[:200]), digits[200:300], weights


def test_skae_s_transformers_are_among_them():
    assert len(TRANSFORMERS) == 9


@every_weighting
def test_r2_is_scikit_learn_s(fitted, weighted):
    """The digits have constant columns, which do not count."""
    transformer, X, weights = fitted
    weights = weights if weighted else None
    reconstruction = transformer.inverse_transform(transformer.transform(X))
    expected = r2_score(X, reconstruction, sample_weight=weights, multioutput="variance_weighted")
    np.testing.assert_allclose(reconstruction_r2(transformer, X, sample_weight=weights), expected, rtol=1e-12)


@every_weighting
def test_error_is_scikit_learn_s_summed_over_features(fitted, weighted):
    transformer, X, weights = fitted
    weights = weights if weighted else None
    reconstruction = transformer.inverse_transform(transformer.transform(X))
    expected = -64 * mean_squared_error(X, reconstruction, sample_weight=weights)
    np.testing.assert_allclose(neg_reconstruction_error(transformer, X, sample_weight=weights), expected, rtol=1e-12)


@pytest.mark.parametrize("n_components", [1, 10, 40])
def test_on_its_training_data_PCA_scores_the_variance_that_it_explains(digits, n_components):
    pca = PCA(n_components).fit(digits)
    np.testing.assert_allclose(reconstruction_r2(pca, digits), pca.explained_variance_ratio_.sum(), rtol=1e-12)


def test_by_hand():
    """Two rows, reconstructed as (1, 0): errors of 0 + 1 and 4 + 9, variances of 1 and 1 times 2 rows."""
    X, constant = np.array([[1, 1], [3, 3]]), Constant([1.0, 0])
    assert neg_reconstruction_error(constant, X) == -7
    assert reconstruction_r2(constant, X) == 1 - 14 / 4
    assert neg_reconstruction_error(constant, X, sample_weight=[3, 1]) == -4
    assert reconstruction_r2(constant, X, sample_weight=[3, 1]) == 1 - 16 / (2 * (3 / 4 + 9 / 4))


@every_scorer
def test_scorers_take_lists_frames_and_y(scorer, digits):
    pandas = pytest.importorskip("pandas")
    X, y = digits[:50], np.zeros(50)
    pca = PCA(2).fit(X)
    assert isinstance(scorer(pca, X, y), float)
    assert scorer(pca, X, y) == scorer(pca, X.tolist()) == scorer(pca, X)
    frame = pandas.DataFrame(X, columns=[f"pixel {i}" for i in range(64)])
    assert scorer(PCA(2).fit(frame), frame) == scorer(pca, X)


@every_scorer
def test_integer_weights_repeat_rows(scorer, digits):
    X, counts = digits[:50], np.arange(50) % 3
    pca = PCA(2).fit(X)
    expected = scorer(pca, np.repeat(X, counts, axis=0))
    np.testing.assert_allclose(scorer(pca, X, sample_weight=counts), expected, rtol=1e-12)
    np.testing.assert_allclose(scorer(pca, X, sample_weight=1e3 * counts), expected, rtol=1e-12)


# Spread that is only rounding.


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1.0), (0.1, 0.0)])
@pytest.mark.parametrize("X", [np.full((5, 3), 0.1), np.zeros((4, 2)), np.array([[1.0, 2, 3]])])
def test_constant_columns_or_one_row(X, error, expected):
    """An exact reconstruction is perfect, any other no better than the mean."""
    assert reconstruction_r2(Offset(error), X) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_column_that_varies_by_rounding_does_not_count(dtype, rng):
    signal = rng.standard_normal((50, 2)).astype(dtype)
    jitter = 1000 * (1 + np.finfo(dtype).eps * rng.integers(-2, 3, (50, 1))).astype(dtype)
    assert np.ptp(jitter) > 0
    mean = Constant([0.5, 0.5, 7.0])
    expected = r2_score(signal, np.full((50, 2), 0.5), multioutput="variance_weighted")
    np.testing.assert_allclose(reconstruction_r2(mean, np.hstack([signal, jitter])), expected, rtol=1e-5)
    assert reconstruction_r2(Offset(0), jitter) == 1
    assert reconstruction_r2(Constant([np.mean(jitter, dtype=float)]), jitter) == 1


@every_scorer
def test_float32_with_a_large_mean(scorer, rng):
    """The scores of the same numbers in float64, though the squares of the mean have no digits left for the spread."""
    X = (1e4 + rng.standard_normal((300, 4)) * [1, 2, 3, 4]).astype(np.float32)
    transformer = Constant(np.full(4, 1e4 + 1, np.float32))
    np.testing.assert_allclose(scorer(transformer, X), scorer(transformer, X.astype(float)), rtol=1e-6)
    expected = r2_score(X.astype(float), np.full((300, 4), 1e4 + 1), multioutput="variance_weighted")
    np.testing.assert_allclose(reconstruction_r2(transformer, X), expected, rtol=1e-6)


def test_float32_errors_are_squared_in_float64():
    error = neg_reconstruction_error(Offset(np.float32(1e20)), np.ones((3, 2), np.float32))
    np.testing.assert_allclose(error, -2e40, rtol=1e-6)


@pytest.mark.parametrize("unit", [1e-200, 1e-30, 1e160, 1e300])
def test_r2_does_not_depend_on_the_unit(unit, rng):
    X = rng.standard_normal((30, 3))
    expected = r2_score(X, np.full((30, 3), 0.5), multioutput="variance_weighted")
    np.testing.assert_allclose(reconstruction_r2(Constant([0.5 * unit] * 3), unit * X), expected)


@every_scorer
def test_only_the_ratios_of_the_weights_matter(scorer, digits):
    X = digits[:3]
    pca = PCA(1).fit(digits[:50])
    expected = scorer(pca, X, sample_weight=[1, 2, 3])
    for unit in 1e-320, 1e-100, 5e307:
        weights = unit * np.array([1.0, 2, 3])
        np.testing.assert_allclose(scorer(pca, X, sample_weight=weights), expected, rtol=1e-3)


# In a grid, and what they refuse.


@every_scorer
def test_as_scoring_of_a_grid_over_transformers(scorer, digits):
    X, folds = digits[:150], KFold(3)
    candidates = [PCA(4), NMF(4, init="nndsvda", max_iter=20)]
    pipeline = Pipeline([("scale", MinMaxScaler(clip=True)), ("reduce", PCA())])
    grid = GridSearchCV(pipeline, {"reduce": candidates}, scoring=scorer, cv=folds, error_score="raise").fit(X)
    for candidate, score in zip(candidates, grid.cv_results_["mean_test_score"], strict=True):
        pipeline.set_params(reduce=candidate)
        expected = [scorer(pipeline.fit(X[train]), X[test]) for train, test in folds.split(X)]
        np.testing.assert_allclose(score, np.mean(expected))
    assert isinstance(grid.best_estimator_["reduce"], PCA), "no other reduction of that size has a smaller error"


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, -1, 1], "Negative values"),
        ([0, 0, 0], "only zeros|at least one non-zero"),
        ([1, np.nan, 1], "NaN"),
        ([1, 1], r"\(2,\)"),
        ([[1], [1], [1]], "1D"),
    ],
)
@every_scorer
def test_bad_weights(scorer, weights, message):
    with pytest.raises(ValueError, match=message):
        scorer(Offset(0.1), np.arange(6.0).reshape(3, 2), sample_weight=weights)


@pytest.mark.parametrize(
    ("X", "message"),
    [([[1.0, np.nan]], "contains NaN"), ([[1.0, np.inf]], "contains infinity"), ([1.0, 2], "Expected 2D array")],
)
@every_scorer
def test_bad_X(scorer, X, message):
    """Also of a transformer that would let it pass."""
    with pytest.raises(ValueError, match=message):
        scorer(Offset(0.1), X)


@every_scorer
def test_a_reconstruction_of_another_shape(scorer):
    one_row = Constant([1.0, 2])
    one_row.transform = lambda X: X[:1]
    with pytest.raises(ValueError, match=r"must have X's shape, \(3, 2\), but Constant returned \(1, 2\)"):
        scorer(one_row, np.arange(6.0).reshape(3, 2))
