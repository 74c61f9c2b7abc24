"""
Binary, count and real inputs
=============================

The loss of an autoencoder is a model of the distribution of the inputs around their reconstruction: cross-entropy for
Bernoulli, Poisson for counts, squared error for a Gaussian of constant variance. The loss that suits the type of input
preserves more in a code of the same size, and its reconstructions are valid values: probabilities, positive rates, real
numbers.

The figure shows the three types of input, each with the losses available for it, on test rows. For binary digits the
cross-entropy gives the lowest log-loss at every size of the code, by a margin that grows with the size. For counts the
Poisson loss comes closer to the true rates at every size. With both losses the error is smallest for five components,
the number that generated the rates; larger codes begin to reproduce the noise. For real measurements squared error
reconstructs the most variance, but by a very small margin: its advantage there is that it requires no range.
"""

# %%
# Binary inputs
# -------------
#
# The inputs are the digits, with every pixel from half of the range upwards set to 1 and the others to 0. A
# reconstruction is interpreted as the probability of a 1. Reconstructions can be below 0 and above 1 with squared
# error, and above 1 with the Poisson loss, so all are clipped to [0.001, 0.999] before the log-loss is computed and
# summed over the pixels.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import xlogy
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import MinMaxScaler

from skae import AutoencoderTransformer


def fits(X, loss, sizes, alpha):
    return [AutoencoderTransformer(size, loss=loss, alpha=alpha, random_state=0).fit(X) for size in sizes]


binary, binary_test = train_test_split((load_digits().data >= 8).astype(float), random_state=0)
binary_sizes = (2, 5, 10, 20, 30)


def log_loss(autoencoder):
    p = np.clip(autoencoder.reconstruct(binary_test), 0.001, 0.999)
    return -(xlogy(binary_test, p) + xlogy(1 - binary_test, 1 - p)).sum(axis=1).mean()


binary_results = {
    loss: [log_loss(autoencoder) for autoencoder in fits(binary, loss, binary_sizes, alpha=1e-3)]
    for loss in ("cross_entropy", "squared_error", "poisson")
}

# %%
# Counts
# ------
#
# Each row has 40 counts, drawn from rates that mix five patterns: many are small, some are large. Since the rates are
# known, the reconstruction is compared with them rather than with the counts, whose noise it should not reproduce. Both
# are compared by their square roots, so that small and large rates have equal weight. Negative reconstructions, which
# occur with squared error, are set to 0 first.

rng = np.random.default_rng(0)
rates = rng.gamma(1, size=(2000, 5)) @ rng.gamma(0.3, size=(5, 40))
counts = rng.poisson(rates).astype(float)
counts, counts_test, _, rates_test = train_test_split(counts, rates, random_state=0)
count_sizes = (1, 2, 3, 5, 7, 10)


def rate_error(autoencoder):
    estimate = np.maximum(autoencoder.reconstruct(counts_test), 0)
    return np.square(np.sqrt(estimate) - np.sqrt(rates_test)).sum(axis=1).mean()


count_results = {
    loss: [rate_error(autoencoder) for autoencoder in fits(counts, loss, count_sizes, alpha=1e-2)]
    for loss in ("poisson", "squared_error")
}

# %%
# Real numbers
# ------------
#
# The inputs are thirty measurements of tumours, scaled to [0, 1] because the cross-entropy requires it. The score is
# the share of the test rows' variance that is reconstructed, which squared error optimises on the training rows. The
# Poisson loss does not suit these inputs.

real, real_test = train_test_split(load_breast_cancer().data, random_state=0)
scaler = MinMaxScaler(clip=True).fit(real)
real, real_test = scaler.transform(real), scaler.transform(real_test)
real_sizes = (1, 2, 3, 5, 7, 10)
real_results = {
    loss: [autoencoder.score(real_test) for autoencoder in fits(real, loss, real_sizes, alpha=1e-4)]
    for loss in ("squared_error", "cross_entropy")
}

# %%
# The small difference in the last panel is expected: both losses are minimised by the conditional mean of the inputs.
# They differ in the weight of errors near 0 and 1.

figure, axes = plt.subplots(1, 3, figsize=(13, 4.4), layout="constrained")
panels = {
    "Binary digits": (binary_sizes, binary_results, "log-loss of a row (lower is better)"),
    "Counts": (count_sizes, count_results, "distance to the true rates (lower is better)"),
    "Real measurements": (real_sizes, real_results, "share of variance reconstructed (higher is better)"),
}
colours = {"cross_entropy": "tab:blue", "poisson": "tab:green", "squared_error": "tab:orange"}
for axis, (title, (sizes, results, measure)) in zip(axes, panels.items(), strict=True):
    for loss, values in results.items():
        axis.plot(sizes, values, "o-", color=colours[loss], label=loss)
        print(title, loss, np.round(values, 3))
    axis.set(title=title, xlabel="components", ylabel=measure, xticks=sizes)
    axis.legend()
plt.show()
