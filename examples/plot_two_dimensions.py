"""
Digits in two dimensions
========================

PCA, a shallow and a deep autoencoder reduce images of 64 pixels to two numbers. Each is fitted without labels and shown
on test digits.

In the figure, the shallow code arranges the digits as PCA does, except for a rotation and a bend: with a linear decoder
no encoder keeps more of the variance than PCA, and an encoder has no reason to separate digits that the decoder cannot
reconstruct. The deep code, with a nonlinear decoder, keeps about twice as much of the variance and separates most
digits into regions of their own. The titles give the share of test digits that their ten nearest neighbours among the
training digits, in the same two dimensions, classify correctly.
"""

# %%
# Three reducers
# --------------
#
# The shallow autoencoder has two logistic units and a linear decoder. The deep autoencoder has layers of 100 and 30
# tanh units before its two linear units, and the same layers in reverse order after them. Weight decay keeps it from
# fitting single digits.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skae import AutoencoderTransformer
from skae.metrics import reconstruction_r2

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.4, stratify=y, random_state=0)
reducers = {
    "PCA": PCA(2),
    "shallow autoencoder": AutoencoderTransformer(2, random_state=0),
    "deep autoencoder": AutoencoderTransformer(
        2,
        hidden_layer_sizes=(100, 30),
        activation="tanh",
        code_activation="identity",
        alpha=1e-3,
        random_state=0,
    ),
}

# %%
# What the figure shows
# ---------------------
#
# Each point is a test digit, coloured by its label; the labels are at the medians of their points. The axes of PCA and
# the deep code have no fixed scale. The units of the shallow code are logistic, between 0 and 1, and `transform`
# divides them by their spread, `code_scale_`. They stay near the middle of their range, where they are nearly linear.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.9), layout="constrained")
for axis, (name, reducer) in zip(axes, reducers.items(), strict=True):
    code = reducer.fit(X).transform(X_test)
    neighbours = KNeighborsClassifier(10).fit(reducer.transform(X), y)
    accuracy = neighbours.score(code, y_test)
    print(f"{name}: accuracy {accuracy:.2f}, R2 on unseen digits {reconstruction_r2(reducer, X_test):.2f}")
    axis.scatter(*code.T, c=y_test, cmap="tab10", s=12, alpha=0.8)
    for digit in range(10):
        axis.text(
            *np.median(code[y_test == digit], axis=0),
            str(digit),
            ha="center",
            va="center",
            weight="bold",
            bbox={"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": plt.cm.tab10(digit)},
        )
    axis.set_title(f"{name}\n10 nearest neighbours right for {accuracy:.0%}")
    axis.set(xlabel="component 0", ylabel="component 1")
plt.show()
