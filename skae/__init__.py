"""Regularised autoencoders as scikit-learn transformers."""

from skae import corruption, metrics, penalties
from skae._autoencoder import AutoencoderTransformer
from skae._contractive import ContractiveAutoencoder
from skae._denoising import DenoisingAutoencoder
from skae._sparse import SparseAutoencoder

__version__ = "0.1.0.dev0"

__all__ = [
    "AutoencoderTransformer",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "corruption",
    "metrics",
    "penalties",
]
