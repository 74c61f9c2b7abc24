"""Autoencoders on Dask collections: the rows stay in the memory of a cluster's workers, the model comes to the client.

Needs the extra: ``pip install "skae[dask]"``.
"""

try:
    from skae.dask._autoencoder import DaskAutoencoder
    from skae.dask._metrics import neg_reconstruction_error, reconstruction_r2
except ImportError as error:
    raise ImportError('skae.dask needs Dask. Install it with: pip install "skae[dask]"') from error

__all__ = ["DaskAutoencoder", "neg_reconstruction_error", "reconstruction_r2"]
