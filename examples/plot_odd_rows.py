"""
Odd rows, and what is odd about them
====================================

An autoencoder fitted to ordinary rows reconstructs unusual rows badly. `score_samples` is the negative reconstruction
error, so the rows with the lowest scores are outliers; `feature_errors` is the error of each feature, and shows the
features responsible.

Here the ordinary rows are the benign tumours of the breast cancer data; the fit sees no malignant ones. The table gives
the area under the ROC curve for held-out benign against malignant rows: 1.0 means perfect separation, 0.5 none. The
plain autoencoder is ahead of PCA with the `alpha` chosen here, and ties with PCA at the default. The line below the
table gives scores that need no reconstruction: the distance from the mean, the Mahalanobis distance and an isolation
forest tie with the best autoencoder or are slightly ahead. The advantage of a reconstruction is that it shows the
unusual features of a row.

The figure shows three malignant tumours (the one with the largest error, the median, and one between) whose errors are
due to different features.
"""

import argparse

import matplotlib

matplotlib.use("Agg")  # the figure goes to a file, so no display is needed
import matplotlib.pyplot as plt
import numpy as np
from sklearn.covariance import EmpiricalCovariance
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skae import AutoencoderTransformer, DenoisingAutoencoder

N_COMPONENTS = (2, 5, 10)
SETTINGS = {"max_iter": 300, "tol": 1e-4, "random_state": 0}


def errors_of_pca(pca, X):
    return np.square(X - pca.inverse_transform(pca.transform(X))).sum(axis=1)


def areas(train, ordinary, odd, n_components):
    """Return the area under the ROC curve of PCA and of two autoencoders."""
    is_odd = np.repeat([0, 1], [len(ordinary), len(odd)])
    both = np.concatenate([ordinary, odd])
    pca = PCA(n_components).fit(train)
    plain = AutoencoderTransformer(n_components, alpha=1e-2, **SETTINGS).fit(train)
    denoising = DenoisingAutoencoder(n_components, corruption="gaussian", corruption_level=0.5, **SETTINGS).fit(train)
    return [
        roc_auc_score(is_odd, errors_of_pca(pca, both)),
        *(roc_auc_score(is_odd, -autoencoder.score_samples(both)) for autoencoder in (plain, denoising)),
    ]


def areas_without_reconstruction(train, ordinary, odd):
    """Return the area under the ROC curve of three scores that are not reconstruction errors."""
    is_odd = np.repeat([0, 1], [len(ordinary), len(odd)])
    both = np.concatenate([ordinary, odd])
    scores = {
        "distance from the mean": np.square(both).sum(axis=1),
        "Mahalanobis distance": EmpiricalCovariance().fit(train).mahalanobis(both),
        "isolation forest": -IsolationForest(random_state=0).fit(train).score_samples(both),
    }
    return {name: roc_auc_score(is_odd, score) for name, score in scores.items()}


def draw(autoencoder, ordinary, odd, names, file):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), width_ratios=(1, 1.4), layout="constrained")
    benign_errors, malignant_errors = (-autoencoder.score_samples(rows) for rows in (ordinary, odd))
    bins = np.geomspace(benign_errors.min(), malignant_errors.max(), 40)
    left.hist(benign_errors, bins, alpha=0.6, label="benign, held out")
    left.hist(malignant_errors, bins, alpha=0.6, label="malignant")
    left.set(xscale="log", xlabel="reconstruction error of a row, -score_samples", ylabel="rows")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)

    ranks = {"the oddest": -1, "upper quarter": -len(odd) // 4, "the middle": -len(odd) // 2}
    rows = np.argsort(malignant_errors)[list(ranks.values())]
    errors = autoencoder.feature_errors(odd[rows])
    shares = errors / errors.sum(axis=1, keepdims=True)
    shown = np.argsort(shares.max(axis=0))[-12:]
    for index, (label, share) in enumerate(zip(ranks, shares, strict=True)):
        right.barh(np.arange(len(shown)) + 0.27 * (1 - index), share[shown], height=0.25, label=label)
    right.set_yticks(np.arange(len(shown)), names[shown])
    right.set(xlabel="share of the row's error, feature_errors")
    right.legend(title="malignant row", loc="lower right")
    figure.savefig(file, dpi=150)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output", default="odd_rows.png", help="where the figure goes")
    arguments = arguments.parse_args()
    data = load_breast_cancer()
    benign, odd = data.data[data.target == 1], data.data[data.target == 0]
    train, ordinary = train_test_split(benign, test_size=0.4, random_state=0)
    scaler = StandardScaler().fit(train)
    train, ordinary, odd = map(scaler.transform, (train, ordinary, odd))

    print("| n_components | PCA | plain autoencoder | denoising autoencoder |")
    print("| --- | --- | --- | --- |")
    for n_components in N_COMPONENTS:
        cells = [f"{area:.3f}" for area in areas(train, ordinary, odd, n_components)]
        print("| " + " | ".join([str(n_components), *cells]) + " |")

    others = areas_without_reconstruction(train, ordinary, odd)
    print("\n" + ", ".join(f"{name}: {area:.3f}" for name, area in others.items()) + ".")

    autoencoder = AutoencoderTransformer(5, alpha=1e-2, **SETTINGS).fit(train)
    draw(autoencoder, ordinary, odd, data.feature_names, arguments.output)
    print(f"\nThe figure is in {arguments.output}.")


if __name__ == "__main__":
    main()
