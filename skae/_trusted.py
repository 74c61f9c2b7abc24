"""The types in model files."""

from skae._detection.detector import AutoencoderOutlierDetector
from skae._estimators.autoencoder import AutoencoderTransformer
from skae._estimators.contractive import ContractiveAutoencoder
from skae._estimators.denoising import DenoisingAutoencoder
from skae._estimators.mlp import PretrainedMLPClassifier, PretrainedMLPRegressor
from skae._estimators.sparse import SparseAutoencoder
from skae._estimators.stacked import StackedAutoencoder
from skae._imputation.gaussian import GaussianRounds
from skae._imputation.rounds import EstimatorRounds
from skae._imputation.table import Levels, Numbers, Table
from skae._network.architecture import Architecture
from skae.activations import ACTIVATIONS, Exponential
from skae.corruption import CORRUPTIONS, Blur
from skae.impute import AutoencoderImputer
from skae.losses import LOSSES, ColumnLosses
from skae.losses._columns import LossByColumn, Part
from skae.penalties import PENALTIES

_ESTIMATORS = [
    AutoencoderTransformer,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    SparseAutoencoder,
    AutoencoderImputer,
    AutoencoderOutlierDetector,
    PretrainedMLPClassifier,
    PretrainedMLPRegressor,
    StackedAutoencoder,
]

# What these hold besides the parts that the registries name.
_RECORDS = [
    Architecture,
    Blur,
    ColumnLosses,
    EstimatorRounds,
    Exponential,
    GaussianRounds,
    Levels,
    LossByColumn,
    Numbers,
    Part,
    Table,
]


def trusted_types() -> list[str]:
    """Return the types of skae that a model file may contain, for `skops.io.load(file, trusted=...)`.

    They are those of the estimators, of the parts in the registries of `skae.activations`, `skae.losses`,
    `skae.penalties` and `skae.corruption`, and of the records that estimators keep. Loading one of them runs only code
    of skae. A file with types of your own needs their names too.

    Returns
    -------
    list of str
        Full names, sorted.

    See Also
    --------
    skops.io.get_untrusted_types : The types in a file that skops does not trust by itself.

    Examples
    --------
    >>> import skae
    >>> "skae.activations.Logistic" in skae.trusted_types()
    True
    """
    parts = [*map(type, ACTIVATIONS.values()), *LOSSES.values(), *PENALTIES.values(), *CORRUPTIONS.values()]
    return sorted({f"{cls.__module__}.{cls.__qualname__}" for cls in (*_ESTIMATORS, *_RECORDS, *parts)})
