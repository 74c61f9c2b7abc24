"""What one value-and-gradient costs over its own matrix products, and a whole fit over its evaluations.

The products are those that the evaluation needs mathematically, with m rows, n features and k units, timed alone on
the same shapes, dtype and number of threads, into buffers that are there already:

  joint   X W, H V, R V^T, H^T R, X^T D
  varpro  X W, H^T X, X V^T, X^T D, and of k columns on both sides H^T H and H (V V^T)

in two ways: each as one product, threaded by NumPy's BLAS, and in the very blocks of rows that skae shares out to
threads of its own. The ratio is to the faster of the two. All three take turns, inside a fit and where its search
ended, and a turn is as many calls as fill a tenth of a second. The fit is timed from call to return, start-up
included; it is cut off after `--iterations`, so a longer one has a smaller ratio.
"""

from itertools import product

import numpy as np
from common import (
    blas_threads,
    fit_and_evaluation_seconds,
    inside_fit,
    interleaved,
    load,
    parser,
    print_columns,
    print_header,
    print_row,
    print_target,
)

from skae import AutoencoderTransformer
from skae._rows.threads import row_threads
from skae.penalties import Contraction, KLSparsity

PENALTIES = {"none": (), "KL": (KLSparsity(1.0, target=0.05),), "contraction": (Contraction(0.1),)}
SOLVERS = {"joint": "lbfgs", "varpro": "varpro"}


class Products:
    """The products of one evaluation, of blocks of at most `n_rows` rows at a time; H is kept for all rows."""

    def __init__(self, X, H, n_rows, rng):
        (n, k), dtype = (X.shape[1], H.shape[1]), X.dtype
        self.X, self.H = X, H
        self.W, self.V, self.VV = (rng.uniform(-0.1, 0.1, shape).astype(dtype) for shape in [(n, k), (k, n), (k, k)])
        self.R, self.D, self.E = (np.empty((n_rows, width), dtype) for width in (n, k, k))
        self.dW, self.dV, self.gram = (np.empty(shape, dtype) for shape in [(n, k), (k, n), (k, k)])

    def joint(self, rows):
        X, H = self.X[rows], self.H[rows]
        R, D = self.R[: len(X)], self.D[: len(X)]
        np.matmul(X, self.W, out=H)
        np.matmul(H, self.V, out=R)
        np.matmul(R, self.V.T, out=D)
        np.matmul(H.T, R, out=self.dV)
        np.matmul(X.T, D, out=self.dW)

    def varpro_first(self, rows):
        X, H = self.X[rows], self.H[rows]
        np.matmul(X, self.W, out=H)
        np.matmul(H.T, H, out=self.gram)
        np.matmul(H.T, X, out=self.dV)

    def varpro_second(self, rows):
        X, H = self.X[rows], self.H[rows]
        D, E = self.D[: len(X)], self.E[: len(X)]
        np.matmul(X, self.V.T, out=D)
        np.matmul(H, self.VV, out=E)
        np.matmul(X.T, D, out=self.dW)


# The second sweep needs the V of the first one.
SWEEPS = {"joint": [Products.joint], "varpro": [Products.varpro_first, Products.varpro_second]}


def measure_evaluation(X, units, search, repeats):
    """Return a function of an objective and theta that gives the seconds of it and of its products."""
    sweeps, rng = SWEEPS[search], np.random.default_rng(0)
    H = np.empty((len(X), units), X.dtype)

    def measure(objective, theta):
        with row_threads() as threads:
            blocks_of_workers = [[rows for _, rows in worker.blocks] for worker in objective._workers]
            size = max(rows.stop - rows.start for blocks in blocks_of_workers for rows in blocks)
            workers = [(Products(X, H, size, rng), blocks) for blocks in blocks_of_workers]
            everything = Products(X, H, len(X), rng)

            def in_blocks():
                for sweep in sweeps:
                    list(threads.map(lambda work, sweep=sweep: [sweep(work[0], rows) for rows in work[1]], workers))

            def whole():
                for sweep in sweeps:
                    sweep(everything, slice(None))

            functions = {"evaluation": lambda: objective(theta), "blocks": in_blocks, "whole": whole}
            within = {"whole": lambda: blas_threads(threads.n_threads)}
            return interleaved(functions, repeats, within, at_least=0.1)

    return measure


def main():
    arguments = parse()
    print_header(
        f"One evaluation over its own matrix products: {arguments.data}, {arguments.rows} rows, logistic units, "
        f"medians of {arguments.repeats}; a fit of {arguments.iterations} iterations over its evaluations"
    )
    print_columns(
        "search",
        "penalty",
        "units",
        "dtype",
        "evaluation (ms)",
        "products whole (ms)",
        "products in blocks (ms)",
        "evaluation / products",
        "fit (s)",
        "fit / evaluations",
    )
    evaluations, fits = {}, {}
    for dtype, units in product(arguments.dtypes, arguments.units):
        X = load(arguments.data, arguments.rows, np.dtype(dtype))
        for search, penalty in product(arguments.searches, PENALTIES):
            case = f"{search}, {penalty}, {units}, {dtype}"
            evaluations[case], fits[case] = run_case(X, search, penalty, units, arguments)
    print()
    strict = {case: ratio for case, ratio in evaluations.items() if "contraction" not in case}
    loose = {case: ratio for case, ratio in evaluations.items() if "contraction" in case}
    print_target("Evaluation over its products", strict, 1.25)
    print_target("Evaluation over its products, with contraction", loose, 1.5)
    print_target("Fit over its evaluations", fits, 1.15)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=10_000)
    arguments.add_argument("--units", type=int, nargs="+", default=[64, 500])
    arguments.add_argument("--dtypes", nargs="+", default=["float32", "float64"], choices=["float32", "float64"])
    arguments.add_argument("--searches", nargs="+", default=list(SOLVERS), choices=list(SOLVERS))
    arguments.add_argument("--repeats", type=int, default=5)
    arguments.add_argument("--iterations", type=int, default=20, help="of the fit (default: %(default)s)")
    return arguments.parse_args()


def run_case(X, search, penalty, units, arguments):
    """Print a row; return the ratios of the evaluation and of the fit."""
    options = {"penalties": PENALTIES[penalty], "solver": SOLVERS[search], "tol": 0, "random_state": 0}
    short = AutoencoderTransformer(units, max_iter=3, **options)
    seconds = inside_fit(short, X, measure_evaluation(X, units, search, arguments.repeats))
    ratio = seconds["evaluation"] / min(seconds["whole"], seconds["blocks"])
    fit, evaluations = fit_and_evaluation_seconds(
        AutoencoderTransformer(units, max_iter=arguments.iterations, **options), X
    )
    print_row(
        search,
        penalty,
        units,
        X.dtype,
        *(f"{1e3 * seconds[name]:.1f}" for name in ("evaluation", "whole", "blocks")),
        f"{ratio:.2f}",
        f"{fit:.2f}",
        f"{fit / evaluations:.2f}",
    )
    return ratio, fit / evaluations


if __name__ == "__main__":
    main()
