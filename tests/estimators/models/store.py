"""Store fitted models of this version, and what they give, for every later version to load.

Run from the repository's root at a release: python tests/estimators/models/store.py. Files of older versions are never
made anew.
"""

import pickle
from pathlib import Path

import numpy as np

import skae
from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.corruption import Gaussian
from skae.penalties import L1Sparsity

SETTINGS = {"n_components": 3, "max_iter": 20, "random_state": 0}
MODELS = [
    AutoencoderTransformer(**SETTINGS),
    AutoencoderTransformer(**SETTINGS, hidden_layer_sizes=(4,), activation="relu", loss="poisson", tied_weights=True),
    AutoencoderTransformer(**SETTINGS, activation="identity", code_activation="tanh", penalties=(L1Sparsity(0.01),)),
    DenoisingAutoencoder(**SETTINGS, corruption=Gaussian(0.1), loss="cross_entropy", early_stopping=True),
    SparseAutoencoder(**SETTINGS, output_activation="softplus"),
    ContractiveAutoencoder(**SETTINGS, activation="softplus"),
]
METHODS = ("transform", "reconstruct", "score_samples")


def main():
    X = np.random.default_rng(0).uniform(size=(40, 6)).round(3)
    stored = []
    for model in MODELS:
        model.fit(X)
        stored.append((pickle.dumps(model), {name: getattr(model, name)(X[:5]) for name in METHODS}))
    file = Path(__file__).parent / f"skae-{skae.__version__}.pkl"
    file.write_bytes(pickle.dumps({"X": X[:5], "models": stored}))
    print(f"{file}: {file.stat().st_size} bytes")


if __name__ == "__main__":
    main()
