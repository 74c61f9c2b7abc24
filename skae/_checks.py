"""Checks of the numbers that describe a penalty or a corruption."""

from math import inf, isfinite
from numbers import Real


def check_number(part, name, low, high=inf, *, closed):
    """Raise ValueError unless attribute `name` of `part` is a finite number between low and high.

    `closed` holds the ends that are allowed: "left", "right", "both" or "neither".
    """
    value = getattr(part, name)
    left, right = closed in ("left", "both"), closed in ("right", "both")
    is_number = isinstance(value, Real) and not isinstance(value, bool) and isfinite(value)
    if is_number and (low < value < high or (left and value == low) or (right and value == high)):
        return
    interval = f"{'[' if left else '('}{low}, {high}{']' if right else ')'}"
    raise ValueError(f"{type(part).__name__}: {name} must be a float in {interval}, got {value!r}.")
