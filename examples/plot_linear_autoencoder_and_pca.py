"""
PCA and the linear autoencoder
==============================

An autoencoder with identity activations and squared error is equivalent to PCA. With a linear decoder, the choice of
the encoder does not help: no encoder, however nonlinear, has a lower squared error than PCA with the same number of
components. A nonlinear decoder does help.

On the left of the figure, the losses of three nonlinear encoders with a linear decoder approach PCA's loss and never
fall below it. On the right, an autoencoder with hidden layers on both sides of the code reconstructs test digits better
than PCA at every size of the code, most clearly at one to three components; the pictures below show examples.
"""

# %%
# The same subspace, the same loss
# --------------------------------
#
# The digits have 64 pixels, scaled to [0, 1] by dividing by 16. With ``activation="identity"`` and ``alpha=0``,
# `AutoencoderTransformer` has a closed-form solution, which its ``"auto"`` solver uses. To show that a search ends at
# the same solution, the second autoencoder uses L-BFGS on encoder and decoder together. Its ``tol`` is strict because
# subspaces converge more slowly than losses.

import matplotlib.pyplot as plt
import numpy as np
from scipy.linalg import subspace_angles
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split

from skae import AutoencoderTransformer
from skae.metrics import neg_reconstruction_error, reconstruction_r2

X, X_test = train_test_split(load_digits().data / 16, random_state=0)

N_COMPONENTS = 10
pca = PCA(N_COMPONENTS).fit(X)
bound = -neg_reconstruction_error(pca, X) / 2  # the loss of an autoencoder is half the squared error

for solver in ("svd", "lbfgs"):
    linear = AutoencoderTransformer(
        N_COMPONENTS, activation="identity", alpha=0, solver=solver, tol=1e-8, max_iter=5000, random_state=0
    ).fit(X)
    angles = subspace_angles(pca.components_.T, linear.coefs_[-1].T)
    print(
        f"{solver}: loss / PCA's loss - 1 = {linear.loss_ / bound - 1:.0e}, "
        f"largest angle between the subspaces = {np.degrees(angles.max()):.0e} degrees"
    )

# %%
# The columns of the decoder span the principal subspace. L-BFGS finds some basis of this subspace, not the principal
# components: the decoder can undo any invertible map of the code at no cost. The closed form returns the orthonormal
# basis by decreasing variance, so its ``components_`` are PCA's.
#
# No encoder beats PCA under a linear decoder
# -------------------------------------------
#
# With a linear decoder, all reconstructions lie in an affine subspace of the same dimension as the code. The best
# encoder chooses, for each row, the nearest point of this subspace: the projection, which is a linear map of the row.
# The best subspace for projections is the principal one (Eckart and Young). So PCA's loss is a lower bound for every
# encoder, and the distance to it measures how far a fit is from the optimum.
#
# Below, the code is nonlinear and the decoder linear. Such an encoder can only approach the projection, by staying in
# the nearly linear range of its activation: its weights shrink and the decoder's grow. The loss approaches the bound
# without reaching it, so the fit stops when ten iterations gain less than ``tol``, here 1e-5.

encoders = {
    activation: AutoencoderTransformer(
        N_COMPONENTS, activation=activation, alpha=0, tol=1e-5, max_iter=5000, random_state=0
    ).fit(X)
    for activation in ("logistic", "tanh", "softplus")
}
for activation, encoder in encoders.items():
    print(f"{activation}: loss / PCA's loss - 1 = {encoder.loss_ / bound - 1:.1e} after {encoder.n_iter_} iterations")

# %%
# What does beat PCA
# ------------------
#
# With hidden layers the decoder is also nonlinear: reconstructions lie on a curved surface, which can follow the data
# better than a plane. Here there are layers of 100 and 30 tanh units before the linear code, and of 30 and 100 after
# it. Weight decay keeps the network from fitting noise.

sizes = (1, 2, 3, 5, 10, 20)
linear_models = [PCA(size).fit(X) for size in sizes]
deep_models = [
    AutoencoderTransformer(
        size,
        hidden_layer_sizes=(100, 30),
        activation="tanh",
        code_activation="identity",
        alpha=1e-3,
        random_state=0,
    ).fit(X)
    for size in sizes
]
print("| components | PCA, test R2 | deep, test R2 |")
print("| --- | --- | --- |")
for size, linear_model, deep_model in zip(sizes, linear_models, deep_models, strict=True):
    print(f"| {size} | {reconstruction_r2(linear_model, X_test):.2f} | {deep_model.score(X_test):.2f} |")

# %%
# The advantage is largest for small codes. With many components a plane is nearly as good, and PCA takes milliseconds.

figure = plt.figure(figsize=(10, 7), layout="constrained")
curves, images = figure.subfigures(2, 1, height_ratios=(1.35, 1))
left, right = curves.subplots(1, 2)
for activation, encoder in encoders.items():
    excess = np.array(encoder.loss_curve_) / bound - 1
    left.loglog(np.arange(1, len(excess) + 1), excess, label=f"{activation} code")
left.set(
    title=f"Nonlinear encoder, linear decoder,\n{N_COMPONENTS} components",
    xlabel="iteration",
    ylabel="loss / PCA's loss - 1, training digits",
)
left.legend()

right.plot(sizes, [model.score(X_test) for model in deep_models], "o-", label="deep autoencoder")
right.plot(sizes, [reconstruction_r2(model, X_test) for model in linear_models], "s-", label="PCA")
right.set(
    title="Nonlinear decoder,\nunseen digits",
    xlabel="components",
    ylabel="share of the variance reconstructed",
    xscale="log",
    ylim=(0, 1),
)
right.set_xticks(sizes, sizes)
right.minorticks_off()
right.legend(loc="lower right")

shown = sizes.index(3)
pictures = {
    "original": X_test,
    "PCA": linear_models[shown].inverse_transform(linear_models[shown].transform(X_test)),
    "deep": deep_models[shown].reconstruct(X_test),
}
images.suptitle("Unseen digits, and what is left of them in 3 numbers each")
for (name, rows), axes in zip(pictures.items(), images.subplots(3, 12), strict=True):
    axes[0].set_ylabel(name)
    for axis, row in zip(axes, rows, strict=False):
        axis.imshow(row.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
plt.show()
