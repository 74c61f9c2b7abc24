"""The columns of a table as numbers and back, by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from skae._imputation.table import Levels, Numbers, Table


def test_numbers_are_standardised_with_weights():
    values, weights = np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 1.0])
    column = Numbers.of(values, weights, is_integer=False, is_linear=False)
    repeated = np.array([1.0, 2.0, 2.0, 4.0])
    np.testing.assert_allclose(column.encode(values)[:, 0], (values - repeated.mean()) / repeated.std())
    np.testing.assert_allclose(column.decode(column.encode(values)), values)


def test_the_linear_autoencoder_sees_ranks():
    values = np.array([3.0, 1.0, 1.0, 100.0, 7.0])
    encoded = Numbers.of(values, np.ones(5), is_integer=False, is_linear=True).encode(values)
    ranks = rankdata(values)
    np.testing.assert_allclose(encoded[:, 1], (ranks - ranks.mean()) / ranks.std(), atol=1e-12)
    beyond = Numbers.of(values, np.ones(5), False, True).encode(np.array([-1e9, 1e9]))[:, 1]
    np.testing.assert_allclose(beyond, [encoded[1, 1], encoded[3, 1]])


def test_the_ranks_of_many_values_are_kept_at_few():
    values = np.random.default_rng(0).exponential(size=5000)
    column = Numbers.of(values, np.ones(5000), is_integer=False, is_linear=True)
    assert len(column.ranks[0]) <= 100
    ranks = rankdata(values)
    expected = (ranks - ranks.mean()) / ranks.std()
    np.testing.assert_allclose(column.encode(values)[:, 1], expected, atol=0.02)


@pytest.mark.parametrize("values", [[5.0, 5.0], [0.0, 1.0, 1.0]])
def test_ranks_of_at_most_two_values_say_nothing_more(values):
    assert Numbers.of(np.array(values), np.ones(len(values)), False, True).width == 1


@pytest.mark.parametrize("scale", [1e-160, 1e160, 1e300])
def test_numbers_on_any_scale(scale):
    values = scale * np.array([-1.0, 0.0, 1.0])
    column = Numbers.of(values, np.ones(3), is_integer=False, is_linear=False)
    np.testing.assert_allclose(column.encode(values)[:, 0], np.sqrt(1.5) * np.array([-1, 0, 1]))
    np.testing.assert_allclose(column.decode(column.encode(values)), values)


def test_integers_are_rounded_within_their_range():
    column = Numbers.of(np.array([1.0, 2.0, 5.0]), np.ones(3), is_integer=True, is_linear=False)
    z = column.encode(np.array([-3.0, 1.6, 9.0]))
    assert column.decode(z).tolist() == [1.0, 2.0, 5.0]


@pytest.mark.parametrize("levels", [["a"], ["b", "a"], ["b", "a", "c"]])
@pytest.mark.parametrize("is_linear", [True, False])
def test_levels_round_trip(levels, is_linear):
    values = np.array(levels * 2 + levels[:1], dtype=object)
    column = Levels.of(values, np.ones(len(values)), is_linear)
    encoded = column.encode(values)
    assert encoded.shape == (len(values), 1 if len(levels) < 3 else 3)
    assert column.decode(encoded).tolist() == values.tolist()
    assert column.filling == levels[0]  # the most frequent
    assert np.isnan(column.encode(np.array(["unseen", None], dtype=object))).all()
    if is_linear and len(levels) > 1:
        assert encoded.var(axis=0).sum() == pytest.approx(1)
        np.testing.assert_allclose(encoded.mean(axis=0), 0, atol=1e-12)
    else:
        assert set(encoded.ravel()) <= {0.0, 1.0}
        np.testing.assert_allclose(column.start, encoded.mean(axis=0))


def test_the_loss_of_every_kind():
    X = pd.DataFrame({"x": [0.5, 1.0, 2.0], "flag": [True, False, True], "colour": ["r", "g", "b"]})
    table = Table.of(X, X.isna().to_numpy(), np.ones(3), keep_empty=False, is_linear=False)
    assert [(loss, list(columns)) for loss, columns in table.losses.losses] == [
        ("squared_error", [0]),
        ("cross_entropy", [1]),
        ("categorical", [2, 3, 4]),
    ]
    assert table.categories == ["flag", "colour"]
