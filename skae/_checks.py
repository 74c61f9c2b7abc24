"""Checks of the numbers that describe a penalty or a corruption."""

from math import inf
from numbers import Real


def check_number(part, name, low, high=inf, *, closed):
    """Raise ValueError unless attribute `name` of `part` is a finite number between low and high.

    `closed` holds the ends that are allowed: "left", "right", "both" or "neither".
    """
    value = getattr(part, name)
    allowed = isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high
    allowed = allowed and value < inf
    allowed = (
        allowed and (value != low or closed in ("left", "both")) and (value != high or closed in ("right", "both"))
    )
    if not allowed:
        left = "[" if closed in ("left", "both") else "("
        right = "]" if closed in ("right", "both") else ")"
        raise ValueError(f"{type(part).__name__}: {name} must be a float in {left}{low}, {high}{right}, got {value!r}.")
