"""Regularised autoencoders as scikit-learn transformers."""

from skae import corruption, metrics, penalties
from skae._autoencoder import AutoencoderTransformer
from skae._contractive import ContractiveAutoencoder
from skae._denoising import DenoisingAutoencoder
from skae._sparse import SparseAutoencoder
from skae._version import __version__

__all__ = [
    "AutoencoderTransformer",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "SparseAutoencoder",
    "__version__",
    "corruption",
    "metrics",
    "penalties",
]
