"""
Filters that denoising brings out
=================================

A denoising autoencoder gets rows with some of their entries set to zero and has to return the clean rows. To fill in a
pixel it must look at the pixels around it, so its units cannot work pixel by pixel: they come to look for parts of
strokes. The more is masked, the further around they must look.

In the figure, most filters of the plain autoencoder are a single pixel or look like noise. With 25 % of the pixels
masked, spots and pieces of strokes appear, several pixels long, and single pixels all but vanish; with 50 % the pieces
are wider. The images are small, and many filters look for more than one piece. The curves below measure what the eye
sees, at more levels of masking: neighbouring pixels of a filter get more alike, and few filters rest on one or two
pixels.
"""

# %%
# Three codes of 64 units
# -----------------------
#
# The digits have 8x8 pixels, divided by 16 into [0, 1], so that a masked pixel looks like an empty one. The fits
# differ in the masking alone; each row is masked ten times, independently. Weight decay is the same for all. With as
# many units as pixels, a code could simply copy its input. With a share of 0 nothing is masked, and the fit is that
# of `AutoencoderTransformer`.
#
# How much of this shows depends on the setting. The loss, the weight decay and the size are ones at which it shows
# well: with the cross-entropy at this weight decay the plain filters have no single pixels to begin with, and in some
# settings the step from 25 % to 50 % makes no difference. That neighbours get more alike from no masking to 25 % held
# in every setting tried. With the default weight decay the plain filters look like noise; with 25 % masked, 28 % of the
# filters rest on one or two pixels, with 50 % masked 2 %. How many of the plain filters are single pixels also depends
# on the length of the search: 2 % at the default `tol`, 25 % at 1e-4, and 44 % at the 1e-5 of this example.
#
# `Masking(share, fill=0)` masks all pixels with zero. The default does so only where more than half of a pixel's values
# are zero, and puts the mean elsewhere.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

from skae import DenoisingAutoencoder
from skae.corruption import Masking
from skae.plotting import FilterDisplay

X = load_digits().data.astype(np.float32) / 16
autoencoders = {
    share: DenoisingAutoencoder(
        64, corruption=Masking(share, fill=0), n_corruptions=10, alpha=3e-3, tol=1e-5, random_state=0
    ).fit(X)
    for share in (0, 0.1, 0.25, 0.4, 0.5, 0.6)
}

# %%
# What fires a unit
# -----------------
#
# A logistic unit responds to the projection of its input on its weights. Of all inputs of unit norm, the one that
# points along the weights therefore fires it most: the weights, divided by their norm. That is what
# `maximally_activating_inputs` returns, a row a unit, and what a filter shows. No random direction of unit norm does
# as well:

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
# Two measures of a filter w of unit norm. The correlation of neighbours is the mean product of the weights of two
# pixels that are side by side or one above the other, divided by the mean square of the weights: 0 for noise and for
# single pixels, towards 1 for smooth images. The effective number of pixels is one over the sum of :math:`w_k^4`: 1 for
# a single pixel, 64 for weights of one size everywhere.


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
