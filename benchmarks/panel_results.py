"""The panel's results: the record of a fit, its CSV, and the tables.

A standard error is over the splits (folds and seeds) of a set: it says how much depends on how these rows were split,
not what other rows would give. Over several sets it is that of their means. Differences are paired by set, seed and
fold.
"""

import csv
import re
from collections import Counter
from dataclasses import astuple, dataclass, fields
from statistics import mean, median, stdev

from common import print_columns, print_row


@dataclass
class Record:
    """One fit, a row of the CSV; None stands for what does not apply."""

    set: str
    method: str
    seed: int
    folds: int
    fold: int
    n_rows: int
    n_features: int
    n_components: int
    r2: float | None = None
    logistic: float | None = None
    logistic_std: float | None = None
    knn: float | None = None
    knn_std: float | None = None
    seconds: float | None = None
    n_iter: float | None = None
    n_evaluations: float | None = None
    warnings: str = ""
    score_warnings: str = ""
    error: str = ""

    @property
    def split(self):
        return self.set, self.n_rows, self.seed, self.folds, self.fold

    @property
    def key(self):
        return *self.split, self.method

    @property
    def warned(self):
        return bool(self.warnings or self.error)


SCORES = {"r2": "R2", "logistic": "logistic", "logistic_std": "logistic std", "knn": "knn", "knn_std": "knn std"}
SEPARATOR = " | "  # of the warnings of one fit


def append(path, record):
    is_new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow([field.name for field in fields(Record)])
        writer.writerow(astuple(record))


def read(path):
    """Return the records of a CSV by their keys."""
    with path.open(newline="", encoding="utf-8") as file:
        records = [
            Record(**{field.name: _parsed(field, row[field.name]) for field in fields(Record)})
            for row in csv.DictReader(file)
        ]
    return {record.key: record for record in records}


def _parsed(field, text):
    if field.type is str:
        return text
    if not text:
        return None
    return int(text) if field.type is int else float(text)


# One run -------------------------------------------------------------------------------------------------------------


def print_panel(records):
    """Print a table a score, sets by methods; the methods' means over the sets; and the warnings."""
    methods, by_set = (
        list(_grouped(records, lambda record: record.method)),
        _grouped(records, lambda record: record.set),
    )
    for score, title in SCORES.items():
        print(f"{title[0].upper()}{title[1:]}, mean ± standard error:\n")
        print_columns("set", *methods)
        for name, of_set in by_set.items():
            groups = ([record for record in of_set if record.method == method] for method in methods)
            print_row(name, *(_mean_cell(_mean_and_error(group, score)) for group in groups))
        print()
    print("Means over the sets, of the methods that have all of them; medians of seconds and iterations:\n")
    print_columns("method", *SCORES.values(), "seconds", "iterations", "fits that warn")
    for method, group in _grouped(records, lambda record: record.method).items():
        if len({record.set for record in group if record.logistic is not None}) == len(by_set):
            # The spread between sets is no error of a mean.
            means = [_mean_and_error(group, score) for score in SCORES]
            seconds, iterations = _median(group, "seconds"), _median(group, "n_iter")
            cells = [_mean_cell(value and (value[0], None)) for value in means]
            print_row(method, *cells, _short(seconds), _number(iterations), f"{100 * _share_warned(group):.0f} %")
    print_warnings(records)


def print_warnings(records):
    """Print which method's fits and scores gave which warning, and how often."""
    tally = Counter()
    for record in records:
        for kind, text in (("fit", record.warnings), ("fit", record.error), ("scores", record.score_warnings)):
            lines = re.sub(r"\d[\d.e+-]*", "#", text).split(SEPARATOR)
            tally.update((record.method, kind, line) for line in lines if line)
    print("\nWarnings and errors, by the number of fits.\n")
    print_columns("method", "of the", "fits", "first words, # for numbers")
    for (method, kind, line), count in sorted(tally.items(), key=lambda item: (item[0][0], -item[1])):
        print_row(method, kind, count, line)
    print()


# Two sides -----------------------------------------------------------------------------------------------------------


def print_comparison(before, after):
    """Print what changed between two CSVs, in the fits that both have."""
    pairs = [(before[key], record) for key, record in after.items() if key in before]
    print(f"{len(pairs)} fits in both; {len(before) - len(pairs)} only before, {len(after) - len(pairs)} only after.\n")
    if not pairs:
        return
    _print_pairs(pairs)
    _print_pair(("all", "all"), pairs)
    for side, title in enumerate(("Before", "After")):
        print(f"\n{title}:")
        print_warnings([pair[side] for pair in pairs])


def print_against(records, method):
    """Print what every other method has over this one."""
    base = {record.split: record for record in records if record.method == method}
    print(f"From {method} to each other method:\n")
    _print_pairs([(base[record.split], record) for record in records if record.method != method])


def _print_pairs(pairs):
    print(
        "Mean score of the second side (paired difference ± standard error; bold beyond two of them). Medians of "
        "seconds (and their ratio) and iterations, shares of fits that warn, from one side to the other.\n"
    )
    print_columns("set", "method", *SCORES.values(), "seconds", "iterations", "warn")
    for key, group in _grouped(pairs, lambda pair: (pair[1].set, pair[1].method)).items():
        _print_pair(key, group)
    for method, group in _grouped(pairs, lambda pair: pair[1].method).items():
        _print_pair(("all", method), group)


def _print_pair(key, pairs):
    before, after = zip(*pairs, strict=True)
    seconds, iterations, warned = (
        [_median(side, "seconds") for side in (before, after)],
        [_number(_median(side, "n_iter")) for side in (before, after)],
        [f"{100 * _share_warned(side):.0f}" for side in (before, after)],
    )
    print_row(
        *key,
        *(_difference_cell(pairs, score) for score in SCORES),
        f"{_short(seconds[0])} → {_short(seconds[1])} ({_short(seconds[1] / seconds[0])})",
        " → ".join(iterations),
        f"{' → '.join(warned)} %",
    )


def _difference_cell(pairs, score):
    both = [(before, after) for before, after in pairs if None not in (getattr(before, score), getattr(after, score))]
    if not both:
        return "-"
    level, _ = _mean_and_error([after for _, after in both], score)
    differences = [(after.set, getattr(after, score) - getattr(before, score)) for before, after in both]
    difference, error = _over_sets(differences)
    cell = f"{level:.3f} ({difference:+.3f}{'' if error is None else f' ± {error:.3f}'})"
    return f"**{cell}**" if error is not None and abs(difference) > 2 * error else cell


# Statistics ----------------------------------------------------------------------------------------------------------


def _grouped(items, key):
    """Return lists of the items by key, in the order of first appearance."""
    groups = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _over_sets(values):
    """Return the mean and standard error of (set, value): of the values of one set, of the means of several.

    The error is None where there is one value only.
    """
    by_set = [[value for _, value in group] for group in _grouped(values, lambda item: item[0]).values()]
    values = by_set[0] if len(by_set) == 1 else [mean(group) for group in by_set]
    return mean(values), stdev(values) / len(values) ** 0.5 if len(values) > 1 else None


def _mean_and_error(records, score):
    values = [(record.set, getattr(record, score)) for record in records if getattr(record, score) is not None]
    return _over_sets(values) if values else None


def _mean_cell(value):
    if value is None:
        return "-"
    return f"{value[0]:.3f}" + ("" if value[1] is None else f" ± {value[1]:.3f}")


def _median(records, name):
    values = [getattr(record, name) for record in records if getattr(record, name) is not None]
    return median(values) if values else None


def _short(value):
    """Return the number to two digits, 210 rather than 2.1e+02."""
    return f"{float(f'{value:.2g}'):g}"


def _number(value):
    return "-" if value is None else f"{value:g}"


def _share_warned(records):
    return mean(record.warned for record in records)
