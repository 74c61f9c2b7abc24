"""
What contraction does to a code
===============================

A contractive autoencoder pays for every direction in which its code is sensitive, and is paid, in reconstruction, only
for those in which the data vary. So it keeps its sensitivity where the data are wide and gives it up where they are
narrow.

In the upper row, a cloud is wide along u1 and narrow along u2. The level lines of a plain autoencoder's units cross
each other: the code follows both directions. The contractive units have level lines along u2: they do not change when
the input moves that way. The third panel follows the sensitivities as the penalty gets stronger: u2 is given up long
before u1, and all at once. Below, the same on digits: of five codes, four of which keep 89 to 94 % of the variance, the
contractive one has the Jacobian whose singular values fall fastest.
"""

# %%
# A cloud with two directions
# ---------------------------
#
# The cloud has a standard deviation of 1 along u1 and of 0.3 along u2. Two logistic units, with tied weights, code it.
# The sensitivity of a code along a unit vector u is the norm of J u, J being the Jacobian of the encoder, here in the
# mean over the rows. Weight decay is off, so that contraction is the only penalty.
#
# The objective has minima with and without u2. Where the one without is the lower but not yet the only one, random
# starts still find the other. So at every strength there are two fits, one from a random start, and one that goes on
# from the fit at the next larger strength (`warm_start`); the one with the lower objective counts. With the default
# `tol` some searches would end halfway between the two.

from copy import deepcopy

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder
from skae.plotting import JacobianSpectrumDisplay

directions = {"u1": np.array([np.cos(np.pi / 6), np.sin(np.pi / 6)])}
directions["u2"] = np.array([-directions["u1"][1], directions["u1"][0]])
rng = np.random.default_rng(0)
cloud = rng.standard_normal((500, 2)) * [1, 0.3] @ np.array(list(directions.values()))

strengths = np.geomspace(0.01, 1, 21)
tied = {"tied_weights": True, "scale_code": False, "random_state": 0}
from_above = ContractiveAutoencoder(2, alpha=0, tol=1e-5, warm_start=True, **tied)
codes = {}
for strength in sorted((0, 0.3, *strengths), reverse=True):
    from_above.set_params(contraction_weight=strength).fit(cloud)
    from_random = clone(from_above).fit(cloud)
    codes[strength] = min(deepcopy(from_above), from_random, key=lambda fitted: fitted.loss_)


def sensitivity(autoencoder, direction):
    return np.linalg.norm(autoencoder.encoder_jacobian(cloud) @ direction, axis=1).mean()


for strength in (0, 0.3):
    along = {name: sensitivity(codes[strength], direction) for name, direction in directions.items()}
    print(f"contraction_weight={strength}: " + ", ".join(f"{value:.2f} along {name}" for name, value in along.items()))

# %%
# Five codes of digits
# --------------------
#
# All have 100 logistic units, tied weights and the cross-entropy as their loss. The regularised ones have one
# regulariser each, of a strength at which the code keeps some 90 % of the digits' variance; the plain one has none and
# keeps nearly all. With tied weights no code can shrink at the encoder and grow back at the decoder, which would lower
# the singular values for nothing.

settings = {"loss": "cross_entropy", **tied}
noisy = {"alpha": 0, "n_corruptions": 5}
digits = load_digits().data.astype(np.float32) / 16
autoencoders = {
    "plain": AutoencoderTransformer(100, alpha=0, **settings),
    "weight decay": AutoencoderTransformer(100, alpha=1e-2, **settings),
    "denoising, masking": DenoisingAutoencoder(100, corruption_level=0.25, **noisy, **settings),
    "denoising, Gaussian": DenoisingAutoencoder(100, corruption="gaussian", corruption_level=0.3, **noisy, **settings),
    "contractive": ContractiveAutoencoder(100, alpha=0, contraction_weight=0.3, **settings),
}
for name, autoencoder in autoencoders.items():
    norms = np.square(autoencoder.fit(digits).encoder_jacobian(digits)).sum(axis=(1, 2))
    print(f"{name}: R2 {autoencoder.score(digits):.2f}, mean squared norm of the Jacobian {norms.mean():.0f}")

# %%
# A singular value says how much the code changes along one direction of input space. There are 64 directions, and few
# of them lead from one digit to another. Masking leaves the largest values as large as in the plain code and lowers the
# others. Weight decay makes some 25 of about the same size and cuts off the rest. Gaussian noise makes the values
# small, and contraction makes them smaller still at the same reconstruction: its curve falls fastest from
# the first values on.

figure = plt.figure(figsize=(11, 8), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1, 1.15))
*planes, path = top.subplots(1, 3)
grid = np.stack(np.meshgrid(np.linspace(-3, 3, 80), np.linspace(-3, 3, 80)), axis=-1)
for axis, (strength, title) in zip(planes, {0: "plain", 0.3: "contractive, strength 0.3"}.items(), strict=True):
    axis.scatter(*cloud.T, s=4, color="lightgrey")
    levels = codes[strength].transform(grid.reshape(-1, 2)).reshape(80, 80, 2)
    for unit, colour in enumerate(("tab:blue", "tab:orange")):
        axis.contour(*np.moveaxis(grid, -1, 0), levels[..., unit], levels=8, colors=colour, linewidths=1)
        axis.plot([], [], color=colour, label=f"unit {unit}")
    for name, direction in directions.items():
        length = 2 if name == "u1" else 1
        axis.annotate("", length * direction, (0, 0), arrowprops={"arrowstyle": "-|>", "linewidth": 2})
        axis.annotate(name, (length + 0.3) * direction, ha="center", va="center", weight="bold")
    axis.set(title=f"Level lines of the units, {title}", aspect="equal", xticks=(-2, 0, 2), yticks=(-2, 0, 2))
    axis.title.set_fontsize(10)
planes[0].legend(loc="lower right", fontsize=8)

for name, direction in directions.items():
    path.semilogx(
        strengths, [sensitivity(codes[strength], direction) for strength in strengths], "o-", label=f"along {name}"
    )
path.set(xlabel="contraction_weight", ylim=(0, None))
path.set_title("Sensitivity of the code", fontsize=10)
path.legend()

spectra = bottom.subplots()
for name, autoencoder in autoencoders.items():
    JacobianSpectrumDisplay.from_estimator(autoencoder, digits[::4], name=name, ax=spectra)
spectra.set(title="Digits, codes of 100 units", ylim=(1e-3, 10))
plt.show()
