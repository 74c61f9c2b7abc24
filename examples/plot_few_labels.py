"""
Few labels
==========

Labels are dear, rows are not. A code can be learned from all rows, without labels, and a classifier then fitted to the
few that have them. Which reducer is best depends on how many there are.

In the figure, the error of a logistic regression on unseen digits, given the pixels, principal components, or a sparse,
a denoising or a contractive code. The sparse code is best at every number of labels; with it, 300 labels do better than
600 without a code. The contractive code gains most from labels: at 50 it is no better than the pixels, at 1000 it has
caught up with the sparse one. Among the principal components 15 are the better choice up to some 300 labels and 40
beyond. The bars are standard errors over ten draws of the labelled rows, the same rows for all reducers.
"""

# %%
# Codes from all rows, classifiers from some
# ------------------------------------------
#
# 1,200 digits are there to learn from, the others to test on. The codes see all 1,200 and no labels; their settings
# are ones that do well with all labels. Every code is standardised, since the penalty of the classifier depends on the
# scale of its inputs, and the classifier is the same for all.

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skae import ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder

# Features for a classifier need no minimum to five digits.
warnings.filterwarnings("ignore", category=ConvergenceWarning)

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split((X / 16).astype(np.float32), y, train_size=1200, stratify=y, random_state=0)
settings = {"n_components": 200, "max_iter": 100, "random_state": 0}
reducers = {
    "pixels": FunctionTransformer(),
    "PCA, 15 components": PCA(15),
    "PCA, 40 components": PCA(40),
    "sparse": SparseAutoencoder(sparsity_weight=0.3, **settings),
    "denoising": DenoisingAutoencoder(corruption_level=0.25, n_corruptions=3, **settings),
    "contractive": ContractiveAutoencoder(loss="cross_entropy", contraction_weight=0.1, **settings),
}
classifier = LogisticRegression(C=0.1, max_iter=200)

label_counts = (50, 100, 200, 300, 600, 1000)
n_draws = 10
draws = [
    train_test_split(np.arange(len(y)), train_size=count, stratify=y, random_state=seed)[0]
    for count in label_counts
    for seed in range(n_draws)
]
accuracies = {}
for name, reducer in reducers.items():
    reduce = make_pipeline(reducer, StandardScaler()).fit(X)
    code, code_test = reduce.transform(X), reduce.transform(X_test)
    scores = [classifier.fit(code[rows], y[rows]).score(code_test, y_test) for rows in draws]
    accuracies[name] = np.reshape(scores, (len(label_counts), n_draws))

print("| labels | " + " | ".join(accuracies) + " |")
print("| --- " * (len(accuracies) + 1) + "|")
for row, count in enumerate(label_counts):
    print(f"| {count} | " + " | ".join(f"{100 * scores[row].mean():.1f}" for scores in accuracies.values()) + " |")

# %%
# Components of little variance are mostly noise, and standardising makes them as large as the others. The fewer the
# labels, the less a classifier can tell which to trust: 40 principal components are then worse than 15, and both are
# worse than the pixels. The units of an autoencoder share the work, so none of the codes has such components, although
# they have 200.

figure, axis = plt.subplots(figsize=(8.5, 5.5), layout="constrained")
for name, scores in accuracies.items():
    axis.errorbar(
        label_counts,
        1 - scores.mean(axis=1),
        yerr=scores.std(axis=1, ddof=1) / np.sqrt(n_draws),
        fmt="o-",
        capsize=3,
        label=name,
    )
axis.set(
    xscale="log",
    yscale="log",
    xlabel="labelled digits",
    ylabel="error on unseen digits",
    title="Codes from all rows, a classifier from the labelled ones",
)
axis.set_xticks(label_counts, label_counts)
axis.set_yticks([0.02, 0.03, 0.05, 0.1, 0.2])
axis.yaxis.set_major_formatter("{x:.0%}")
axis.minorticks_off()
axis.legend()
plt.show()
