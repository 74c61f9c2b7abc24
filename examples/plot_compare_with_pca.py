"""
Which reducer serves a classifier best?
=======================================

`PCA`, random features (`Nystroem`), the original pixels and the four autoencoders take the same place in one Pipeline.
One `GridSearchCV` selects the reducer, its size and strength, whether to standardise its output (which turns PCA into
whitened PCA), and the classifier's C.

The table has one row per reducer: its best settings, its accuracy in cross-validation (with the standard error over the
folds) and on held-out digits, and the share of the test rows' variance that it reconstructs. The sparse code is ahead
of PCA and of the pixels by more than a point, and ties with the random features, which are fitted faster. The best
codes for the classifier are not those with the best reconstruction.

In the figure, principal components are ordered by variance, and the first ones are smooth. The units of an autoencoder
have no order, and many units together represent the input: each filter alone looks rough. The filters of the sparse and
the contractive code show parts of strokes.
"""

import argparse
import time
from tempfile import TemporaryDirectory

import matplotlib

matplotlib.use("Agg")  # the figure goes to a file, so no display is needed
import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, StandardScaler

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.metrics import reconstruction_r2

COMMON = {"random_state": 0}

# The search grid of each reducer.
SEARCHES = {
    "Pixels": (FunctionTransformer(), {}),
    "PCA": (PCA(random_state=0), {"n_components": [20, 30, 40, 50, 60]}),
    "Nystroem": (Nystroem(random_state=0), {"n_components": [100, 300], "gamma": [0.03, 0.1, 0.3]}),
    "Autoencoder": (AutoencoderTransformer(**COMMON), {"n_components": [200]}),
    "Denoising": (DenoisingAutoencoder(**COMMON), {"n_components": [200], "corruption_level": [0.25, 0.5]}),
    "Sparse": (SparseAutoencoder(**COMMON), {"n_components": [200], "sparsity_weight": [0.1, 0.3, 1.0]}),
    "Contractive": (
        ContractiveAutoencoder(loss="cross_entropy", **COMMON),
        {"n_components": [200], "contraction_weight": [0.01, 0.1]},
    ),
}
# The search grid shared by all reducers.
STANDARDISE = ["passthrough", StandardScaler()]
CLASSIFIER_C = [0.1, 1, 10]
N_FOLDS = 5
WITHOUT_RECONSTRUCTION = ["Pixels", "Nystroem"]


def search_all(X, y):
    """Return one fitted GridSearchCV over every reducer and its settings."""
    grids = []
    for reducer, settings in SEARCHES.values():
        grid = {f"reducer__{name}": values for name, values in settings.items()}
        grids.append({"reducer": [reducer], **grid, "standardise": STANDARDISE, "classifier__C": CLASSIFIER_C})
    with TemporaryDirectory() as cache:  # each code is fitted once, not once per C
        pipeline = Pipeline(
            [
                ("scaler", MinMaxScaler(clip=True)),
                ("reducer", PCA()),
                ("standardise", StandardScaler()),
                ("classifier", LogisticRegression(max_iter=5000)),
            ],
            memory=cache,
        )
        folds = StratifiedKFold(n_splits=N_FOLDS, shuffle=True, random_state=0)
        search = GridSearchCV(pipeline, grids, cv=folds, n_jobs=2, refit=False).fit(X, y)
        return search.set_params(estimator__memory=None)


def best_of(search, reducer):
    """Return the index of the best candidate with a reducer of this class."""
    results = search.cv_results_
    rows = [i for i, tried in enumerate(results["param_reducer"]) if type(tried) is type(reducer)]
    return max(rows, key=lambda i: results["mean_test_score"][i])


def describe(params):
    short = {name.split("__")[1]: value for name, value in params.items() if "__" in name}
    words = [f"{name}={value:g}" for name, value in sorted(short.items(), key=lambda item: item[0] == "C")]
    return ", ".join(["as it comes" if params["standardise"] == "passthrough" else "standardised", *words])


def refit(search, params, X, y):
    """Return the pipeline with these parameters, fitted to all training rows, and its reducer's fit time in seconds."""
    pipeline = clone(search.estimator).set_params(**clone(params, safe=False)).fit(X, y)
    scaled = pipeline["scaler"].transform(X)
    start = time.perf_counter()
    clone(pipeline["reducer"]).fit(scaled)
    return pipeline, time.perf_counter() - start


def plot(pipelines, X, image_shape, n_images=8):
    """Return a figure: digits and their reconstructions on the left, the first filters on the right."""
    figure, axes = plt.subplots(
        len(pipelines) + 1, 2 * n_images, figsize=(2 * n_images * 0.75, (len(pipelines) + 1) * 0.95)
    )
    for axis in axes.flat:
        axis.set_axis_off()

    def show(row, column, images, **limits):
        for axis, image in zip(axes[row, column : column + n_images], images, strict=False):
            axis.imshow(image.reshape(image_shape), cmap="gray_r", **limits)

    scaled = next(iter(pipelines.values()))["scaler"].transform(X[:n_images])
    show(0, 0, scaled, vmin=0, vmax=1)
    for row, (name, pipeline) in enumerate(pipelines.items(), start=1):
        reducer = pipeline["reducer"]
        show(row, 0, reducer.inverse_transform(reducer.transform(scaled)), vmin=0, vmax=1)
        for axis, image in zip(axes[row, n_images:], reducer.components_[:n_images], strict=True):
            limit = np.abs(image).max()
            axis.imshow(image.reshape(image_shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
        axes[row, 0].set_title(name, loc="left", fontsize=10)
    axes[0, 0].set_title("Test digits", loc="left", fontsize=10)
    axes[1, n_images].set_title("First filters (red: positive weights, blue: negative)", loc="left", fontsize=10)
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.01, top=0.95, wspace=0.1, hspace=0.35)
    return figure


def main():
    parser = argparse.ArgumentParser(description="Compare PCA and four autoencoders before a classifier, on digits.")
    parser.add_argument("--figure", default="compare_with_pca.png", help="where to save the figure")
    arguments = parser.parse_args()

    start = time.perf_counter()
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)
    search = search_all(X_train, y_train)

    print("| reducer | best settings | CV accuracy (%) | test accuracy (%) | test R2 | fit (s) |")
    print("| --- | --- | --- | --- | --- | --- |")
    pipelines = {}
    for name, (reducer, _) in SEARCHES.items():
        i = best_of(search, reducer)
        params, results = search.cv_results_["params"][i], search.cv_results_
        pipelines[name], seconds = refit(search, params, X_train, y_train)
        has_r2 = name not in WITHOUT_RECONSTRUCTION
        r2 = f"{reconstruction_r2(pipelines[name][:2], X_test):.3f}" if has_r2 else "-"
        print(
            f"| {name} | {describe(params)} "
            f"| {100 * results['mean_test_score'][i]:.1f} ± {100 * results['std_test_score'][i] / N_FOLDS**0.5:.1f} "
            f"| {100 * pipelines[name].score(X_test, y_test):.1f} | {r2} | {seconds:.2f} |"
        )
    for name in WITHOUT_RECONSTRUCTION:
        del pipelines[name]
    plot(pipelines, X_test, image_shape=(8, 8)).savefig(arguments.figure, dpi=150)
    print(f"\nBest of all: {describe(search.best_params_)} ({type(search.best_params_['reducer']).__name__})")
    print(f"Figure: {arguments.figure}. {time.perf_counter() - start:.0f} seconds in all.")


if __name__ == "__main__":
    main()
