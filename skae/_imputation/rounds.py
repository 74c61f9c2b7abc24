"""Fill, fit, fill again: the rounds by which an autoencoder learns from rows with missing entries."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.base import clone

from skae._hiding import draw_hidden

# Share of the observed entries that is hidden to choose a strength; strengths that are tried, the strongest first, in
# the unit of the columns' variances; rounds with each, which go on from those before; number of strengths in a row that
# may be worse than the best.
_SHARE, _STRENGTHS, _ROUNDS, _PATIENCE = 0.1, 2.0 ** np.arange(1, -11, -1), 3, 2

# The search does not end before the error is this share of the first filling's.
_GAIN = 0.999


@dataclass(frozen=True, eq=False)
class Rounds:
    """The state of the rounds.

    Attributes
    ----------
    filled : ndarray of shape (n_samples, n_features)
        The rows, whose missing entries are filled.

    n_iter : int
        Rounds so far.

    change : float
        Root mean square of the last round's changes.
    """

    filled: np.ndarray
    n_iter: int = 0
    change: float = np.inf

    def next(self, Z, weights, alpha):
        """Return the state after a round more."""
        raise NotImplementedError

    def autoencoder(self, alpha):
        """Return the autoencoder of the last round."""
        raise NotImplementedError

    @staticmethod
    def fill(autoencoder, Z, fillings, max_iter, tol):
        """Return rows whose missing entries are their own reconstructions, and whether all of them are, to `tol`."""
        raise NotImplementedError

    def run(self, Z, weights, alpha, max_iter, tol):
        """Return the state after at most `max_iter` rounds more, or once a round changes less than `tol`."""
        state, missing = self, np.isnan(Z)
        for _ in range(max_iter):
            following = state.next(Z, weights, alpha)
            steps = (following.filled - state.filled)[missing]
            change = float(np.sqrt(np.mean(steps**2))) if len(steps) else 0.0
            state = replace(following, n_iter=state.n_iter + 1, change=change)
            if change < tol:
                break
        return state


@dataclass(frozen=True, eq=False)
class EstimatorRounds(Rounds):
    """Rounds of any autoencoder; each of its fits goes on from the one before.

    Attributes
    ----------
    model : BaseAutoencoder or None
        Unfitted, or fitted in the last round.
    """

    model: Any = None

    def next(self, Z, weights, alpha):
        model = self.model if self.n_iter else clone(self.model)
        model.set_params(alpha=alpha).fit(self.filled, sample_weight=weights)
        # A share of the variance is resolved once, since a warm start keeps the architecture.
        model.set_params(warm_start=True, n_components=model.n_components_)
        # A constant column is filled already; what comes near it would be all that varies in a constant table.
        is_open = np.isnan(Z) & (np.ptp(self.filled, axis=0) > 0)
        filled = np.where(is_open, model.reconstruct(self.filled), self.filled)
        return replace(self, filled=filled, model=model)

    def autoencoder(self, alpha):
        return self.model.set_params(warm_start=False)

    @staticmethod
    def fill(autoencoder, Z, fillings, max_iter, tol):
        missing = np.isnan(Z)
        filled = np.where(missing, fillings, Z)
        rows = np.flatnonzero(missing.any(axis=1))
        for _ in range(max_iter):
            if not len(rows):
                break
            steps = np.where(missing[rows], autoencoder.reconstruct(filled[rows]) - filled[rows], 0.0)
            filled[rows] += steps
            # Every row stops on its own, so that it does not depend on the others.
            rows = rows[np.sqrt((steps**2).sum(axis=1) / missing[rows].sum(axis=1)) >= tol]
        return filled, not len(rows)


def choose_strength(start, Z, weights, owners, tol, rng):
    """Return the weight decay that imputes a tenth of the observed entries best, which it hides.

    Parameters
    ----------
    start : callable(Z) -> Rounds
        First state for rows with missing entries.

    owners : ndarray of shape (n_columns,)
        The column of the table that each column of Z is of: an entry is hidden in all of them.
    """
    _, firsts, column_of = np.unique(owners, return_index=True, return_inverse=True)
    hidden = draw_hidden(~np.isnan(Z[:, firsts]), _SHARE, rng)[:, column_of]
    shown = np.where(hidden, np.nan, Z)

    def error(state):
        return weights @ np.where(hidden, (state.filled - Z) ** 2, 0.0).sum(axis=1)

    state = start(shown)
    errors = [error(state)]
    for strength in _STRENGTHS:
        # What is filled is kept, the parameters are not: a constant code, of too strong a decay, would stay constant.
        state = replace(state, n_iter=0).run(shown, weights, strength, _ROUNDS, tol)
        errors.append(error(state))
        best = np.argmin(errors)
        if errors[best] < _GAIN * errors[0] and len(errors) - 1 - best == _PATIENCE:
            break
    return float(_STRENGTHS[max(np.argmin(errors) - 1, 0)])
