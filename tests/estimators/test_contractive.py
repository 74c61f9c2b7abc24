"""The contractive autoencoder."""

import numpy as np

from skae import ContractiveAutoencoder


def test_a_weak_contraction_of_tied_weights_keeps_both_directions_of_a_cloud():
    """Of the variance 0.09 / 1.09 is along the narrow one, which a search that starts too near saturation loses."""
    cloud = np.random.default_rng(0).standard_normal((500, 2)) * [1, 0.3]
    settings = {"contraction_weight": 0.01, "tied_weights": True, "alpha": 0, "scale_code": False, "random_state": 0}
    contractive = ContractiveAutoencoder(2, **settings).fit(cloud)
    along_narrow = np.linalg.norm(contractive.encoder_jacobian(cloud)[:, :, 1], axis=1).mean()
    assert along_narrow > 0.1
