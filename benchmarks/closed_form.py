"""The linear autoencoder in closed form against PCA, and `transform` against a logistic over one product.

fit        `AutoencoderTransformer(k, activation="identity")`, without and with weight decay, against
           `PCA(k, svd_solver="covariance_eigh")`; both validate X and are timed from call to return.
transform  of a logistic autoencoder of one layer, against the same in NumPy alone: Z = (X - mean) W + b, or with the
           mean folded into b, Z = X W + b', which costs digits; then 1 / (1 + exp(-Z)) as 1/2 + 1/2 tanh(Z / 2), in
           place. The ratio is to the faster of the two.
"""

import numpy as np
from common import interleaved, load, parser, print_columns, print_header, print_row, print_target
from sklearn.decomposition import PCA

from skae import AutoencoderTransformer

ALPHAS = (0, 1e-4)


def main():
    arguments = parse()
    print_header(f"Closed form and transform: {arguments.data}, medians of {arguments.repeats}")
    print_columns("what", "rows", "units", "dtype", "skae (ms)", "peer", "peer (ms)", "skae / peer")
    fits, transforms = {}, {}
    for dtype in ("float32", "float64"):
        for n_rows in arguments.rows:
            X = load(arguments.data, n_rows, np.dtype(dtype))
            fits |= compare_fits(X, min(arguments.units[0], X.shape[1]), arguments.repeats)
            for units in arguments.units:
                transforms |= compare_transform(X, units, arguments.repeats)
    print()
    print_target("fit over PCA's", fits, 1.3)
    print_target("transform over a logistic over one product", transforms, 1.3)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--rows", type=int, nargs="+", default=[10_000, 60_000])
    arguments.add_argument("--units", type=int, nargs="+", default=[64, 500], help="fits take the first one")
    arguments.add_argument("--repeats", type=int, default=5)
    return arguments.parse_args()


def compare_fits(X, units, repeats):
    """Print a row for each alpha; return the ratios by case."""

    def autoencoder(alpha):
        return AutoencoderTransformer(units, activation="identity", alpha=alpha)

    assert all(autoencoder(alpha).fit(X[: units + 1]).solver_ == "svd" for alpha in ALPHAS)
    fits = {alpha: lambda alpha=alpha: autoencoder(alpha).fit(X) for alpha in ALPHAS}
    fits["PCA"] = lambda: PCA(units, svd_solver="covariance_eigh").fit(X)
    seconds = interleaved(fits, repeats)
    ratios = {}
    for alpha in ALPHAS:
        what = f"fit, alpha {alpha:g}"
        ratios[f"{what}, {len(X)} rows, {X.dtype}"] = print_comparison(what, X, units, seconds, alpha, "PCA")
    return ratios


def compare_transform(X, units, repeats):
    """Print a row; return the ratio by case."""
    fitted = AutoencoderTransformer(units, max_iter=2, random_state=0).fit(X[:1000])
    W, b, mean = fitted.coefs_[0], fitted.intercepts_[0], fitted.mean_
    b_about_mean = b + mean @ W

    def logistic(Z, intercept):
        Z += intercept
        Z *= 0.5
        np.tanh(Z, out=Z)
        Z *= 0.5
        Z += 0.5
        return Z

    functions = {
        "skae": lambda: fitted.transform(X),
        "NumPy": lambda: logistic((X - mean) @ W, b_about_mean),
        "NumPy, mean folded in": lambda: logistic(X @ W, b),
    }
    for function in functions.values():
        np.testing.assert_allclose(function()[:100], functions["NumPy"]()[:100], atol=1e-4)
    seconds = interleaved(functions, repeats, at_least=0.1)
    peer = min(list(functions)[1:], key=seconds.get)
    ratio = print_comparison("transform", X, units, seconds, "skae", peer)
    return {f"transform, {len(X)} rows, {units} units, {X.dtype}": ratio}


def print_comparison(what, X, units, seconds, own, peer):
    ratio = seconds[own] / seconds[peer]
    own_ms, peer_ms = (f"{1e3 * seconds[name]:.1f}" for name in (own, peer))
    print_row(what, len(X), units, X.dtype, own_ms, peer, peer_ms, f"{ratio:.2f}")
    return ratio


if __name__ == "__main__":
    main()
