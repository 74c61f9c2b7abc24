"""The panel by which defaults are chosen: codes of many data sets, scored on held-out rows, with all their warnings.

    python benchmarks/panel.py                                      run what is missing in the CSV, then print it
    python benchmarks/panel.py --quick                              two minutes
    python benchmarks/panel.py --compare before.csv after.csv       two versions of the package, say

Every method sees the same folds and seeds: seed s shuffles the folds (stratified by class) and is the method's
random_state. A set is prepared by a Pipeline fitted on the training rows, the method is fitted on these as prepared,
and only its fit is timed. The codes of a set have the same size, but for raw and nystroem-300: half the features,
rounded up, at most 100 and at most half the training rows.

Methods, with scikit-learn's defaults for everything not named:
* raw: the prepared features.
* pca, pca-whitened: PCA as it is and with whiten=True.
* nystroem, nystroem-300: an RBF kernel of gamma = 1 / (n_features * variance of X), SVC's "scale"; as many landmarks
  as the codes have components, or 300 (all training rows, if they are fewer).
* nmf: where the prepared features are non-negative.
* mlp: MLPRegressor(X, X, batch_size=32, max_iter=1000) with one hidden layer of the code's size (relu, Adam), whose
  activations are the code, and tol=1e-4 in units of the mean variance of a column. Of relu and tanh, learning rates
  0.001 and 0.01, batches of 32 and 200 rows, and 200 and 1,000 epochs, the setting with the highest mean held-out R2
  on a first fold of digits, wine, diabetes, cancer, docs-counts and usps: 0.87, against 0.62 with the defaults; the
  absolute tol ends fits of TF-IDF rows after 13 epochs, at about half the R2.
* plain, denoising, sparse, contractive: skae's AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder and
  ContractiveAutoencoder at their defaults.
* poisson: plain with loss="poisson", where the prepared features are counts.

Scores, on held-out rows: `r2`, skae.metrics.reconstruction_r2 in the prepared units; `logistic` and `knn`, the
accuracies of LogisticRegression(max_iter=1000) and KNeighborsClassifier() on the code as it comes; `logistic std` and
`knn std`, the same on the code through StandardScaler (of raw sparse features, without centring). For a regression
they are the R2 of Ridge() and of KNeighborsRegressor().

The CSV has one row a (set, method, seed, fold), with the category and first words of every warning of the fit; a fit
that raises is recorded as well. A run adds what its CSV lacks; give each version of the package its own.
"""

import argparse
import time
import warnings
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from common import print_header, settle
from panel_data import SETS, load_set
from panel_results import SEPARATOR, Record, append, print_against, print_comparison, print_panel, read
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import NMF, PCA
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.metrics import reconstruction_r2

QUICK = {"sets": ["digits", "wine", "cancer", "diabetes", "docs-counts"], "folds": 2, "seeds": 1, "rows": 300}


# Methods -------------------------------------------------------------------------------------------------------------


class MLPAutoencoder(TransformerMixin, BaseEstimator):
    """MLPRegressor(X, X), whose hidden layer is the code."""

    def __init__(self, n_components, random_state=None):
        self.n_components = n_components
        self.random_state = random_state

    def fit(self, X, y=None):
        target = X.toarray() if issparse(X) else X
        self.mlp_ = MLPRegressor(
            hidden_layer_sizes=(self.n_components,),
            batch_size=32,
            max_iter=1000,
            tol=1e-4 * target.var(axis=0).mean(),  # of the loss, which is in the square of X's unit
            random_state=self.random_state,
        )
        self.mlp_.fit(X, target)
        self.n_iter_ = self.mlp_.n_iter_
        return self

    def transform(self, X):
        return np.maximum(X @ self.mlp_.coefs_[0] + self.mlp_.intercepts_[0], 0)

    def inverse_transform(self, X):
        return X @ self.mlp_.coefs_[1] + self.mlp_.intercepts_[1]


def nystroem(X, k, seed):
    mean = X.mean()
    variance = (X.multiply(X).mean() if issparse(X) else np.square(X).mean()) - mean**2
    return Nystroem(gamma=1 / (X.shape[1] * variance), n_components=k, random_state=seed)


def nystroem_300(X, k, seed):
    return nystroem(X, min(300, X.shape[0]), seed)


def nmf(X, k, seed):
    return NMF(k, random_state=seed) if X.min() >= 0 else None


def poisson(X, k, seed):
    values = X.data if issparse(X) else X
    are_counts = values.min() >= 0 and np.array_equal(values, np.round(values))
    return AutoencoderTransformer(k, loss="poisson", random_state=seed) if are_counts else None


# name: function of the prepared training rows, the size of the code and the seed; None where the method does not apply.
METHODS = {
    "raw": lambda X, k, seed: FunctionTransformer(),
    "pca": lambda X, k, seed: PCA(k, random_state=seed),
    "pca-whitened": lambda X, k, seed: PCA(k, whiten=True, random_state=seed),
    "nystroem": nystroem,
    "nystroem-300": nystroem_300,
    "nmf": nmf,
    "mlp": lambda X, k, seed: MLPAutoencoder(k, random_state=seed),
    "plain": lambda X, k, seed: AutoencoderTransformer(k, random_state=seed),
    "denoising": lambda X, k, seed: DenoisingAutoencoder(k, random_state=seed),
    "sparse": lambda X, k, seed: SparseAutoencoder(k, random_state=seed),
    "contractive": lambda X, k, seed: ContractiveAutoencoder(k, random_state=seed),
    "poisson": poisson,
}
WITHOUT_RECONSTRUCTION = {"raw", "nystroem", "nystroem-300"}


def code_size(X):
    return min(-(-X.shape[1] // 2), 100, X.shape[0] // 2)


# One fit and its scores ----------------------------------------------------------------------------------------------


@dataclass
class Split:
    """The training and held-out rows of one fold, prepared."""

    X: np.ndarray
    y: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def splits(data, folds, seed):
    """Yield the folds, each prepared by a Pipeline that saw only its training rows."""
    splitter = (KFold if data.is_regression else StratifiedKFold)(folds, shuffle=True, random_state=seed)
    for train, test in splitter.split(data.X, data.y):
        rows, held_out = (data.X.iloc[part] if hasattr(data.X, "iloc") else data.X[part] for part in (train, test))
        preparation = clone(data.preparation).fit(rows)
        yield Split(preparation.transform(rows), data.y[train], preparation.transform(held_out), data.y[test])


def complete(record, estimator, split, is_regression):
    """Fit the estimator and write what came of it into the record."""
    settle()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        try:
            estimator.fit(split.X)
        except Exception as error:  # a fit that raises is a result, and must not end a long run
            record.error = headline(type(error), error)
        record.seconds = time.perf_counter() - start
    record.warnings = headlines(caught)
    if record.error:
        return
    record.n_iter = getattr(estimator, "n_iter_", None)
    record.n_evaluations = getattr(estimator, "n_evaluations_", None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if record.method not in WITHOUT_RECONSTRUCTION:
            record.r2 = reconstruction_r2(estimator, split.X_test)
        score_code(record, estimator.transform(split.X), estimator.transform(split.X_test), split, is_regression)
    record.score_warnings = headlines(caught)


def score_code(record, code, code_test, split, is_regression):
    linear = Ridge() if is_regression else LogisticRegression(max_iter=1000)
    neighbours = KNeighborsRegressor() if is_regression else KNeighborsClassifier()
    scaler = StandardScaler(with_mean=not issparse(code))
    for name, probe in (("logistic", linear), ("knn", neighbours)):
        setattr(record, name, probe.fit(code, split.y).score(code_test, split.y_test))
        probe = make_pipeline(scaler, probe)
        setattr(record, f"{name}_std", probe.fit(code, split.y).score(code_test, split.y_test))


def headlines(caught):
    """Return the categories and first words of warnings, each once."""
    return SEPARATOR.join(dict.fromkeys(headline(warning.category, warning.message) for warning in caught))


def headline(category, message, width=100):
    words = " ".join(str(message).split())
    return f"{category.__name__}: {words if len(words) <= width else words[:width].rsplit(' ', 1)[0] + ' ...'}"


# The run -------------------------------------------------------------------------------------------------------------


def main():
    arguments = parse_arguments()
    if arguments.compare:
        print_comparison(*map(read, arguments.compare))
        return
    keys = run(arguments)
    records = read(arguments.csv)
    records = [records[key] for key in keys]
    print_header(f"Panel: {arguments.folds} folds, {arguments.seeds} seeds, at most {arguments.rows} rows a set")
    print_sets(records)
    print_panel(records)
    if arguments.against:
        print_against(records, arguments.against)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", default="../shared/data", help="folder of the sets that come as files (default: %(default)s)"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS), help="default: all")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="default: all")
    parser.add_argument("--folds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=2, help="how many, from 0 on (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=2000, help="at most, of a set (default: %(default)s)")
    parser.add_argument(
        "--csv", type=Path, default=Path(__file__).with_suffix(".csv"), help="default: panel.csv, beside this script"
    )
    parser.add_argument("--quick", action="store_true", help="five small sets, few rows, two folds, one seed")
    parser.add_argument("--against", choices=METHODS, help="also print all differences from this method")
    parser.add_argument("--compare", nargs=2, type=Path, metavar="CSV", help="only print what changed between two runs")
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    if arguments.against and arguments.against not in arguments.methods:
        parser.error(f"--against {arguments.against} is not among --methods.")
    return arguments


def run(arguments):
    """Append to the CSV what it lacks, and return the keys of everything asked for."""
    done = read(arguments.csv) if arguments.csv.exists() else {}
    keys = []
    for name in arguments.sets:
        data = load_set(name, arguments.data, arguments.rows)
        if data is None:
            print(f"{name}: skipped, {SETS[name].file} is not in {arguments.data}.")
            continue
        start = time.perf_counter()
        for record, add_results in fits(name, data, arguments):
            keys.append(record.key)
            if record.key not in done:
                add_results()
                append(arguments.csv, record)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)
    print()
    return keys


def fits(name, data, arguments):
    """Yield the record of every fit of the set, without results, and a function that adds these."""
    for seed in range(arguments.seeds):
        for fold, split in enumerate(splits(data, arguments.folds, seed)):
            n_features, k = split.X.shape[1], code_size(split.X)
            for method in arguments.methods:
                estimator = METHODS[method](split.X, k, seed)
                if estimator is not None:
                    size = getattr(estimator, "n_components", n_features)
                    record = Record(name, method, seed, arguments.folds, fold, len(data.y), n_features, size)
                    yield record, partial(complete, record, estimator, split, data.is_regression)


def print_sets(records):
    """Print the sizes and the preparation of every set; one-hot columns may differ between folds."""
    for name in dict.fromkeys(record.set for record in records):
        of_set = [record for record in records if record.set == name]
        first, size = of_set[0], min(record.n_components for record in of_set)
        print(f"* {name} ({first.n_rows} rows, {first.n_features} features, codes of {size}): {SETS[name].text}")
    print()


if __name__ == "__main__":
    main()
