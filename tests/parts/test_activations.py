"""Activations: outputs against SciPy's, derivatives against finite differences, extremes, inverses."""

import pickle

import numpy as np
import pytest
from scipy.special import expit

from skae.activations import ACTIVATIONS, Exponential

ALL = {**ACTIVATIONS, "exponential": Exponential()}
FORMULAS = {
    "identity": lambda z: z,
    "logistic": expit,
    "tanh": lambda z: np.sinh(z) / np.cosh(z),
    "relu": lambda z: (z + np.abs(z)) / 2,
    "softplus": lambda z: np.logaddexp(0, z),
    "exponential": lambda z: np.e**z,
}
SMOOTH = [name for name in ALL if name != "relu"]
DTYPES = [np.float32, np.float64]
every_activation = pytest.mark.parametrize("name", ALL)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def grid(dtype=np.float64):
    """Pre-activations on both sides of zero, the relu's kink, which is not among them."""
    return np.linspace(-4, 4, 60).reshape(6, 10).astype(dtype)


def difference(function, z, step=1e-5):
    return (function(z + step) - function(z - step)) / (2 * step)


def no_warnings():
    """Underflow to zero is what saturation means; everything else raises."""
    return np.errstate(all="raise", under="ignore")


def test_every_activation_has_a_formula():
    assert set(FORMULAS) == set(ALL)


@every_dtype
@every_activation
def test_forward_is_the_formula(name, dtype):
    expected = FORMULAS[name](grid())
    np.testing.assert_allclose(ALL[name].forward(grid(dtype)), expected, rtol=8 * np.finfo(dtype).eps, atol=1e-7)


@every_activation
def test_forward_is_precise_in_float64(name):
    np.testing.assert_allclose(ALL[name].forward(grid()), FORMULAS[name](grid()), rtol=1e-13, atol=1e-15)


@every_dtype
@every_activation
def test_forward_works_in_place(name, dtype):
    Z = grid(dtype)
    A = ALL[name].forward(Z)
    assert A is Z
    assert A.dtype == dtype


@every_activation
def test_derivative(name):
    A = FORMULAS[name](grid())
    np.testing.assert_allclose(ALL[name].derivative(A), difference(FORMULAS[name], grid()), rtol=1e-8, atol=1e-9)


@every_activation
def test_second_derivative(name):
    g = ALL[name]
    numeric = difference(lambda z: g.derivative(FORMULAS[name](z)), grid())
    np.testing.assert_allclose(g.second_derivative(FORMULAS[name](grid())), numeric, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", SMOOTH)
def test_third_derivative(name):
    g = ALL[name]
    numeric = difference(lambda z: g.second_derivative(FORMULAS[name](z)), grid())
    np.testing.assert_allclose(g.third_derivative(FORMULAS[name](grid())), numeric, rtol=1e-8, atol=1e-9)


def test_the_relu_has_no_third_derivative():
    assert ACTIVATIONS["relu"].third_derivative(np.ones(3)) is None


@pytest.mark.parametrize("name", [name for name in SMOOTH if name in ACTIVATIONS])
def test_third_derivatives_of_saturated_units_are_finite(name):
    A = ACTIVATIONS[name].forward(np.array([-1e3, -90, 0, 90, 1e3], np.float32))
    assert np.isfinite(ACTIVATIONS[name].third_derivative(A)).all()


@every_dtype
@pytest.mark.parametrize("name", SMOOTH)
def test_third_derivatives_are_new_arrays(name, dtype):
    A = ALL[name].forward(grid(dtype))
    before = A.copy()
    result = ALL[name].third_derivative(A)
    assert result.dtype == dtype
    assert not np.shares_memory(result, A)
    np.testing.assert_array_equal(A, before)


@pytest.mark.parametrize("method", ["derivative", "second_derivative", "inverse"])
@every_dtype
@every_activation
def test_functions_of_the_output_return_new_arrays(name, dtype, method):
    A = ALL[name].forward(grid(dtype))
    before = A.copy()
    result = getattr(ALL[name], method)(A)
    assert result.dtype == dtype
    assert not np.shares_memory(result, A)
    np.testing.assert_array_equal(A, before)


def test_the_relu_is_flat_at_its_kink():
    assert ACTIVATIONS["relu"].derivative(np.zeros(1)) == 0


@every_dtype
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_saturation(name, dtype):
    g = ACTIVATIONS[name]
    low, high = g.bounds
    with no_warnings():
        A = g.forward(np.array([-1e3, -90, -30, 0, 30, 90, 1e3], dtype))
        slopes, bends = g.derivative(A), g.second_derivative(A)
    assert np.all((low <= A) & (high >= A))
    assert np.isfinite(slopes).all()
    assert np.isfinite(bends).all()
    assert np.all(slopes >= 0)


@every_activation
def test_bounds_are_the_limits(name):
    with np.errstate(over="ignore"):
        A = ALL[name].forward(np.array([-1e3, 1e3]))
    for limit, bound in zip(A, ALL[name].bounds, strict=True):
        assert limit == bound or (np.isinf(bound) and limit * np.sign(bound) >= 1e3)


@every_activation
def test_homogeneous(name):
    same = all(np.allclose(FORMULAS[name](c * grid()), c * FORMULAS[name](grid())) for c in (0.1, 3))
    assert ALL[name].homogeneous == same


@every_activation
def test_inverse_undoes_forward(name):
    Z = np.abs(grid()) if name == "relu" else grid()
    np.testing.assert_allclose(ALL[name].inverse(FORMULAS[name](Z)), Z, rtol=1e-11)


@every_dtype
@pytest.mark.parametrize("name", ["identity", "relu", "softplus"])
def test_inverse_of_large_outputs(name, dtype):
    with no_warnings():
        np.testing.assert_allclose(ACTIVATIONS[name].inverse(np.array([50, 1e3, 1e6], dtype)), [50, 1e3, 1e6])


@every_dtype
@every_activation
def test_inverse_outside_the_range_is_that_of_a_point_just_inside(name, dtype):
    g = ALL[name]
    A = np.array([-3, -1, 0, 1, 3], dtype)
    with no_warnings():
        Z = g.inverse(A)
    assert np.isfinite(Z).all()
    np.testing.assert_allclose(g.forward(Z.copy()), np.clip(A, *g.bounds), rtol=1e-6, atol=2e-6)
    assert np.all(g.derivative(g.forward(Z)) > 0), "a unit that starts where it is flat never moves"


@every_activation
def test_backward_multiplies_by_the_derivative_in_place(name, rng):
    g, A = ALL[name], FORMULAS[name](grid())
    delta = rng.standard_normal(A.shape)
    expected = delta * difference(FORMULAS[name], grid())
    assert g.backward(A, delta) is None
    np.testing.assert_allclose(delta, expected, rtol=1e-8, atol=1e-9)


@every_activation
def test_activations_compare_by_kind(name):
    g = ALL[name]
    copy = pickle.loads(pickle.dumps(g))
    assert copy == g
    assert hash(copy) == hash(g)
    assert [other for other in ALL if ALL[other] == g] == [name]
    assert repr(g) == f"{type(g).__name__}()"
