"""
Patches of natural images
=========================

The best-known figure of the field: with noise in its inputs, an autoencoder learns edges from photographs. Vincent et
al. (2010) showed that weight decay alone does not.

The figure shows the weights of 100 units of each model as images. With Gaussian noise, nearly all are short edges,
lines or gratings: each has one direction, and most lie in one part of the patch. With weight decay they look like
noise. The filters of PCA are waves over the whole patch; some have one direction, and many are checkered, waves that
cross. The titles say how many of all the filters of a model have one direction.

Without noise, 200 units can pass on the 144 pixels in any mixture, and no mixture is better than another. With noise of
the same size as the pixels, a unit must tell a pattern of the photographs from noise. Edges are such patterns: a unit
that adds up the pixels along an edge averages the noise out.
"""

# %%
# The patches
# -----------
#
# The data are 60,000 patches of 12x12 pixels from scikit-learn's two sample photographs. The photographs are grey and
# whitened, as in Olshausen and Field (1996): the amplitude of each spatial frequency f is multiplied by
# f exp(-(f / f0)^4), with f0 of 0.4 cycles a pixel. Otherwise the coarsest waves would have most of the variance. Each
# patch is taken minus its own mean, and all are divided by one number, so that a pixel has a standard deviation of 1.

import warnings
from time import perf_counter

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.image import extract_patches_2d

from skae import AutoencoderTransformer, DenoisingAutoencoder
from skae.plotting import FilterDisplay

SIDE = 12


def whitened(image):
    down, across = (np.fft.fftfreq(side) for side in image.shape)
    frequency = np.hypot(down[:, None], across)
    result = np.fft.ifft2(np.fft.fft2(image) * frequency * np.exp(-((frequency / 0.4) ** 4))).real
    return result / result.std()


patches = np.concatenate(
    [
        extract_patches_2d(whitened(image.mean(axis=2)), (SIDE, SIDE), max_patches=30_000, random_state=0)
        for image in load_sample_images().images
    ]
).reshape(-1, SIDE * SIDE)
patches -= patches.mean(axis=1, keepdims=True)
patches = (patches / patches.std()).astype(np.float32)

# %%
# Three models
# ------------
#
# Both autoencoders have 200 units and tied weights. The noise has a standard deviation of 1, as the pixels have. It is
# drawn anew for every minibatch: `solver_` is "kfac". Ten passes over the rows, an iteration each, show the filters;
# a fit at the default `max_iter` goes on. For weight decay a tenth of the patches is enough.

settings = {"activation": "relu", "tied_weights": True, "random_state": 0}
models = {
    "PCA": (PCA(random_state=0), patches),
    "weight decay": (AutoencoderTransformer(200, alpha=1e-2, **settings), patches[::10]),
    "Gaussian noise": (
        DenoisingAutoencoder(200, corruption="gaussian", corruption_level=1, alpha=1e-4, max_iter=10, **settings),
        patches,
    ),
}
warnings.filterwarnings("ignore", category=ConvergenceWarning)
for name, (model, rows) in models.items():
    start = perf_counter()
    model.fit(rows)
    print(f"{name}: {perf_counter() - start:.0f} seconds")

# %%
# Which filters are oriented
# --------------------------
#
# The power spectrum P of a filter says how strong the wave of each frequency is in it, and a wave has a direction, the
# angle of its frequency. The modulus of the sum of P exp(2 i angle), over the sum of P, is 1 if all waves have the same
# direction, and 0 if they have all directions alike or two that are perpendicular. A filter counts as oriented if it is
# above 1/3.


def are_oriented(filters):
    power = np.abs(np.fft.fft2(filters.reshape(-1, SIDE, SIDE), s=(32, 32))) ** 2
    power[:, 0, 0] = 0
    frequencies = np.fft.fftfreq(32)
    angles = np.arctan2(frequencies[:, None], frequencies)
    return np.abs((power * np.exp(2j * angles)).sum(axis=(1, 2))) / power.sum(axis=(1, 2)) > 1 / 3


figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), layout="constrained")
for axis, (name, (model, _)) in zip(axes, models.items(), strict=True):
    filters = model.components_
    FilterDisplay(filters=filters[:100], image_shape=(SIDE, SIDE)).plot(cmap="gray", ax=axis)
    axis.set_title(f"{name}: {are_oriented(filters).mean():.0%} oriented")
plt.show()
