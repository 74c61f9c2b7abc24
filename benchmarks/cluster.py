"""What an evaluation on a cluster costs over one in memory, what it moves, and what that means for a hundred workers.

Value and gradient of the same rows, at the same parameters: in this process by as many threads as there are workers,
and on a `LocalCluster` of workers of one thread each. The two take turns. The bytes are those that all processes write
to sockets; what goes to a worker passes through the scheduler, and is counted twice. The agreement is of whole fits. Of
the last one, on a cluster, the draws of the noise are other ones.

The model of the scaling takes the seconds of the sweep over the rows from this machine, a latency and a cost a task
from calls that do nothing, of 2 to 64 tasks, and a cost a byte from calls that send and return parameters. The model of
threads on one machine adds to the sweep what is done once, measured on 16 rows, and the sum of as many gradients, of
which each thread has a share; it knows no limit of the memory's bandwidth. The sweep is of one thread.
"""

import sys
from statistics import median

import dask.array as da
import numpy as np
from common import interleaved, parser, print_columns, print_header, print_row, seconds_of
from distributed import Client, LocalCluster
from distributed.comm.tcp import TCP
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae._cluster.collections import loaded
from skae._network.parameters import Layout
from skae._objective.choice import objective_class
from skae._rows.blocks import rows_of
from skae._rows.threads import SERIAL, row_threads
from skae._variables.centring import search_variables
from skae._weights import Weights
from skae.dask import DaskAutoencoder
from skae.losses._choice import loss_for

SEARCHES = {"joint": False, "varpro": True}

FITS = {
    "identity (svd)": AutoencoderTransformer(10, activation="identity"),
    "identity, alpha=0.01 (svd)": AutoencoderTransformer(10, activation="identity", alpha=0.01),
    "logistic": AutoencoderTransformer(10),
    "tied": AutoencoderTransformer(10, tied_weights=True),
    "tanh, deep": AutoencoderTransformer(5, hidden_layer_sizes=20, activation="tanh"),
    "cross-entropy": AutoencoderTransformer(10, loss="cross_entropy"),
    "poisson": AutoencoderTransformer(10, loss="poisson"),
    "KL sparsity": SparseAutoencoder(20),
    "KL sparsity, tied": SparseAutoencoder(20, tied_weights=True),
    "contraction": ContractiveAutoencoder(10),
    "denoising, moments": DenoisingAutoencoder(10),
    "denoising, draws": DenoisingAutoencoder(10, corruption_level=0.5),
}


def main():
    arguments = parse()
    print_header(
        f"An evaluation on {arguments.workers} workers of one thread and on as many threads: {arguments.features} "
        f"columns, {arguments.units} logistic units, float32, medians of {arguments.repeats}",
        "dask",
        "distributed",
    )
    with (
        LocalCluster(n_workers=arguments.workers, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        print_columns(
            "rows", "search", "threads (ms)", "workers (ms)", "overhead (ms)", "overhead (%)", "MB moved", "of"
        )
        for n_rows in arguments.rows:
            for search in SEARCHES:
                run_case(client, n_rows, search, arguments)
        print()
        a_row = _seconds_a_row(arguments, 20_000)
        print_model(client, arguments, a_row)
        print()
        print_model_of_threads(arguments, a_row)
        print()
        print_fits(client)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[2000, 100_000])
    arguments.add_argument("--features", type=int, default=784)
    arguments.add_argument("--units", type=int, default=64)
    arguments.add_argument("--workers", type=int, default=2)
    arguments.add_argument("--repeats", type=int, default=15)
    return arguments.parse_args()


def run_case(client, n_rows, search, arguments):
    n_workers = arguments.workers
    random = da.random.default_rng(0).random(
        (n_rows, arguments.features), chunks=(-(-n_rows // (4 * n_workers)), -1), dtype=np.float32
    )
    X = random.compute()
    estimator = AutoencoderTransformer(arguments.units, random_state=0)
    estimator._validated(X[:1], reset=True)
    loss = loss_for("squared_error", "auto", None, None, None)
    with row_threads(n_threads=n_workers) as threads:
        rows, weights = loaded(client, random, None, estimator, loss).rows()
        there = estimator._make_problem(rows, weights, loss, None, threads)
        here = estimator._make_problem(rows_of(X), Weights(1.0, n_rows), loss, None, threads)
        objectives = {}
        for name, problem in {"threads": here, "workers": there}.items():
            cls = objective_class(problem, SEARCHES[search])
            layout = Layout(problem.architecture, cls.n_layers)
            variables, offset = search_variables(problem, layout)
            objectives[name] = cls(problem, variables, offset=offset, threads=threads)
        theta = 0.1 * np.random.default_rng(0).standard_normal(layout.size)
        seconds = interleaved(
            {name: lambda objective=objective: objective(theta) for name, objective in objectives.items()},
            arguments.repeats,
        )
        with Traffic(client) as traffic:
            for _ in range(5):
                objectives["workers"](theta)
    overhead = seconds["workers"] - seconds["threads"]
    needed = 2 * 8 * Layout(here.architecture).size * n_workers
    print_row(
        n_rows,
        search,
        f"{1e3 * seconds['threads']:.0f}",
        f"{1e3 * seconds['workers']:.0f}",
        f"{1e3 * overhead:.0f}",
        f"{100 * overhead / seconds['threads']:.0f}",
        f"{traffic.n_bytes / 5e6:.2f}",
        f"{needed / 1e6:.2f}",
    )


class Traffic:
    """Counts the bytes that this process and the workers write to sockets."""

    def __init__(self, client):
        self._client = client

    def __enter__(self):
        _count_writes()
        self._client.run(_count_writes)
        self._before = self._total()
        return self

    def __exit__(self, *exception):
        self.n_bytes = self._total() - self._before

    def _total(self):
        return TCP.n_written + sum(self._client.run(_n_written).values())


def _count_writes():
    from distributed.comm.tcp import TCP

    if hasattr(TCP, "n_written"):
        return
    write, TCP.n_written = TCP.write, 0

    async def counted(self, *arguments, **options):
        n_bytes = await write(self, *arguments, **options)
        TCP.n_written += n_bytes
        return n_bytes

    TCP.write = counted


def _n_written():
    from distributed.comm.tcp import TCP

    return TCP.n_written


def print_model(client, arguments, a_row):
    """Print the seconds of an evaluation of the joint search by rows and workers, as the measurements here suggest."""
    size = Layout(_architecture(arguments)).size
    counts, empty, n_repeats = [2, 16, 64], {}, arguments.repeats
    for n_tasks in counts:
        empty[n_tasks] = median(seconds_of(lambda: _round_trip(client, n_tasks, None)) for _ in range(n_repeats))  # noqa: B023
    a_task = (empty[64] - empty[2]) / 62
    latency = empty[2] - 2 * a_task
    theta = np.zeros(size)
    a_byte = (median(seconds_of(lambda: _round_trip(client, 16, theta)) for _ in range(n_repeats)) - empty[16]) / (
        2 * 16 * theta.nbytes
    )
    print(
        f"Model of the joint search: {1e3 * latency:.0f} ms, {1e3 * a_task:.2f} ms a task, {1e9 * a_byte:.2f} ns a "
        f"byte, {1e6 * a_row:.2f} us a row and core. Tasks and bytes pass through one scheduler; eight gradients are "
        "added up in a task.\n"
    )
    workers = [1, 2, 4, 8, 16, 32, 64, 100]
    print_columns("rows", "seconds by workers:", *workers)
    for n_rows in (10**5, 10**6, 10**7, 10**8):
        seconds = [n_rows * a_row / w + latency + w * (9 / 8 * a_task + 2 * a_byte * theta.nbytes) for w in workers]
        print_row(n_rows, "", *(f"{second:.2f}" for second in seconds))


def _architecture(arguments):
    X = np.random.default_rng(0).random((20, arguments.features), dtype=np.float32)
    estimator = AutoencoderTransformer(arguments.units)
    loss = loss_for("squared_error", "auto", None, None, None)
    with row_threads() as threads:
        return estimator._make_problem(rows_of(X), Weights(1.0, 20), loss, None, threads).architecture


def print_model_of_threads(arguments, a_row):
    """Print the same by threads of one machine, and the memory of their gradients."""
    once = 16 * (_seconds_a_row(arguments, 16) - a_row)
    gradients = list(np.ones((64, Layout(_architecture(arguments)).size)))
    a_gradient = median(seconds_of(lambda: SERIAL.total(gradients)) for _ in range(5)) / len(gradients)
    threads = [1, 2, 4, 8, 16, 32, 64]
    print(f"Model of threads: {1e3 * once:.1f} ms once, {1e3 * a_gradient:.2f} ms a gradient that is added.\n")
    print_columns("rows", "seconds by threads:", *threads)
    for n_rows in (10**5, 10**6):
        print_row(n_rows, "", *(f"{n_rows * a_row / t + once + a_gradient * (t > 1):.3f}" for t in threads))
    print_row("MB of gradients", "", *(f"{t * gradients[0].nbytes / 1e6:.0f}" for t in threads))


def _seconds_a_row(arguments, n_rows):
    X = np.random.default_rng(0).random((n_rows, arguments.features), dtype=np.float32)
    estimator, loss = AutoencoderTransformer(arguments.units), loss_for("squared_error", "auto", None, None, None)
    with row_threads(n_threads=1) as threads:
        problem = estimator._make_problem(rows_of(X), Weights(1.0, len(X)), loss, None, threads)
        variables, offset = search_variables(problem, Layout(problem.architecture))
        objective = objective_class(problem)(problem, variables, offset=offset, threads=threads)
        theta = 0.1 * np.random.default_rng(0).standard_normal(objective.size)
        return median(seconds_of(lambda: objective(theta)) for _ in range(5)) / len(X)


def _round_trip(client, n_tasks, value):
    client.gather([client.submit(_same, value, pure=False) for _ in range(n_tasks)])


def _same(value):
    return value


def print_fits(client):
    X = load_digits().data / 16
    rows = da.from_array(X, chunks=(250, 64))
    print_columns("fit on digits", "solver", "objective in memory", "on the cluster", "relative difference")
    for name, estimator in FITS.items():
        estimator = clone(estimator).set_params(random_state=0)
        there, here = DaskAutoencoder(estimator, client).fit(rows).estimator_, clone(estimator).fit(X)
        difference = there.loss_ / here.loss_ - 1
        print_row(name, here.solver_, f"{here.loss_:.6f}", f"{there.loss_:.6f}", f"{difference:.1e}")


if __name__ == "__main__":
    sys.exit(main())
