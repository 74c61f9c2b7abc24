"""A loss per column: how columns are named, the sum of the parts written out, balance, and errors."""

import copy
import pickle
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from scipy.special import expit, log_softmax
from sklearn.base import clone
from sklearn.compose import make_column_selector

from skae import AutoencoderTransformer
from skae.activations import ACTIVATIONS
from skae.losses import ColumnLosses, Poisson, SquaredError

NAMES = ["age", "sex_f", "sex_m", "smoker", "visits", "weight"]
FRAME = pd.DataFrame(np.zeros((3, 6)), columns=NAMES).astype({"smoker": bool, "visits": int})
ARRAY = np.zeros((3, 6))
# The same parts for a frame: named in all the ways of ColumnTransformer.
NUMBERS, SEX, SMOKER, VISITS = (0, 5), (1, 2), (3,), (4,)
PARTS = [("squared_error", NUMBERS), ("categorical", SEX), ("cross_entropy", SMOKER), ("poisson", VISITS)]
BY_NAME = [("squared_error", ["age", "weight"]), ("categorical", slice("sex_f", "sex_m"))]
BY_NAME += [("cross_entropy", "smoker"), ("poisson", pd.Index(["visits"]))]
BY_INDEX = [("squared_error", [0, -1]), ("categorical", slice(1, 3)), ("cross_entropy", 3), ("poisson", np.array([4]))]
MASK = np.array([True, False, False, False, False, True])
MASK_OF_SEX = np.array([False, True, True, False, False, False])
BY_MASK = [("squared_error", MASK), ("categorical", [False, True, True, False, False, False]), *BY_INDEX[2:]]
BY_CALLABLE = [("squared_error", lambda X: [0, 5]), ("categorical", lambda X: slice(1, 3)), *BY_INDEX[2:]]
BY_SELECTOR = [
    ("squared_error", make_column_selector("age|weight")),
    ("categorical", make_column_selector("sex_")),
    ("cross_entropy", make_column_selector(dtype_include=bool)),
    ("poisson", make_column_selector(dtype_include=int)),
]
WAYS = {
    "name": (BY_NAME, FRAME),
    "name, polars": ([*BY_NAME[:3], ("poisson", ["visits"])], pl.from_pandas(FRAME)),
    "index": (BY_INDEX, FRAME),
    "index, array": (BY_INDEX, ARRAY),
    "index, sparse": (BY_INDEX, csr_array(ARRAY)),
    "mask": (BY_MASK, ARRAY),
    "callable": (BY_CALLABLE, ARRAY),
    "array of a callable": (
        [("squared_error", lambda X: np.array([0, 5])), ("categorical", lambda X: MASK_OF_SEX), *BY_INDEX[2:]],
        ARRAY,
    ),
    "pandas index of a callable": (
        [("squared_error", lambda X: X.columns[[0, 5]]), ("categorical", lambda X: X.columns[1:3]), *BY_INDEX[2:]],
        FRAME,
    ),
    "selector": (BY_SELECTOR, FRAME),
}
WEIGHTS = [0.5, 2.0, 3.0, 0.25]
TARGET = np.array([[0.3, 0, 1, 1, 4, -2], [1.5, 1, 0, 0, 0, 0.5], [-1, 0, 0, 0.25, 2, 0]])
RAW = np.random.default_rng(0).standard_normal((3, 6))


def loss_by_column(entries=PARTS, X=ARRAY, gains=None, **options):
    gains = np.ones(X.shape[1]) if gains is None else np.asarray(gains)
    return ColumnLosses(entries, **options).resolved(X).balanced(lambda: gains)


def weighted():
    return loss_by_column([(*entry, weight) for entry, weight in zip(PARTS, WEIGHTS, strict=True)])


def entries_by_hand(target, raw):
    result = np.empty_like(raw)
    result[:, NUMBERS] = 0.5 * 0.5 * (raw[:, NUMBERS] - target[:, NUMBERS]) ** 2
    result[:, SEX] = 2.0 * -target[:, SEX] * log_softmax(raw[:, SEX], axis=1)
    p, x = expit(raw[:, SMOKER]), target[:, SMOKER]
    result[:, SMOKER] = 3.0 * -(x * np.log(p) + (1 - x) * np.log(1 - p))
    result[:, VISITS] = 0.25 * (np.exp(raw[:, VISITS]) - target[:, VISITS] * raw[:, VISITS])
    return result


def call(loss, target, raw, *entry_weights):
    gradient = np.full_like(raw, np.nan)
    method = loss.weighted_loss_gradient if entry_weights else loss.loss_gradient
    return method(target, raw.copy(), *entry_weights, gradient), gradient


@pytest.mark.parametrize("way", WAYS)
def test_columns_are_given_as_in_column_transformer(way):
    entries, X = WAYS[way]
    names = NAMES if hasattr(X, "columns") else range(6)
    expected = [(loss, tuple(names[column] for column in columns), 1.0) for loss, columns in PARTS]
    assert ColumnLosses(entries, balance=False).resolved(X).balanced(lambda: np.ones(6)).declared.losses == tuple(
        expected
    )


def test_what_selects_the_columns_of_a_part_is_no_property_with_a_lock():
    """functools.cached_property has one of the class until Python 3.12, which a forked process may find held."""
    part = loss_by_column().parts[1]
    assert vars(part)["at"] == slice(1, 3)
    assert replace(part, columns=(3, 1)).at == [3, 1]


def test_entries_without_columns_are_left_out():
    loss = loss_by_column([("squared_error", slice(None)), ("poisson", []), ("categorical", lambda X: [])])
    assert len(loss.parts) == 1


def test_entries_are_those_of_the_parts_times_their_weights():
    np.testing.assert_allclose(weighted().entries(TARGET, RAW), entries_by_hand(TARGET, RAW), rtol=1e-12)


def test_losses_and_gradient():
    losses, gradient = call(weighted(), TARGET, RAW)
    np.testing.assert_allclose(losses, entries_by_hand(TARGET, RAW).sum(axis=1), rtol=1e-12)
    for column, step in enumerate(1e-6 * np.eye(6)):
        change = entries_by_hand(TARGET, RAW + step) - entries_by_hand(TARGET, RAW - step)
        np.testing.assert_allclose(gradient[:, column], change.sum(axis=1) / 2e-6, atol=1e-8)


def test_weights_of_entries():
    entry_weights = np.random.default_rng(1).uniform(size=RAW.shape)
    losses, gradient = call(weighted(), TARGET, RAW, entry_weights)
    np.testing.assert_allclose(losses, (entry_weights * entries_by_hand(TARGET, RAW)).sum(axis=1), rtol=1e-12)
    for column, step in enumerate(1e-6 * np.eye(6)):
        change = entry_weights * (entries_by_hand(TARGET, RAW + step) - entries_by_hand(TARGET, RAW - step))
        np.testing.assert_allclose(gradient[:, column], change.sum(axis=1) / 2e-6, atol=1e-8)


def test_curvature_of_parts():
    """2 S p (1 - p), the second derivative of the categorical part."""
    loss, columns = loss_by_column([("categorical", [2, 0, 1], 2.0)], ARRAY[:, :3]), [2, 0, 1]
    target, raw = np.array([[0.2, 0.8, 0.0]]), RAW[:1, :3]
    p = np.exp(log_softmax(raw, axis=1))
    np.testing.assert_allclose(loss.curvature(target, raw), 2 * p * (1 - p), rtol=1e-12)
    assert loss.parts[0].at == columns


def test_the_output_of_each_part():
    loss = weighted()
    reconstruction = loss.predict(RAW.copy())
    np.testing.assert_array_equal(reconstruction[:, NUMBERS], RAW[:, NUMBERS])
    np.testing.assert_allclose(reconstruction[:, SEX], np.exp(log_softmax(RAW[:, SEX], axis=1)), rtol=1e-12)
    np.testing.assert_allclose(reconstruction[:, SMOKER], expit(RAW[:, SMOKER]), rtol=1e-12)
    np.testing.assert_allclose(reconstruction[:, VISITS], np.exp(RAW[:, VISITS]), rtol=1e-12)
    np.testing.assert_allclose(loss.predict(loss.raw_output(reconstruction)), reconstruction, rtol=1e-9)
    low, high = loss.bounds
    np.testing.assert_array_equal(low, [-np.inf, 0, 0, 0, 0, -np.inf])
    np.testing.assert_array_equal(high, [np.inf, 1, 1, 1, np.inf, np.inf])
    np.testing.assert_array_equal(loss.takes_any_unit, [True, False, False, False, False, True])
    np.testing.assert_array_equal(loss.raw_unit, [1, 1, 1, 1, 0.03, 1])


def test_divergence_and_perfect():
    """The excess of the mean over the targets themselves, where the categorical entries count together."""
    loss, mean = weighted(), np.array([0.1, 0.25, 0.5, 0.5, 2, -0.5])
    target = np.clip(TARGET, -5, None)
    inner = np.clip(target, 1e-12, 1 - 1e-12)
    at_target = target.copy()
    at_target[:, SEX], at_target[:, VISITS] = np.log(inner[:, SEX]), np.log(np.maximum(target[:, VISITS], 1e-12))
    at_target[:, SMOKER] = np.log(inner[:, SMOKER] / (1 - inner[:, SMOKER]))
    at_mean = np.array([0.1, *np.log([0.25, 0.5]), 0.0, np.log(2), -0.5])
    perfect = entries_by_hand(target, at_target).sum(axis=1)
    np.testing.assert_allclose(loss.perfect(target), perfect, atol=1e-9)
    excess = entries_by_hand(target, np.tile(at_mean, (3, 1))).sum(axis=1) - perfect
    np.testing.assert_allclose(loss.divergence(target, mean).sum(axis=1), excess, atol=1e-9)


def test_shifted_by_an_origin():
    """Only squared error and Poisson have a form about an origin; the losses are the same but for what is omitted."""
    loss, origin = weighted(), np.array([5, 0.25, 0.5, 0.5, 2, -3.0])
    shifted, moved, raw_origin = loss.shifted(origin)
    np.testing.assert_array_equal(moved, [5, 0, 0, 0, 2, -3])
    np.testing.assert_allclose(raw_origin, [5, 0, 0, 0, np.log(2), -3])
    losses, gradient = call(shifted, TARGET - moved, RAW - raw_origin)
    expected, expected_gradient = call(loss, TARGET, RAW)
    np.testing.assert_allclose(losses + shifted.omitted(TARGET), expected, rtol=1e-10)
    np.testing.assert_allclose(gradient, expected_gradient, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtypes_and_extremes(dtype):
    loss = loss_by_column([("squared_error", [0, 5]), ("categorical", [1, 2]), ("cross_entropy", [3, 4])])
    target, raw = np.clip(TARGET, 0, 1).astype(dtype), np.full((3, 6), -1e3, dtype)
    raw[:, ::2] = 1e3
    with np.errstate(all="raise", under="ignore"):
        losses, gradient = call(loss, target, raw)
        entries = loss.entries(target, raw)
    assert np.isfinite(losses).all()
    assert gradient.dtype == entries.dtype == dtype
    np.testing.assert_allclose(losses, entries.sum(axis=1), rtol=1e-6)


# Weights.


def test_balanced_by_the_gain():
    """The number of columns, or 1 for a category, over the gain; 1 without gain; a weight is taken as it is."""
    gains = [3.0, 0.5, 0.25, 0.0, 0.8, 5.0]
    assert [part.factor for part in loss_by_column(gains=gains).parts] == [2 / 8, 1 / 0.75, 1.0, 1 / 0.8]
    entries = [(*PARTS[0], 7.0), *PARTS[1:]]
    assert [part.factor for part in loss_by_column(entries, gains=gains).parts] == [7.0, 1 / 0.75, 1.0, 1 / 0.8]
    assert [part.factor for part in loss_by_column(entries, gains=gains, balance=False).parts] == [7.0, 1.0, 1.0, 1.0]


def test_the_raw_output_has_the_scale_of_its_columns():
    """Gains 2 and 6 are variances 4 and 12, of mean 8. Without a gain, the scale of X."""
    gains = [2.0, 0.5, 0.25, 0.3, 0.8, 6.0]
    np.testing.assert_allclose(loss_by_column(gains=gains).raw_scale(3.0), [8**0.5, 1, 1, 1, 1, 8**0.5])
    np.testing.assert_allclose(loss_by_column(gains=np.zeros(6)).raw_scale(3.0), [3, 1, 1, 1, 1, 3])


def test_least_squares_weights():
    squares = [("squared_error", [0, 2, 4], 2.0), ("squared_error", [1, 3, 5], 1.0)]
    np.testing.assert_array_equal(loss_by_column(squares).least_squares_weights, [2, 1, 2, 1, 2, 1])
    assert not loss_by_column(squares).is_least_squares
    assert loss_by_column([entry[:2] for entry in squares], balance=False).is_least_squares
    linked = (SquaredError(ACTIVATIONS["tanh"]), [1, 3, 5], 1.0)
    assert loss_by_column([squares[0], linked]).least_squares_weights is None
    assert loss_by_column().least_squares_weights is None


# A value.


def test_compared_by_value():
    one = ColumnLosses([("poisson", [0, 1]), (SquaredError(), ["a"], 2)])
    same = ColumnLosses((("poisson", np.array([0, 1])), (SquaredError(), ("a",), 2.0)), balance=True)
    assert one == same
    assert hash(one) == hash(same)
    assert one != ColumnLosses(one.losses, balance=False)
    assert one != ColumnLosses([*one.losses[:1], (SquaredError(), ["a"], 3)])
    for again in (pickle.loads(pickle.dumps(one)), copy.deepcopy(one), clone(AutoencoderTransformer(loss=one)).loss):
        assert again == one
    unnamed = ColumnLosses(PARTS)
    assert eval(repr(unnamed)) == unnamed


def test_what_is_declared_gives_the_same_loss():
    loss = loss_by_column([*PARTS[:3], (Poisson(), VISITS)], FRAME, gains=[3.0, 0.5, 0.25, 0.1, 0.8, 5.0])
    assert [entry[0] for entry in loss.declared.losses] == ["squared_error", "categorical", "cross_entropy", "poisson"]
    again = loss.declared.resolved(FRAME).balanced(lambda: np.full(6, 9.0))
    np.testing.assert_array_equal(again.entries(TARGET, RAW), loss.entries(TARGET, RAW))


# Errors.


@pytest.mark.parametrize(
    ("losses", "message"),
    [
        ([], "losses must be a sequence of (loss, columns) or (loss, columns, weight), got []"),
        ("poisson", "losses must be a sequence"),
        ({"poisson": [0]}, "losses must be a sequence"),
        ([("poisson",)], "an entry must be (loss, columns) or (loss, columns, weight), got ('poisson',)"),
        (["ab"], "an entry must be"),
        ([("gamma", [0])], "a loss must be one of 'squared_error', 'cross_entropy', 'poisson', 'categorical'"),
        ([("auto", [0])], "a loss must be one of"),
        *(
            ([("poisson", [0], weight)], f"the weight of 'poisson' must be a float above 0, got {weight!r}")
            for weight in (0, -1, np.nan, np.inf, True, "1", None)
        ),
    ],
)
def test_refused_when_made(losses, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ColumnLosses(losses)


def test_balance_is_a_bool():
    with pytest.raises(ValueError, match="balance must be a bool, got 'yes'"):
        ColumnLosses(PARTS, balance="yes")


@pytest.mark.parametrize(
    ("losses", "X", "message"),
    [
        ([("poisson", [0, 1]), ("squared_error", slice(1, 6))], FRAME, "column 'sex_f' is listed twice, for 'poisson'"),
        ([("poisson", [0, 0]), ("squared_error", slice(1, 6))], FRAME, "column 'age' is listed twice"),
        ([("poisson", [1, 2])], FRAME, "no loss is given for 'age', 'smoker', 'visits', 'weight'. Add an entry"),
        ([("poisson", [2])], np.zeros((3, 9)), "no loss is given for 0, 1, 3, 4, 5 and 3 more columns"),
        ([("poisson", ["height"])], FRAME, "the columns ('height',) of 'poisson' are not those of X"),
        ([("poisson", ["age"])], ARRAY, "only supported for dataframes"),
        ([("poisson", [6])], FRAME, "the columns (6,) of 'poisson' are not those of X"),
        ([("poisson", [True, False])], FRAME, "the columns (True, False) of 'poisson' are not those of X"),
        *(([("poisson", columns)], FRAME, "are not those of X") for columns in (None, 1.5, [0, "age"])),
        ([("poisson", slice("age", "weight", 2))], FRAME, "are not those of X"),
    ],
)
def test_refused_for_the_columns_of_an_x(losses, X, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ColumnLosses(losses).resolved(X)


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("smoker", 1.5, r"loss='cross_entropy' needs values.*to 1.5.*column 'smoker'"),
        ("visits", -2, r"loss='poisson' needs values.*-2.*column 'visits'"),
        ("sex_m", 0.5, r"loss='categorical' needs values.*'sex_f', 'sex_m'"),
    ],
)
def test_the_domain_of_each_column(column, value, message, form):
    loss, X = loss_by_column(X=FRAME), np.clip(TARGET, 0, None)
    loss.check_targets(form(X))
    X[1, NAMES.index(column)] = value
    with pytest.raises(ValueError, match=message):
        loss.check_targets(form(X))


def test_of_several_columns_the_one_outside_is_named():
    loss, X = loss_by_column([("cross_entropy", slice(0, 6))], FRAME), np.full((3, 6), 0.5)
    X[2, 3] = 7
    with pytest.raises(ValueError, match="column 'smoker'"):
        loss.check_targets(X)
