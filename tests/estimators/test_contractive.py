"""The contractive autoencoder."""

import numpy as np

from skae import ContractiveAutoencoder


def test_a_weak_contraction_of_tied_weights_keeps_both_directions_of_a_cloud():
    """A search that starts too near saturation loses the narrow one."""
    wide, narrow = np.array([[np.sqrt(3), 1], [-1, np.sqrt(3)]]) / 2
    cloud = np.random.default_rng(0).standard_normal((500, 2)) * [1, 0.3] @ [wide, narrow]
    settings = {"contraction_weight": 0.01, "tied_weights": True, "alpha": 0, "scale_code": False, "random_state": 0}
    contractive = ContractiveAutoencoder(2, **settings).fit(cloud)
    assert np.linalg.norm(contractive.encoder_jacobian(cloud) @ narrow, axis=1).mean() > 0.1
