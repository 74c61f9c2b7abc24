"""Model files: pickle, joblib and skops, their size, and the version that they name."""

import io
import pickle
import re
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

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
from skae.corruption import Gaussian
from skae.losses import LOSSES, ColumnLosses
from skae.penalties import PENALTIES

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
# In the domain of every loss.
X = np.random.default_rng(0).dirichlet(np.ones(6), size=40)


def make(Autoencoder, **parameters):
    return Autoencoder(**{"n_components": 3, "max_iter": 5, "random_state": 0, **parameters})


def through_pickle(estimator):
    return pickle.loads(pickle.dumps(estimator))


def through_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


def through_skops(estimator):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(estimator)
    assert set(skops.get_untrusted_types(data=data)) <= set(published_types())
    return skops.loads(data, trusted=published_types())


def published_types():
    """The list in the documentation."""
    page = (Path(__file__).parents[2] / "doc" / "user_guide" / "model_files.rst").read_text()
    return re.findall(r"^ +\"(skae\.[\w.]+)\",$", page, re.MULTILINE)


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


def test_skops_knows_penalties_and_corruptions():
    penalties = [Penalty(0.1) for Penalty in PENALTIES.values()]
    through_skops(make(DenoisingAutoencoder, penalties=penalties, corruption=Gaussian(0.1)).fit(X))


def test_published_types_exist():
    types = published_types()
    assert len(types) == len(set(types)) > 10
    for name in types:
        module, _, part = name.rpartition(".")
        assert hasattr(pytest.importorskip(module), part)


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
