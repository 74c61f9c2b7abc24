"""
Patches of natural images
=========================

Small patches of photographs contain mostly edges and textures. Which regularisers make an autoencoder learn them?

The figure shows the filters of four models fitted to the same patches of 12x12 pixels. PCA's filters are waves over the
whole patch, first the coarse ones, then waves that cross in all directions. With only this weight decay, the filters of
an autoencoder look like noise. With KL sparsity, the filters show edges, lines and gratings, most of them with one
direction and many in only one part of the patch. Gaussian denoising is between the two: some filters show slanted
gratings with noise, and none has clear edges.

The curves below show two measures of each filter: the directedness of its gradients and the concentration of its
weights on few pixels. The noise-like filters have no direction, PCA's are not concentrated, and only those of KL
sparsity have both properties.
"""

# %%
# The patches
# -----------
#
# The data are 8,000 grey patches from each of scikit-learn's two sample images, each minus its own mean. Patches of
# very low contrast, from the blurred background of the flower, are dropped. The others are divided by one number, so
# that a pixel has a standard deviation of 1. The patches are not whitened: neighbouring pixels stay correlated.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.decomposition import PCA
from sklearn.feature_extraction.image import extract_patches_2d

from skae import AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder
from skae.plotting import FilterDisplay

SIDE = 12
patches = np.concatenate(
    [
        extract_patches_2d(image.mean(axis=2) / 255, (SIDE, SIDE), max_patches=8000, random_state=0)
        for image in load_sample_images().images
    ]
).reshape(-1, SIDE * SIDE)
patches -= patches.mean(axis=1, keepdims=True)
patches = patches[patches.std(axis=1) > 0.02]
patches = (patches / patches.std()).astype(np.float32)
print(f"{len(patches)} patches")

# %%
# Four models
# -----------
#
# All models have 64 units; the autoencoders have logistic units, a linear decoder and the same weight decay. The noise
# has twice the standard deviation of the pixels. The weight of the KL penalty looks large because a patch has 144
# pixels, and its squared error is a sum over them. Vincent et al. (2010) also show edges from Gaussian denoising, on
# whitened patches and after much longer stochastic training; within the length of this example they do not appear.
#
# The strengths were chosen by inspecting the filters for a few values. A weight decay of 0.3 instead of 0.01 replaces
# the noise by smooth blends of the coarsest waves, with or without Gaussian noise: these are oriented, but not edges.

settings = {"n_components": 64, "alpha": 1e-2, "random_state": 0}
models = {
    "PCA": PCA(64, random_state=0),
    "weight decay": AutoencoderTransformer(tied_weights=True, **settings),
    "Gaussian denoising": DenoisingAutoencoder(
        corruption="gaussian", corruption_level=2, tied_weights=True, **settings
    ),
    "KL sparsity": SparseAutoencoder(sparsity_target=0.02, sparsity_weight=50, **settings),
}
for model in models.values():
    model.fit(patches)

# %%
# Direction and concentration
# ---------------------------
#
# The summed products of an image's gradients give its 2x2 structure tensor. The difference of the tensor's eigenvalues
# over their sum is 1 for a straight edge or a grating of any direction, and near 0 if the gradients point equally in
# all directions. The concentration is the mean fourth power of the weights over their squared mean square: 1 if all
# weights have equal size, 1.5 for a wave, 3 for Gaussian noise, more if a few pixels have most of the weight. Each
# curve shows the 64 filters of a model in decreasing order.


def direction(filters):
    down, across = np.gradient(filters.reshape(-1, SIDE, SIDE), axis=(1, 2))
    xx, yy, xy = ((a * b).sum(axis=(1, 2)) for a, b in ((across, across), (down, down), (across, down)))
    return np.hypot(xx - yy, 2 * xy) / (xx + yy)


def concentration(filters):
    return (filters**4).mean(axis=1) / np.square(np.square(filters).mean(axis=1))


figure = plt.figure(figsize=(10, 12.5), layout="constrained")
top, bottom = figure.subfigures(2, 1, height_ratios=(3.6, 1))
panels = bottom.subplots(1, 2)
for axis, (name, model) in zip(top.subplots(2, 2).flat, models.items(), strict=True):
    axis.set_title(name)
    FilterDisplay.from_estimator(model, image_shape=(SIDE, SIDE), cmap="gray", ax=axis)
    for panel, measure in zip(panels, (direction, concentration), strict=True):
        values = measure(model.components_)
        panel.plot(np.arange(1, 65), np.sort(values)[::-1], label=name)
        print(f"{name}: {measure.__name__}, median {np.median(values):.2f}")
panels[0].set(xlabel="filter, by rank", ylabel="direction", ylim=(0, 1))
panels[1].set(xlabel="filter, by rank", ylabel="concentration", yscale="log")
panels[1].set_yticks([1.5, 3, 6, 12, 24], [1.5, 3, 6, 12, 24])
panels[1].minorticks_off()
panels[1].legend()
plt.show()
