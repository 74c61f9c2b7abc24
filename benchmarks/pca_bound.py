"""How close a search comes to PCA's bound.

No encoder with one linear decoder layer and squared error can beat PCA at the same code size, so the distance of
`loss_` to PCA's loss is a certificate of the optimisation.
"""

import argparse
import platform
import time
import warnings
from itertools import product

import numpy as np
import scipy
import sklearn
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning

import skae
from skae import AutoencoderTransformer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/mnist.npz", help="an .npz file with X_train in 0 ... 255")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--iterations", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)

    X = (np.load(arguments.data)["X_train"][: arguments.rows] / 255).astype(np.float32)
    pca = PCA(arguments.units).fit(X)
    bound = 0.5 * np.mean(np.sum(np.square(X - pca.inverse_transform(pca.transform(X)), dtype=np.float64), axis=1))
    print(
        f"{len(X)} rows, {X.shape[1]} features, {arguments.units} logistic units, squared error, alpha 0, "
        f"{arguments.iterations} iterations, float32"
    )
    print(
        f"Python {platform.python_version()}, skae {skae.__version__}, scikit-learn {sklearn.__version__}, "
        f"NumPy {np.__version__}, SciPy {scipy.__version__}\n"
    )
    print("| solver | init | seed | loss_ | PCA's bound | over it (%) | seconds |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    settings = {"alpha": 0, "max_iter": arguments.iterations, "tol": 0}
    for solver, init, seed in product(("varpro", "lbfgs"), ("glorot", "pca"), range(arguments.seeds)):
        autoencoder = AutoencoderTransformer(arguments.units, solver=solver, init=init, random_state=seed, **settings)
        start = time.perf_counter()
        loss = autoencoder.fit(X).loss_
        seconds = time.perf_counter() - start
        over = 100 * (loss / bound - 1)
        print(f"| {solver} | {init} | {seed} | {loss:.3f} | {bound:.3f} | {over:.2f} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
