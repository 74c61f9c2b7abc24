"""
Odd rows, and what is odd about them
====================================

An autoencoder fitted to ordinary rows reconstructs unusual rows badly. `AutoencoderOutlierDetector` turns the errors
into scores: the error of each entry in units of its column's typical error, averaged over the row. `explain` shows the
columns responsible, which an isolation forest does not.

The ordinary rows are the benign tumours of the breast cancer data, and the odd ones come from two sources: malignant
tumours, and benign ones with one wrong entry, taken from another tumour. The first table gives the area under the ROC
curve for held-out ordinary rows against each kind: 1.0 means perfect separation, 0.5 none. The forest sees each column
on its own, so that an entry is odd for it only if it is extreme; the detector sees what contradicts the other columns.
The second table counts how often the wrong column is the first, or among the first three, of `explain`.

The left part of the figure shows the scores of all kinds and the offset below which rows are called odd. Most rows with
one wrong entry look ordinary as a whole. The right part shows the errors of three odd tumours, in the columns that come
first for one of them: the malignant ones are off in many columns alike, and the error of the wrong entry is several
times that of the columns that it contradicts.
"""

import argparse

import matplotlib

matplotlib.use("Agg")  # the figure goes to a file, so no display is needed
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from skae import AutoencoderOutlierDetector


def with_a_wrong_entry(X, rng):
    """Return a copy of X in which one entry of each row is that of another row, and the names of their columns."""
    wrong, columns = X.copy(), rng.integers(X.shape[1], size=len(X))
    for row, column in enumerate(columns):
        wrong.iloc[row, column] = X.iloc[rng.integers(len(X)), column]
    return wrong, X.columns[columns]


def print_areas(detectors, ordinary, odd_rows):
    print("| odd rows | " + " | ".join(type(detector).__name__ for detector in detectors) + " |")
    print("| --- |" + " --- |" * len(detectors))
    for kind, odd in odd_rows.items():
        is_odd = np.repeat([0, 1], [len(ordinary), len(odd)])
        areas = []
        for detector in detectors:
            scores = [detector.score_samples(rows) for rows in (ordinary, odd)]
            areas.append(f"{roc_auc_score(is_odd, -np.concatenate(scores)):.3f}")
        print(f"| {kind} | " + " | ".join(areas) + " |")


def print_ranks(detector, wrong, wrong_names):
    ranks = [list(detector.explain(wrong.iloc[[row]]).columns).index(name) for row, name in enumerate(wrong_names)]
    print("\n| the wrong column is | first | among three | by chance |")
    print("| --- | --- | --- | --- |")
    chance = f"{1 / wrong.shape[1]:.0%}, {3 / wrong.shape[1]:.0%}"
    print(f"| rows | {np.mean(np.equal(ranks, 0)):.0%} | {np.mean(np.less(ranks, 3)):.0%} | {chance} |")


def draw(detector, groups, shown, file):
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 5), width_ratios=(1, 1.4), layout="constrained")
    errors = {kind: -detector.score_samples(rows) for kind, rows in groups.items()}
    every = np.concatenate(list(errors.values()))
    bins = np.geomspace(every.min(), every.max(), 30)
    for kind, values in errors.items():
        left.hist(values, bins, weights=np.full(len(values), 1 / len(values)), histtype="step", linewidth=2, label=kind)
    left.axvline(-detector.offset_, color="black", linestyle=":", label="-offset_")
    left.set(xscale="log", xlabel="error of a row, -score_samples", ylabel="share of the rows")
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2, frameon=False)

    # The first columns of each of the rows.
    names = list(dict.fromkeys(name for row in shown.values() for name in detector.explain(row).columns[:4]))
    for index, (label, row) in enumerate(shown.items()):
        explained = detector.explain(row)[names].iloc[0]
        right.barh(np.arange(len(names)) + 0.27 * (1 - index), explained, height=0.25, label=label)
    right.set_yticks(np.arange(len(names)), names)
    right.set(xscale="log", xlabel="error in typical errors of the column, explain")
    right.legend(loc="lower center", bbox_to_anchor=(0.4, 1), ncols=2, frameon=False)
    figure.savefig(file, dpi=150)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--output", default="odd_rows.png", help="where the figure goes")
    arguments = arguments.parse_args()
    cancer = load_breast_cancer(as_frame=True)
    is_odd = cancer.target == 0
    train, ordinary = train_test_split(cancer.data[~is_odd], test_size=0.4, random_state=0)
    wrong, wrong_names = with_a_wrong_entry(ordinary, np.random.default_rng(0))
    odd_rows = {"malignant": cancer.data[is_odd], "one wrong entry": wrong}

    detector = AutoencoderOutlierDetector().fit(train)
    forest = IsolationForest(random_state=0).fit(train)
    print_areas([detector, forest], ordinary, odd_rows)
    print_ranks(detector, wrong, wrong_names)

    contradiction = int(np.argmax([detector.explain(wrong)[name].iloc[row] for row, name in enumerate(wrong_names)]))
    malignant = odd_rows["malignant"]
    order = np.argsort(detector.score_samples(malignant))
    shown = {
        "malignant, the oddest": malignant.iloc[[order[0]]],
        "malignant, the middle": malignant.iloc[[order[len(order) // 2]]],
        f"wrong entry in {wrong_names[contradiction]}": wrong.iloc[[contradiction]],
    }
    draw(detector, {"held out": ordinary, **odd_rows}, shown, arguments.output)
    print(f"\nThe figure is in {arguments.output}.")


if __name__ == "__main__":
    main()
