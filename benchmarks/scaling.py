"""How the seconds of one evaluation grow with rows, features and units.

Each size is an objective of its own, evaluated where a fit of two iterations ended, inside that fit; the sizes take
turns. Rows and units vary on the data, features on uniform noise. The slope is that of log seconds over log size,
least squares over the upper half of the sizes; beside it stands the slope of the multiplications that the evaluation
needs, which is above 1 for the units of varpro: it multiplies k x k matrices too.
"""

from statistics import median

import numpy as np
from common import inside_fit, load, parser, print_columns, print_header, print_row, print_target, seconds_of, settle

from skae import AutoencoderTransformer

SOLVERS = {"joint": "lbfgs", "varpro": "varpro"}
AXES = ("rows", "features", "units")


def main():
    arguments = parse()
    print_header(
        f"Seconds an evaluation: {arguments.data}, float32, logistic units, medians of {arguments.repeats}; "
        f"{arguments.base_rows} rows and {arguments.base_units} units where they do not vary"
    )
    print_columns("search", "varying", "sizes", "ms an evaluation", "slope", "slope of its multiplications")
    slopes = {}
    for axis in AXES:
        problems = make_problems(axis, arguments)
        for search in SOLVERS:
            seconds = measure(problems, search, arguments.repeats)
            sizes = list(problems)
            needed = [multiplications(search, *X.shape, units) for X, units in problems.values()]
            slopes[f"{search}, {axis}"] = slope(sizes, seconds)
            milliseconds = ", ".join(f"{1e3 * value:.1f}" for value in seconds)
            print_row(
                search,
                axis,
                ", ".join(map(str, sizes)),
                milliseconds,
                f"{slopes[f'{search}, {axis}']:.2f}",
                f"{slope(sizes, needed):.2f}",
            )
    print()
    print_target("Slope", slopes, 1.1)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[1250, 2500, 5000, 10_000, 20_000, 40_000])
    arguments.add_argument("--features", type=int, nargs="+", default=[49, 98, 196, 392, 784, 1568, 3136])
    arguments.add_argument("--units", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512, 1024])
    arguments.add_argument("--base-rows", type=int, default=5000)
    arguments.add_argument("--base-units", type=int, default=64)
    arguments.add_argument("--repeats", type=int, default=5)
    return arguments.parse_args()


def make_problems(axis, arguments):
    """Return X and the number of units by size."""
    if axis == "rows":
        X = load(arguments.data, max(arguments.rows))
        return {size: (X[:size], arguments.base_units) for size in arguments.rows}
    if axis == "units":
        X = load(arguments.data, arguments.base_rows)
        return {size: (X, size) for size in arguments.units}
    rng = np.random.default_rng(0)
    return {
        size: (rng.random((arguments.base_rows, size), dtype=np.float32), arguments.base_units)
        for size in arguments.features
    }


def measure(problems, search, repeats):
    """Return the median seconds an evaluation, in the order of the problems."""
    seconds = {size: [] for size in problems}
    for _ in range(repeats):
        for size, (X, units) in problems.items():
            autoencoder = AutoencoderTransformer(units, solver=SOLVERS[search], max_iter=2, tol=0, random_state=0)
            settle()
            seconds[size].append(
                inside_fit(autoencoder, X, lambda objective, theta: seconds_of(lambda: objective(theta), at_least=0.1))
            )
    return [median(times) for times in seconds.values()]


def multiplications(search, m, n, k):
    return m * (5 * n * k) if search == "joint" else m * (4 * n * k + 2 * k * k) + n * k * k


def slope(sizes, values):
    upper = slice(max(0, min(len(sizes) // 2, len(sizes) - 2)), None)
    return np.polyfit(np.log(sizes[upper]), np.log(values[upper]), 1)[0]


if __name__ == "__main__":
    main()
