"""Few labels: networks that start at an encoder of all rows, beside networks from scratch and frozen codes.

The rows of load_digits are split into 1,300 training rows and 497 test rows. Encoders are fitted to all training rows
without labels, classifiers to those with labels. The strength of every classifier is chosen by cross-validation, three
folds, on the labelled rows. Cells are test accuracies in per cent with standard errors over the splits; the last table
has the differences, on the same splits, between a network that starts at an encoder and the same from scratch.
"""

import argparse
import time
import warnings

import numpy as np
from common import print_columns, print_header, print_row
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skae import DenoisingAutoencoder, SparseAutoencoder, to_mlp

N_TRAIN = 1300
FOLDS = StratifiedKFold(3, shuffle=True, random_state=0)
MLP = {"solver": "lbfgs", "random_state": 0}
STRENGTHS = {"alpha": [1e-4, 1e-2, 1]}
SCRATCH = {
    "logistic": MLPClassifier((200,), activation="logistic", **MLP),
    "relu": MLPClassifier((200,), activation="relu", **MLP),
}
# The activation of an encoder's units is its second name.
ENCODERS = {
    "sparse, logistic": SparseAutoencoder(200, loss="cross_entropy", tied_weights=True, alpha=1e-3, random_state=0),
    "denoising, relu": DenoisingAutoencoder(200, activation="relu", random_state=0),
}
REDUCERS = {
    "pixels": FunctionTransformer(),
    "PCA, 15 components": PCA(15),
    "Nystroem, 300": Nystroem(gamma=0.1, n_components=300, random_state=0),
    "sparse, logistic, squared error": SparseAutoencoder(200, alpha=1e-3, random_state=0),
    **ENCODERS,
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--labels", type=int, nargs="+", default=[50, 100, 300, N_TRAIN])
    arguments.add_argument("--splits", type=int, default=10)
    arguments = arguments.parse_args()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    print_header(f"Few labels: load_digits, {arguments.splits} splits")
    start = time.perf_counter()
    scores = {}
    for seed in range(arguments.splits):
        for (name, count), score in scores_of_split(seed, arguments.labels):
            scores.setdefault(name, {}).setdefault(count, []).append(score)
    print_columns("classifier", *(f"{count} labels" for count in arguments.labels))
    for name, of_count in scores.items():
        print_row(name, *map(summary, of_count.values()))
    print()
    print_columns("gain by the start", *(f"{count} labels" for count in arguments.labels))
    for name in ENCODERS:
        ahead, behind = scores[f"MLP from {name}"], scores[f"MLP from scratch, {name.split()[-1]}"]
        print_row(name, *(summary(np.subtract(ahead[count], behind[count])) for count in ahead))
    print(f"\n{time.perf_counter() - start:.0f} seconds.")


def scores_of_split(seed, counts):
    """Yield the name and the number of labels, and the accuracy, of all classifiers."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, train_size=N_TRAIN, stratify=y, random_state=seed)
    fitted = {name: FrozenEstimator(reducer.fit(X)) for name, reducer in REDUCERS.items()}
    for count in counts:
        rows = np.arange(N_TRAIN)
        if count < N_TRAIN:
            rows, _ = train_test_split(rows, train_size=count, stratify=y, random_state=seed)
        for name, search in searches(fitted):
            yield (name, count), 100 * search.fit(X[rows], y[rows]).score(X_test, y_test)


def searches(fitted):
    """Yield all classifiers with their names."""
    for name, reducer in fitted.items():
        pipeline = make_pipeline(reducer, StandardScaler(), LogisticRegression(max_iter=1000))
        # Standardised columns, or columns as they come.
        grid = {"standardscaler": ["passthrough", StandardScaler()], "logisticregression__C": [0.1, 1, 10, 100]}
        yield f"logistic regression on {name}", GridSearchCV(pipeline, grid, cv=FOLDS)
    for name, network in SCRATCH.items():
        yield f"MLP from scratch, {name}", GridSearchCV(network, STRENGTHS, cv=FOLDS)
    for name in ENCODERS:
        yield f"MLP from {name}", GridSearchCV(to_mlp(fitted[name].estimator, **MLP), STRENGTHS, cv=FOLDS)


def summary(values):
    return f"{np.mean(values):.1f} ± {np.std(values, ddof=1) / np.sqrt(len(values)):.1f}"


if __name__ == "__main__":
    main()
