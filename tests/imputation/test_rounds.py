"""Rounds of any autoencoder, and the choice of the strength on hidden entries."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from skae import AutoencoderTransformer
from skae._imputation.gaussian import GaussianRounds
from skae._imputation.rounds import EstimatorRounds, Rounds, choose_strength


def one_factor(noise, n_samples=150, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_samples, 1)) + noise * rng.normal(size=(n_samples, 6))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    X[rng.random(X.shape) < 0.2] = np.nan
    return X


def filled_with_zeros(Z):
    return np.where(np.isnan(Z), 0.0, Z)


@pytest.mark.parametrize("activation", ["identity", "tanh"])
def test_what_an_estimator_fills_is_its_own_reconstruction(activation):
    Z = one_factor(0.3)
    missing, weights = np.isnan(Z), np.ones(len(Z))
    model = AutoencoderTransformer(1, activation=activation, random_state=0)
    state = EstimatorRounds(filled_with_zeros(Z), model=model).run(Z, weights, 0.01, 100, 1e-4)
    assert state.change < 1e-4
    np.testing.assert_allclose(state.model.reconstruct(state.filled)[missing], state.filled[missing], atol=5e-3)
    np.testing.assert_array_equal(state.filled[~missing], Z[~missing])
    again, converged = state.fill(state.autoencoder(0.01), Z, np.zeros(6), 100, 1e-4)
    assert converged
    np.testing.assert_allclose(again, state.filled, atol=5e-3)


def test_rows_are_filled_each_on_its_own():
    Z = one_factor(0.3)
    model = AutoencoderTransformer(1, activation="tanh", alpha=0.01, random_state=0).fit(filled_with_zeros(Z))
    together, _ = EstimatorRounds.fill(model, Z, np.zeros(6), 100, 1e-3)
    alone = np.vstack([EstimatorRounds.fill(model, row[None], np.zeros(6), 100, 1e-3)[0] for row in Z])
    np.testing.assert_allclose(together, alone, atol=1e-12)


@pytest.mark.parametrize(("noise", "low", "high"), [(0.05, 0.0, 0.02), (30.0, 0.5, 2.0)])
def test_the_strength_suits_the_noise(noise, low, high):
    """Columns that tell each other need a weak decay; columns that do not are best filled with their means."""

    def start(Z):
        return GaussianRounds(filled_with_zeros(Z))

    Z = one_factor(noise)
    chosen = choose_strength(start, Z, np.ones(len(Z)), np.arange(6), 1e-3, np.random.RandomState(0))
    assert low < chosen <= high


@dataclass(frozen=True, eq=False)
class Scripted(Rounds):
    """Fills with the truth, off by |log2(alpha / best)|; of what it is shown it keeps a record."""

    truth: np.ndarray = None
    best: float = 1.0
    seen: list = field(default_factory=list)

    def next(self, Z, weights, alpha):
        self.seen.append((alpha, Z))
        return replace(self, filled=np.where(np.isnan(Z), self.truth + np.log2(alpha / self.best), Z))


@pytest.mark.parametrize("best", [2.0, 0.25, 2.0**-10])
def test_the_strength_with_the_lowest_error_on_the_hidden_entries_is_chosen(best):
    truth, seen = np.random.default_rng(0).normal(size=(40, 3)), []
    Z = np.where(np.arange(40)[:, None] < [4, 0, 0], np.nan, truth)

    def start(shown):
        return Scripted(np.where(np.isnan(shown), 50.0, shown), truth=truth, best=best, seen=seen)

    owners = np.array([0, 1, 1])
    assert choose_strength(start, Z, np.ones(40), owners, 1e-3, np.random.RandomState(0)) == best
    strengths = [alpha for alpha, _ in seen]
    assert strengths == sorted(strengths, reverse=True)
    assert min(strengths) >= best / 4  # two that are worse end it
    hidden = np.isnan(seen[0][1]) & ~np.isnan(Z)
    # A tenth of the 36 and of the 40 that are observed; the two columns of one entry together.
    assert hidden.sum(axis=0).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(hidden[:, 1], hidden[:, 2])


def test_a_constant_code_does_not_end_the_search_for_a_strength():
    """Strong decays leave a deep network constant, and its hidden entries at the means."""
    Z = one_factor(0.05)
    model = AutoencoderTransformer(1, hidden_layer_sizes=4, activation="tanh", random_state=0)

    def start(shown):
        return EstimatorRounds(filled_with_zeros(shown), model=model)

    assert choose_strength(start, Z, np.ones(len(Z)), np.arange(6), 1e-3, np.random.RandomState(0)) < 0.5
