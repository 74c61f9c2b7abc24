"""
Filters that denoising brings out
=================================

The input of this denoising autoencoder has some entries set to zero, and the model reconstructs the clean rows. To fill
in a pixel it must use the surrounding pixels, so its units cannot represent single pixels: they learn to detect parts
of strokes. The more pixels are masked, the larger the neighbourhood that they must use.

In the figure, most filters of the plain autoencoder are a single pixel or look like noise. With 25 % of the pixels
masked, spots and parts of strokes appear, several pixels long, and single pixels almost disappear; with 50 % the parts
are wider. The images are small, and many filters detect more than one part. The curves below quantify this for more
levels of masking: neighbouring pixels of a filter become more similar, and few filters are concentrated on one or two
pixels.
"""

# %%
# Three codes of 64 units
# -----------------------
#
# The digits have 8x8 pixels, scaled to [0, 1] by dividing by 16, so a masked pixel looks like an empty one. The fits
# differ only in the masking; their objective is its expectation. Weight decay is the same for all. With as
# many units as pixels, a code could simply copy its input. With a share of 0 nothing is masked, and the fit is that of
# `AutoencoderTransformer`.
#
# The size of the effect depends on the settings. The loss, the weight decay and the number of units were chosen to show
# it well: with the cross-entropy at this weight decay the plain filters have no single pixels, and in some settings the
# step from 25 % to 50 % makes no difference. Neighbouring pixels became more similar from no masking to 25 % in every
# setting tried. With the default weight decay the order is another: 9 % of the plain filters are concentrated on one or
# two pixels, 6 % with 25 % masked, and 39 % with 50 % masked. The share of plain filters that are single pixels also
# depends on the length of the search: 2 % at the default `tol`, 25 % at 1e-4, and 45 % at the 1e-5 of this example.
#
# `Masking(share, fill=0)` masks all pixels with zero. The default masks with zero only if more than half of a pixel's
# values are zero, and with the pixel's mean otherwise.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skae import DenoisingAutoencoder
from skae.corruption import Masking
from skae.plotting import FilterDisplay

X = load_digits().data.astype(np.float32) / 16
autoencoders = {
    share: DenoisingAutoencoder(64, corruption=Masking(share, fill=0), alpha=3e-3, tol=1e-5, random_state=0).fit(X)
    for share in (0, 0.1, 0.25, 0.4, 0.5, 0.6)
}

# %%
# What fires a unit
# -----------------
#
# A logistic unit responds to the projection of its input on its weights. Of all inputs of unit norm, the weights
# divided by their norm therefore activate the unit most. `maximally_activating_inputs` returns this input for each
# unit, one per row, and a filter displays it. No random direction of unit norm activates a unit as much:

autoencoder = autoencoders[0.25]
best = autoencoder.transform(autoencoder.maximally_activating_inputs()).diagonal()
directions = np.random.default_rng(0).standard_normal((10_000, X.shape[1]), dtype=np.float32)
directions /= np.linalg.norm(directions, axis=1, keepdims=True)
n_beaten = np.sum(autoencoder.transform(directions).max(axis=0) > best)
print(f"units that one of 10,000 random directions fires more: {n_beaten} of {len(best)}")

# %%
# How wide are the pieces?
# ------------------------
#
# We use two measures of a filter w of unit norm. The correlation of neighbours is the mean product of the weights of
# two horizontally or vertically adjacent pixels, divided by the mean square of the weights: 0 for noise and for single
# pixels, close to 1 for smooth images. The effective number of pixels is one over the sum of :math:`w_k^4`: 1 for a
# single pixel, 64 for weights of equal size.


def neighbour_correlation(filters):
    images = filters.reshape(-1, 8, 8)
    across, down = images[:, :, 1:] * images[:, :, :-1], images[:, 1:] * images[:, :-1]
    return (across.mean() + down.mean()) / (2 * np.square(images).mean())


def share_of_few_pixels(filters):
    return np.mean(1 / (filters**4).sum(axis=1) < 3)


figure = plt.figure(figsize=(10, 6.2), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(1.45, 1))
grids = top.subplots(1, 3, gridspec_kw={"wspace": 0.1})
for axis, share in zip(grids, (0, 0.25, 0.5), strict=True):
    axis.set_title(f"{share:.0%} masked" if share else "plain, nothing masked")
    filters = autoencoders[share].maximally_activating_inputs()
    FilterDisplay(filters=filters[:49], image_shape=(8, 8)).plot(ax=axis)

left, right = bottom.subplots(1, 2)
all_filters = [autoencoder.maximally_activating_inputs() for autoencoder in autoencoders.values()]
left.plot(autoencoders.keys(), [neighbour_correlation(filters) for filters in all_filters], "o-")
left.set(xlabel="share of the pixels masked", ylabel="correlation of neighbours", ylim=(0, None))
right.plot(autoencoders.keys(), [share_of_few_pixels(filters) for filters in all_filters], "o-")
right.set(xlabel="share of the pixels masked", ylabel="filters of fewer than\n3 effective pixels", ylim=(0, None))
right.yaxis.set_major_formatter("{x:.0%}")
plt.show()
