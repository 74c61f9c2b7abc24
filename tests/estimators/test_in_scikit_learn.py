"""Copies of the estimators, and the estimators inside scikit-learn: frames, Pipelines, searches, metadata routing."""

import copy
import io
import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from configurations import (
    AUTOENCODERS,
    FACTORS,
    N_FEATURES,
    N_SAMPLES,
    REGULARISERS,
    WEIGHTS,
    X,
    assert_same_model,
    configured,
    each,
    in_every_configuration,
    make,
    may_be_trivial,
)
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.decomposition import NMF, PCA, KernelPCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_is_fitted

from skae.metrics import neg_reconstruction_error, reconstruction_r2

# Copies.


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


@each
@pytest.mark.parametrize("name", ["default", "deep, tied, tanh", "poisson", "penalties"])
@pytest.mark.parametrize(
    "copied",
    [lambda estimator: pickle.loads(pickle.dumps(estimator)), through_joblib, copy.deepcopy, copy.copy],
    ids=["pickle", "joblib", "deepcopy", "copy"],
)
def test_copies_are_the_same_model(Autoencoder, name, copied):
    estimator = configured(Autoencoder, name).fit(X)
    twin = copied(estimator)
    assert_same_model(twin, estimator)
    assert_array_equal(twin.transform(X), estimator.transform(X))
    assert_array_equal(twin.feature_errors(X), estimator.feature_errors(X))
    assert str(twin.get_params()) == str(estimator.get_params())


@each
@in_every_configuration
def test_clone_has_the_parameters_and_no_fit(Autoencoder, name):
    estimator = configured(Autoencoder, name).fit(X)
    twin = clone(estimator)
    assert twin.get_params() == estimator.get_params()
    with pytest.raises(sklearn.exceptions.NotFittedError):
        check_is_fitted(twin)
    assert_same_model(twin.fit(X), estimator)


@each
def test_size_does_not_grow_with_the_rows(Autoencoder):
    few, many = (make(Autoencoder, max_iter=2).fit(rows) for rows in (X, np.tile(X, (20, 1))))
    assert abs(len(pickle.dumps(many)) - len(pickle.dumps(few))) < 100


# Inside scikit-learn.


reads_polars = pytest.mark.filterwarnings("ignore:Support for the dataframe interchange protocol")  # scikit-learn 1.7


@reads_polars
@each
def test_frame_in(Autoencoder):
    names = [f"f{i}" for i in range(N_FEATURES)]
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        estimator = make(Autoencoder, max_iter=5).fit(frame)
        assert list(estimator.feature_names_in_) == names
        assert_allclose(estimator.transform(frame), make(Autoencoder, max_iter=5).fit(X).transform(X), rtol=1e-6)


@reads_polars
@each
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_frame_out(Autoencoder, library):
    estimator = make(Autoencoder).set_output(transform=library.__name__).fit(X)
    codes = estimator.transform(X)
    assert isinstance(codes, library.DataFrame)
    assert list(codes.columns) == [f"{Autoencoder.__name__.lower()}{j}" for j in range(3)]
    assert list(codes.columns) == list(estimator.get_feature_names_out())
    assert_array_equal(codes.to_numpy(), make(Autoencoder).fit(X).transform(X))
    for reconstruction in (estimator.inverse_transform(codes), estimator.reconstruct(X)):
        assert isinstance(reconstruction, library.DataFrame)
        assert list(reconstruction.columns) == [f"x{i}" for i in range(N_FEATURES)]
        assert_array_equal(reconstruction.to_numpy(), make(Autoencoder).fit(X).reconstruct(X))


@reads_polars
@each
@pytest.mark.parametrize("library", [pd, pl], ids=["pandas", "polars"])
def test_reconstructions_have_the_names_of_the_input(Autoencoder, library):
    names = [f"feature {i}" for i in range(N_FEATURES)]
    frame = library.DataFrame(dict(zip(names, X.T, strict=True)))
    pipeline = make_pipeline(StandardScaler(), make(Autoencoder)).fit(frame)
    assert isinstance(pipeline[1].reconstruct(X), np.ndarray)
    estimator = make(Autoencoder).fit(frame).set_output(transform=library.__name__)
    reconstructions = (estimator.inverse_transform(estimator.transform(frame)), estimator.reconstruct(frame))
    for output in (*reconstructions, estimator.feature_errors(frame)):
        assert isinstance(output, library.DataFrame)
        assert list(output.columns) == names
    bare = make(Autoencoder).fit(frame)
    assert_array_equal(estimator.feature_errors(frame).to_numpy(), bare.feature_errors(frame))
    assert isinstance(bare.feature_errors(frame), np.ndarray)


@each
def test_codes_in_another_order_are_refused(Autoencoder):
    estimator = make(Autoencoder).set_output(transform="pandas").fit(X)
    codes = estimator.transform(X)
    with pytest.raises(ValueError, match="in another order: inverse_transform takes"):
        estimator.inverse_transform(codes[codes.columns[::-1]])
    renamed = codes.set_axis(list("abc"), axis=1)
    assert_array_equal(estimator.inverse_transform(renamed), estimator.inverse_transform(codes))


@each
def test_a_global_configuration_counts_too(Autoencoder):
    estimator = make(Autoencoder).fit(X)
    with sklearn.config_context(transform_output="pandas"):
        assert isinstance(estimator.reconstruct(X), pd.DataFrame)
        pipeline = make_pipeline(StandardScaler(), make(Autoencoder)).fit(X)
        decoded = pipeline.inverse_transform(pipeline.transform(X))
        in_frames = reconstruction_r2(pipeline, X)
    assert in_frames == pytest.approx(r2_score(X, decoded, multioutput="variance_weighted"))


@each
def test_frame_keeps_its_index(Autoencoder):
    frame = pd.DataFrame(X, index=np.arange(N_SAMPLES) + 100)
    estimator = make(Autoencoder).set_output(transform="pandas")
    codes = estimator.fit_transform(frame)
    errors = estimator.feature_errors(frame)
    for output in (codes, estimator.inverse_transform(codes), estimator.reconstruct(frame), errors):
        assert list(output.index) == list(frame.index)


@each
def test_refit_leaves_nothing_behind(Autoencoder):
    frame = pd.DataFrame(X, columns=[f"f{i}" for i in range(N_FEATURES)])
    estimator = make(Autoencoder, hidden_layer_sizes=(6,)).fit(frame)
    estimator.set_params(hidden_layer_sizes=(), n_components=2).fit(X[:, :5])
    fresh = make(Autoencoder, n_components=2).fit(X[:, :5])
    assert_same_model(estimator, fresh)
    assert set(vars(estimator)) == set(vars(fresh))
    assert estimator.n_features_in_ == 5


@each
def test_pipeline(Autoencoder, cancer):
    y = cancer[:, 0] > 0
    pipeline = make_pipeline(StandardScaler(), make(Autoencoder), StandardScaler(), LogisticRegression())
    assert pipeline.fit(cancer, y).score(cancer, y) > 0.75
    assert list(pipeline[:2].get_feature_names_out()) == [f"{Autoencoder.__name__.lower()}{j}" for j in range(3)]


@each
def test_pipeline_reconstructs_in_the_units_of_its_input(Autoencoder):
    data = 1000 * X + 7
    pipeline = make_pipeline(StandardScaler(), make(Autoencoder)).fit(data)
    expected = r2_score(data, pipeline.inverse_transform(pipeline.transform(data)), multioutput="variance_weighted")
    assert reconstruction_r2(pipeline, data) == pytest.approx(expected, rel=1e-10)


@may_be_trivial
@pytest.mark.parametrize(("Autoencoder", "grid"), REGULARISERS)
def test_grid_over_a_regulariser(Autoencoder, grid):
    search = GridSearchCV(make(Autoencoder, max_iter=5), {"alpha": [1e-4, 1e-2], **grid}, cv=2).fit(X)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    expected = cross_val_score(make(Autoencoder, max_iter=5).set_params(**search.best_params_), X, cv=2).mean()
    assert search.best_score_ == pytest.approx(expected)


def test_grid_over_the_reducer():
    reducers = [PCA(2), *(make(Autoencoder, n_components=2, max_iter=5) for Autoencoder in AUTOENCODERS)]
    y = FACTORS[:, 0] > 0.5
    pipeline = Pipeline([("reduce", PCA()), ("scale", StandardScaler()), ("classify", LogisticRegression())])
    search = GridSearchCV(pipeline, {"reduce": reducers, "classify__C": [1, 10]}, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert len(search.cv_results_["params"]) == 10


@pytest.mark.parametrize("scorer", [reconstruction_r2, neg_reconstruction_error])
def test_one_scorer_for_all_reducers_in_original_units(scorer, cancer):
    data = np.abs(cancer[:120] * np.geomspace(0.1, 10, cancer.shape[1]))  # NMF takes no negative values
    reducers = [
        PCA(2),
        NMF(2, max_iter=500, tol=1e-2),
        KernelPCA(2, kernel="rbf", fit_inverse_transform=True),
        *(make(Autoencoder, n_components=2) for Autoencoder in AUTOENCODERS),
    ]
    pipeline = Pipeline([("scale", None), ("reduce", None)])
    folds = [(np.arange(80), np.arange(80, 120))]
    grid = {"scale": [MinMaxScaler(clip=True), MaxAbsScaler()], "reduce": reducers}
    search = GridSearchCV(pipeline, grid, cv=folds, scoring=scorer, error_score="raise").fit(data)
    for parameters, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        fitted = clone(pipeline).set_params(**clone_values(parameters)).fit(data[:80])
        decoded = fitted.inverse_transform(fitted.transform(data[80:]))
        if scorer is reconstruction_r2:
            expected = r2_score(data[80:], decoded, multioutput="variance_weighted")
        else:
            expected = -np.square(data[80:] - decoded).sum(axis=1).mean()
        assert score == pytest.approx(expected, rel=1e-6)


def clone_values(parameters):
    return {name: clone(value) for name, value in parameters.items()}


@each
def test_the_html_links_to_the_documentation(Autoencoder):
    assert f"/generated/skae.{Autoencoder.__name__}.html" in make(Autoencoder)._repr_html_()


@each
def test_sample_weight_is_routed(Autoencoder):
    with sklearn.config_context(enable_metadata_routing=True):
        pipeline = make_pipeline(
            StandardScaler().set_fit_request(sample_weight=False),
            make(Autoencoder).set_fit_request(sample_weight=True),
            LogisticRegression().set_fit_request(sample_weight=False),
        )
        pipeline.fit(X, FACTORS[:, 0] > 0.5, sample_weight=WEIGHTS)
    direct = make(Autoencoder).fit(StandardScaler().fit_transform(X), sample_weight=WEIGHTS)
    assert_same_model(pipeline[1], direct)


@may_be_trivial
@each
def test_sample_weight_is_routed_to_the_score(Autoencoder):
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = make(Autoencoder).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        folds = [(np.arange(30), np.arange(30, 60))]
        search = GridSearchCV(estimator, {"alpha": [0.01]}, cv=folds).fit(X, sample_weight=WEIGHTS)
    direct = make(Autoencoder, alpha=0.01).fit(X[:30], sample_weight=WEIGHTS[:30])
    assert search.best_score_ == pytest.approx(direct.score(X[30:], sample_weight=WEIGHTS[30:]))
