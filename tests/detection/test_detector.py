"""AutoencoderOutlierDetector as scikit-learn's users see it."""

import pickle
from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array, csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError, UnsetMetadataPassedError
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import check_param_validation, parametrize_with_checks

from skae import (
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
)
from skae.losses import ColumnLosses

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
NAMES = ["length", "width", "height", "weight"]


@cache
def rows(n_samples=200, seed=0):
    """Four columns that follow one factor, in units of their own."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 1)) + 0.3 * rng.normal(size=(n_samples, 4))
    X = X * [1.0, 100.0, 0.01, 10.0] + [0.0, 1e3, 0.0, -5.0]
    X.flags.writeable = False
    return X


def odd_row(column):
    """A row whose entry in one column contradicts the others."""
    X = rows()
    row = X.mean(axis=0) + X.std(axis=0)
    row[column] -= 4 * X.std(axis=0)[column]
    return row[None]


def small(Autoencoder, **parameters):
    return Autoencoder(2, max_iter=15, **parameters)


ESTIMATORS = [None, *map(small, AUTOENCODERS), make_pipeline(StandardScaler(), small(AutoencoderTransformer))]


@parametrize_with_checks([AutoencoderOutlierDetector(estimator) for estimator in ESTIMATORS[:2]])
def test_check_estimator(estimator, check):
    check(estimator)


def test_param_validation():
    check_param_validation("AutoencoderOutlierDetector", AutoencoderOutlierDetector())


# The scores ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("column", range(4))
def test_an_entry_that_contradicts_the_others_is_found(column):
    detector = AutoencoderOutlierDetector().fit(rows())
    assert detector.predict(odd_row(column)) == -1
    assert detector.explain(odd_row(column)).columns[0] == f"x{column}"
    assert detector.predict(rows().mean(axis=0)[None]) == 1


def test_scores_by_hand():
    """A linear autoencoder without decay is PCA: its errors are half the squared residuals."""
    X = rows()
    detector = AutoencoderOutlierDetector(
        make_pipeline(StandardScaler(), AutoencoderTransformer(1, activation="identity", alpha=0.0)), contamination=0.1
    ).fit(X)
    kept = X[detector.predict(X) == 1]
    # The last fit was to the rows that it calls ordinary itself.
    pca = make_pipeline(StandardScaler(), PCA(1)).fit(kept)
    scaler = pca[0]

    def errors(X):
        return 0.5 * (scaler.transform(X) - scaler.transform(pca.inverse_transform(pca.transform(X)))) ** 2

    np.testing.assert_allclose(detector.typical_errors_, errors(kept).mean(axis=0), rtol=1e-8)
    expected = errors(X) / errors(kept).mean(axis=0)
    expected = np.where(expected <= 9, expected, 6 * np.sqrt(expected) - 9)
    np.testing.assert_allclose(detector.score_samples(X), -expected.mean(axis=1), rtol=1e-8)
    np.testing.assert_allclose(detector.explain(X)[["x0", "x1", "x2", "x3"]], expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    "loss", ["poisson", "cross_entropy", ColumnLosses([("poisson", [0]), ("cross_entropy", [1, 2])])]
)
def test_errors_of_any_loss_are_what_is_lost_beyond_a_perfect_reconstruction(loss):
    """So they are at least 0, though the Poisson loss itself may be negative."""
    X = np.random.default_rng(0).integers(0, 2, size=(40, 3)).astype(float)
    X[:, 0] *= 50 if isinstance(loss, ColumnLosses) else 1
    detector = AutoencoderOutlierDetector(AutoencoderTransformer(2, loss=loss, max_iter=20, random_state=0)).fit(X)
    autoencoder = detector.estimator_
    target, output = X, np.clip(autoencoder.reconstruct(X), 1e-300, None)
    with np.errstate(divide="ignore", invalid="ignore"):
        poisson = np.nan_to_num(target * np.log(target / output)) - target + output
        cross_entropy = -np.where(target == 1, np.log(output), np.log1p(-output))
    is_count = [loss == "poisson"] * 3 if isinstance(loss, str) else [True, False, False]
    errors = np.where(is_count, poisson, cross_entropy)
    factor = np.ones(3) if isinstance(loss, str) else np.repeat([w for *_, w in autoencoder.losses_.losses], [1, 2])
    ratios = errors * factor / detector.typical_errors_
    expected = np.where(ratios <= 9, ratios, 6 * np.sqrt(ratios) - 9)
    np.testing.assert_allclose(detector.explain(X)[["x0", "x1", "x2"]], expected, atol=1e-4)


@pytest.mark.parametrize("estimator", ESTIMATORS[1:], ids=lambda estimator: type(estimator).__name__)
def test_around_any_autoencoder(estimator):
    detector = AutoencoderOutlierDetector(estimator, contamination=0.1, random_state=0).fit(rows())
    assert np.sum(detector.predict(rows()) == -1) == 20
    assert detector.estimator_ is not estimator
    assert not hasattr(estimator, "n_features_in_")


@pytest.mark.parametrize("unit", [1e-8, 1e8])
def test_units_do_not_matter(unit):
    X = rows() * np.array([1.0, unit, 1.0, 1 / unit])
    np.testing.assert_allclose(
        AutoencoderOutlierDetector().fit(X).score_samples(X),
        AutoencoderOutlierDetector().fit(rows()).score_samples(rows()),
        rtol=1e-6,
    )


def test_float32():
    X = rows().astype(np.float32)
    detector = AutoencoderOutlierDetector().fit(X)
    scores = detector.score_samples(X)
    assert scores.dtype == np.float64
    np.testing.assert_allclose(scores, AutoencoderOutlierDetector().fit(rows()).score_samples(rows()), rtol=1e-2)


def test_one_row():
    detector = AutoencoderOutlierDetector().fit([[1.0, 2.0]])
    assert detector.predict([[1.0, 2.0]]) == 1
    assert detector.predict([[1.0, 3.0]]) == -1


def test_a_constant_column_that_changes_is_odd():
    X = np.column_stack([rows(), np.ones(len(rows()))])
    row = X[[0]].copy()
    row[0, 4] = 5.0
    assert AutoencoderOutlierDetector().fit(X).explain(row).columns[0] == "x4"


@pytest.mark.parametrize("container", [csr_array, coo_array])
def test_sparse_and_dense_rows_have_the_same_scores(container):
    X = np.random.default_rng(0).poisson(0.3, size=(60, 8)).astype(float)
    dense, sparse = AutoencoderOutlierDetector().fit(X), AutoencoderOutlierDetector().fit(container(X))
    np.testing.assert_allclose(sparse.score_samples(container(X)), dense.score_samples(X), rtol=1e-8)
    assert sparse.explain(container(X)).shape == X.shape


# The threshold "auto" ------------------------------------------------------------------------------------------------


def by_pca(n_components):
    return make_pipeline(StandardScaler(), AutoencoderTransformer(n_components, activation="identity", alpha=0.0))


@pytest.mark.parametrize("n_features", [20, 200])
@pytest.mark.parametrize("estimator", [None, by_pca(15)], ids=["default", "PCA"])
def test_few_new_ordinary_rows_are_called_odd(estimator, n_features):
    """Though in these 80 training rows, of one distribution with the new ones, the errors are far smaller."""
    X = np.random.default_rng(0).normal(size=(1080, n_features))
    detector = AutoencoderOutlierDetector(estimator).fit(X[:80])
    assert np.mean(detector.predict(X[80:]) == -1) < 0.05
    assert detector.score_samples(X[80:]).mean() < 1.05 * detector.score_samples(X[:80]).mean()


def test_auto_by_hand():
    """Of five rows each is scored by the principal component of the four others, after a scaler of all."""
    X = np.array([[1.0, 2.0, 0.5], [5.0, 2.5, 1.5], [3.0, 8.0, 1.0], [4.0, 4.0, 3.0], [2.0, 7.0, 2.0]])
    detector = AutoencoderOutlierDetector(by_pca(1)).fit(X)
    scaled = StandardScaler().fit_transform(X)
    np.testing.assert_allclose(detector.estimator_[0].mean_, X.mean(axis=0))  # no row is left out

    def errors(train, rows):
        pca = PCA(1).fit(train)
        return 0.5 * (rows - pca.inverse_transform(pca.transform(rows))) ** 2

    typical = errors(scaled, scaled).mean(axis=0)
    assert typical.min() > 0.1 * typical.mean()
    ratios = [errors(np.delete(scaled, i, axis=0), scaled[[i]]) for i in range(5)] / typical
    logs = np.sort(np.log(np.where(ratios <= 9, ratios, 6 * np.sqrt(ratios) - 9).mean(axis=(1, 2))))
    fence = logs[3] + 1.5 * (logs[3] - logs[1])
    assert detector.offset_ == pytest.approx(-np.exp(min(fence, logs[4])), rel=1e-8)


def test_the_order_of_rows_does_not_matter():
    order = np.random.default_rng(0).permutation(200)
    offsets = [AutoencoderOutlierDetector().fit(X).offset_ for X in (rows(), rows()[order])]
    assert offsets[0] == pytest.approx(offsets[1], rel=1e-12)


def test_the_losses_of_the_columns_are_those_of_all_rows():
    """Without the one negative entry the integers would be counts, and no row with a negative entry could be scored."""
    frame = pd.DataFrame({"x": np.arange(40.0) % 7, "n": np.append(-1, np.arange(39) % 13)})
    detector = AutoencoderOutlierDetector(small(AutoencoderTransformer, loss="auto", random_state=0)).fit(frame)
    assert np.isfinite(detector.offset_)


def test_two_rows():
    early_stopping = small(AutoencoderTransformer, early_stopping=True, random_state=0)
    assert AutoencoderOutlierDetector(early_stopping).fit(rows()[:2]).offset_ < 0


# Odd rows among the training rows ------------------------------------------------------------------------------------


def contaminated(share):
    """Ordinary rows and a dense group of odd ones; a mask of these."""
    n_odd = round(share * 200)
    X = rows().copy()
    X[:n_odd] = odd_row(0) - [4, 0, 0, 0] + 0.1 * X.std(axis=0) * np.random.default_rng(1).normal(size=(n_odd, 4))
    return X, np.arange(200) < n_odd


def test_odd_rows_are_left_out_of_the_last_fit():
    """A tenth of the rows are far from the others in one column, alike; the scaler sees the others alone."""
    X, is_odd = contaminated(0.1)
    detector = AutoencoderOutlierDetector(contamination=0.1).fit(X)
    np.testing.assert_array_equal(detector.predict(X) == -1, is_odd)
    np.testing.assert_allclose(detector.estimator_[0].mean_, X[~is_odd].mean(axis=0), rtol=1e-9)


@pytest.mark.parametrize(("contamination", "n_parts"), [(0.5, 0), ("auto", 5)])
def test_the_number_of_fits_is_bounded(monkeypatch, contamination, n_parts):
    fits = []
    fit = AutoencoderTransformer.fit
    monkeypatch.setattr(
        AutoencoderTransformer, "fit", lambda self, X, *a, **k: fits.append(len(X)) or fit(self, X, *a, **k)
    )
    AutoencoderOutlierDetector(contamination=contamination).fit(rows())
    n_fits = len(fits) - n_parts
    assert 2 <= n_fits <= 4
    assert fits[0] == 200
    kept = fits[n_fits - 1]
    assert kept == 100 if contamination == 0.5 else 190 < kept < 200
    # Every row of the last fit is left out of one of the fits to parts.
    assert sum(kept - rest for rest in fits[n_fits:]) == (kept if n_parts else 0)


@pytest.mark.parametrize(
    ("pipeline", "odd"),
    [
        (
            make_pipeline(
                make_column_transformer((StandardScaler(), ["x"]), (OneHotEncoder(sparse_output=False), ["kind"])),
                AutoencoderTransformer(1, random_state=0),
            ),
            {"x": 300.0, "kind": "rare"},
        ),
        (
            make_pipeline(
                make_column_transformer((StandardScaler(), ["x"]), ("passthrough", ["flag"])),
                AutoencoderTransformer(1, loss="auto", random_state=0),
            ),
            {"x": 300.0, "flag": 7.0},
        ),
    ],
    ids=["category", "loss"],
)
def test_odd_rows_that_the_fit_to_the_ordinary_rows_does_not_take(pipeline, odd):
    x = rows()[:, 0]
    frame = pd.DataFrame({"x": x, "kind": np.where(x > 0, "high", "low"), "flag": (x > 0).astype(float)})
    for name, value in odd.items():
        frame.loc[0, name] = value
    with pytest.raises(ValueError, match="does not take some rows that were called odd") as raised:
        AutoencoderOutlierDetector(pipeline).fit(frame)
    assert "handle_unknown" in str(raised.value)
    AutoencoderOutlierDetector(pipeline).fit(frame[1:])


# Weights -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("routing", [False, True], ids=["", "routing"])
@pytest.mark.parametrize("estimator", [None, small(AutoencoderTransformer, random_state=0)], ids=["default", "plain"])
def test_weights_repeat_rows(estimator, routing):
    weights = np.random.default_rng(0).integers(0, 4, size=200)
    with config_context(enable_metadata_routing=routing):
        weighted = AutoencoderOutlierDetector(estimator).fit(rows(), sample_weight=weights)
        repeated = AutoencoderOutlierDetector(estimator).fit(np.repeat(rows(), weights, axis=0))
    np.testing.assert_allclose(weighted.score_samples(rows()), repeated.score_samples(rows()), rtol=1e-9)
    assert weighted.offset_ == pytest.approx(repeated.offset_, rel=1e-9)


def test_a_pipeline_passes_weights_to_every_step_that_takes_them():
    weights = np.repeat([1.0, 3.0], 100)
    pipeline = make_pipeline(FunctionTransformer(), StandardScaler(), small(AutoencoderTransformer, random_state=0))
    detector = AutoencoderOutlierDetector(pipeline).fit(rows(), sample_weight=weights)
    kept = detector.predict(rows()) == 1
    expected = np.average(rows()[kept], axis=0, weights=weights[kept])
    np.testing.assert_allclose(detector.estimator_[1].mean_, expected, rtol=1e-8)


def test_under_routing_the_steps_of_a_pipeline_request_weights():
    pipeline = make_pipeline(StandardScaler(), small(AutoencoderTransformer))
    with config_context(enable_metadata_routing=True):
        detector = AutoencoderOutlierDetector(pipeline)
        detector.fit(rows())
        with pytest.raises(UnsetMetadataPassedError):
            detector.fit(rows(), sample_weight=np.arange(200))


# Frames, names and pipelines -----------------------------------------------------------------------------------------


def test_explain_returns_a_frame_with_the_index_and_the_names():
    frame = pd.DataFrame(rows(), columns=NAMES, index=np.arange(200) + 1000)
    detector = AutoencoderOutlierDetector().fit(frame)
    explained = detector.explain(frame)
    assert explained.index.equals(frame.index)
    assert sorted(explained.columns) == sorted(NAMES)
    assert explained.mean().is_monotonic_decreasing
    np.testing.assert_allclose(explained.mean(axis=1), -detector.score_samples(frame), rtol=1e-12)
    assert list(detector.feature_names_in_) == NAMES


def test_explain_of_a_polars_frame():
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(rows(), schema=NAMES, orient="row")
    detector = AutoencoderOutlierDetector().fit(frame)
    assert isinstance(detector.explain(frame), polars.DataFrame)
    assert set(detector.explain(frame).columns) == set(NAMES)


def test_a_table_with_categories():
    """The columns are those behind the encoder, by its names."""
    frame = pd.DataFrame({"x": rows()[:, 0], "kind": np.where(rows()[:, 0] > 0, "high", "low")})
    pipeline = make_pipeline(
        make_column_transformer((StandardScaler(), ["x"]), (OneHotEncoder(sparse_output=False), ["kind"])),
        AutoencoderTransformer(1, loss="auto", random_state=0),
    )
    detector = AutoencoderOutlierDetector(pipeline).fit(frame)
    assert list(detector.feature_names_in_) == ["x", "kind"]
    wrong = pd.DataFrame({"x": [2.0], "kind": ["low"]})
    assert detector.score_samples(wrong) < detector.score_samples(wrong.assign(kind="high"))
    assert set(detector.explain(wrong)) == {"standardscaler__x", "onehotencoder__kind_high", "onehotencoder__kind_low"}


def test_texts():
    texts = ["the cat sat", "the cat ran", "a cat sat", "the dog ran"] * 5
    detector = AutoencoderOutlierDetector(make_pipeline(CountVectorizer(), small(AutoencoderTransformer))).fit(texts)
    assert set(detector.explain(["the dog sat sat sat"])) == {"the", "cat", "dog", "sat", "ran"}
    assert detector.explain(["the dog sat sat sat"]).columns[0] == "sat"


def test_a_step_without_names():
    pipeline = make_pipeline(FunctionTransformer(np.tanh), small(AutoencoderTransformer))
    explained = AutoencoderOutlierDetector(pipeline).fit(rows()).explain(rows())
    assert sorted(explained.columns) == ["x0", "x1", "x2", "x3"]


# The life of an estimator --------------------------------------------------------------------------------------------


def test_random_state_decides_everything():
    estimator = make_pipeline(StandardScaler(), small(DenoisingAutoencoder))
    first, again, other = (
        AutoencoderOutlierDetector(estimator, random_state=seed).fit(rows()).score_samples(rows()) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_an_estimator_s_own_random_state_stays():
    detector = AutoencoderOutlierDetector(small(AutoencoderTransformer, random_state=3), random_state=0).fit(rows())
    assert detector.estimator_.random_state == 3


def test_the_global_generator_is_left_alone():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    AutoencoderOutlierDetector(small(AutoencoderTransformer)).fit(rows())
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_pickle_and_clone():
    detector = AutoencoderOutlierDetector().fit(rows())
    loaded = pickle.loads(pickle.dumps(detector))
    np.testing.assert_array_equal(loaded.decision_function(rows()), detector.decision_function(rows()))
    with pytest.raises(NotFittedError):
        clone(detector).predict(rows())


def test_an_error_leaves_the_fitted_detector():
    detector = AutoencoderOutlierDetector().fit(rows())
    before = vars(detector).copy()
    with pytest.raises(ValueError, match="contains NaN"):
        detector.fit(np.full((5, 2), np.nan))
    assert vars(detector) == before


def test_an_error_leaves_a_random_state():
    random_state = np.random.RandomState(0)
    expected = np.random.RandomState(0).random_sample()
    with pytest.raises(ValueError, match="cross_entropy"):
        AutoencoderOutlierDetector(AutoencoderTransformer(loss="cross_entropy"), random_state=random_state).fit(rows())
    assert random_state.random_sample() == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"contamination": 0.0}, "'contamination' parameter"),
        ({"contamination": 0.6}, "'contamination' parameter"),
        ({"contamination": "high"}, "'contamination' parameter"),
        ({"contamination": True}, "'contamination' parameter"),
        ({"estimator": PCA()}, "'estimator' parameter"),
        ({"estimator": make_pipeline(StandardScaler(), PCA())}, r"a Pipeline whose last step is PCA\(\) instead"),
        ({"random_state": "x"}, "'random_state' parameter"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderOutlierDetector(**parameters).fit(rows())


@pytest.mark.parametrize(
    ("X", "weights", "message"),
    [
        (np.full((5, 2), np.inf), None, "contains infinity"),
        (np.array([["a", "b"]] * 3), None, "could not convert"),
        (np.ones(3), None, "Expected 2D array"),
        (np.ones((0, 3)), None, "0 sample"),
        (np.ma.masked_equal(np.eye(3), 1), None, "masked array"),
        (np.eye(3), np.zeros(3), "non-zero|only zeros"),
        (np.eye(3), np.array([1.0, -1.0, 1.0]), "[Nn]egative"),
        (np.eye(3), np.ones(2), "sample_weight.shape"),
    ],
)
def test_bad_rows_and_weights(X, weights, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderOutlierDetector().fit(X, sample_weight=weights)
