"""
A file larger than memory
=========================

Rows that do not fit into memory can stay in a file: ``fit``, ``transform`` and ``score`` read it block by block, and
``transform(X, out=...)`` writes the codes into another one. It needs the extra ``pip install "skae[files]"``.

The left of the figure shows the peak memory of a fit, from the file and from an array that was read first: the former
does not grow with the number of rows. The right shows how much of unseen rows a code
keeps. The linear autoencoder is the same as `~sklearn.decomposition.PCA`; ``IncrementalPCA``, scikit-learn's own for
such files, approximates it, and takes several times as long. An autoencoder with hidden layers keeps with 8 numbers a
row as much as a linear code with about 12, for a fit that is longer still: the table has the seconds.
"""

# %%
# A file, written block by block
# ------------------------------
#
# The rows are digits of scikit-learn, turned, stretched and shifted at random, and drawn with 16 x 16 pixels. A
# generator makes 2,000 of them at a time. 80,000 rows are 82 MB, so that this page is built quickly; the fits to the
# file would be the same with 80 GB. Chunks of all columns of some rows, without compression, are read fastest; without
# chunks, as here, rows lie one after the other.

import time
import tracemalloc
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import IncrementalPCA
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from skae import AutoencoderTransformer
from skae.metrics import reconstruction_r2

SIDE, N_ROWS, BLOCK = 16, 80_000, 2000
images = np.pad(load_digits().images.astype(np.float32) / 16, ((0, 0), (4, 4), (4, 4)))
grid = np.stack(np.meshgrid(*[np.linspace(-4, 4, SIDE, dtype=np.float32)] * 2, indexing="ij")).reshape(2, -1)


def warped_digits(n_rows, seed):
    """Return digits, (n_rows, 256) in float32, each seen through a random affine map, with bilinear interpolation."""
    rng = np.random.default_rng(seed)
    chosen = rng.integers(len(images), size=(n_rows, 1))
    angle, stretch, shift = rng.uniform(-0.35, 0.35, n_rows), rng.uniform(0.85, 1.15, (n_rows, 2, 1)), 7.5
    turn = np.moveaxis(np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), 2, 0)
    points = (turn / stretch).astype(np.float32) @ grid + rng.uniform(-0.8, 0.8, (n_rows, 2, 1)) + shift
    corner = points.astype(np.intp)
    (i, j), (u, v) = corner.swapaxes(0, 1), (points - corner).swapaxes(0, 1).astype(np.float32)
    left = (1 - u) * images[chosen, i, j] + u * images[chosen, i + 1, j]
    right = (1 - u) * images[chosen, i, j + 1] + u * images[chosen, i + 1, j + 1]
    return (1 - v) * left + v * right


folder = TemporaryDirectory()
file = h5py.File(Path(folder.name) / "digits.h5", "w")
X = file.create_dataset("X", (N_ROWS, SIDE**2), np.float32)
for start in range(0, N_ROWS, BLOCK):
    X[start : start + BLOCK] = warped_digits(BLOCK, seed=start)
X_test = warped_digits(5000, seed=N_ROWS)
print(f"The file has {X.nbytes / 1e6:.0f} MB.")

# %%
# Fits to the file
# ----------------
#
# Every estimator of the package takes the dataset itself. ``IncrementalPCA`` needs a loop, because its ``fit`` would
# load the file, and is faster with one thread: its decompositions are small. The autoencoder with hidden layers stops
# after 12 iterations, so that this page is built quickly. It would go on to improve, and warns of that.

warnings.simplefilter("ignore", ConvergenceWarning)
N_COMPONENTS = 24


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def fit_blocks():
    with threadpool_limits(1):
        for start in range(0, N_ROWS, BLOCK):
            incremental.partial_fit(X[start : start + BLOCK])


linear = AutoencoderTransformer(N_COMPONENTS, activation="identity", alpha=0)
incremental = IncrementalPCA(N_COMPONENTS)
deep = AutoencoderTransformer(
    8, hidden_layer_sizes=64, activation="relu", code_activation="identity", max_iter=12, random_state=0
)
fits = {
    "linear autoencoder": (linear, lambda: linear.fit(X)),
    "IncrementalPCA": (incremental, fit_blocks),
    "with hidden layers": (deep, lambda: deep.fit(X)),
}
print("| fit | numbers a row | seconds | share of the variance of unseen rows |")
print("| --- | --- | --- | --- |")
for name, (model, fit) in fits.items():
    elapsed = seconds(fit)
    kept = reconstruction_r2(model, X_test)
    print(f"| {name} | {model.transform(X_test[:1]).shape[1]} | {elapsed:.1f} | {kept:.4f} |")

# %%
# The codes go to a second file, again block by block, and so may reconstructions.

codes_file = h5py.File(Path(folder.name) / "codes.h5", "w")
codes = codes_file.create_dataset("codes", (N_ROWS, 8), np.float32)
deep.transform(X, out=codes)
print(f"The codes have {codes.nbytes / 1e6:.1f} MB.")

# %%
# Memory, and what a code keeps
# -----------------------------
#
# The peaks are those of Python's allocations, arrays included, while a linear autoencoder is fitted.

SIZES = [20_000, 40_000, 80_000]


def peak(function):
    """Return the largest size, in MB, that Python's allocations have inside a function, above those before it."""
    tracemalloc.start()
    function()
    result = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return result


def peaks(n_rows):
    part = file.create_dataset(f"first {n_rows}", (n_rows, SIDE**2), np.float32)
    for start in range(0, n_rows, BLOCK):
        part[start : start + BLOCK] = X[start : start + BLOCK]
    model = AutoencoderTransformer(8, activation="identity", alpha=0)
    return peak(lambda: model.fit(part)), peak(lambda: model.fit(part[:]))


memory = np.array([peaks(n_rows) for n_rows in SIZES])
megabytes = np.array(SIZES) * SIDE**2 * 4 / 1e6
print("| file (MB) | peak of a fit from the file (MB) | from an array (MB) |\n| --- | --- | --- |")
for cells in zip(megabytes, *memory.T, strict=True):
    print("| " + " | ".join(f"{cell:.0f}" for cell in cells) + " |")

# %%
# A linear code of the first k components is a part of the longest one.


def kept_by_first(k):
    codes = linear.transform(X_test)
    codes[:, k:] = 0
    residuals = X_test - linear.inverse_transform(codes)
    return 1 - np.sum(residuals**2) / np.sum((X_test - X_test.mean(axis=0)) ** 2)


numbers = np.arange(2, N_COMPONENTS + 1, 2)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.plot(megabytes, memory[:, 1], "o-", label="from an array")
left.plot(megabytes, memory[:, 0], "o-", label="from the file")
left.set(xlabel="size of X (MB)", ylabel="peak memory of the fit (MB)", xlim=(0, None), ylim=(0, None))
left.legend()
right.plot(numbers, [kept_by_first(k) for k in numbers], "o-", label="linear")
right.plot(24, reconstruction_r2(incremental, X_test), "x", markersize=10, color="tab:green", label="IncrementalPCA")
right.plot(8, deep.score(X_test), "s", color="tab:orange", label="with hidden layers")
right.axhline(deep.score(X_test), color="tab:orange", linestyle=":")
right.set(xlabel="numbers a row", ylabel="share of the variance kept")
right.legend(loc="lower right")

# %%
# The folder goes when all is read.

for opened in (file, codes_file):
    opened.close()
folder.cleanup()
