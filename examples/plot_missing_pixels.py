"""
Imputing digits with missing pixels
===================================

Half of the pixels of every image are missing, in training and in test images. :class:`~skae.impute.AutoencoderImputer`
learns from the incomplete training images which pixels go together, and fills those of the test images with the
reconstructions of an autoencoder.

The figure shows test images, what is left of them, and what the mean of a pixel, the nearest training images and the
autoencoder make of that. The means give every image the same smudge between its own pixels. The autoencoder recovers
strokes, with the lowest error; where a whole stroke is missing, it draws a blend of the digits that agree with the
rest. The errors are root mean squared errors of missing pixels, in units of a pixel's standard deviation.
"""

# %%
# The data
# --------
#
# The pixels are in [0, 1]. Those at the border hardly vary, and do not count in the errors.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.model_selection import train_test_split

from skae.impute import AutoencoderImputer

rng = np.random.default_rng(0)
train, test = train_test_split(load_digits().data / 16, train_size=600, test_size=200, random_state=0)
spread = train.std(axis=0)


def with_holes(X):
    return np.where(rng.random(X.shape) < 0.5, np.nan, X)


train_shown, test_shown = with_holes(train), with_holes(test)

# %%
# Three imputers
# --------------
#
# All are fitted to the incomplete training images. The autoencoder is the default one: linear, with a weight decay that
# the imputer chooses on pixels that it hides itself.

imputers = {
    "mean": SimpleImputer(keep_empty_features=True),
    "ten neighbours": KNNImputer(n_neighbors=10, keep_empty_features=True),
    "autoencoder": AutoencoderImputer(random_state=0),
}
filled = {name: imputer.fit(train_shown).transform(test_shown) for name, imputer in imputers.items()}
counts = np.isnan(test_shown) & (spread > 0.1)


def error(X):
    return np.sqrt(np.mean(((X - test) / np.maximum(spread, 0.1))[counts] ** 2))


for name, X in filled.items():
    print(f"{name:15} error {error(X):.2f}")
print(f"weight decay {imputers['autoencoder'].alpha_:g}, {imputers['autoencoder'].n_iter_} rounds")

# %%
# Test images
# -----------

n_images = 10
rows = {"original": test, "shown": test_shown}
rows |= {f"{name}\nerror {error(X):.2f}": X for name, X in filled.items()}
figure, axes = plt.subplots(len(rows), n_images, figsize=(9, 5), layout="constrained")
cmap = plt.get_cmap("gray_r").with_extremes(bad="lightsteelblue")
for axis_row, (name, X) in zip(axes, rows.items(), strict=True):
    axis_row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    for ax, image in zip(axis_row, X, strict=False):
        ax.imshow(image.reshape(8, 8), vmin=0, vmax=1, cmap=cmap)
        ax.set(xticks=[], yticks=[])
plt.show()
