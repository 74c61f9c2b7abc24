"""Denoising on a cluster: the same expectation as in memory, by moments or over draws of each chunk."""

from dataclasses import replace

import numpy as np
import pytest
from remote_problems import CHUNKS, N_ROWS, assert_equal, evaluate, in_chunks, make_rows, problems, random_theta
from sklearn.base import clone

from skae import DenoisingAutoencoder
from skae._objective.noise import Noise
from skae._rows.blocks import DenseRows
from skae.corruption import Blur, Corruption, Masking, Swap
from skae.dask import DaskAutoencoder

WEIGHTS = np.random.default_rng(0).uniform(0, 2, N_ROWS) * (np.arange(N_ROWS) % 7 > 0)


def add_noise(X, rng):
    return X + rng.normal(size=X.shape)


@pytest.mark.parametrize(
    ("corruption", "is_projected", "is_sparse", "weights"),
    [
        ("masking", True, False, WEIGHTS),
        ("masking", True, True, None),
        ("masking", False, True, WEIGHTS),
        ("gaussian", True, False, None),
        ("gaussian", False, False, WEIGHTS),
        ("swap", True, False, WEIGHTS),
        ("salt_and_pepper", False, False, None),
    ],
)
def test_value_and_gradient_by_moments_are_those_in_memory(client, corruption, is_projected, is_sparse, weights):
    estimator = DenoisingAutoencoder(5, corruption=corruption, tied_weights=not is_projected)
    there, here = problems(client, estimator, make_rows(is_sparse), CHUNKS["odd"], weights)
    assert here.moments
    assert len(there.noise.variances) == len(here.noise.variances) > (1 if corruption != "gaussian" else 0)
    np.testing.assert_allclose(there.input_statistics.mean, here.input_statistics.mean, rtol=1e-12)
    np.testing.assert_allclose(there.input_statistics.scale, here.input_statistics.scale, rtol=1e-12)
    assert_equal(evaluate(there, is_projected, random_theta), evaluate(here, is_projected, random_theta))


@pytest.mark.parametrize("is_sparse", [False, True])
def test_there_are_as_many_groups_as_in_memory(client, is_sparse):
    """Of wide codes there are fewer."""
    there, here = problems(client, DenoisingAutoencoder(64), make_rows(is_sparse), CHUNKS["odd"], None)
    assert len(there.noise.variances) == len(here.noise.variances) in range(2, 9)


@pytest.mark.parametrize("chunks", ["one", "odd"])
@pytest.mark.parametrize(
    "estimator",
    [
        DenoisingAutoencoder(5, corruption_level=0.5),
        DenoisingAutoencoder(5, corruption="salt_and_pepper", expectation="fresh", tied_weights=True),
        DenoisingAutoencoder(5, corruption=Swap(0.5)),
        DenoisingAutoencoder(5, corruption="gaussian", expectation="fresh", loss="cross_entropy"),
        DenoisingAutoencoder(5, corruption=Masking(0.3, emphasis=(3, 1))),
        DenoisingAutoencoder(3, corruption=add_noise, hidden_layer_sizes=6),
        DenoisingAutoencoder(5, corruption=Blur((8, 8))),
    ],
    ids=["masking", "salt and pepper", "swap", "gaussian", "emphasis", "callable", "blur"],
)
def test_value_and_gradient_are_those_of_the_same_draws_in_memory(client, estimator, chunks):
    X, lengths = make_rows(), CHUNKS[chunks]
    there, here = problems(client, estimator, X, lengths, None)
    same_draws = [stored(X, lengths, draw) for draw in there.noise.inputs]
    assert len(same_draws) == (67 if there.is_drawn else 1)
    mean = np.mean([draw.X.mean(axis=0) for draw in same_draws], axis=0)
    np.testing.assert_allclose(there.input_statistics.mean, mean, rtol=1e-12)
    here = replace(here, noise=Noise(same_draws, here.noise.prepared), input_statistics=there.input_statistics)
    is_projected = there.loss.is_least_squares and not (estimator.tied_weights or there.noise.has_emphasis)
    assert_equal(evaluate(there, is_projected, random_theta), evaluate(here, is_projected, random_theta))


class Stored(DenseRows):
    """Draws in memory, with the weights of their entries."""

    def entry_weights(self, rows):
        return self.given[rows]


def stored(X, lengths, draw):
    """The Stored rows of DrawnRows: chunks of each of the pieces of these lengths, by their first rows."""
    parts = [
        (X[start : min(start + draw.chunk, first + length)], [*draw.seed, first, number])
        for first, length in zip(np.cumsum([0, *lengths[:-1]]), lengths, strict=True)
        for number, start in enumerate(range(first, first + length, draw.chunk))
    ]
    assert len(parts) > len(lengths)
    rows = Stored(np.concatenate([draw.noise.corrupt(part, np.random.default_rng(seed)) for part, seed in parts]))
    if draw.noise.has_emphasis:
        of_parts = (draw.noise.entry_weights(part.shape, X.dtype, np.random.default_rng(seed)) for part, seed in parts)
        vars(rows)["given"] = np.concatenate(list(of_parts))
    return rows


def test_swapped_entries_are_of_a_sample_of_rows(client, monkeypatch):
    monkeypatch.setattr("skae._rows.replacements._SAMPLED_ENTRIES", 64 * 20 - 1)
    X = make_rows()
    there, here = problems(client, DenoisingAutoencoder(5, corruption=Swap(1.0)), X, CHUNKS["odd"], WEIGHTS)
    sources = [noise.prepared._prepared.source for noise in (there.noise, here.noise)]
    np.testing.assert_allclose(sources[0].mean, sources[1].mean, rtol=1e-12)
    np.testing.assert_allclose(sources[0].variance, sources[1].variance, rtol=1e-12)
    every = np.ones((5000, 64), dtype=bool)
    samples = [source.replaced(np.full((5000, 64), -1.0), every, np.random.default_rng(0)) for source in sources]
    for column in range(64):
        assert np.isin(samples[0][:, column], X[WEIGHTS > 0, column]).all()
    n_values = [[len(np.unique(column)) for column in sample.T] for sample in samples]
    assert max(n_values[0]) < max(n_values[1]), "20 rows have fewer values than 257"


@pytest.mark.parametrize(
    ("estimator", "tolerance"),
    [
        (DenoisingAutoencoder(6), 1e-3),
        (DenoisingAutoencoder(6, corruption="gaussian", tied_weights=True), 1e-3),
        (DenoisingAutoencoder(6, corruption_level=0.5), 0.02),
        (DenoisingAutoencoder(6, corruption=add_noise, hidden_layer_sizes=12, loss="cross_entropy"), 0.02),
        (DenoisingAutoencoder(6, corruption="swap", expectation="fresh", tied_weights=True), 0.02),
    ],
    ids=["moments", "moments, tied", "draws", "callable", "swap"],
)
def test_fits_reach_the_objective_of_fits_in_memory(client, estimator, tolerance, monkeypatch):
    """Other draws of the noise make other objectives, but of about the same level."""
    monkeypatch.setattr("skae._rows.distinct._SMALL", 0)  # the order of the rows decides their groups
    X = make_rows()
    estimator = clone(estimator).set_params(random_state=0)
    there = DaskAutoencoder(estimator, client).fit(in_chunks(X, CHUNKS["even"])).estimator_
    here = clone(estimator).fit(X)
    assert there.solver_ == here.solver_
    np.testing.assert_allclose(there.loss_, here.loss_, rtol=tolerance)
    np.testing.assert_allclose(there.score(X), here.score(X), atol=0.02)


def test_noise_depends_on_random_state_and_chunks_alone(client):
    X = make_rows()
    estimator = DenoisingAutoencoder(6, corruption_level=0.5, max_iter=2, random_state=0)

    def loss_curve(lengths, seed=0):
        model = DaskAutoencoder(clone(estimator).set_params(random_state=seed), client)
        return np.array(model.fit(in_chunks(X, lengths)).estimator_.loss_curve_)

    first = loss_curve(CHUNKS["odd"])
    np.testing.assert_allclose(loss_curve(CHUNKS["odd"]), first, rtol=1e-8)
    for other in (loss_curve(CHUNKS["even"]), loss_curve(CHUNKS["odd"], 1)):
        assert not np.allclose(other, first, rtol=1e-5)


class Prepared(Corruption):
    """Needs all rows."""

    def prepare(self, X, weights):
        return Masking(X.max()).prepare(X, weights)

    def corrupt(self, X, rng):
        return X


class PreparedMasking(Masking):
    """Needs all rows, too."""

    def prepare(self, X, weights):
        return Masking(X.max()).prepare(X, weights)


@pytest.mark.parametrize("corruption", [Prepared(), PreparedMasking()])
def test_a_corruption_that_prepares_itself_is_refused(client, corruption):
    model = DaskAutoencoder(DenoisingAutoencoder(5, corruption=corruption), client)
    with pytest.raises(ValueError, match="does not take corruption of DenoisingAutoencoder: its method `prepare`"):
        model.fit(in_chunks(make_rows(), CHUNKS["even"]))
