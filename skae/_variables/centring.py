"""The variables of a search, in which every layer sees inputs of about zero mean and unit size."""

from itertools import pairwise

import numpy as np

from skae._network.architecture import one_unit
from skae._rows.threads import SERIAL

# Columns of real data are correlated: along the leading axes the inputs are a few times longer than the root mean
# square of their entries. Settled by the objective reached on MNIST, USPS and digits: shallow nets gain from it,
# deep ones hardly depend on it.
_LEADING_SPREAD = 4.0


def search_variables(problem, layout, dtype=np.float64, by_column=True):
    """Return the variables of a search, and the offset of its objective's inputs, (n_features,).

    The raw output has a unit by column if the loss gives one; without `by_column` it has their geometric mean.
    """
    architecture, scales = problem.architecture, (problem.input_statistics.scale, problem.target_statistics.scale)
    variables = centred_variables(layout, architecture, *(scale or 1.0 for scale in scales), dtype, by_column)
    offset = problem.input_statistics.offset
    if not offset.any():
        # The first layer's inputs are centred as those of the others are, in the variables alone.
        variables = variables.with_offset(problem.input_statistics.mean)
    return variables, offset


def centred_variables(layout, architecture, input_scale, output_scale, dtype=np.float64, by_column=True):
    """Return the variables in which every layer sees inputs that are about centred and of unit spread."""
    raw_scale = architecture.loss.raw_scale(output_scale)
    units = architecture.units(input_scale, raw_scale if by_column else one_unit(raw_scale))
    means, spreads = [0.0], [_LEADING_SPREAD]
    for activation, unit in zip(architecture.activations[:-1], units[1:], strict=False):
        mean, spread = _typical_output(activation)
        means.append(unit * mean)
        spreads.append(spread)

    ratios = [unit / input_unit for input_unit, unit in pairwise(units)]
    scales = [ratio / spread for ratio, spread in zip(ratios, spreads, strict=True)]
    if architecture.tied:
        # A tied matrix decodes too: larger than one it would start with far too large reconstructions.
        scales = [min(scales[0], 1.0), *scales[1 : architecture.depth], *ratios[architecture.depth :]]
    offsets = [
        np.full(width, mean) if mean else None for mean, width in zip(means, architecture.layer_widths, strict=False)
    ]
    return CentredVariables(layout, scales, units[1:], offsets, dtype)


def _typical_output(activation):
    """Return mean and standard deviation of the outputs for standard normal inputs, by Gauss-Hermite quadrature."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(32)
    weights /= weights.sum()
    outputs = activation.forward(nodes)
    mean = weights @ outputs
    return round(float(mean), 12), float(np.sqrt(weights @ (outputs - mean) ** 2))


class CentredVariables:
    """The linear change of variables in which the solver works: theta instead of the parameters.

    W = scale * theta_W and b = unit * theta_b - offset W, where a tied matrix has the larger of its two scales, and
    theta_W and theta_b go through a whitening first if there is one. In these variables every layer sees inputs that
    are about centred and of unit size, whatever the unit of X and the level of the activations. The objective stays
    the one of the parameters, only better conditioned.

    Parameters
    ----------
    layout : Layout

    scales : list of float or ndarray of shape (fan_out,)
        One a layer, of its weights, or one a column of them; those of layers that are not laid out are left out, as in
        all these lists.

    units : list of float or ndarray of shape (fan_out,)
        One a layer, of its intercepts, or one a column.

    offsets : list of ndarray of shape (fan_in,) or None
        One a layer; None where the inputs are centred already.

    dtype : dtype, default=float64
        Of theta and its gradients.
    """

    def __init__(self, layout, scales, units, offsets, dtype=np.float64):
        self.layout, self.dtype = layout, np.dtype(dtype)
        self._scales, self._units = (part[: layout.n_layers] for part in (scales, units))
        self._offsets = [None if part is None else part.astype(dtype) for part in offsets[: layout.n_layers]]
        self._whitenings = []
        self._factors = np.empty(layout.size, dtype=dtype)
        weights, intercepts = layout.views(self._factors)
        self._factors[...] = 0
        for W, scale in zip(weights, self._scales, strict=True):
            np.maximum(W, scale, out=W)
        for b, unit in zip(intercepts, self._units, strict=True):
            b[...] = unit

    def with_offset(self, offset):
        """Return these variables with an offset of the first layer's inputs, (n_features,)."""
        return CentredVariables(self.layout, self._scales, self._units, [offset, *self._offsets[1:]], self.dtype)

    def with_plain_decoder(self, theta):
        """Return these variables without the offsets of a tied decoder, and the theta of the same parameters."""
        offsets = [*self._offsets[: self.layout.depth], *[None] * self.layout.depth]
        plain = CentredVariables(self.layout, self._scales, self._units, offsets, self.dtype)
        self.to_parameters(theta, parameters := np.empty_like(theta), SERIAL)
        return plain, plain.from_parameters(parameters)

    def whitened(self, whitenings, means):
        """Return these variables whitened, with the layers' mean inputs as offsets.

        The first layer's inputs are centred by the objective; a tied decoder goes by its encoder's whitening.
        """
        result = CentredVariables(self.layout, self._scales, self._units, [self._offsets[0], *means[1:]], self.dtype)
        result._whitenings = whitenings
        return result

    def start(self, weights, output, code=None):
        """Return the theta of weights that are given in units of each layer's scale.

        The pre-activations start about centred, the raw output about `output`, (n_features,), unless its layer is
        left out. `code` is a pair of numbers, where the code's pre-activations and outputs start instead.
        """
        theta = np.zeros(self.layout.size, dtype=self.dtype)
        theta_weights, theta_intercepts = self.layout.views(theta)
        factors, _ = self.layout.views(self._factors)
        for theta_W, W, scale, factor in zip(theta_weights, weights, self._scales, factors, strict=False):
            theta_W[...] = W * (scale / factor)
        if self.layout.is_whole:
            theta_intercepts[-1][...] = output / self._units[-1]
        if code is not None:
            below, above = self.layout.depth - 1, self.layout.depth
            theta_intercepts[below] += code[0] / self._units[below]
            if above < self.layout.n_layers:
                shift = code[1] - (0 if self._offsets[above] is None else self._offsets[above])
                moved = np.full(len(theta_weights[above]), shift) @ (factors[above] * theta_weights[above])
                theta_intercepts[above] -= moved / self._units[above]
        return theta

    def to_parameters(self, theta, out, threads):
        """Write the parameters of theta into the flat vector `out`."""
        np.multiply(theta, self._factors, out=out)
        for whitening, W, b in self._whitened_layers(out):
            whitening.to_parameters(W, b, threads)
        for W, b, offset in self._offset_layers(out):
            b -= offset @ W

    def from_parameters(self, parameters):
        """Return the theta of a flat vector of parameters."""
        theta = parameters.astype(self.dtype)
        for W, b, offset in self._offset_layers(theta):
            b += offset @ W
        for whitening, W, b in self._whitened_layers(theta):
            whitening.from_parameters(W, b)
        theta /= self._factors
        return theta

    def pull_back(self, gradient, threads):
        """Turn the gradient for the parameters into the one for theta, in place."""
        for dW, db, offset in self._offset_layers(gradient):
            dW -= np.outer(offset, db)
        for whitening, dW, db in self._whitened_layers(gradient):
            whitening.pull_back(dW, db, threads)
        gradient *= self._factors

    def seen_by(self, index, inputs):
        """Return the inputs of a layer as theta's part of that layer sees them, (n_rows, fan_in + 1).

        The products of these with theta_W, and theta_b below it, are the layer's pre-activations, if all columns of
        it have one scale.
        """
        weights, _ = self.layout.views(self._factors)
        seen = np.empty((len(inputs), inputs.shape[1] + 1), dtype=inputs.dtype)
        offset = self._offsets[index]
        np.subtract(inputs, 0 if offset is None else offset, out=seen[:, :-1])
        seen[:, :-1] *= weights[index].flat[0]
        seen[:, -1] = self._units[index]
        return seen

    def _whitened_layers(self, flat):
        return zip(self._whitenings, *self.layout.views(flat), strict=False)

    def _offset_layers(self, flat):
        for W, b, offset in zip(*self.layout.views(flat), self._offsets, strict=True):
            if offset is not None:
                yield W, b, offset
