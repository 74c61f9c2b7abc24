"""As many threads as a large machine has cores, on a small one."""

from functools import partial

import numpy as np
import pytest
from problems import assert_threads_do_not_matter, make_problem

from skae._network.architecture import Architecture
from skae._network.parameters import Layout
from skae._network.propagation import block_rows
from skae._objective.choice import objective_class
from skae._rows.threads import RowThreads
from skae._variables.centring import search_variables
from skae.activations import ACTIVATIONS
from skae.losses import make_loss
from skae.penalties import Contraction, KLSparsity, WeightDecay


def objective_of(n_rows, widths, is_projected=False, penalties=(), **options):
    X = np.random.default_rng(0).uniform(size=(n_rows, widths[0]))
    g = ACTIVATIONS["tanh"]
    architecture = Architecture(widths, g, g, make_loss("squared_error", "auto"), False)
    problem = make_problem(architecture, X, penalties, weights=np.linspace(0.5, 2, n_rows))
    cls = objective_class(problem, is_projected)
    variables, offset = search_variables(problem, Layout(architecture, cls.n_layers))
    return cls(problem, variables, offset=offset, **options)


@pytest.mark.parametrize("is_projected", [False, True])
def test_sixty_four_threads_give_the_sums_of_one(monkeypatch, is_projected):
    monkeypatch.setattr("skae._objective.joint._ENTRIES_A_WORKER", 1)
    penalties = WeightDecay(0.2), KLSparsity(0.5, 0.1), Contraction(0.2)
    assert_threads_do_not_matter(partial(objective_of, 150, (6, 4, 3), is_projected, penalties), 64)


@pytest.mark.parametrize(("n_blocks", "expected"), [(1, 8), (8, 8), (20, 20), (65, 64)])
def test_a_thread_beyond_eight_has_a_whole_block_of_rows(n_blocks, expected):
    widths = 1000, 40
    objective = objective_of(n_blocks * block_rows((*widths, 1000)), widths, threads=RowThreads(64))
    assert len(objective._workers) == expected


@pytest.mark.parametrize("n_threads", [1, 2, 64])
def test_sums_of_vectors_do_not_depend_on_the_threads(n_threads):
    vectors = list(np.random.default_rng(0).standard_normal((64, 50)))
    before = [vector.copy() for vector in vectors]
    np.testing.assert_array_equal(RowThreads(n_threads).total(vectors), sum(vectors[1:], start=vectors[0]))
    np.testing.assert_array_equal(vectors, before)
