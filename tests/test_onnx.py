"""Conversion to ONNX, beside the estimators themselves: onnxruntime computes the expected values anew."""

import numpy as np
import pandas as pd
import pytest
from configurations import AUTOENCODERS, CONFIGURATIONS, X, configured, each, make
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skae import (
    AutoencoderOutlierDetector,
    AutoencoderTransformer,
    DenoisingAutoencoder,
    SparseAutoencoder,
    StackedAutoencoder,
)
from skae.activations import ACTIVATIONS, Logistic
from skae.impute import AutoencoderImputer
from skae.losses import LOSSES, ColumnLosses, Poisson, SquaredError

skl2onnx = pytest.importorskip("skl2onnx")
onnxruntime = pytest.importorskip("onnxruntime")

METHODS = {"code": "transform", "reconstruction": "reconstruct", "score_samples": "score_samples"}
LARGEST_ERROR = {"float64": 1e-12, "float32": 5e-6}
# In the domain of every loss.
SHARES = np.random.default_rng(0).dirichlet(np.ones(6), size=40)


def run(model, X):
    """All outputs of a converted model, whose inputs are X or the columns of a frame."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [node.name for node in session.get_inputs()]
    columns = [X] if len(names) == 1 else [X[[name]].to_numpy() for name in names]
    return session.run(None, dict(zip(names, columns, strict=True)))


def assert_close(values, expected, size=0.0):
    assert values.shape == expected.shape
    assert values.dtype == expected.dtype
    size = max(size, np.abs(expected).max())
    assert np.abs(values - expected).max() <= LARGEST_ERROR[expected.dtype.name] * size


def assert_converts(estimator, X):
    for output, method in METHODS.items():
        model = skl2onnx.to_onnx(estimator, X, options={"output": output})
        # The score of a row that is reconstructed well is made of small differences of its entries.
        size = np.square(X).sum(axis=1).max() if output == "score_samples" else 0.0
        assert_close(run(model, X)[0], getattr(estimator, method)(X), size)


# What it computes.


@pytest.mark.parametrize("dtype", LARGEST_ERROR)
@pytest.mark.parametrize("name", CONFIGURATIONS)
@pytest.mark.parametrize(
    "Autoencoder",
    [AutoencoderTransformer, *(pytest.param(other, marks=pytest.mark.slow) for other in AUTOENCODERS[1:])],
)
def test_every_configuration(Autoencoder, dtype, name):
    rows = X.astype(dtype)
    assert_converts(configured(Autoencoder, name, max_iter=3).fit(rows), rows)


@pytest.mark.parametrize("dtype", LARGEST_ERROR)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_every_activation_and_loss(activation, loss, dtype):
    rows = SHARES.astype(dtype)
    assert_converts(make(AutoencoderTransformer, activation=activation, loss=loss, max_iter=2).fit(rows), rows)


def test_a_stack():
    layers = [make(DenoisingAutoencoder, n_components=4), make(SparseAutoencoder, n_components=2)]
    assert_converts(StackedAutoencoder(layers, random_state=0).fit(X), X)


@pytest.mark.parametrize("link", ACTIVATIONS)
def test_every_link(link):
    assert_converts(make(AutoencoderTransformer, output_activation=link, max_iter=3).fit(X), X)


@pytest.mark.parametrize("dtype", LARGEST_ERROR)
def test_losses_by_column(dtype):
    losses = ColumnLosses(
        [("poisson", [0, 5]), ("categorical", [4, 1]), ("squared_error", [3], 2.0), ("cross_entropy", [2])]
    )
    rows = SHARES.astype(dtype)
    rows[:, 4] = 1 - rows[:, 1]
    assert_converts(make(AutoencoderTransformer, loss=losses).fit(rows), rows)


def test_the_code_is_the_default_and_scaled():
    autoencoder = make(AutoencoderTransformer).fit(X)
    assert autoencoder.code_scale_ != 1
    model = skl2onnx.to_onnx(autoencoder, X)
    assert [node.name for node in model.graph.output] == ["code"]
    assert_close(run(model, X)[0], autoencoder.transform(X))


def test_small_outputs_of_softplus_keep_their_digits():
    autoencoder = make(AutoencoderTransformer, activation="softplus", max_iter=1).fit(X)
    autoencoder.coefs_[0][:] = 1.0
    autoencoder._offset_intercept[:] = -30.0
    Z = (X - autoencoder._offset).sum(axis=1) - 30
    # softplus(z) is exp(z) far out.
    assert_allclose(run(skl2onnx.to_onnx(autoencoder, X), X)[0][:, 0], np.exp(Z), rtol=1e-12)


def test_a_mean_far_above_the_spread_in_float32():
    rows = (1e4 + load_iris().data).astype(np.float32)
    assert_converts(make(AutoencoderTransformer).fit(rows), rows)


def test_a_model_of_float64_takes_float32():
    rows = 1e3 + 1e-3 * np.round(1e3 * X)
    autoencoder = make(AutoencoderTransformer).fit(rows)
    narrow = rows.astype(np.float32)
    values = run(skl2onnx.to_onnx(autoencoder, narrow), narrow)[0]
    assert values.dtype == np.float32
    # The mean, of which float32 has no digit after the fourth, is a constant of the graph.
    assert_close(values, autoencoder.transform(narrow).astype(np.float32))


def test_integers_are_taken_as_float32():
    digits = load_digits().data[:50].astype(np.int64)
    autoencoder = make(AutoencoderTransformer).fit(digits)
    values = run(skl2onnx.to_onnx(autoencoder, digits), digits)[0]
    assert_close(values, autoencoder.transform(digits).astype(np.float32))


@pytest.mark.parametrize("n_rows", [1, 7])
def test_any_number_of_rows(n_rows):
    autoencoder = make(SparseAutoencoder).fit(X)
    model = skl2onnx.to_onnx(autoencoder, X, options={"output": "score_samples"})
    assert_close(run(model, X[:n_rows])[0], autoencoder.score_samples(X[:n_rows]))


@pytest.mark.parametrize("target_opset", [13, 17, 18])
def test_older_operator_sets(target_opset):
    autoencoder = make(AutoencoderTransformer, activation="softplus", loss="categorical").fit(SHARES)
    model = skl2onnx.to_onnx(autoencoder, SHARES, options={"output": "score_samples"}, target_opset=target_opset)
    assert_close(run(model, SHARES)[0], autoencoder.score_samples(SHARES))


# Within others.


@each
@pytest.mark.parametrize("dtype", LARGEST_ERROR)
def test_a_pipeline_with_scaler_and_classifier(Autoencoder, dtype):
    rows, y = load_iris(return_X_y=True)
    rows, names = rows.astype(dtype), load_iris().target_names
    pipeline = make_pipeline(StandardScaler(), make(Autoencoder), LogisticRegression(max_iter=300)).fit(rows, names[y])
    labels, probabilities = run(skl2onnx.to_onnx(pipeline, rows, options={"zipmap": False}), rows)
    assert_array_equal(labels, pipeline.predict(rows))
    assert_close(probabilities, pipeline.predict_proba(rows).astype(dtype))


def test_a_pipeline_passes_options_to_its_step():
    pipeline = make_pipeline(StandardScaler(), make(AutoencoderTransformer)).fit(X)
    expected = pipeline[-1].reconstruct(pipeline[:-1].transform(X))
    for options in (
        {"autoencodertransformer__output": "reconstruction"},
        {id(pipeline[-1]): {"output": "reconstruction"}},
    ):
        assert_close(run(skl2onnx.to_onnx(pipeline, X, options=options), X)[0], expected)


def test_some_columns():
    of_columns = ColumnTransformer(
        [("code", make(AutoencoderTransformer), [1, 4, 6]), ("as they are", "passthrough", [0])]
    )
    of_columns.fit(X)
    assert_close(run(skl2onnx.to_onnx(of_columns, X), X)[0], of_columns.transform(X))


def test_one_input_a_column():
    frame = pd.DataFrame(X, columns=list("abcdefgh"))
    autoencoder = make(AutoencoderTransformer).fit(frame)
    assert_close(run(skl2onnx.to_onnx(autoencoder, frame), frame)[0], autoencoder.transform(frame))


class Derived(DenoisingAutoencoder):
    """Somebody's own."""


def test_a_derived_estimator():
    assert_converts(make(Derived).fit(X), X)


# What it refuses.


class Doubled(Logistic):
    """Looks like a part of skae, and is none."""

    def forward(self, Z):
        Z = super().forward(Z)
        Z *= 2
        return Z


class Quadrupled(SquaredError):
    """Looks like a loss of skae, and is none."""


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"activation": Doubled()}, "The activation Doubled.* cannot be converted to ONNX.*Logistic"),
        ({"loss": Quadrupled()}, "The loss Quadrupled.* cannot be converted to ONNX.*Poisson"),
        ({"loss": ColumnLosses([(Quadrupled(), [0]), (Poisson(), slice(1, None))])}, "The loss Quadrupled"),
        ({"loss": SquaredError(Doubled())}, "The activation Doubled"),
    ],
)
def test_parts_of_ones_own_are_refused(parameters, message):
    autoencoder = make(AutoencoderTransformer, **parameters, max_iter=2).fit(X)
    with pytest.raises(NotImplementedError, match=message):
        skl2onnx.to_onnx(autoencoder, X, options={"output": "reconstruction"})


@each
def test_an_unfitted_estimator_is_refused(Autoencoder):
    with pytest.raises(NotFittedError):
        skl2onnx.to_onnx(make(Autoencoder), X)


def test_unknown_options_are_refused():
    autoencoder = make(AutoencoderTransformer).fit(X)
    with pytest.raises(ValueError, match=r"'codes'.*'output'.*'code', 'reconstruction', 'score_samples'"):
        skl2onnx.to_onnx(autoencoder, X, options={"output": "codes"})
    with pytest.raises(NameError, match="'outputs' not in"):
        skl2onnx.to_onnx(autoencoder, X, options={"outputs": "code"})


def test_other_inputs_are_refused():
    autoencoder = make(AutoencoderTransformer).fit(X)
    with pytest.raises(ValueError, match="have 3 features, but AutoencoderTransformer is expecting 8 features"):
        skl2onnx.to_onnx(autoencoder, X[:, :3])
    with pytest.raises(ValueError, match="takes dense rows of numbers, got StringTensorType"):
        skl2onnx.to_onnx(autoencoder, X.astype(str))
    with pytest.raises(TypeError, match="csr_array"):
        skl2onnx.to_onnx(autoencoder, csr_array(X))


def test_the_detector_is_refused():
    with pytest.raises(NotImplementedError, match=r"AutoencoderOutlierDetector cannot be converted.*reconstruction"):
        skl2onnx.to_onnx(AutoencoderOutlierDetector().fit(X), X)


def test_the_imputer_is_refused():
    with pytest.raises(NotImplementedError, match=r"AutoencoderImputer cannot be converted to ONNX.*SimpleImputer"):
        skl2onnx.to_onnx(AutoencoderImputer().fit(X), X)


# What conversion leaves alone.


def test_conversion_leaves_the_estimator_as_it_was():
    for Autoencoder in AUTOENCODERS:
        autoencoder = make(Autoencoder).fit(X)
        before = set(vars(autoencoder))
        skl2onnx.to_onnx(autoencoder, X)
        assert set(vars(autoencoder)) == before
        clone(autoencoder)
