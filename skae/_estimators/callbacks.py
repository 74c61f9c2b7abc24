"""A fit as scikit-learn's callbacks see it: a tree of tasks; the fit, its restarts if it has any, their iterations."""

import numpy as np

from skae._solvers.history import Watcher
from skae._training.result import result_at
from skae._validation import some_rows_of


def fit_task(estimator, n_restarts, n_iterations):
    """Return the task of a fit that is about to begin: at most so many restarts, of at most so many iterations."""
    if getattr(estimator, "_skl_callbacks", None):
        return FitTask(estimator, n_restarts, n_iterations)
    return NoTask()


class NoTask:
    """A fit without callbacks."""

    def begin(self, X, given, sample_weight, rows):
        pass

    def searches(self, index, attributes):
        return []

    def end(self, fitted):
        pass


class FitTask:
    """The whole fit.

    Parameters
    ----------
    estimator : BaseAutoencoder
        Has callbacks.

    n_restarts, n_iterations : int
        At most so many.

    Notes
    -----
    The hooks get the training rows both as X and as y, so that scorers need no special case, the weights if there are
    any, and the state from which scikit-learn makes a fitted copy, if a callback asks for one. Rows that
    the fit merges, because they are equal, are shown as they were given.
    """

    def __init__(self, estimator, n_restarts, n_iterations):
        self._estimator = estimator
        self._n_restarts, self._n_iterations = n_restarts, n_iterations
        self._data = {"estimator": estimator}
        self._stop = False
        self._context = estimator._init_callback_context(
            max_subtasks=n_restarts if n_restarts > 1 else n_iterations, sequential_subtasks=n_restarts == 1
        )

    def begin(self, X, given, sample_weight, rows):
        """Begin.

        Parameters
        ----------
        X : {ndarray, CSR, FileArray}
            All rows, validated.

        given, sample_weight
            The same rows, and their weights, as they came. A frame is shown as one, for the sake of its names.

        rows : callable() -> ndarray
            Gives the indices of those trained on.
        """
        rows = rows()

        def trained_on(values):
            return values if len(rows) == X.shape[0] else some_rows_of(values, rows)

        shown = trained_on(given if hasattr(self._estimator, "feature_names_in_") else X)
        metadata = None if sample_weight is None else {"sample_weight": np.asarray(trained_on(sample_weight))}
        self._data |= {"X": shown, "y": shown, "metadata": metadata}
        self._stop = _begin(self._context, self._data)

    def searches(self, index, attributes):
        """Return the watchers of a restart; `attributes` makes fitted attributes of a TrainingResult."""
        own = None
        if self._n_restarts > 1:
            own = self._context.subcontext("restart", task_id=index, max_subtasks=self._n_iterations)
        return [SearchTask(self._context, own, self._data, attributes, self._n_iterations, self._stop)]

    def end(self, fitted):
        _end(self._context, self._data, reconstruction_attributes=fitted)


class SearchTask(Watcher):
    """Makes every iteration a task.

    Parameters
    ----------
    fit : sklearn.callback.CallbackContext

    own : sklearn.callback.CallbackContext or None
        Of one restart of several.

    data : dict
        Arguments of every hook.

    attributes : callable(TrainingResult) -> dict

    n_iterations : int
        At most so many.

    stop : bool
        Whether to stop has been asked for already: after the first iteration, then.
    """

    def __init__(self, fit, own, data, attributes, n_iterations, stop):
        self._parent, self._own = own or fit, own
        self._data = data
        self._attributes = attributes
        self._n_iterations = n_iterations
        self._stop = stop

    def open(self):
        if self._own is not None:
            self._stop |= _begin(self._own, self._data)
        self._begin_iteration()

    def _begin_iteration(self):
        self._iteration = self._parent.subcontext("iteration")
        self._stop |= _begin(self._iteration, self._data)

    def __call__(self, iterate):
        iteration, self._iteration = self._iteration, None
        self._stop |= _end(
            iteration, self._data, reconstruction_attributes=lambda: self._attributes(result_at(iterate))
        )
        if not self._stop and iterate.number < self._n_iterations:
            self._begin_iteration()
        return self._stop

    def close(self):
        """End the open tasks: the iteration that the solver abandoned, and the restart."""
        for context in (self._iteration, self._own):
            if context is not None:
                _end(context, {"estimator": self._data["estimator"]})


# A callback asks to stop by a true return value or by StopIteration, which must not reach the caller of the hook.


def _begin(context, data):
    """Call the hooks of a task's beginning; return whether one of them asked to stop."""
    try:
        context.call_on_fit_task_begin(**data)
    except StopIteration:
        return True
    return False


def _end(context, data, **state):
    """Call the hooks of a task's end; return whether one of them asked to stop."""
    try:
        return context.call_on_fit_task_end(**data, **state)
    except StopIteration:
        return True
