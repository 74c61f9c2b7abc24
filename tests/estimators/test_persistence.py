"""Model files: pickle, joblib and skops, their size, and the version that they name."""

import io
import pickle
import re
import warnings
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pandas.testing import assert_frame_equal

import skae
from skae import (
    AutoencoderTransformer,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
    to_mlp,
)
from skae.activations import ACTIVATIONS
from skae.corruption import CORRUPTIONS, Blur
from skae.impute import AutoencoderImputer
from skae.losses import LOSSES, ColumnLosses
from skae.penalties import PENALTIES, L1Sparsity

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
# In the domain of every loss.
X = np.random.default_rng(0).dirichlet(np.ones(6), size=40)


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": 3, "max_iter": 5, "random_state": 0, **parameters})


def through_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))


def joblib_bytes(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    return file.getvalue()


def through_joblib(estimator):
    return joblib.load(io.BytesIO(joblib_bytes(estimator)))


def through_skops(estimator):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(estimator)
    return skops.loads(data, trusted=skae.trusted_types())


each_way = pytest.mark.parametrize("way", [through_pickle, through_joblib, through_skops])


@each
@each_way
@pytest.mark.parametrize("tied", [False, True])
def test_round_trip(Autoencoder, way, tied):
    estimator = make(Autoencoder, tied_weights=tied, hidden_layer_sizes=(4,)).fit(X)
    loaded = way(estimator)
    assert_array_equal(loaded.transform(X), estimator.transform(X))
    assert_array_equal(loaded.reconstruct(X), estimator.reconstruct(X))
    assert loaded.get_params() == estimator.get_params()
    assert set(vars(loaded)) == set(vars(estimator))
    assert np.shares_memory(loaded.coefs_[0], loaded.coefs_[-1]) == tied


@each_way
def test_round_trip_of_an_unfitted_estimator(way):
    assert not hasattr(way(make(AutoencoderTransformer)), "coefs_")


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_skops_knows_every_part(activation, loss):
    through_skops(make(AutoencoderTransformer, activation=activation, loss=loss).fit(X))


@each_way
def test_a_loss_by_column(way):
    losses = ColumnLosses([("poisson", [0, 5]), ("cross_entropy", slice(1, 3)), ("squared_error", [3, 4], 2.0)])
    estimator = make(AutoencoderTransformer, loss=losses).fit(X)
    loaded = way(estimator)
    assert_array_equal(loaded.feature_errors(X), estimator.feature_errors(X))
    assert loaded.losses_ == estimator.losses_
    assert loaded.get_params() == estimator.get_params()


@pytest.mark.parametrize("link", ACTIVATIONS)
def test_skops_knows_every_link(link):
    through_skops(make(AutoencoderTransformer, output_activation=link).fit(X))


@pytest.mark.parametrize("corruption", [*(part(0.1) for part in CORRUPTIONS.values()), Blur((2, 3), 0.5)])
def test_skops_knows_penalties_and_corruptions(corruption):
    penalties = [Penalty(0.1) for Penalty in PENALTIES.values()]
    estimator = make(DenoisingAutoencoder, penalties=penalties, corruption=corruption).fit(X)
    assert through_skops(estimator).get_params() == estimator.get_params()


@pytest.mark.parametrize("estimator", [None, AutoencoderTransformer(2, loss="auto", max_iter=3)])
def test_skops_knows_the_imputer(estimator):
    frame = pd.DataFrame({"size": [1.0, 2.0, None, 4.0], "n": [1, 2, 3, 4], "kind": ["a", "b", None, "a"]})
    imputer = AutoencoderImputer(estimator, alpha=0.1, add_indicator=True, random_state=0).fit(frame)
    assert_frame_equal(through_skops(imputer).transform(frame), imputer.transform(frame))


def test_skops_knows_every_public_estimator():
    public = [
        value
        for module in (skae, skae.impute)
        for name in module.__all__
        if hasattr(value := getattr(module, name), "fit")
    ]
    assert len(public) >= 5
    assert {f"{cls.__module__}.{cls.__name__}" for cls in public} <= set(skae.trusted_types())


def test_the_documentation_prints_the_trusted_types():
    page = (Path(__file__).parents[2] / "doc" / "user_guide" / "model_files.rst").read_text()
    assert re.findall(r"^(skae\.[\w.]+)$", page, re.MULTILINE) == skae.trusted_types()


# Sizes.


@each
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("n_features", [6, 120])
def test_a_file_is_hardly_larger_than_its_arrays(Autoencoder, n_features, tied, dtype):
    rows = np.random.default_rng(0).uniform(size=(60, n_features)).astype(dtype)
    estimator = make(Autoencoder, n_components=n_features // 2, tied_weights=tied, penalties=[L1Sparsity(0.1)]).fit(
        rows
    )
    distinct = estimator.coefs_[:1] if tied else estimator.coefs_
    arrays = sum(array.nbytes for array in [*distinct, *estimator.intercepts_, estimator.mean_])
    for dump in (pickle.dumps, joblib_bytes):
        assert len(dump(estimator)) < 1.05 * arrays + 8192


def test_a_file_does_not_grow_with_the_rows():
    sizes = [len(pickle.dumps(make(DenoisingAutoencoder).fit(np.tile(X, (n, 1))))) for n in (1, 20)]
    assert sizes[1] < sizes[0] + 16


@each
def test_tied_weights_are_stored_once(Autoencoder):
    rows = np.random.default_rng(0).uniform(size=(50, 400))
    settings = {"n_components": 100, "max_iter": 1}
    tied = len(pickle.dumps(make(Autoencoder, tied_weights=True, **settings).fit(rows)))
    untied = len(pickle.dumps(make(Autoencoder, tied_weights=False, **settings).fit(rows)))
    assert tied < 0.6 * untied


@each
@each_way
def test_a_file_of_another_version_warns(Autoencoder, way, monkeypatch):
    estimator = make(Autoencoder).fit(X)
    monkeypatch.setattr("skae._estimators.fitted.__version__", "0.0.9")
    state = estimator.__getstate__()
    monkeypatch.undo()
    monkeypatch.setattr(Autoencoder, "__getstate__", lambda self: state)
    with pytest.warns(
        UserWarning, match=f"{Autoencoder.__name__} was saved by skae 0.0.9 and is loaded by skae {skae.__version__}"
    ):
        loaded = way(estimator)
    assert_array_equal(loaded.transform(X), estimator.transform(X))


@each
@each_way
def test_a_file_of_this_version_does_not_warn(Autoencoder, way):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        way(make(Autoencoder))


def test_a_file_that_names_no_version_warns():
    estimator = make(AutoencoderTransformer).fit(X)
    state = {name: value for name, value in estimator.__getstate__().items() if name != "_skae_version"}
    loaded = AutoencoderTransformer.__new__(AutoencoderTransformer)
    with pytest.warns(UserWarning, match="saved by skae of an unknown version"):
        loaded.__setstate__(state)
    assert_array_equal(loaded.transform(X), estimator.transform(X))


# Files of released versions.

STORED = sorted((Path(__file__).parent / "models").glob("skae-*.pkl"))


@pytest.mark.parametrize("file", STORED, ids=[file.stem for file in STORED])
@pytest.mark.parametrize("current", [skae.__version__, "99.0"])
def test_stored_models_load_and_give_what_they_gave(file, current, monkeypatch):
    monkeypatch.setattr("skae._estimators.fitted.__version__", current)
    version = file.stem.removeprefix("skae-")
    stored = pickle.loads(file.read_bytes())
    for data, outputs in stored["models"]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = pickle.loads(data)
        said = [
            f"saved by skae {version} and is loaded by skae {current}" in str(warning.message) for warning in caught
        ]
        assert said == ([] if version == current else [True])
        for method, expected in outputs.items():
            assert_allclose(getattr(model, method)(stored["X"]), expected, rtol=1e-10, atol=1e-12)


def test_there_are_stored_models_and_they_are_small():
    assert STORED
    assert all(file.stat().st_size < 100_000 for file in STORED)


@each_way
def test_round_trip_of_what_is_made_of_autoencoders(way):
    layers = [make(SparseAutoencoder, n_components=4), make(DenoisingAutoencoder)]
    stacked = StackedAutoencoder(layers, random_state=0).fit(X)
    assert_array_equal(way(stacked).reconstruct(X), stacked.reconstruct(X))
    for kind in ("classifier", "regressor"):
        mlp = to_mlp(stacked, kind=kind, solver="lbfgs", max_iter=5, random_state=0).fit(X, np.arange(len(X)) % 2)
        loaded = way(mlp)
        assert_array_equal(loaded.predict(X), mlp.predict(X))
        assert_array_equal(loaded.encoder.estimator.coefs_[0], stacked.coefs_[0])
