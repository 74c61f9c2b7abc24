r"""
The KL penalty, its target and the code
=======================================

A sparse autoencoder adds to its loss, for every unit, the Kullback-Leibler divergence between two Bernoulli
distributions: one with probability rho, the target, and one with probability r, the unit's mean activation over all
rows. The penalty determines how much a unit is active; the reconstruction determines on which rows.

The first panel of the figure shows the penalty of one unit: zero if r equals the target, steep towards r = 0 and, for a
small target, flat above it. The second panel shows the effect: without the penalty, the mean activations of 100 units
are spread between 0.2 and 0.8; with it, all are slightly above the target of 0.05. The third panel shows the cost:
below 0.2, a smaller target reduces the share of the digits' variance that is reconstructed. The lower row shows the
codes of the same 50 digits, with one row per digit and one column per unit, white for 0 and black for 1. With a target
of 0.5 every unit contributes to every digit. With smaller targets, more of the code is blank, and fewer units are
active in each row.
"""

# %%
# The penalty and its minimum
# ---------------------------
#
# .. math:: \mathrm{KL}(\rho \,\|\, r) = \rho \log \frac{\rho}{r} + (1 - \rho) \log \frac{1 - \rho}{1 - r}
#
# The derivative with respect to r, :math:`-\rho/r + (1 - \rho)/(1 - r)`, is zero only at :math:`r = \rho`.

import matplotlib.pyplot as plt
import numpy as np
from scipy.special import rel_entr
from sklearn.datasets import load_digits

from skae import SparseAutoencoder


def divergence(rho, r):
    return rel_entr(rho, r) + rel_entr(1 - rho, 1 - r)


# %%
# A code for every target
# -----------------------
#
# We also fit one code without the penalty. The weights are tied: an untied linear decoder could compensate small
# activations by large weights, so that units would be slightly active for every digit instead of clearly active for
# some. With the cross-entropy loss, the outputs are between 0 and 1, like the pixels. ``scale_code=False`` returns the
# raw activations, and ``sparsity_weight=1`` is the same number for every target. It is too weak for a target of 0.01:
# the means stay above 0.02, and the fit warns.

X, y = load_digits(return_X_y=True)
X = X / 16
settings = {"loss": "cross_entropy", "tied_weights": True, "scale_code": False, "tol": 1e-4, "random_state": 0}
free = SparseAutoencoder(100, sparsity_weight=0, **settings).fit(X)
targets = (0.5, 0.2, 0.1, 0.05, 0.02)
sparse = {rho: SparseAutoencoder(100, sparsity_target=rho, sparsity_weight=1, **settings).fit(X) for rho in targets}

print("| target | mean activations, 5 % to 95 % of the units | units above 0.5 for a digit | R2 |")
print("| --- | --- | --- | --- |")
for name, autoencoder in {"none": free, **sparse}.items():
    code = autoencoder.transform(X)
    low, high = np.percentile(code.mean(axis=0), (5, 95))
    print(f"| {name} | {low:.3f} to {high:.3f} | {(code > 0.5).sum(axis=1).mean():.0f} | {autoencoder.score(X):.2f} |")

# %%
# The mean activations in the table are close to the target down to 0.1. For smaller targets, the reconstruction
# competes with the penalty and keeps the means above the target; a larger ``sparsity_weight`` brings them closer. The
# number of units active for a digit, in the third column, decreases from half of them to two.
#
# A target of 0.2 costs nothing and even reconstructs more than no penalty. The reason is the search: without the
# penalty it ends in a minimum whose objective (14.38) is higher than that of the code for 0.2 without its penalty
# (14.37).

figure = plt.figure(figsize=(11, 7.4), layout="constrained")
top, bottom = figure.subfigures(2, 1)
curves, means, price = top.subplots(1, 3)
r = np.linspace(0.001, 0.999, 500)
for rho in (0.05, 0.2, 0.5):
    (line,) = curves.plot(r, divergence(rho, r), label=f"rho = {rho}")
    curves.plot(rho, 0, "o", color=line.get_color(), clip_on=False, zorder=3)
curves.set(xlabel="mean activation r of the unit", title="KL penalty of one unit", xlim=(0, 1), ylim=(0, 2))
curves.legend(loc="upper center")

bins = np.linspace(0, 1, 41)
means.hist(free.transform(X).mean(axis=0), bins, alpha=0.7, label="sparsity_weight = 0")
means.hist(sparse[0.05].transform(X).mean(axis=0), bins, alpha=0.7, label="sparsity_weight = 1")
means.axvline(0.05, color="black", linestyle="--", linewidth=1, label="rho = 0.05")
means.set(xlabel="mean activation of a unit", ylabel="units", title="Before and after")
means.legend()

price.semilogx(targets, [autoencoder.score(X) for autoencoder in sparse.values()], "o-")
price.axhline(free.score(X), color="grey", linestyle="--", label="no penalty")
price.set(xlabel="target rho", ylabel="share of the variance reconstructed", title="The price")
price.set_xticks(targets, targets)
price.minorticks_off()
price.legend(loc="lower right")

rows = np.concatenate([np.flatnonzero(y == digit)[:5] for digit in range(10)])
heat_maps = bottom.subplots(1, 4, sharey=True)
for axis, rho in zip(heat_maps, (0.5, 0.2, 0.05, 0.02), strict=True):
    image = axis.imshow(sparse[rho].transform(X[rows]), cmap="gray_r", vmin=0, vmax=1, aspect="auto")
    axis.set(title=f"Codes, rho = {rho}", xlabel="unit")
heat_maps[0].set_yticks(np.arange(2, 50, 5), range(10))
heat_maps[0].set_ylabel("digit, five of each")
bottom.colorbar(image, ax=heat_maps, label="activation", shrink=0.8)
plt.show()
