"""A fit as scikit-learn's callbacks see it: a tree of tasks; the fit, its restarts if it has any, their iterations."""


def fit_task(estimator, n_restarts, n_iterations):
    """Return the task of a fit that is about to begin: at most so many restarts, of at most so many iterations."""
    if getattr(estimator, "_skl_callbacks", None):
        return FitTask(estimator, n_restarts, n_iterations)
    return NoTask()


class NoTask:
    """The fit that no callback looks at."""

    def begin(self, X, weights):
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
    The hooks get the rows trained on as X and as y, which a scorer of reconstructions has no other use for, the weights
    if there are any, and the state from which scikit-learn makes a fitted copy, if a callback asks for one.
    """

    def __init__(self, estimator, n_restarts, n_iterations):
        self._estimator = estimator
        self._n_restarts, self._n_iterations = n_restarts, n_iterations
        self._data = {}
        self._context = estimator._init_callback_context(
            max_subtasks=n_restarts if n_restarts > 1 else n_iterations, sequential_subtasks=n_restarts == 1
        )

    def begin(self, X, weights):
        metadata = None if weights is None else {"sample_weight": weights}
        self._data = {"estimator": self._estimator, "X": X, "y": X, "metadata": metadata}
        self._context.call_on_fit_task_begin(**self._data)

    def searches(self, index, attributes):
        """Return the watchers of a restart; `attributes` turns Parameters into the attributes of a fitted estimator."""
        own = None
        if self._n_restarts > 1:
            own = self._context.subcontext("restart", task_id=index, max_subtasks=self._n_iterations)
        return [SearchTask(self._context, own, self._data, attributes, self._n_iterations)]

    def end(self, fitted):
        self._context.call_on_fit_task_end(**self._data, reconstruction_attributes=fitted)


class SearchTask:
    """The watcher that makes every iteration a task.

    Parameters
    ----------
    fit : sklearn.callback.CallbackContext

    own : sklearn.callback.CallbackContext or None
        Of one restart of several.

    data : dict
        What every hook gets.

    attributes : callable(Parameters) -> dict

    n_iterations : int
        At most so many.
    """

    def __init__(self, fit, own, data, attributes, n_iterations):
        self._parent, self._own = own or fit, own
        self._data = data
        self._attributes = attributes
        self._n_iterations = n_iterations

    def open(self):
        if self._own is not None:
            self._own.call_on_fit_task_begin(**self._data)
        self._iteration = self._begin()

    def _begin(self):
        return self._parent.subcontext("iteration").call_on_fit_task_begin(**self._data)

    def __call__(self, iterate):
        stop = self._iteration.call_on_fit_task_end(
            **self._data, reconstruction_attributes=lambda: self._attributes(iterate.parameters)
        )
        self._iteration = None if stop or iterate.number == self._n_iterations else self._begin()
        return stop

    def close(self):
        """End what has begun: an iteration that the solver gave up, with nothing to show for it, and the restart."""
        for context in (self._iteration, self._own):
            if context is not None:
                context.call_on_fit_task_end(estimator=self._data["estimator"])
