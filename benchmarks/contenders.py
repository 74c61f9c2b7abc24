"""The models that `time_to_loss.py` compares, their objective, and who minimises it."""

import re
import sys
import time
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
from sklearn.neural_network import MLPRegressor

from skae import AutoencoderTransformer
from skae.penalties import Contraction, KLSparsity

try:
    import torch
except ImportError:
    torch = None

ADAM_SETTINGS = list(product((1e-3, 3e-3), (100, 300)))
ADAM_MEMORY = 0.99
ALPHA = 1e-4
RHO = 0.05


@dataclass(frozen=True)
class Case:
    """A model and its objective, on so many rows."""

    widths: tuple
    rows: int
    loss: str = "squared_error"
    activation: str = "logistic"
    linear_code: bool = False
    tied: bool = False
    beta: float = 0.0
    contraction: float = 0.0

    @property
    def depth(self):
        return len(self.widths)

    @property
    def projectable(self):
        return self.loss == "squared_error" and not self.tied

    @property
    def is_mlps(self):
        """Whether MLPRegressor has the model."""
        return self.projectable and not (self.beta or self.contraction or self.linear_code)

    def activations(self):
        """The names of the layers' activations; the last output is raw."""
        code = "identity" if self.linear_code else self.activation
        hidden = [self.activation] * (self.depth - 1)
        return [*hidden, code, *hidden, "identity"]

    def shapes(self, n_features):
        """The shapes of the distinct weights and of all intercepts."""
        widths = (n_features, *self.widths)
        shapes = list(pairwise(widths + widths[-2::-1]))
        return shapes[: self.depth] if self.tied else shapes, [shape[1] for shape in shapes]


# The objective, independently of all contenders.


def objective(case, X, weights, intercepts):
    """Return J in float64; weights and intercepts are those of all layers, tied or not."""
    total, code_sum = 0.0, 0.0
    layers = [(W.astype(np.float64), b.astype(np.float64)) for W, b in zip(weights, intercepts, strict=True)]
    for start in range(0, len(X), 1000):
        block = X[start : start + 1000].astype(np.float64)
        A = block
        for index, ((W, b), activation) in enumerate(zip(layers, case.activations(), strict=True)):
            A = activate(activation, A @ W + b)
            if index == case.depth - 1:
                code_sum = code_sum + A.sum(axis=0)
                if case.contraction:
                    total += case.contraction * np.sum((A * (1 - A)) ** 2 @ np.sum(W**2, axis=0))
        if case.loss == "squared_error":
            total += 0.5 * np.sum((A - block) ** 2)
        else:
            total += np.sum(np.maximum(A, 0) - A * block + np.log1p(np.exp(-np.abs(A))))
    distinct = layers[: case.depth] if case.tied else layers
    value = total / len(X) + ALPHA / 2 * sum(np.sum(W**2) for W, _ in distinct)
    if case.beta:
        r = code_sum / len(X)
        value += case.beta * np.sum(RHO * np.log(RHO / r) + (1 - RHO) * np.log((1 - RHO) / (1 - r)))
    return float(value)


def activate(name, Z):
    if name == "logistic":
        return 0.5 + 0.5 * np.tanh(Z / 2)
    return np.tanh(Z) if name == "tanh" else Z


def start(case, X, seed):
    """Return the distinct weights and the intercepts that the peers start from."""
    rng = np.random.default_rng(np.random.SeedSequence(seed).spawn(2)[0])
    shapes, widths = case.shapes(X.shape[1])
    weights = [rng.uniform(-1, 1, shape) * np.sqrt(6 / sum(shape)) for shape in shapes]
    intercepts = [np.zeros(width) for width in widths]
    mean = X.mean(axis=0, dtype=np.float64)
    if case.loss == "cross_entropy":
        mean = np.clip(mean, 1e-6, 1 - 1e-6)
        mean = np.log(mean / (1 - mean))
    intercepts[-1][...] = mean
    return [W.astype(np.float32) for W in weights], [b.astype(np.float32) for b in intercepts]


# The contenders: each takes a case, X, a seed and a number of seconds, and returns a curve of (seconds, objective).


class OutOfTimeError(Exception):
    """Ends a contender's own loop."""


class Recorder:
    """A clock that stands still while the parameters are copied; the copies are evaluated after the run."""

    def __init__(self, seconds):
        self._seconds = seconds
        self._start = time.perf_counter()
        self._next = 0.0
        self._snapshots = []

    def record(self, parameters):
        """Keep what `parameters()` returns, if it is time to; raise OutOfTimeError if the time is over."""
        before = time.perf_counter()
        now = before - self._start
        if now >= self._next or now > self._seconds:
            self._snapshots.append((now, parameters()))
            self._next = 1.12 * now
        if now > self._seconds:
            raise OutOfTimeError
        self._start += time.perf_counter() - before

    def curve(self, case, X):
        return [(seconds, objective(case, X, *parameters)) for seconds, parameters in self._snapshots]


class StampingOutput:
    """Takes the place of the standard output; notes when an objective is printed, and ends the fit when time is up."""

    def __init__(self, seconds):
        self._seconds = seconds
        self.start = time.perf_counter()
        self.stamps = []

    def write(self, text):
        match = re.match(r"\[\w+\] +(\d+) +(\S+)", text)  # iteration, objective
        if match is None:
            return
        self.stamps.append((time.perf_counter() - self.start, float(match[2])))
        if self.stamps[-1][0] > self._seconds:
            raise StopIteration  # as a callback's, it stops the solver, and the fit goes on to its end

    def flush(self):
        pass


def fit_skae(case, X, seed, seconds, solver="auto"):
    autoencoder = AutoencoderTransformer(
        case.widths[-1],
        hidden_layer_sizes=case.widths[:-1],
        activation=case.activation,
        code_activation="identity" if case.linear_code else None,
        loss=case.loss,
        tied_weights=case.tied,
        alpha=ALPHA,
        penalties=[KLSparsity(case.beta, target=RHO)] * bool(case.beta)
        + [Contraction(case.contraction)] * bool(case.contraction),
        solver=solver,
        max_iter=10**6,
        max_fun=10**7,
        tol=0,
        random_state=seed,
        verbose=2,
    )
    output = StampingOutput(seconds)
    with redirect_stdout(output):
        autoencoder.fit(X)
    total = time.perf_counter() - output.start
    if not output.stamps:
        sys.exit("skae prints no objective with verbose=2 any more: StampingOutput no longer fits.")
    last_stamp, printed = output.stamps[-1]
    independent = objective(case, X, autoencoder.coefs_, autoencoder.intercepts_)
    if not abs(printed - independent) <= 1e-3 * independent:
        sys.exit(f"{case}: skae prints an objective of {printed}, but that of its parameters is {independent}.")
    return [(stamp + total - last_stamp, value) for stamp, value in output.stamps]


class RecordedMLP(MLPRegressor):
    """MLPRegressor from a given start, whose evaluations are recorded."""

    def begin(self, case, X, seed, recorder):
        self._start = iter(zip(*start(case, X, seed), strict=True))
        self._recorder = recorder
        return self

    def _init_coef(self, fan_in, fan_out, dtype):
        return next(self._start)

    def _loss_grad_lbfgs(self, packed, *arguments):
        self._unpack(packed)
        self._recorder.record(self.parameters)
        return super()._loss_grad_lbfgs(packed, *arguments)

    def parameters(self):
        return [W.copy() for W in self.coefs_], [b.copy() for b in self.intercepts_]


def mlp_lbfgs(case, X, seed, seconds):
    recorder = Recorder(seconds)
    network = RecordedMLP(
        hidden_layer_sizes=case.widths,
        activation=case.activation,
        solver="lbfgs",
        alpha=ALPHA * len(X),
        max_iter=10**6,
        max_fun=10**7,
        tol=0,
    ).begin(case, X, seed, recorder)
    return run_until_late(lambda: network.fit(X, X), recorder).curve(case, X)


def mlp_adam(case, X, seed, seconds):
    recorder = Recorder(seconds)
    network = RecordedMLP(
        hidden_layer_sizes=case.widths,
        activation=case.activation,
        solver="adam",
        alpha=ALPHA * min(200, len(X)),
        random_state=seed,
    ).begin(case, X, seed, recorder)

    def epochs():
        while True:
            network.partial_fit(X, X)
            recorder.record(network.parameters)

    return run_until_late(epochs, recorder).curve(case, X)


def run_until_late(function, recorder):
    with suppress(OutOfTimeError):
        function()
    return recorder


class TorchModel:
    """The objective in torch, by automatic differentiation."""

    functions = {"logistic": "sigmoid", "tanh": "tanh"}

    def __init__(self, case, weights, intercepts):
        self._case = case
        self._weights, self._intercepts = (
            [torch.from_numpy(part).requires_grad_() for part in parts] for parts in (weights, intercepts)
        )
        self.parameters = self._weights + self._intercepts

    def _layers(self):
        weights = self._weights
        return weights + [W.T for W in reversed(weights)] if self._case.tied else weights

    def snapshot(self):
        return tuple([part.detach().numpy().copy() for part in parts] for parts in (self._layers(), self._intercepts))

    def loss(self, X):
        case, A = self._case, X
        for index, (W, b, name) in enumerate(
            zip(self._layers(), self._intercepts, case.activations(), strict=True), start=1
        ):
            A = torch.addmm(b, A, W)
            if name != "identity":
                A = getattr(torch, self.functions[name])(A)
            if index == case.depth:
                code = A
        if case.loss == "squared_error":
            total = 0.5 * torch.nn.functional.mse_loss(A, X, reduction="sum")
        else:
            total = torch.nn.functional.binary_cross_entropy_with_logits(A, X, reduction="sum")
        value = total / len(X) + ALPHA / 2 * sum((W * W).sum() for W in self._weights)
        return value + self._penalties(code)

    def _penalties(self, code):
        case, value = self._case, 0.0
        if case.beta:
            r = code.mean(dim=0)
            value += case.beta * (RHO * torch.log(RHO / r) + (1 - RHO) * torch.log((1 - RHO) / (1 - r))).sum()
        if case.contraction:
            slopes, W = code * (1 - code), self._weights[0]
            value += case.contraction * (slopes * slopes).mean(dim=0) @ (W * W).sum(dim=0)
        return value


def torch_lbfgs(case, X, seed, seconds, history):
    recorder = Recorder(seconds)
    model, data = TorchModel(case, *start(case, X, seed)), torch.from_numpy(X)
    optimizer = torch.optim.LBFGS(
        model.parameters,
        history_size=history,
        max_iter=10**6,
        max_eval=10**7,
        tolerance_grad=0,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        recorder.record(model.snapshot)
        optimizer.zero_grad()
        loss = model.loss(data)
        loss.backward()
        return loss

    return run_until_late(lambda: optimizer.step(closure), recorder).curve(case, X)


def torch_adam(case, X, seed, seconds, learning_rate, batch_size, averaged=False):
    recorder = Recorder(seconds)
    model, data = TorchModel(case, *start(case, X, seed)), torch.from_numpy(X)
    mean = TorchModel(case, *start(case, X, seed)) if averaged else model
    optimizer = torch.optim.Adam(model.parameters, lr=learning_rate, fused=True)
    torch.manual_seed(seed)

    def epochs():
        n_steps = 0
        while True:
            for rows in torch.randperm(len(data)).split(batch_size):
                optimizer.zero_grad()
                model.loss(data[rows]).backward()
                optimizer.step()
                n_steps += 1
                if averaged:
                    with torch.no_grad():
                        # A running mean over all steps at first, over about the last hundred of them later.
                        share = max(1 - ADAM_MEMORY, 1 / n_steps)
                        torch._foreach_lerp_(mean.parameters, model.parameters, share)
                recorder.record(mean.snapshot)

    return run_until_late(epochs, recorder).curve(case, X)


def contenders(case, histories):
    """Return, by name, the settings of each contender: functions of X, a seed and seconds; none if torch is missing."""

    def bound(function, **options):
        return lambda X, seed, seconds: function(case, X, seed, seconds, **options)

    result = {"skae": {"": bound(fit_skae)}}
    result["skae, solver lbfgs"] = {"": bound(fit_skae, solver="lbfgs")}
    if case.projectable:
        result["skae, solver kfac"] = {"": bound(fit_skae, solver="kfac")}
    if case.is_mlps:
        result |= {"MLP lbfgs": {"": bound(mlp_lbfgs)}, "MLP adam": {"": bound(mlp_adam)}}
    if not torch:
        return result | {"torch L-BFGS": {}, "torch Adam": {}, "torch Adam, averaged": {}}
    result["torch L-BFGS"] = {f"history {history}": bound(torch_lbfgs, history=history) for history in histories}
    for name, averaged in (("torch Adam", False), ("torch Adam, averaged", True)):
        result[name] = {
            f"{rate:g}/{batch}": bound(torch_adam, learning_rate=rate, batch_size=batch, averaged=averaged)
            for rate, batch in ADAM_SETTINGS
        }
    return result
