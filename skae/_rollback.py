"""An estimator that a failed fit leaves as it was."""

from contextlib import contextmanager

import numpy as np


@contextmanager
def unchanged_by_errors(estimator):
    """Give an estimator back all its attributes, and its generator its state, after an error or an interrupt."""
    before, seed = estimator.__dict__.copy(), estimator.random_state
    drawn_from = seed.get_state(legacy=False) if isinstance(seed, np.random.RandomState) else None
    try:
        yield
    except BaseException:
        estimator.__dict__.clear()
        estimator.__dict__.update(before)
        if drawn_from is not None:
            seed.set_state(drawn_from)
        raise
