"""The marker `covering(a=[...], b=[...], ...)`: a few cases in which each pair of values of two arguments occurs.

With `strength=3`, each triple of values of three arguments occurs.
"""

from itertools import combinations

import numpy as np
import pytest


def pytest_configure(config):
    config.addinivalue_line("markers", "covering(strength=2, **values): parametrise by a covering array of the values")


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc):
    for marker in metafunc.definition.iter_markers("covering"):
        values = dict(marker.kwargs)
        strength = values.pop("strength", 2)
        cases = covering_array(list(values.values()), strength)
        ids = [name_of(case) for case in cases]
        # A mark, unlike metafunc.parametrize, also replaces the parameters of a fixture.
        metafunc.definition.add_marker(pytest.mark.parametrize(list(values), cases, ids=ids))


def name_of(value):
    if isinstance(value, tuple):
        return "-".join(map(name_of, value))
    return getattr(value, "__name__", str(value))


def covering_array(factors, strength):
    """Return cases, one value a factor, that show every combination of the values of any `strength` factors.

    Greedy: each case is the first of those that show the most combinations not shown before.
    """
    sizes = [len(values) for values in factors]
    grid = np.indices(sizes).reshape(len(sizes), -1)
    # For every case of the grid, the numbers of the combinations that it shows.
    shown, n_combinations = [], 0
    for chosen in combinations(range(len(sizes)), strength):
        shape = [sizes[factor] for factor in chosen]
        shown.append(n_combinations + np.ravel_multi_index(grid[list(chosen)], shape))
        n_combinations += np.prod(shape)
    shown = np.column_stack(shown)
    missing, cases = np.ones(n_combinations, dtype=bool), []
    while missing.any():
        best = missing[shown].sum(axis=1).argmax()
        missing[shown[best]] = False
        cases.append(tuple(values[index] for values, index in zip(factors, grid[:, best], strict=True)))
    return cases
