"""Conversion to ONNX: the methods by which skl2onnx finds the converter of an estimator, and the graph of a network.

A graph computes in the type of its input, float32 or float64. It subtracts the offset before the first product, as
`transform` does, and computes the logistic and softplus functions by the formulas of `skae.activations`. onnxruntime's
Softplus has errors far above rounding in float64, and its Sigmoid takes twice as long there as the formula.
"""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skae.activations import Exponential, Identity, Logistic, Relu, Softplus, Tanh
from skae.losses import Categorical, CrossEntropy, Poisson, SquaredError
from skae.losses._columns import LossByColumn

# The option of skl2onnx that names what a converted estimator returns.
_OPTION = "output"


class Graph:
    """The nodes of an ONNX graph, in one floating-point type.

    Parameters
    ----------
    scope, container
        Of skl2onnx: what gives names, and what takes nodes.

    dtype : type
        float32 or float64.
    """

    def __init__(self, scope, container, dtype):
        self._scope, self._container, self._dtype = scope, container, dtype

    def node(self, operator, *inputs, **attributes):
        """Add a node and return the name of its output. An input is the name of another, or a number or array."""
        names = [value if isinstance(value, str) else self._constant(np.asarray(value)) for value in inputs]
        output = self._scope.get_unique_variable_name(operator.lower())
        self._container.add_node(
            operator, names, [output], name=self._scope.get_unique_operator_name(operator), **attributes
        )
        return output

    def rows(self, variables):
        """Return the name of the input, (n_rows, n_features), cast and joined if columns are given one by one."""
        element = _element_type(self._dtype)
        names = [
            variable.full_name
            if isinstance(variable.type, _tensor_type(self._dtype))
            else self.node("Cast", variable.full_name, to=element)
            for variable in variables
        ]
        return names[0] if len(names) == 1 else self.node("Concat", *names, axis=1)

    def layers(self, layers, A):
        """Return the output of layers."""
        for layer in layers:
            A = self.activation(
                layer.activation, self.node("Add", self.node("MatMul", A, layer.weight), layer.intercept)
            )
        return A

    def centred_layers(self, layers, offset, X):
        """Return the output of layers whose first one takes rows less an offset."""
        rounded = offset.astype(self._dtype)
        first = layers[0]
        # What rounding takes from the offset is added to the intercept, which is far smaller.
        intercept = first.intercept + (rounded - offset) @ first.weight
        return self.layers([first._replace(intercept=intercept), *layers[1:]], self.node("Sub", X, rounded))

    def activation(self, activation, Z):
        """Return an activation of Z."""
        return _known(_ACTIVATIONS, activation, "activation")(self, Z)

    def prediction(self, loss, raw):
        """Return the reconstruction of the raw output of a decoder."""
        return _known(_LOSSES, loss, "loss").prediction(self, loss, raw)

    def entries(self, loss, X, raw):
        """Return the loss entry by entry."""
        return _known(_LOSSES, loss, "loss").entries(self, loss, X, raw)

    def _constant(self, array):
        from onnx.numpy_helper import from_array

        if array.dtype.kind == "f":
            array = array.astype(self._dtype)
        name = self._scope.get_unique_variable_name("constant")
        tensor = from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        self._container.add_initializer(name, tensor.data_type, tensor.dims, tensor)
        return name


def _known(registry, part, kind):
    """Return the entry for a part of exactly a known class: a derived one may compute anything."""
    try:
        return registry[type(part)]
    except KeyError:
        known = ", ".join(sorted(cls.__name__ for cls in registry))
        raise NotImplementedError(
            f"The {kind} {part!r} cannot be converted to ONNX: its class is not one of skae's ({known}). "
            "Fit with one of these, or save the model with joblib."
        ) from None


def _tail(graph, Z):
    """Return log(1 + exp(-abs(Z))), with all digits where it is small."""
    small = graph.node("Exp", graph.node("Neg", graph.node("Abs", Z)))
    above = graph.node("Add", small, 1.0)
    # The rounding error of 1 + u cancels in log(1 + u) u / ((1 + u) - 1).
    ratio = graph.node("Div", small, graph.node("Sub", above, 1.0))
    return graph.node(
        "Where", graph.node("Equal", above, 1.0), small, graph.node("Mul", graph.node("Log", above), ratio)
    )


def _logistic(graph, Z):
    half = graph.node("Mul", graph.node("Tanh", graph.node("Mul", Z, 0.5)), 0.5)
    return graph.node("Add", half, 0.5)


_ACTIVATIONS: dict[type, Callable] = {
    Identity: lambda graph, Z: Z,
    Logistic: _logistic,
    Tanh: lambda graph, Z: graph.node("Tanh", Z),
    Relu: lambda graph, Z: graph.node("Relu", Z),
    Softplus: lambda graph, Z: graph.node("Add", graph.node("Relu", Z), _tail(graph, Z)),
    Exponential: lambda graph, Z: graph.node("Exp", Z),
}


class _LossGraph(NamedTuple):
    """How a loss is written in a graph: prediction(graph, loss, raw) and entries(graph, loss, X, raw)."""

    prediction: Callable
    entries: Callable


def _through_link(graph, loss, raw):
    return graph.activation(loss.link, raw)


def _squared_error(graph, loss, X, raw):
    residual = graph.node("Sub", graph.prediction(loss, raw), X)
    return graph.node("Mul", graph.node("Mul", residual, residual), 0.5)


def _cross_entropy(graph, loss, X, raw):
    linear = graph.node("Sub", graph.node("Relu", raw), graph.node("Mul", raw, X))
    return graph.node("Add", linear, _tail(graph, raw))


def _poisson(graph, loss, X, raw):
    return graph.node("Sub", graph.prediction(loss, raw), graph.node("Mul", X, raw))


def _softmax(graph, loss, raw):
    return graph.node("Softmax", raw, axis=1)


def _categorical(graph, loss, X, raw):
    return graph.node("Neg", graph.node("Mul", X, graph.node("LogSoftmax", raw, axis=1)))


def _by_part(graph, loss, array_of_part, *arrays):
    """Return the arrays of the parts of a loss, in the order of the columns; each is made of the parts of `arrays`."""
    columns = [np.array(part.columns) for part in loss.parts]
    results = [
        array_of_part(part, *(graph.node("Gather", array, at, axis=1) for array in arrays))
        for part, at in zip(loss.parts, columns, strict=True)
    ]
    return graph.node("Gather", graph.node("Concat", *results, axis=1), np.argsort(np.concatenate(columns)), axis=1)


def _prediction_by_column(graph, loss, raw):
    return _by_part(graph, loss, lambda part, raw: graph.prediction(part.loss, raw), raw)


def _entries_by_column(graph, loss, X, raw):
    def of_part(part, X, raw):
        return graph.node("Mul", graph.entries(part.loss, X, raw), part.factor)

    return _by_part(graph, loss, of_part, X, raw)


_LOSSES = {
    SquaredError: _LossGraph(_through_link, _squared_error),
    CrossEntropy: _LossGraph(_through_link, _cross_entropy),
    Poisson: _LossGraph(_through_link, _poisson),
    Categorical: _LossGraph(_softmax, _categorical),
    LossByColumn: _LossGraph(_prediction_by_column, _entries_by_column),
}


# What a network returns, given its rows.


def _bare_code(graph, network, X):
    return graph.centred_layers(network.encoder, network.offset, X)


def _raw_output(graph, network, X):
    return graph.layers(network.decoder, _bare_code(graph, network, X))


def code(graph, estimator, X):
    """Return the output of `transform`."""
    network = estimator.network_
    return graph.node("Div", _bare_code(graph, network, X), float(network.code_scale))


def reconstruction(graph, estimator, X):
    """Return the output of `reconstruct`."""
    network = estimator.network_
    return graph.prediction(network.loss, _raw_output(graph, network, X))


def score_samples(graph, estimator, X):
    """Return the output of `score_samples`."""
    network = estimator.network_
    entries = graph.entries(network.loss, X, _raw_output(graph, network, X))
    return graph.node("Neg", graph.node("MatMul", entries, np.ones(estimator.n_features_in_)))


class Output(NamedTuple):
    """An output of a converted estimator.

    Attributes
    ----------
    build : callable(graph, estimator, X) -> str
        Adds its nodes, and returns the name of the last one.

    shape : callable(estimator) -> tuple of int
        Shape of a row of it.
    """

    build: Callable
    shape: Callable


class OnnxMixin:
    """What skl2onnx asks an estimator for: nothing has to be registered.

    Attributes
    ----------
    _onnx_outputs : dict of str to Output
        The values of the option "output"; the first one is the default. Those here are of an estimator with `network_`.
    """

    _onnx_outputs: ClassVar[dict[str, Output]] = {
        "code": Output(code, lambda estimator: (estimator.n_components_,)),
        "reconstruction": Output(reconstruction, lambda estimator: (estimator.n_features_in_,)),
        "score_samples": Output(score_samples, lambda estimator: ()),
    }

    def onnx_parser(self) -> Callable[..., Any]:
        """Return what names the outputs; `skl2onnx.to_onnx` calls it.

        Returns
        -------
        callable
            Of the scope and the inputs.

        Raises
        ------
        NotFittedError
            If the estimator is not fitted.
        """
        check_is_fitted(self)
        _register(type(self))
        return lambda scope=None, inputs=None: [_chosen(scope, self)]

    def onnx_shape_calculator(self) -> Callable[..., Any]:
        """Return what checks the inputs and sets the shape of the output; `skl2onnx.to_onnx` calls it.

        Returns
        -------
        callable
            Of the operator.
        """
        return _set_shape

    def onnx_converter(self) -> Callable[..., Any]:
        """Return what adds the nodes of the estimator to a graph; `skl2onnx.to_onnx` calls it.

        Returns
        -------
        callable
            Of the scope, the operator and the container.
        """
        return _convert


def _register(cls):
    """Tell skl2onnx the options of a class, which it takes from its register alone."""
    from skl2onnx import update_registered_converter

    alias, options = f"{cls.__module__}.{cls.__qualname__}", {_OPTION: list(cls._onnx_outputs)}
    update_registered_converter(cls, alias, _set_shape, _convert, options=options)


def _chosen(scope, estimator):
    """Return the chosen output's name."""
    return scope.get_options(estimator, {_OPTION: next(iter(estimator._onnx_outputs))})[_OPTION]


def _set_shape(operator):
    from skl2onnx.common import data_types

    estimator, types = operator.raw_operator, [variable.type for variable in operator.inputs]
    numbers = (
        data_types.FloatTensorType,
        data_types.DoubleTensorType,
        data_types.Int32TensorType,
        data_types.Int64TensorType,
        data_types.BooleanTensorType,
    )
    name, expected = type(estimator).__name__, estimator.n_features_in_
    for kind in types:
        if not isinstance(kind, numbers):
            raise ValueError(f"The ONNX graph of {name} takes dense rows of numbers, got {kind!r} as input.")
    widths = [kind.shape[1] if len(kind.shape) == 2 else None for kind in types]
    if None not in widths and sum(widths) != expected:
        raise ValueError(
            f"The inputs have {sum(widths)} features, but {name} is expecting {expected} features as input."
        )
    shape = estimator._onnx_outputs[_chosen(operator.scope_inst, estimator)].shape(estimator)
    operator.outputs[0].type = _tensor_type(_dtype_of(operator))([operator.inputs[0].get_first_dimension(), *shape])


def _convert(scope, operator, container):
    estimator = operator.raw_operator
    graph = Graph(scope, container, _dtype_of(operator))
    result = estimator._onnx_outputs[_chosen(scope, estimator)].build(graph, estimator, graph.rows(operator.inputs))
    container.add_node(
        "Identity", [result], [operator.outputs[0].full_name], name=scope.get_unique_operator_name("Out")
    )


def _dtype_of(operator):
    """Return float64 if all inputs are, else float32: skl2onnx too takes integers as float32."""
    is_double = (isinstance(variable.type, _tensor_type(np.float64)) for variable in operator.inputs)
    return np.float64 if all(is_double) else np.float32


def _tensor_type(dtype):
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    return DoubleTensorType if dtype == np.float64 else FloatTensorType


def _element_type(dtype):
    from onnx import TensorProto

    return TensorProto.DOUBLE if dtype == np.float64 else TensorProto.FLOAT
