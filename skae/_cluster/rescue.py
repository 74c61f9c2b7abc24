"""What a fit keeps in this process, in case that the cluster loses all workers."""

import numpy as np

from skae._estimators.callbacks import NoTask
from skae._rows.threads import SERIAL
from skae._solvers.history import Watcher
from skae._training.diagnosis import share_on_rows
from skae._training.result import result_at


class Rescue(NoTask):
    """A fit whose best iterate is left if its rows are lost."""

    def __init__(self):
        self._searches = []

    def prepare(self, problem, n_samples):
        """Fetch a sample of the rows, for what is computed of them after a search. X has `n_samples` rows."""
        self._n_samples, self._sample = n_samples, problem.sample(np.random.default_rng(0))

    def searches(self, index, attributes):
        """Return the watchers of a restart; `attributes` makes fitted attributes of a TrainingResult."""
        self._searches.append(_Best(attributes))
        return self._searches[-1:]

    def fitted(self, name):
        """Return the fitted attributes of the best iterate so far, or None if there is none."""
        found = [(search.result, search.attributes) for search in self._searches if search.result is not None]
        if not found:
            return None
        result, attributes = min(found, key=lambda pair: pair[0].selection_loss)
        record = {
            "n_samples": self._n_samples,
            "explained": float(share_on_rows(self._sample, result, SERIAL)),
            "warning": f"{name} lost its workers after {result.n_iterations} iterations.",
        }
        return {**attributes(result, problem=self._sample), "_fit_record": record}


class _Best(Watcher):
    """Keeps the latest iterate, or the one that held-out rows choose."""

    def __init__(self, attributes):
        self.attributes, self._iterate = attributes, None

    def __call__(self, iterate):
        patience = iterate.history.patience
        self._iterate = iterate if patience is None else patience.best
        return False

    @property
    def result(self):
        """The TrainingResult there, or None before the first iteration."""
        return self._iterate and result_at(self._iterate)
