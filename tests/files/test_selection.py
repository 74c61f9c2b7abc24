"""Indices that are held as bits, against those of NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skae._files.selection import Selection


@pytest.mark.parametrize("n_rows", [0, 1, 63, 64, 65, 1000])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.9, 1.0])
def test_as_flatnonzero(n_rows, share):
    mask = np.random.default_rng(0).random(n_rows) < share
    selection, expected = Selection(mask), np.flatnonzero(mask)
    n_selected = len(expected)
    assert len(selection) == n_selected
    for rows in (slice(None), slice(3, 70), slice(5, 5), slice(-2, None), slice(0, None, 3)):
        assert_array_equal(selection[rows], expected[rows])
    for rows in (np.arange(n_selected)[::-1], np.arange(0), np.repeat(np.arange(n_selected), 2)):
        assert_array_equal(selection[rows], expected[rows])
    for index in {0, min(1, n_rows), n_rows // 2, n_rows}:
        assert selection.n_before(index) == np.count_nonzero(mask[:index])
