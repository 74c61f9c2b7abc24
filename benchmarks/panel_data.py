"""The data sets of the panel, each with the preparation that an ordinary user would give it.

A set is its rows, their labels and an unfitted Pipeline that prepares them; whoever scores the panel fits that on
training rows only. Sets with more rows than asked for are sampled, by class, with a fixed seed. The mixed tables need
pandas, the photographs Pillow. The standard library's docstrings differ between versions of Python: compare runs of
one version only.
"""

import ast
import gzip
import sysconfig
from csv import DictReader
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_sample_images, load_wine
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import resample


@dataclass
class DataSet:
    """Rows as they come, their labels (numbers, for a regression), and how they are prepared."""

    X: Any
    y: np.ndarray
    preparation: Pipeline
    is_regression: bool = False

    def limited(self, rows):
        """Return this set with at most so many rows, drawn by class."""
        if len(self.y) <= rows:
            return self
        stratify = None if self.is_regression else self.y
        X, y = resample(self.X, self.y, replace=False, n_samples=rows, stratify=stratify, random_state=0)
        return DataSet(X, y, self.preparation, self.is_regression)


def load_set(name, folder, rows):
    """Return the set of that name with at most so many rows, or None if its file is not in the folder."""
    kind = SETS[name]
    if kind.file is None:
        return kind.load().limited(rows)
    path = Path(folder) / kind.file
    return kind.load(path).limited(rows) if path.exists() else None


# What scikit-learn ships ---------------------------------------------------------------------------------------------


def digits():
    return DataSet(*load_digits(return_X_y=True), divided_by(16))


def standardised(load, is_regression=False):
    return lambda: DataSet(*load(return_X_y=True), make_pipeline(StandardScaler()), is_regression)


def divided_by(largest):
    return make_pipeline(FunctionTransformer(lambda X: X / largest))


def patches(side=32, per_image=60):
    """Far more columns than rows: square colour patches, none overlapping, of two photographs; which one is the class.

    The patches of an image are drawn without repetition from its grid.
    """
    drawn = []
    for image in load_sample_images().images:
        height, width = (size // side for size in image.shape[:2])
        grid = image[: height * side, : width * side].reshape(height, side, width, side, 3).swapaxes(1, 2)
        flat = grid.reshape(height * width, -1)
        drawn.append(flat[np.random.default_rng(0).permutation(len(flat))[:per_image]])
    return DataSet(np.concatenate(drawn).astype(np.float64), np.repeat([0, 1], per_image), divided_by(255))


# Files ---------------------------------------------------------------------------------------------------------------


def mnist(path):
    with np.load(path) as arrays:
        X = arrays["X_train"]
        return DataSet(X.reshape(len(X), -1), arrays["y_train"], divided_by(255))


def usps(path):
    """In [-1, 1] and in float32, as the file has them."""
    with np.load(path) as arrays:
        return DataSet(arrays["X_train"], arrays["y_train"], make_pipeline("passthrough"))


def mixed(target, categories):
    """Return a loader of a table of categories and, in all other columns, numbers."""

    def load(path):
        import pandas as pd

        table = pd.read_csv(path, dtype=dict.fromkeys(categories, object))
        y = table.pop(target).to_numpy()
        numbers = [column for column in table if column not in categories]
        prepared = ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
                (
                    "categories",
                    make_pipeline(
                        SimpleImputer(strategy="most_frequent"),
                        OneHotEncoder(handle_unknown="ignore", min_frequency=5, sparse_output=False),
                    ),
                    categories,
                ),
            ]
        )
        return DataSet(table, y, make_pipeline(prepared))

    return load


titanic = mixed("survived", ["pclass", "sex", "embarked", "deck"])
german = mixed(
    "classification",
    [
        "status_account",
        "credit_history",
        "purpose",
        "bonds",
        "employment",
        "personal_status_and_sex",
        "other_debtors",
        "property",
        "installment_plans",
        "housing",
        "job",
        "telephone",
        "foreign",
    ],
)


def sms(path):
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(DictReader(file))
    return texts([row["text"] for row in rows], [row["label"] for row in rows])


# Texts ---------------------------------------------------------------------------------------------------------------

# In every Python from 3.11 on, and with the most docstrings. Each is a class.
PACKAGES = (
    "_pydecimal asyncio email http importlib logging multiprocessing turtle unittest xml".split()  # noqa: SIM905
)
SHORTEST_DOCSTRING = 10  # words


def docstrings():
    """The docstrings of classes and functions of ten packages of the standard library; the package is the class.

    Read from the source files, without importing them. Equal docstrings enter once.
    """
    library = Path(sysconfig.get_path("stdlib"))
    package_of = {}
    for package in PACKAGES:
        module = library / f"{package}.py"
        for path in [module] if module.exists() else sorted((library / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                text = ast.get_docstring(node) if isinstance(node, ast.ClassDef | ast.FunctionDef) else None
                if text and len(text.split()) >= SHORTEST_DOCSTRING:
                    package_of.setdefault(text, package)
    return texts(list(package_of), list(package_of.values()))


def texts(rows, labels):
    return DataSet(np.array(rows, dtype=object), np.array(labels), make_pipeline(TfidfVectorizer(max_features=1000)))


def as_counts(load):
    """Return a loader of the same texts as counts."""

    def load_counts(*path):
        tfidf = load(*path)
        return DataSet(tfidf.X, tfidf.y, make_pipeline(CountVectorizer(max_features=500)))

    return load_counts


# The panel -----------------------------------------------------------------------------------------------------------


@dataclass
class Kind:
    """How to load a set, a description for the tables, and the name of its file, if it has one."""

    load: Any
    text: str
    file: str | None = None


SETS = {
    "digits": Kind(digits, "scikit-learn's digits, divided by 16"),
    "wine": Kind(standardised(load_wine), "standardised"),
    "cancer": Kind(standardised(load_breast_cancer), "breast cancer, standardised"),
    "diabetes": Kind(standardised(load_diabetes, is_regression=True), "standardised; a regression"),
    "patches": Kind(
        patches, "32x32 colour patches of scikit-learn's two photographs, divided by 255; class: the photograph"
    ),
    "docs-tfidf": Kind(
        docstrings, "docstrings of ten packages of the standard library, TF-IDF of 1,000 words; class: the package"
    ),
    "docs-counts": Kind(as_counts(docstrings), "docstrings as docs-tfidf has them, counts of 500 words"),
    "titanic": Kind(titanic, "numbers imputed and standardised, categories one-hot", "titanic.csv"),
    "german": Kind(german, "German credit, prepared as titanic", "german.csv"),
    "sms-tfidf": Kind(sms, "SMS messages, TF-IDF of 1,000 words; class: spam", "sms.csv.gz"),
    "sms-counts": Kind(as_counts(sms), "messages as sms-tfidf has them, counts of 500 words", "sms.csv.gz"),
    "usps": Kind(usps, "16x16 digits in [-1, 1], float32", "usps.npz"),
    "mnist": Kind(mnist, "28x28 digits, divided by 255", "mnist.npz"),
}
