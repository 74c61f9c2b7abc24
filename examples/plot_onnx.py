"""
A model served without Python
=============================

`skl2onnx.to_onnx` converts a fitted autoencoder, alone or within a Pipeline, to a graph that onnxruntime runs: from
C++, Java, JavaScript or C#, without Python and without skae. The conversion needs no registration, only the packages of
the extra: ``pip install "skae[onnx]"``.

A Pipeline of a scaler, a sparse autoencoder and a classifier is fitted to digits, converted and served. All labels of
the test digits agree. The first figure shows the seconds of a call by the number of rows: the graph answers for one row
in a small part of the time of the Pipeline, which validates its input three times. With many rows, whose matrix
products both compute, the difference is smaller.

The second figure shows reconstructions from a graph of the same autoencoder, by an option of the conversion.
"""

# %%
# Fit, convert, serve
# -------------------
#
# The graph computes in the type of the rows that are given to the conversion; here it is float32, which is usual for
# services. The option ``zipmap`` belongs to the classifier: without it probabilities would come as a list of
# dictionaries, a form that exists for float32 only.

import time

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skae import SparseAutoencoder

X, y = load_digits(return_X_y=True)
X, X_test, y, y_test = train_test_split(X.astype(np.float32), y, test_size=0.5, random_state=0)

pipeline = make_pipeline(MinMaxScaler(), SparseAutoencoder(100, random_state=0), LogisticRegression(max_iter=1000))
pipeline.fit(X, y)


def served(model):
    """Return a function of rows that returns all outputs of a graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda rows: session.run(None, {"X": rows})


model = to_onnx(pipeline, X, options={"zipmap": False})
predict = served(model)

labels, probabilities = predict(X_test)
print(f"size of the graph: {len(model.SerializeToString()) / 1e3:.0f} kB")
print(f"accuracy: {np.mean(labels == y_test):.3f}")
print(f"labels that agree with the Pipeline: {np.mean(labels == pipeline.predict(X_test)):.1%}")
print(f"largest difference of a probability: {np.abs(probabilities - pipeline.predict_proba(X_test)).max():.0e}")

# %%
# Seconds of a call
# -----------------
#
# The best of some calls, since other work on the machine only adds to them.


def best_seconds(call, rows, n_calls=30):
    seconds = []
    for _ in range(n_calls):
        start = time.perf_counter()
        call(rows)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


sizes = [1, 10, 100, 900]
figure, axes = plt.subplots(figsize=(5.5, 3.5), layout="constrained")
for name, call in {"Pipeline in Python": pipeline.predict_proba, "graph in onnxruntime": predict}.items():
    axes.loglog(sizes, [1e6 * best_seconds(call, X_test[:size]) for size in sizes], "o-", label=name)
axes.set(xlabel="rows in a call", ylabel="microseconds")
axes.legend(loc="center left")
plt.show()

# %%
# The other outputs
# -----------------
#
# An autoencoder has three outputs to choose from: ``"code"`` (the default), ``"reconstruction"`` and
# ``"score_samples"``. Within a Pipeline the option has the name of the step before it.

encoder = pipeline[:-1]
reconstruct = served(to_onnx(encoder, X, options={"sparseautoencoder__output": "reconstruction"}))
score = served(to_onnx(encoder, X, options={"sparseautoencoder__output": "score_samples"}))

(reconstructions,), (scores,) = reconstruct(X_test), score(X_test)
oddest = np.argsort(scores)[:8]
figure, axes = plt.subplots(2, len(oddest), figsize=(8, 2.6), layout="constrained")
for column, row in zip(axes.T, oddest, strict=True):
    for axis, image in zip(column, (X_test[row] / 16, reconstructions[row]), strict=True):
        axis.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
axes[0, 0].set_ylabel("digit")
axes[1, 0].set_ylabel("served")
figure.suptitle("the test digits with the lowest scores, and what the graph returns")
plt.show()

# %%
# A graph does not validate: NaN gives NaN, and scores of values outside the domain of a loss mean nothing. So the
# caller checks the rows. Sparse rows are not supported.
