"""The side of the client: rows that are in the memory of a cluster's workers, and objectives over them."""

from contextlib import suppress
from functools import partial

import cloudpickle
import numpy as np
from distributed import TimeoutError as DaskTimeoutError
from distributed import wait
from scipy.sparse import issparse, vstack

from skae._cluster.parts import PartMoved, PartObjective, added, call, rows_here, values_here, weights_here
from skae._rows.blocks import rows_of
from skae._rows.joined import ReadRows
from skae._weights import Weights

# Entries of the rows that are fetched for minibatches.
_FETCHED_ENTRIES = 2**21

# Results that are added up in one task, and that the client adds up.
_FAN_IN = 8

# What a product with a vector costs besides reading the rows, in entries read: some ten milliseconds.
_LATENCY = 10_000_000

# Seconds between two looks at the workers, while the client waits for results. A cluster that has none at two of them
# has lost them.
_LOOK_SECONDS = 30


class Workers:
    """Objects in the memory of a cluster's workers, one a worker, and calls of their methods.

    Parameters
    ----------
    client : distributed.Client

    futures : list of Future
        The objects.

    addresses : list of str
        Where they were put. The scheduler may make them again elsewhere.
    """

    def __init__(self, client, futures, addresses):
        self.client, self.futures, self._addresses = client, futures, addresses

    def total(self, method, *arguments):
        """Return the sum of the results of a method; many results are added up on the workers, in a tree."""
        futures = self._calls(method, [arguments] * len(self.futures))
        while len(futures) > _FAN_IN:
            groups = [futures[first : first + _FAN_IN] for first in range(0, len(futures), _FAN_IN)]
            futures = [self.client.submit(added, group, pure=False) for group in groups]
        return added(results_of(self.client, futures))

    def each(self, method, *arguments):
        """Return the results of a method, one an object; every argument is a list of one value an object."""
        every = list(zip(*arguments, strict=True)) or [()] * len(self.futures)
        return results_of(self.client, self._calls(method, every))

    def made(self, function, *arguments):
        """Return the Workers of the results of a function of the objects."""
        return Workers(self.client, self._submitted(function, [arguments] * len(self.futures)), self._addresses)

    def _calls(self, method, every):
        return self._submitted(call, [(method, *arguments) for arguments in every])

    def _submitted(self, function, every):
        return [
            self.client.submit(function, future, *arguments, workers=[address], allow_other_workers=True, pure=False)
            for future, address, arguments in zip(self.futures, self._addresses, every, strict=True)
        ]


class NoWorkersError(RuntimeError):
    """The cluster has no workers left."""


def results_of(client, futures):
    """Return the results of futures. NoWorkersError if the cluster has no workers left to compute them."""
    await_all(client, futures)
    return client.gather(futures)


def await_all(client, futures):
    """Wait for the results of futures. NoWorkersError if the cluster has no workers left to compute them."""
    had_workers = True
    while True:
        try:
            wait(futures, timeout=_LOOK_SECONDS)
            return
        except DaskTimeoutError:
            has_workers = bool(client.nthreads())
            if not (had_workers or has_workers):
                raise NoWorkersError(
                    f"The cluster has no workers left, and got none within {_LOOK_SECONDS} seconds."
                ) from None
            had_workers = has_workers


class RemoteRows(ReadRows):
    """Rows in the memory of a cluster's workers. In a function that is sent there they are the rows of the part there.

    Parameters
    ----------
    parts : Workers
        Of the Parts.

    places : list of Places
        Where the rows of each part are among these.

    meta : {ndarray, CSR} of shape (0, n_features)
        Of the type and dtype of the rows.
    """

    are_at_hand = False

    def __init__(self, parts, places, meta):
        super().__init__(meta)
        vars(self).update(parts=parts, _places=places, _n_rows=sum(map(len, places)))

    def __reduce__(self):
        return rows_here, ()

    @property
    def shape(self):
        return len(self), self.X.shape[1]

    def __len__(self):
        return self._n_rows

    def sum(self, part, threads, axis=0, read=None):
        if axis:
            raise self._too_wide()
        return self.parts.total("sum", cloudpickle.dumps((part, read)))

    def where(self, part, threads):
        pickled = [cloudpickle.dumps(part)] * len(self._places)
        return np.sort(np.concatenate(self.parts.each("where", pickled)))

    def extremes(self):
        return self.extremes_of(None)

    def extremes_of(self, read):
        pickled = [cloudpickle.dumps(read)] * len(self._places)
        low, high = zip(*self.parts.each("extremes", pickled), strict=True)
        return np.min(low, axis=0), np.max(high, axis=0)

    def values(self, function):
        return RemoteValues(function)

    @property
    def n_fetched(self):
        return min(len(self), max(16, _FETCHED_ENTRIES // self.shape[1]))

    def objective_over(self, objective_class):
        return type(f"Remote{objective_class.__name__}", (_Remote, objective_class), {"over_part": objective_class})

    def take(self, rows):
        """Return the rows of an array of increasing indices, in this process."""
        return rows_of(self._fetched("taken", rows))

    def weights_of(self, rows):
        """Return the weights of an array of increasing indices."""
        return self._fetched("weights_of", rows)

    def firsts_of(self, rows):
        """Return the numbers in X of some rows, an array of increasing indices."""
        return self._fetched("firsts_of", rows)

    def _fetched(self, method, rows):
        """Return what a method of the parts gives for their own ones of some rows, in the order of these."""
        locations = [places.within(rows) for places in self._places]
        arrays = self.parts.each(method, [own for _, own in locations])
        joined = vstack(arrays, format="csr") if issparse(arrays[0]) else np.concatenate(arrays)
        return joined[np.argsort(np.concatenate([places for places, _ in locations]))]

    def _read(self, rows):
        return self.take(np.arange(*rows.indices(len(self)))), slice(None)

    def _too_wide(self):
        return ValueError(
            f"X has fewer rows ({len(self)}) than columns ({self.shape[1]}), and its principal axes are needed. This "
            "is for more rows: fit the estimator itself, with X in memory."
        )

    def dense_columns(self, columns):
        raise self._too_wide()

    def combine(self, coefficients, mean, threads):
        raise self._too_wide()

    @property
    def n_read(self):
        return max(map(len, self._places)) * self.shape[1] + _LATENCY

    @property
    def n_read_once(self):
        return self.parts.total("n_read")


class RemoteWeights:
    """The weights of RemoteRows. In a function that is sent to the workers they are the weights of the part there.

    Parameters
    ----------
    rows : RemoteRows

    divisor : float, default=1.0
        They are divided by it.

    removed : ndarray of int, default=()
        Increasing indices of rows that have weight zero.
    """

    def __init__(self, rows, divisor=1.0, removed=()):
        self._rows, self._divisor, self._removed = rows, divisor, np.asarray(removed, dtype=int)
        self._total = None

    def __reduce__(self):
        return weights_here, (self._divisor, self._removed)

    def __len__(self):
        return len(self._rows)

    def __truediv__(self, divisor):
        result = RemoteWeights(self._rows, self._divisor * divisor, self._removed)
        result._total = None if self._total is None else self._total / divisor
        return result

    def without(self, rows):
        """Return the same with zeros at some rows, an array of increasing indices."""
        return RemoteWeights(self._rows, self._divisor, rows)

    def select(self, rows):
        """Return the Weights, in this process, of an array of increasing indices."""
        return Weights(self._rows.weights_of(rows) / self._divisor)

    def sum(self):
        if self._total is None:
            weights = self
            self._total = float(self._rows.sum(lambda block: weights[block].sum(), None))
        return self._total


class RemoteValues:
    """Numbers, one a row, of a function of the rows. They are computed where it is unpickled, and only there.

    Parameters
    ----------
    function : callable(Rows, slice) -> ndarray of shape (n_rows,)
    """

    def __init__(self, function):
        self._function = function

    def __reduce__(self):
        return values_here, (self._function,)


class _Remote:
    """What an objective does otherwise if its rows are in the memory of workers: their parts have objectives there."""

    def _lay_out_rows(self, block_size):
        make = partial(
            self.over_part,
            self._problem,
            self._variables,
            offset=self._offset,
            total_weight=self._problem.weights.sum(),
        )
        self._on_parts = self._problem.targets.parts.made(PartObjective, cloudpickle.dumps(make))
        self._number = 0

    def statistics_at(self, theta):
        self._theta, self._number = theta, self._number + 1
        return super().statistics_at(theta)

    def _statistics(self):
        return self._on_parts.total("statistics_at", self._theta, self._number)

    def _after_first_sweep(self, statistics):
        self._all_statistics = statistics
        return super()._after_first_sweep(statistics)

    def _gradients(self):
        return self._second_sweep("gradients")

    def _values(self):
        return self._second_sweep("values")

    def _second_sweep(self, name):
        arguments = self._number, self._all_statistics
        if self._all_statistics:  # from a first sweep the parts know theta
            with suppress(PartMoved):
                return self._on_parts.total(f"{name}_after", *arguments)
        return self._on_parts.total(f"{name}_at", self._theta, *arguments)
