"""What early stopping costs: a fit that watches held-out rows against one that does not.

Both fit the same number of rows (the one that watches is given more, of which it holds out the default tenth), never
stop early, and run for the same number of iterations. Their line searches may take different numbers of evaluations,
so the ratio is of the seconds an evaluation.
"""

import time
from statistics import median

import numpy as np
from common import load, parser, print_columns, print_header, print_row, print_target, settle

from skae import AutoencoderTransformer
from skae.penalties import KLSparsity

CASES = {
    "squared error, 64 units": {"n_components": 64},
    "squared error, 300 units": {"n_components": 300},
    "KL, 196 units": {"n_components": 196, "penalties": (KLSparsity(0.1),)},
    "cross-entropy, 300 units": {"n_components": 300, "loss": "cross_entropy"},
    "cross-entropy, tied, 300 units": {"n_components": 300, "loss": "cross_entropy", "tied_weights": True},
    "cross-entropy, 400-100-30": {"n_components": 30, "hidden_layer_sizes": (400, 100), "loss": "cross_entropy"},
}


def main():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, default=10_000, help="to train on")
    arguments.add_argument("--iterations", type=int, default=30)
    arguments.add_argument("--repeats", type=int, default=5)
    arguments = arguments.parse_args()
    print_header(f"Early stopping: {arguments.data}, {arguments.rows} rows, medians of {arguments.repeats}")
    print_columns("case", "ms an evaluation, without", "with", "with / without")
    # A tenth, rounded up, of these is held out.
    X = load(arguments.data, arguments.rows * 10 // 9)
    trained_on = len(X) - int(np.ceil(0.1 * len(X)))
    settings = {"max_iter": arguments.iterations, "tol": 0, "random_state": 0}
    ratios = {}
    for name, case in CASES.items():
        plain = AutoencoderTransformer(**case, **settings)
        watching = AutoencoderTransformer(**case, **settings, early_stopping=True, n_iter_no_change=10**9)
        without, with_it = compared([(plain, X[:trained_on]), (watching, X)], arguments.repeats)
        ratios[name] = with_it / without
        print_row(name, f"{1e3 * without:.1f}", f"{1e3 * with_it:.1f}", f"{ratios[name]:.2f}")
    print()
    print_target("a fit with early stopping over one without", ratios, 1.1)


def compared(fits, repeats):
    """Return the median seconds an evaluation of each (estimator, X), which take turns; a first turn warms up."""
    seconds = [[] for _ in fits]
    for turn in range(repeats + 1):
        for times, (estimator, X) in zip(seconds, fits, strict=True):
            settle()
            start = time.perf_counter()
            estimator.fit(X)
            elapsed = time.perf_counter() - start
            if turn:
                times.append(elapsed / estimator.n_evaluations_)
    return [median(times) for times in seconds]


if __name__ == "__main__":
    main()
