"""
Search on a sample, fit on a cluster
====================================

``GridSearchCV`` is not made for Dask collections: search on a sample of the rows, and fit the best model to all of
them, which stay with the workers of the cluster. It needs the extra ``pip install "skae[dask]"``.

The figure shows the search for the weight decay ``alpha`` of an autoencoder with hidden layers, on a small and on a
larger sample, with the standard deviations over the folds, and three fits to all rows. The more rows, the higher the
score, and the less decay is needed, because more rows leave less to overfit: 0.01 is best for the small sample by far,
for the larger one 0.003 is as good, and for all rows 0.001 is better than both. So the sample should be as large as
the search can afford, and the last choice, among a few weaker strengths, is made on the cluster with rows held back.
"""

# %%
# Rows on a cluster
# -----------------
#
# The cluster is one worker in this process here; ``Client("scheduler:8786")`` would be a real one. The rows are noisy
# digits, which the workers make themselves, a chunk at a time. Rows in files come from ``dask.array.from_zarr`` or
# ``dask.dataframe.read_parquet``.

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
from distributed import Client
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV

from skae import AutoencoderTransformer
from skae.dask import DaskAutoencoder

client = Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None)
N_ROWS, CHUNK = 20_000, 5000


def noisy_digits(block_id, seed):
    digits, rng = load_digits().data / 16, np.random.default_rng([seed, block_id[0]])
    chosen = digits[rng.integers(len(digits), size=CHUNK)]
    return (chosen + rng.normal(0, 0.2, chosen.shape)).astype(np.float32)


def collection(n_rows, seed):
    chunks = ((CHUNK,) * (n_rows // CHUNK), (64,))
    return da.map_blocks(noisy_digits, seed=seed, chunks=chunks, dtype=np.float32, meta=np.empty((0, 64), np.float32))


X, X_test = collection(N_ROWS, seed=0), collection(CHUNK, seed=1)
print(X)

# %%
# The search, in memory
# ---------------------
#
# Every 40th or every 13th row is a sample here. Rows in some order, of time for example, are represented by it too.

STRENGTHS = [3e-4, 1e-3, 3e-3, 1e-2, 3e-2]
autoencoder = AutoencoderTransformer(
    10, hidden_layer_sizes=64, activation="relu", code_activation="identity", tol=3e-3, random_state=0
)
searches = {}
for step in (40, 13):
    sample = X[::step].compute()
    searches[len(sample)] = GridSearchCV(autoencoder, {"alpha": STRENGTHS}, cv=3).fit(sample)
for n_rows, search in searches.items():
    print(f"{n_rows} rows: best {search.best_params_}, score {search.best_score_:.3f}")

# %%
# The fit, on the cluster
# -----------------------
#
# ``fit`` leaves the rows where they are: each evaluation sends the parameters to the workers and brings back one value
# and one gradient from each. ``persist`` makes the rows once for all fits. ``score`` is one reduction over a
# collection, ``transform`` is lazy, and ``estimator_`` is an ordinary autoencoder, without a trace of the cluster.

X, X_test = X.persist(), X_test.persist()
best, scores = search.best_estimator_, {}
print(f"alpha {best.alpha:g}, fitted to the larger sample: score {best.score(X_test.compute()):.3f}")
for alpha in (best.alpha, 3e-3, 1e-3):
    on_cluster = DaskAutoencoder(clone(best).set_params(alpha=alpha), client).fit(X)
    scores[alpha] = on_cluster.score(X_test)
    print(f"alpha {alpha:g}, fitted to all rows: score {scores[alpha]:.3f}")
codes = on_cluster.transform(X)
print(codes)
print(on_cluster.estimator_)
client.close()

# %%
# The scores of a search are those of fits to two thirds of the sample, on the rest of it; the scores of the fits to all
# rows are of as many unseen rows as a chunk has.

figure, axis = plt.subplots(figsize=(6, 3.8), layout="constrained")
for n_rows, search in searches.items():
    results = search.cv_results_
    means, deviations = results["mean_test_score"], results["std_test_score"]
    axis.errorbar(STRENGTHS, means, deviations, fmt="o-", capsize=3, label=f"search on {n_rows} rows")
axis.plot(scores.keys(), scores.values(), "s-", label=f"fits to all {N_ROWS} rows")
axis.set(xscale="log", xlabel="alpha", ylabel="share of the variance of unseen rows")
axis.legend()
