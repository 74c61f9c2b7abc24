"""A cluster of two worker processes, for all tests of this folder."""

import pytest


@pytest.fixture(scope="session")
def client():
    from distributed import Client, LocalCluster  # which may not be installed

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client
