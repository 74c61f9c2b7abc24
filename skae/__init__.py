"""Regularised autoencoders as scikit-learn transformers."""

from skae import activations, corruption, impute, losses, metrics, penalties
from skae._detection.detector import AutoencoderOutlierDetector
from skae._estimators.autoencoder import AutoencoderTransformer
from skae._estimators.contractive import ContractiveAutoencoder
from skae._estimators.denoising import DenoisingAutoencoder
from skae._estimators.mlp import to_mlp
from skae._estimators.sparse import SparseAutoencoder
from skae._estimators.stacked import StackedAutoencoder
from skae._network.network import Network
from skae._trusted import trusted_types
from skae._version import __version__

__all__ = [
    "AutoencoderOutlierDetector",
    "AutoencoderTransformer",
    "ContractiveAutoencoder",
    "DenoisingAutoencoder",
    "Network",
    "SparseAutoencoder",
    "StackedAutoencoder",
    "__version__",
    "activations",
    "corruption",
    "impute",
    "losses",
    "metrics",
    "penalties",
    "to_mlp",
    "trusted_types",
]
