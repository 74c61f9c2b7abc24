"""
A path of regulariser strengths, warm
=====================================

How sparse should a code be? The answer is a path: fits at a row of strengths, each going on from the one before
(`warm_start=True` and `set_params`), which takes fewer iterations than starting every one afresh.

The table has a row a strength, with the seconds, the iterations and the objective of both ways. The figure shows what
the penalty buys and what it costs: along the path the mean activation comes down to the sparsity target, and with it
the share of the variance that the code keeps. Beyond some strength neither changes much: the units are as sparse as
they were asked to be. The dotted line is the default, `sparsity_weight="scale"`, and the strengths are multiples of it.

Warm fits start so near that `tol` matters more than usual: many stop after a few more than ten iterations, the fewest
over which it can be judged. At 1e-5 their objectives are level with those of the cold fits, or lower; at 1e-4 they
would be up to half a percent above.
"""

import argparse
import time

import matplotlib

matplotlib.use("Agg")  # the figure goes to a file, so no display is needed
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skae import SparseAutoencoder

FACTORS = np.geomspace(0.25, 16, 7)
SETTINGS = {"n_components": 50, "sparsity_target": 0.05, "tol": 1e-5, "scale_code": False, "random_state": 0}


def default_strength(X):
    return SparseAutoencoder(**SETTINGS).fit(X).sparsity_weight_


def fits(X, strengths, warm_start):
    """Yield, for each strength, the fitted estimator and the seconds that its fit took."""
    autoencoder = SparseAutoencoder(warm_start=warm_start, **SETTINGS)
    for strength in strengths:
        start = time.perf_counter()
        autoencoder.set_params(sparsity_weight=strength).fit(X)
        yield autoencoder, time.perf_counter() - start


def follow(X, X_test, strengths, warm_start):
    """Return an array with a row a strength: seconds, iterations, objective, mean activation, test R2."""
    return np.array(
        [
            (seconds, fitted.n_iter_, fitted.loss_, fitted.transform(X_test).mean(), fitted.score(X_test))
            for fitted, seconds in fits(X, strengths, warm_start)
        ]
    )


def print_table(strengths, warm, cold):
    print("| sparsity_weight | warm (s) | cold (s) | iterations | iterations, cold | objective | objective, cold |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for strength, a, b in zip(strengths, warm, cold, strict=True):
        cells = (
            f"{strength:.3f}",
            f"{a[0]:.2f}",
            f"{b[0]:.2f}",
            f"{a[1]:.0f}",
            f"{b[1]:.0f}",
            f"{a[2]:.4f}",
            f"{b[2]:.4f}",
        )
        print("| " + " | ".join(cells) + " |")
    (seconds, iterations), (seconds_cold, iterations_cold) = warm[:, :2].sum(axis=0), cold[:, :2].sum(axis=0)
    print(
        f"\nThe whole path: {seconds:.1f} s and {iterations:.0f} iterations warm, "
        f"{seconds_cold:.1f} s and {iterations_cold:.0f} cold."
    )


def draw(strengths, default, path, file):
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.semilogx(strengths, path[:, 3], "o-")
    left.axhline(SETTINGS["sparsity_target"], color="grey", linestyle="--", label="sparsity target")
    for axis in (left, right):
        axis.axvline(default, color="grey", linestyle=":", label="the default")
    left.set(xlabel="sparsity_weight", ylabel="mean activation of the units", ylim=(0, None))
    left.legend()
    right.semilogx(strengths, path[:, 4], "o-", color="tab:orange")
    right.set(xlabel="sparsity_weight", ylabel="R2 of the test rows")
    figure.savefig(file, dpi=150)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output", default="regularisation_path.png", help="where the figure goes")
    arguments = arguments.parse_args()
    X, X_test = train_test_split(load_digits().data / 16, random_state=0)
    default = default_strength(X)
    strengths = default * FACTORS
    warm, cold = (follow(X, X_test, strengths, warm_start) for warm_start in (True, False))
    print_table(strengths, warm, cold)
    draw(strengths, default, warm, arguments.output)
    print(f"The figure is in {arguments.output}.")


if __name__ == "__main__":
    main()
