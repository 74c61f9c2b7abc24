"""Missing entries: imputed better than by what else a user would pick?

Entries of complete columns are hidden, at random or more often where another column is large, and imputed. The error of
numbers is the root mean squared error in units of the column's standard deviation; that of categories is the share of
wrong ones. The k of KNNImputer is picked by this very error of the numbers: a bound for what a user gets.

The peers take arrays of numbers. Numbers are standardised. Categories are one-hot, missing in all columns of the group,
and the largest imputed one is the category; for "forest, codes" they are the numbers 0, 1, ... of an OrdinalEncoder,
and what is imputed is rounded.
"""

import time
import warnings
from pathlib import Path

import common
import numpy as np
import pandas as pd
from panel_data import german, titanic
from scipy.stats import rankdata
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, load_wine
from sklearn.ensemble import RandomForestRegressor
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skae import AutoencoderTransformer
from skae.impute import AutoencoderImputer

NEIGHBOURS = (3, 5, 10, 20, 40)
SKAE = "AutoencoderImputer"
FILES = {"titanic": titanic, "german": german}
LOADERS = {"cancer": load_breast_cancer, "diabetes": load_diabetes, "wine": load_wine, "iris": load_iris}


def load_table(name, folder):
    """Return a frame and its classes."""
    if name in LOADERS:
        return LOADERS[name](as_frame=True).data, None
    data = FILES[name](Path(folder) / f"{name}.csv")
    return data.X, data.y


def hide(table, share, mechanism, rng):
    """Return the table with hidden entries, and their mask."""
    chance = np.full(table.shape, share)
    if mechanism == "another column":
        for column in range(table.shape[1]):
            other = table.iloc[:, (column + rng.integers(1, table.shape[1])) % table.shape[1]]
            codes = other if other.dtype.kind in "if" else pd.factorize(other, sort=True)[0]
            # From 0.4 to 1.6 times the share, by rank.
            chance[:, column] = share * (0.4 + 1.2 * pd.Series(codes).rank(pct=True).fillna(0.5))
    hidden = (rng.random(table.shape) < chance) & table.notna().to_numpy()
    return table.mask(pd.DataFrame(hidden, table.index, table.columns)), hidden


def errors(table, imputed, hidden):
    """Return the error of the numbers and the error of the categories; NaN if there are none."""
    numbers, categories = [], []
    for j, name in enumerate(table):
        truth, guess = table[name][hidden[:, j]], imputed[name][hidden[:, j]]
        if table[name].dtype.kind in "if":
            numbers.append(np.mean((guess.astype(float) - truth) ** 2) / table[name].var(ddof=0))
        else:
            categories.append(np.mean(guess != truth))
    return np.sqrt(np.mean(numbers)), np.mean(categories) if categories else np.nan


# The contenders: functions of a frame that return it without missing entries ---------------------------------------


def mean_or_mode(table):
    numbers = table.select_dtypes("number").mean()
    return table.fillna(
        numbers.to_dict() | {name: table[name].mode()[0] for name in table.columns.difference(numbers.index)}
    )


def with_skae(table):
    return AutoencoderImputer(random_state=0).fit_transform(table)


def one_hot(imputer):
    """Return a contender that imputes standardised numbers and one-hot categories."""

    def impute(table):
        blocks, levels = {}, {}
        for name, column in table.items():
            if column.dtype.kind in "if":
                blocks[name] = ((column - column.mean()) / column.std(ddof=0)).to_numpy(float)[:, None]
            else:
                levels[name] = np.array(sorted(column.dropna().unique()), dtype=object)
                equal = column.to_numpy(object)[:, None] == levels[name]
                blocks[name] = np.where(column.isna().to_numpy()[:, None], np.nan, equal)
        filled = imputer.fit_transform(np.hstack(list(blocks.values())))
        parts = np.split(filled, np.cumsum([block.shape[1] for block in blocks.values()])[:-1], axis=1)
        result = {}
        for (name, column), part in zip(table.items(), parts, strict=True):
            if name in levels:
                result[name] = levels[name][part.argmax(axis=1)]
            else:
                result[name] = part[:, 0] * column.std(ddof=0) + column.mean()
        return pd.DataFrame(result, index=table.index)

    return impute


def codes(imputer):
    """Return a contender that imputes the numbers of categories."""

    def impute(table):
        coded, levels = table.copy(), {}
        for name in table.select_dtypes(exclude="number"):
            numbers, levels[name] = pd.factorize(table[name], sort=True)
            coded[name] = np.where(numbers < 0, np.nan, numbers)
        result = pd.DataFrame(imputer.fit_transform(coded.astype(float)), table.index, table.columns)
        for name, names in levels.items():
            result[name] = np.array(names, object)[result[name].round().astype(int).clip(0, len(names) - 1)]
        return result

    return impute


def contenders(is_mixed, trees, rounds):
    def forest():
        return IterativeImputer(RandomForestRegressor(trees, random_state=0), max_iter=rounds, random_state=0)

    result = {
        SKAE: with_skae,
        "mean or mode": mean_or_mode,
        **{f"kNN {k}": one_hot(KNNImputer(n_neighbors=k)) for k in NEIGHBOURS},
        "BayesianRidge": one_hot(IterativeImputer(max_iter=rounds, random_state=0)),
        "forest": one_hot(forest()),
    }
    return result | ({"forest, codes": codes(forest())} if is_mixed else {})


# The two parts -------------------------------------------------------------------------------------------------------


def measure(name, options):
    """Print a row for each share, mechanism and contender; return the errors, a dict by case of dicts by contender."""
    table, _ = load_table(name, options.data)
    cases = {}
    for share in options.shares:
        for mechanism in options.mechanisms:
            runs = {}
            for seed in range(options.seeds):
                shown, hidden = hide(table, share, mechanism, np.random.default_rng(seed))
                for contender, impute in contenders(name in FILES, options.trees, options.rounds).items():
                    start = time.perf_counter()
                    imputed = impute(shown)
                    runs.setdefault(contender, []).append(
                        (*errors(table, imputed, hidden), time.perf_counter() - start)
                    )
            nearest = min((key for key in runs if key.startswith("kNN")), key=lambda key: np.mean(runs[key], axis=0)[0])
            kept = {key: np.array(run) for key, run in runs.items() if not key.startswith("kNN") or key == nearest}
            for contender, run in kept.items():
                means, deviations = run.mean(axis=0), run.std(axis=0, ddof=1) / np.sqrt(len(run))
                cells = [f"{mean:.3f} ± {error:.3f}" for mean, error in zip(means[:2], deviations, strict=False)]
                common.print_row(name, f"{share:.0%}, {mechanism}", contender, *cells, f"{means[2]:.2f}")
            for kind in range(2 if name in FILES else 1):
                # All of the neighbours are one contender.
                cases[name, share, mechanism, kind] = {
                    key.split(" ")[0] if key == nearest else key: run[:, kind] for key, run in kept.items()
                }
    return cases


def print_ranks(cases):
    common.print_columns("contender", "cases", "average rank", "behind the best by more than its error and 3 %")
    ranks, behind = {}, {}
    for case in cases.values():
        means = {key: run.mean() for key, run in case.items()}
        best = min(means, key=means.get)
        limit = 1.03 * means[best] + case[best].std(ddof=1) / np.sqrt(len(case[best]))
        for key, rank in zip(means, rankdata(list(means.values())), strict=True):
            ranks.setdefault(key, []).append(rank)
            behind.setdefault(key, []).append(means[key] > limit)
    for key, values in sorted(ranks.items(), key=lambda item: np.mean(item[1])):
        error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        common.print_row(key, len(values), f"{np.mean(values):.2f} ± {error:.2f}", sum(behind[key]))


def encoded():
    """Return the usual one-hot columns and standardised numbers."""
    return make_column_transformer(
        (StandardScaler(), make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="ignore", min_frequency=5, sparse_output=False),
            make_column_selector(dtype_exclude="number"),
        ),
    )


def usual():
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    categories = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", min_frequency=5, sparse_output=False),
    )
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (categories, make_column_selector(dtype_exclude="number")),
    )


def classify(name, options):
    """Print the accuracy of a logistic regression on prepared rows, as the table is and with a share hidden."""
    table, y = load_table(name, options.data)
    preparations = {
        "median or mode, one-hot": lambda: usual(),
        "AutoencoderImputer, one-hot": lambda: make_pipeline(AutoencoderImputer(random_state=0), encoded()),
        "AutoencoderImputer with indicators, one-hot": lambda: make_pipeline(
            AutoencoderImputer(add_indicator=True, random_state=0), encoded()
        ),
        "AutoencoderImputer, one-hot, code": lambda: make_pipeline(
            AutoencoderImputer(random_state=0),
            encoded(),
            AutoencoderTransformer(20, activation="tanh", random_state=0),
            StandardScaler(),
        ),
    }
    for share in (0.0, *options.shares):
        shown = hide(table, share, "at random", np.random.default_rng(0))[0]
        for label, prepare in preparations.items():
            pipeline = make_pipeline(prepare(), LogisticRegression(max_iter=1000))
            folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=options.repeats, random_state=0)
            scores = cross_val_score(pipeline, shown, y, cv=folds)
            error = scores.reshape(options.repeats, 5).mean(axis=1).std(ddof=1) / np.sqrt(options.repeats)
            common.print_row(name, f"{share:.0%}", label, f"{scores.mean():.3f} ± {error:.3f}")


def main():
    parser = common.parser(__doc__)
    parser.set_defaults(data="../shared/data")
    parser.add_argument("--sets", nargs="*", default=[*LOADERS, *FILES], help="default: %(default)s")
    parser.add_argument(
        "--shares", nargs="+", type=float, default=[0.2, 0.5], help="hidden shares (default: %(default)s)"
    )
    parser.add_argument("--mechanisms", nargs="+", default=["at random", "another column"], help="default: %(default)s")
    parser.add_argument("--seeds", type=int, default=3, help="masks of each case (default: %(default)s)")
    parser.add_argument("--trees", type=int, default=100, help="trees of the forests (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of IterativeImputer (default: %(default)s)")
    parser.add_argument("--classify", nargs="*", default=[*FILES], help="tables to classify (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=4, help="repeats of the five folds (default: %(default)s)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore")
    common.print_header("Imputation")
    if options.sets:
        common.print_columns("data", "hidden", "contender", "numbers", "categories", "seconds")
        cases = {}
        for name in options.sets:
            cases |= measure(name, options)
        print()
        print_ranks(cases)
        print()
    if options.classify:
        common.print_columns("data", "hidden", "preparation", "accuracy of a logistic regression")
        for name in options.classify:
            classify(name, options)


if __name__ == "__main__":
    main()
