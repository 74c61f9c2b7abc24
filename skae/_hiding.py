"""Observed entries that are hidden, to measure how well they are imputed."""

import numpy as np


def draw_hidden(observed, share, rng):
    """Return a mask of a share of each column's observed entries, rounded; one is hidden and one left at least.

    Of a column with fewer than two observed entries none is hidden.
    """
    hidden = np.zeros_like(observed)
    for column in range(observed.shape[1]):
        rows = np.flatnonzero(observed[:, column])
        if len(rows) > 1:
            count = min(max(1, round(share * len(rows))), len(rows) - 1)
            hidden[rng.choice(rows, count, replace=False), column] = True
    return hidden
