"""Reconstruction scores of scikit-learn's transformers and of skae's, against scikit-learn's own measures."""

import doctest
import importlib.util
import inspect
import pickle
import pydoc
import tracemalloc
from copy import copy, deepcopy
from fractions import Fraction

import numpy as np
import pytest
from configurations import AUTOENCODERS, make
from scipy.sparse import coo_array, csc_matrix, csr_array, random_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.decomposition import NMF, PCA, KernelPCA, TruncatedSVD
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.metrics import mean_squared_error, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, MinMaxScaler, StandardScaler

import skae
from skae import StackedAutoencoder
from skae.metrics import feature_errors, neg_reconstruction_error, reconstruction_r2

TRANSFORMERS = {
    "PCA": PCA(5),
    "NMF": NMF(5, init="nndsvda", max_iter=20),
    "KernelPCA": KernelPCA(5, kernel="rbf", fit_inverse_transform=True),
    "Pipeline": make_pipeline(StandardScaler(), PCA(5)),
    "Pipeline of scalers": make_pipeline(MinMaxScaler(feature_range=(3, 5)), StandardScaler(), PCA(3)),
    **{Autoencoder.__name__: make(Autoencoder, n_components=5, max_iter=10) for Autoencoder in AUTOENCODERS},
    "StackedAutoencoder": StackedAutoencoder([make(Autoencoder) for Autoencoder in AUTOENCODERS[:2]], random_state=0),
}
SCORERS = [reconstruction_r2, neg_reconstruction_error]
every_scorer = pytest.mark.parametrize("scorer", SCORERS)
every_weighting = pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])


class Constant:
    """Reconstructs every row as the same."""

    def __init__(self, row):
        self.row = row

    def transform(self, X):
        return np.zeros((np.shape(X)[0], 1))

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


# Constant columns, and little spread.


@pytest.mark.parametrize(("error", "expected"), [(0.0, 1.0), (0.1, 0.0)])
@pytest.mark.parametrize("X", [np.full((5, 3), 0.1), np.zeros((4, 2)), np.array([[1.0, 2, 3]])])
def test_constant_columns_or_one_row(X, error, expected):
    """An exact reconstruction is perfect, any other no better than the mean."""
    assert reconstruction_r2(Offset(error), X) == expected


def exact_r2(X, reconstruction):
    """The variance-weighted R2 in rational arithmetic."""
    columns = [[*map(Fraction, column)] for column in np.asarray(X, float).T.tolist()]
    total = sum((x - sum(column) / len(column)) ** 2 for column in columns for x in column)
    pairs = zip(np.asarray(X, float).flat, np.asarray(reconstruction, float).flat, strict=True)
    return float(1 - sum((Fraction(x) - Fraction(y)) ** 2 for x, y in pairs) / total)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_spread_of_a_few_units_in_the_last_place_counts(dtype, rng):
    """Only a column whose minimum equals its maximum is constant."""
    unit = np.spacing(dtype(1e6))
    jitter = (1e6 + unit * rng.integers(0, 15, (60, 3))).astype(dtype)
    constant = np.full((60, 1), 7, dtype)
    X = np.hstack([jitter, constant])
    for error in 2 * unit, 3 * unit:
        expected = exact_r2(jitter, jitter + error)
        assert 0 < expected < 0.9
        np.testing.assert_allclose(reconstruction_r2(Offset(dtype(error)), X), expected, rtol=1e-9)
    assert reconstruction_r2(Offset(dtype(0)), X) == 1


def test_float32_scores_as_the_same_numbers_in_float64_do(rng):
    """Of a fitted autoencoder too, whose own mean and reconstruction are rounded to float32."""
    X = (1e6 + 0.0625 * rng.integers(0, 15, (80, 6))).astype(np.float32)
    autoencoder = skae.AutoencoderTransformer(3, activation="identity", alpha=0).fit(X)
    expected = r2_score(X.astype(float), autoencoder.reconstruct(X).astype(float), multioutput="variance_weighted")
    assert 0.3 < expected < 0.9
    np.testing.assert_allclose(autoencoder.score(X), expected, rtol=1e-9)
    np.testing.assert_allclose(reconstruction_r2(autoencoder, X), expected, rtol=1e-9)


@pytest.mark.parametrize("to", [np.asarray, csr_array, coo_array])
def test_rows_of_weight_zero_are_not_there(to, rng):
    """Neither their spread nor their size, nor an error that is infinite."""
    kept = np.hstack([rng.standard_normal((20, 2)), np.full((20, 1), 3)])
    X = np.vstack([[1e200, -1e200, 4], kept])
    weights = np.r_[0, np.ones(20)]
    for scorer in SCORERS:
        expected = scorer(Offset(0.5), kept)
        assert scorer(Constant([0.5, 0.5, 5]), to(X), sample_weight=weights) == scorer(Constant([0.5, 0.5, 5]), kept)
        np.testing.assert_allclose(scorer(Offset(0.5), X, sample_weight=weights), expected, rtol=1e-12)
    rest = r2_score(kept[:, :2], kept[:, :2] + 0.5, multioutput="variance_weighted")
    np.testing.assert_allclose(reconstruction_r2(Offset(0.5), X, sample_weight=weights), rest, rtol=1e-12)


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


# Errors entry by entry.


def test_feature_errors_by_hand():
    """An error of 0.1 behind a division by 10 is one of 1 in the units of X."""
    tenth = FunctionTransformer(lambda X: np.asarray(X) / 10, inverse_func=lambda X: 10 * X, check_inverse=False)
    pipeline = make_pipeline(tenth, FunctionTransformer(inverse_func=lambda X: X + 0.1, check_inverse=False)).fit(
        [[1, 2]]
    )
    np.testing.assert_allclose(feature_errors(pipeline, [[1, 2], [3, 4]]), np.ones((2, 2)))
    X = np.array([[1, 2.0], [3, 5]])
    np.testing.assert_array_equal(feature_errors(Constant([1, 3]), X), [[0, 1], [4, 4]])


def test_feature_errors_are_the_squared_residuals(fitted):
    transformer, X, _ = fitted
    errors = feature_errors(transformer, X)
    np.testing.assert_allclose(errors, (X - transformer.inverse_transform(transformer.transform(X))) ** 2, atol=1e-12)
    np.testing.assert_allclose(errors.sum(axis=1).mean(), -neg_reconstruction_error(transformer, X), rtol=1e-12)


@pytest.mark.parametrize("in_pipeline", [False, True])
def test_feature_errors_of_a_pandas_frame(in_pipeline, digits):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(digits[:40], columns=[f"pixel {i}" for i in range(64)], index=range(100, 140))
    transformer = PCA(3).set_output(transform="polars" if importlib.util.find_spec("polars") else "default")
    transformer = (make_pipeline(StandardScaler(), PCA(3)) if in_pipeline else transformer).fit(frame)
    errors = feature_errors(transformer, frame)
    assert type(errors) is pandas.DataFrame, "as X, whatever set_output asks for"
    assert errors.columns.equals(frame.columns)
    assert errors.index.equals(frame.index)
    bare = PCA(3).fit(digits[:40])
    bare = make_pipeline(StandardScaler(), bare).fit(digits[:40]) if in_pipeline else bare
    np.testing.assert_allclose(errors, feature_errors(bare, digits[:40]), rtol=1e-9, atol=1e-12)


def test_feature_errors_of_a_polars_frame(digits):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(digits[:40], schema=[f"pixel {i}" for i in range(64)])
    errors = feature_errors(PCA(3).fit(frame), frame)
    assert type(errors) is polars.DataFrame
    assert errors.columns == frame.columns
    np.testing.assert_allclose(errors, feature_errors(PCA(3).fit(digits[:40]), digits[:40]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("to", [csr_array, csc_matrix, coo_array])
def test_sparse_rows_have_dense_errors(to, digits):
    svd = TruncatedSVD(4, random_state=0).fit(digits)
    errors = feature_errors(svd, to(digits))
    assert type(errors) is np.ndarray
    np.testing.assert_allclose(errors, feature_errors(svd, digits), rtol=1e-9, atol=1e-12)
    # A Pipeline that keeps its rows sparse to the end.
    errors = feature_errors(make_pipeline(MaxAbsScaler()).fit(to(digits)), to(digits))
    np.testing.assert_allclose(errors, np.zeros_like(digits), atol=1e-30)


def test_errors_take_no_more_memory_than_their_result():
    """Nor do the scores of sparse rows make them dense."""
    X = random_array((20_000, 500), density=0.001, format="csr", random_state=0)
    transformer = Constant(np.zeros(500))
    dense = X.shape[0] * X.shape[1] * 8
    for score, allowed in (feature_errors, 1.2), (reconstruction_r2, 0.2), (neg_reconstruction_error, 0.2):
        tracemalloc.start()
        try:
            score(transformer, X)
            assert tracemalloc.get_traced_memory()[1] < allowed * dense
        finally:
            tracemalloc.stop()


# As scikit-learn's scorers.


@every_scorer
def test_a_scorer_is_documented_as_a_function(scorer):
    text = pydoc.render_doc(scorer, renderer=pydoc.plaintext)
    assert f"{scorer.__name__}(estimator: Any, X: " in text
    assert "sample_weight : array-like of shape (n_samples,), default=None" in text
    assert list(inspect.signature(scorer).parameters) == ["estimator", "X", "y", "sample_weight"]
    assert f"skae.metrics.{scorer.__name__}" in {test.name for test in doctest.DocTestFinder().find(skae.metrics)}


@every_scorer
def test_a_scorer_is_pickled_by_name(scorer):
    assert pickle.loads(pickle.dumps(scorer)) is scorer
    assert deepcopy(scorer) is scorer
    with config_context(enable_metadata_routing=True):
        requesting = scorer.set_score_request(sample_weight=True)
    # Workers may unpickle before they know of metadata routing.
    for copied in pickle.loads(pickle.dumps(requesting)), deepcopy(requesting), copy(requesting):
        assert repr(copied) == repr(requesting) == f"{scorer.__name__}.set_score_request(sample_weight=True)"


@every_scorer
def test_a_request_is_another_scorer_s(scorer):
    with config_context(enable_metadata_routing=True):
        requesting = scorer.set_score_request(sample_weight=True)
        assert requesting is not scorer
        assert scorer.get_metadata_routing().score.requests == {"sample_weight": None}
        assert requesting.get_metadata_routing().score.requests == {"sample_weight": True}
        refusing = requesting.set_score_request(sample_weight=False)
        assert refusing.get_metadata_routing().score.requests == {"sample_weight": False}
        assert requesting.get_metadata_routing().score.requests == {"sample_weight": True}
        with pytest.raises(ValueError, match="sample_weight"):
            scorer.set_score_request(sample_weight="not an identifier")
        with pytest.raises(TypeError):
            scorer.set_score_request(groups=True)
    with pytest.raises(RuntimeError, match="enable_metadata_routing=True"):
        scorer.set_score_request(sample_weight=True)


def direct_scores(scorer, estimator, X, weights, folds):
    """Mean scores over the folds for each code size, fitted without weights and scored with them."""
    return [
        np.mean(
            [
                scorer(
                    clone(estimator).set_params(n_components=size).fit(X[train]), X[test], sample_weight=weights[test]
                )
                for train, test in folds.split(X)
            ]
        )
        for size in (2, 5)
    ]


@pytest.mark.parametrize("n_jobs", [None, 2])
@every_scorer
def test_weights_in_a_grid_under_metadata_routing(scorer, n_jobs, digits, rng):
    X, weights, folds = digits[:150], rng.integers(0, 5, 150).astype(float), KFold(3)
    estimator = skae.AutoencoderTransformer(activation="identity")
    weighted, even = (direct_scores(scorer, estimator, X, w, folds) for w in (weights, np.ones(150)))
    assert not np.allclose(weighted, even, rtol=1e-3)
    with config_context(enable_metadata_routing=True):
        estimator = estimator.set_fit_request(sample_weight=False)

        def scores(scoring, **passed):
            grid = GridSearchCV(estimator, {"n_components": [2, 5]}, scoring=scoring, cv=folds, n_jobs=n_jobs)
            return clone(grid).fit(X, **passed).cv_results_

        requesting = scorer.set_score_request(sample_weight=True)
        results = scores(requesting, sample_weight=weights)
        np.testing.assert_allclose(results["mean_test_score"], weighted, rtol=1e-6)
        by_alias = scorer.set_score_request(sample_weight="w")
        np.testing.assert_allclose(scores(by_alias, w=weights)["mean_test_score"], weighted, rtol=1e-6)
        refusing = scorer.set_score_request(sample_weight=False)
        both = {"weighted": requesting, "even": refusing}
        results = cross_validate(
            clone(estimator).set_params(n_components=2), X, cv=folds, scoring=both, params={"sample_weight": weights}
        )
        np.testing.assert_allclose(results["test_weighted"].mean(), weighted[0], rtol=1e-6)
        np.testing.assert_allclose(results["test_even"].mean(), even[0], rtol=1e-6)
        # As with scikit-learn's scorers, weights that nobody said anything about are an error, not ignored.
        with pytest.raises(UnsetMetadataPassedError, match=rf"{scorer.__name__}\.set_score_request"):
            scores(scorer, sample_weight=weights)
        np.testing.assert_allclose(scores(scorer)["mean_test_score"], even, rtol=1e-6)


def test_weights_in_a_grid_without_metadata_routing(digits, rng):
    """They go to the fit and to every scorer, alone or one of several."""
    X, weights, folds = digits[:150], rng.integers(1, 5, 150).astype(float), KFold(3)
    estimator = skae.AutoencoderTransformer(2, activation="identity")
    expected = [
        reconstruction_r2(clone(estimator).fit(X[train], sample_weight=weights[train]), X[test], None, weights[test])
        for train, test in folds.split(X)
    ]
    alone = GridSearchCV(estimator, {}, scoring=reconstruction_r2, cv=folds).fit(X, sample_weight=weights)
    np.testing.assert_allclose(alone.best_score_, np.mean(expected), rtol=1e-9)
    scoring = {"r2": reconstruction_r2, "error": neg_reconstruction_error}
    several = GridSearchCV(estimator, {}, scoring=scoring, cv=folds, refit="r2").fit(X, sample_weight=weights)
    np.testing.assert_allclose(several.best_score_, np.mean(expected), rtol=1e-9)
