"""How the package's dataclasses compare: those that hold arrays by identity, those that hold settings by value."""

import dataclasses
from copy import copy

import numpy as np
import pytest
from configurations import every_module
from scipy.sparse import csr_array

from skae._network.network import Network
from skae._objective.problem import Problem
from skae._rows.blocks import rows_of
from skae._rows.factors import Dense, OffsetSparse
from skae._solvers.result import SolverResult
from skae._training.early_stopping import HeldOut
from skae._training.result import TrainingResult
from skae.corruption import Blur, Masking
from skae.penalties import Contraction, KLSparsity, WeightDecay

X, w = np.ones((3, 2)), np.ones(3)


def filled(record, **fields):
    """A record with an array in every other field."""
    others = {field.name: np.ones(2) for field in dataclasses.fields(record) if field.name not in fields}
    return record(**fields, **others)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Dense(X),
        lambda: OffsetSparse(csr_array(X), w),
        lambda: rows_of(X),
        lambda: HeldOut(rows_of(X), w),
        lambda: filled(Network),
        lambda: filled(Problem),
        lambda: filled(TrainingResult),
        lambda: filled(SolverResult),
    ],
    ids=["Dense", "OffsetSparse", "Rows", "HeldOut", "Network", "Problem", "TrainingResult", "SolverResult"],
)
def test_records_of_arrays_are_compared_by_identity(make):
    record, other = make(), make()
    assert record == record
    assert record != other
    assert record != copy(record)
    assert len({record, other}) == 2


def test_no_record_compares_arrays():
    """Of all dataclasses: a field that may be an array goes with comparison by identity."""
    compared_by_value = set()
    for module in every_module():
        for value in vars(module).values():
            if dataclasses.is_dataclass(value) and value.__eq__ is not object.__eq__:
                compared_by_value.add(value.__name__)
                holds = {str(field.type) for field in dataclasses.fields(value) if field.compare}
                assert not any("ndarray" in kind or "object" in kind or "list" in kind for kind in holds), value
    assert {"Architecture", "KLSparsity", "Masking", "SquaredError"} <= compared_by_value


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (KLSparsity(0.1), KLSparsity(0.1), KLSparsity(0.2)),
        (Contraction(1), Contraction(1.0), WeightDecay(1)),
        (Masking(0.5), Masking(0.5), Masking(0.25)),
        (Blur((2, 2)), Blur((2, 2)), Blur((2, 2), 2)),
    ],
)
def test_public_parts_are_compared_by_value(one, same, other):
    assert one == same
    assert hash(one) == hash(same)
    assert one != other


@pytest.mark.parametrize("make", [KLSparsity, WeightDecay, Masking, lambda array: Blur((2, 2), array), Blur])
@pytest.mark.parametrize("array", [np.array(0.5), np.array([2, 2])], ids=["0-d", "1-d"])
def test_a_public_part_holds_no_array(make, array):
    with pytest.raises(ValueError, match="must be"):
        make(array)
