"""What `transform` costs for one row, as in a service, beyond scikit-learn's own validation.

The table gives microseconds, the best of many short turns that take each other's place: other work on the machine only
adds to them. "validation" is `check_is_fitted` and `validate_data`, which every estimator of scikit-learn calls.
"arithmetic" is the same code in NumPy, from the layers of `network_`. "PCA" is its `transform` to as many components,
validation included. "onnxruntime" is the converted model (the extra `onnx`), on one thread.
"""

import timeit

import numpy as np
from common import parser, print_columns, print_header, print_row
from sklearn.decomposition import PCA
from sklearn.utils.validation import check_is_fitted, validate_data

from skae import AutoencoderTransformer

CASES = [(30, (), 15), (64, (), 32), (784, (), 100), (784, (400, 100), 30)]


def main():
    arguments = parse()
    print_header("transform of one row, in microseconds", "onnxruntime")
    print_columns(
        "layers", "dtype", "validation", "arithmetic", "transform", "beyond validation", "PCA", "/ PCA", "onnxruntime"
    )
    for n_features, hidden, n_components in CASES:
        for dtype in (np.float32, np.float64):
            measure(n_features, hidden, n_components, dtype, arguments.turns)


def parse():
    arguments = parser(__doc__)
    arguments.add_argument("--turns", type=int, default=2000)
    return arguments.parse_args()


def measure(n_features, hidden, n_components, dtype, turns):
    """Print a row."""
    X = np.random.default_rng(0).uniform(size=(200, n_features)).astype(dtype)
    row = X[:1].copy()
    model = AutoencoderTransformer(n_components, hidden_layer_sizes=hidden, max_iter=2, random_state=0).fit(X)
    pca = PCA(n_components).fit(X)
    arithmetic = arithmetic_of(model.network_)
    np.testing.assert_allclose(arithmetic(row), model.transform(row), rtol=1e-4 if dtype == np.float32 else 1e-9)

    def validation():
        check_is_fitted(model)
        validate_data(model, row, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)

    best = best_microseconds(
        {
            "validation": validation,
            "arithmetic": lambda: arithmetic(row),
            "transform": lambda: model.transform(row),
            "PCA": lambda: pca.transform(row),
            "onnxruntime": served(model, row),
        },
        turns,
    )
    print_row(
        "-".join(map(str, (n_features, *hidden, n_components))),
        np.dtype(dtype).name,
        *(f"{best[name]:.0f}" for name in ("validation", "arithmetic", "transform")),
        f"{best['transform'] - best['validation']:.0f}",
        f"{best['PCA']:.0f}",
        f"{best['transform'] / best['PCA']:.2f}",
        f"{best['onnxruntime']:.0f}",
    )


def arithmetic_of(network):
    """Return the encoder as a function of rows, for logistic units."""

    def encode(A):
        A = A - network.offset
        for layer in network.encoder:
            A = A @ layer.weight
            A += layer.intercept
            A *= 0.5
            np.tanh(A, out=A)
            A *= 0.5
            A += 0.5
        A /= network.code_scale
        return A

    return encode


def served(model, row):
    """Return a call of the converted model."""
    import onnxruntime
    from skl2onnx import to_onnx

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    graph = to_onnx(model, row).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"X": row})


def best_microseconds(functions, turns, n_calls=3):
    """Return the best mean of a few calls of each of the functions, a dict, which take turns."""
    best = dict.fromkeys(functions, np.inf)
    for _ in range(turns):
        for name, function in functions.items():
            best[name] = min(best[name], timeit.timeit(function, number=n_calls) / n_calls * 1e6)
    return best


if __name__ == "__main__":
    main()
