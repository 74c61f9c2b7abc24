"""A few principal axes of a large X: the linear autoencoder in closed form against PCA's solvers.

`AutoencoderTransformer(k, activation="identity", alpha=0)` finds the axes of `PCA(k)`; both validate X and are timed
from call to return. The peers are `svd_solver="arpack"`, "full" (dense X alone) and "auto" ("arpack" for sparse X,
"covariance_eigh" or "randomized", which is not exact, for dense X). Dense X has directions of slowly falling variance
and noise; sparse X has rows of counts whose columns follow a power law, as words do.
"""

import numpy as np
from common import interleaved, parser, print_columns, print_header, print_row
from scipy.sparse import csr_array
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer

CASES = [
    ("dense", 3000, 3000, 10),
    ("dense", 60_000, 784, 64),
    ("dense", 2000, 10_000, 10),
    ("sparse", 3000, 3000, 10),
    ("sparse", 20_000, 5000, 10),
    ("sparse", 2000, 20_000, 10),
    ("sparse", 2000, 20_000, 100),
]


def main():
    arguments = parse()
    print_header(f"A few principal axes: {arguments.dtype}, medians of {arguments.repeats}")
    print_columns("X", "rows", "columns", "units", "skae (s)", "arpack (s)", "full (s)", "auto (s)", "skae / arpack")
    rng = np.random.default_rng(0)
    for kind, n_rows, n_columns, units in CASES:
        make = dense_rows if kind == "dense" else word_counts
        compare(kind, make(n_rows, n_columns, rng).astype(arguments.dtype), units, arguments)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--dtype", choices=["float32", "float64"], default="float64")
    arguments.add_argument("--repeats", type=int, default=3)
    arguments.add_argument(
        "--largest-full", type=float, default=3e10, help="rows x columns x smaller side, for svd_solver='full'"
    )
    return arguments.parse_args()


def dense_rows(n_rows, n_columns, rng):
    sizes = np.arange(1, 201, dtype=np.float32) ** -0.7
    X = (rng.standard_normal((n_rows, 200), np.float32) * sizes) @ rng.standard_normal((200, n_columns), np.float32)
    X += 0.3 * rng.standard_normal(X.shape, np.float32)
    return X


def word_counts(n_rows, n_columns, rng, density=0.01):
    frequencies = rng.pareto(1.2, n_columns) + 0.01
    size = int(density * n_rows * n_columns)
    columns = rng.choice(n_columns, size, p=frequencies / frequencies.sum())
    X = csr_array((np.ones(size), (rng.integers(0, n_rows, size), columns)), shape=(n_rows, n_columns))
    X.data = np.log1p(X.data)
    return X


def compare(kind, X, units, arguments):
    """Print a row."""
    solvers = ["arpack", "auto"]
    if kind == "dense" and np.prod(X.shape, dtype=float) * min(X.shape) <= arguments.largest_full:
        solvers.append("full")
    fits = {solver: lambda solver=solver: PCA(units, svd_solver=solver, random_state=0).fit(X) for solver in solvers}
    fits["skae"] = lambda: AutoencoderTransformer(units, activation="identity", alpha=0).fit(X)
    expected, found = fits["arpack"]().components_, fits["skae"]().components_
    np.testing.assert_allclose(found, expected, atol=1e-6 if X.dtype == np.float64 else 1e-3)
    seconds = interleaved(fits, arguments.repeats)
    times = [f"{seconds[name]:.2f}" if name in seconds else "" for name in ("skae", "arpack", "full", "auto")]
    print_row(kind, *X.shape, units, *times, f"{seconds['skae'] / seconds['arpack']:.2f}")


if __name__ == "__main__":
    main()
