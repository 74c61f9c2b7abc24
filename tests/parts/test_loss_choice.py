"""What loss="auto" chooses, by the types and values of the columns."""

import tracemalloc

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from skae.losses import ColumnLosses
from skae.losses._choice import loss_for

N = 24
COUNTS, NUMBERS = np.arange(N) % 12, np.linspace(-1, 1, N)
FLAGS, OTHER = np.arange(N) % 2, np.arange(N) % 3 // 2
ONE_HOT = np.eye(3, dtype=int)[np.arange(N) % 3]


def chosen(X, weights=None, values=None):
    """The losses, by column name or index; categories as groups."""
    values = np.asarray(X, dtype=float) if values is None else values
    loss = loss_for("auto", "auto", X, values, np.ones(len(COUNTS)) if weights is None else weights)
    entries = [(loss, list(columns)) for loss, columns, _ in loss.declared.losses]
    groups = [columns for loss, columns in entries if loss == "categorical"]
    return {column: loss for loss, columns in entries for column in columns}, groups


def with_levels(*names, levels=ONE_HOT, others=None):
    return pd.DataFrame(dict(zip(names, levels.T, strict=True))).assign(**(others or {"x": NUMBERS}))


@pytest.mark.parametrize(
    ("column", "loss"),
    [
        (NUMBERS, "squared_error"),
        (FLAGS.astype(bool), "cross_entropy"),
        (np.zeros(N, bool), "cross_entropy"),
        (FLAGS, "cross_entropy"),
        (FLAGS.astype(float), "cross_entropy"),
        (FLAGS + 1, "squared_error"),  # outside the domain of cross-entropy
        (FLAGS * 0.5, "squared_error"),
        (np.ones(N), "squared_error"),
        (COUNTS, "poisson"),
        (COUNTS.astype(np.uint8), "poisson"),
        (COUNTS.astype(float), "squared_error"),
        (COUNTS - 1, "squared_error"),
        (np.arange(N) % 10, "squared_error"),
        (np.arange(N) % 11, "poisson"),
    ],
)
def test_by_the_type_and_the_values(column, loss):
    """Of a frame, of an array of that type, and of a sparse one."""
    assert chosen(pd.DataFrame({"a": column}))[0] == {"a": loss}
    array = np.column_stack([column, column])
    assert chosen(array)[0] == {0: loss, 1: loss}
    sparse = csr_array(array)
    assert chosen(sparse, values=sparse.astype(float))[0] == {0: loss, 1: loss}


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"n": COUNTS, "b": FLAGS.astype(bool), "x": NUMBERS}).astype({"n": "Int64", "b": "boolean"}),
        pl.DataFrame({"n": COUNTS, "b": FLAGS.astype(bool), "x": NUMBERS}),
    ],
    ids=["nullable pandas", "polars"],
)
def test_other_frames(frame):
    values = np.column_stack([COUNTS, FLAGS, NUMBERS]).astype(float)
    assert chosen(frame, values=values)[0] == {"n": "poisson", "b": "cross_entropy", "x": "squared_error"}


@pytest.mark.parametrize(
    "names", [("job_a", "job_b", "job_c"), ("job=a", "job=b", "job=c"), ("job_a_a", "job_b_b", "job_c")]
)
@pytest.mark.parametrize("dtype", [int, bool, float])
def test_columns_of_one_prefix_are_a_category(names, dtype):
    losses, groups = chosen(with_levels(*names, levels=ONE_HOT.astype(dtype)))
    assert groups == [list(names)]
    assert losses["x"] == "squared_error"


def test_rows_of_zeros_are_allowed():
    assert chosen(with_levels("job_a", "job_b", levels=ONE_HOT[:, :2]))[1] == [["job_a", "job_b"]]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("job_a", "b", "c"), ("joba", "jobb", "jobc")])
def test_names_without_a_common_prefix(names):
    losses, groups = chosen(with_levels(*names))
    assert groups == []
    assert [losses[name] for name in names] == ["cross_entropy"] * 3


def test_two_ones_in_a_row_are_no_category():
    losses, groups = chosen(with_levels("job_a", "job_b", levels=np.column_stack([FLAGS, OTHER])))
    assert groups == []
    assert losses["job_a"] == losses["job_b"] == "cross_entropy"


def test_longer_prefixes_where_short_ones_do_not_tell():
    """Two variables whose names both begin with "home"."""
    levels = np.column_stack([FLAGS, 1 - FLAGS, ONE_HOT])
    names = ["home_town_a", "home_town_b", "home_code_1", "home_code_2", "home_code_3"]
    assert chosen(with_levels(*names, levels=levels))[1] == [names[:2], names[2:]]


def test_columns_of_other_values_do_not_join():
    losses, groups = chosen(with_levels("job_a", "job_b", "job_c", others={"job_pay": NUMBERS}))
    assert groups == [["job_a", "job_b", "job_c"]]
    assert losses["job_pay"] == "squared_error"


def test_rows_without_weight_do_not_count():
    column = FLAGS.astype(float)
    column[0] = 7
    weights = np.ones(N)
    weights[0] = 0
    assert chosen(pd.DataFrame({"a": column}))[0] == {"a": "squared_error"}
    assert chosen(pd.DataFrame({"a": column}), weights)[0] == {"a": "cross_entropy"}


def test_rows_are_not_copied():
    values, weights = np.random.default_rng(0).uniform(size=(5000, 50)), np.ones(5000)
    tracemalloc.start()
    loss_for("auto", "auto", values, values, weights)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 4


def test_no_link_goes_with_it():
    with pytest.raises(ValueError, match="output_activation='tanh' does not go with loss='auto'"):
        loss_for("auto", "tanh", ONE_HOT, ONE_HOT, np.ones(N))
    with pytest.raises(ValueError, match="output_activation='tanh' does not go with loss=ColumnLosses"):
        loss_for(ColumnLosses([("poisson", [0])]), "tanh", ONE_HOT, ONE_HOT, np.ones(N))
