"""The declaration of an estimator: its parameters as fields of a dataclass, and the shared parts of its docstring."""

import inspect
from dataclasses import dataclass, field
from typing import dataclass_transform

from skae.activations import ACTIVATIONS
from skae.losses import LOSSES

_N_COMPONENTS = """
n_components : int, float in (0, 1) or None, default={n_components}
    Code size. An int is taken as it is; larger than the number of features is allowed (an overcomplete code). A
    float is the share of the variance to explain: as many units as principal components would need, as in `PCA`.
    None is half of the features, rounded up, at most 100 (not all of them, as in `PCA`).
"""

_PARAMETERS = """
hidden_layer_sizes : int or sequence of int, default={hidden_layer_sizes}
    Widths of the encoder's layers between input and code; an int is one layer. The decoder mirrors them.

activation : {activations} or Activation, default={activation}
    Activation of the hidden layers and of the code: a name, or an object of `skae.activations`.

code_activation : str, Activation or None, default={code_activation}
    Activation of the code alone. If None, it is `activation`.

loss : "auto", {losses}, Loss or ColumnLosses, default={loss}
    Reconstruction loss of a row, summed over its features: half the squared error; cross-entropy, for X in [0, 1];
    Poisson, for X of at least 0; categorical, for rows of at least 0 that sum to 1; or an object of `skae.losses`. Each
    comes with its link: identity, logistic, exponential, softmax. `ColumnLosses` gives columns different losses. "auto"
    makes one from the types and values of the columns: cross-entropy for booleans and for columns of zeros and ones;
    categorical for two or more of these in a frame whose names begin alike, up to a "_" or "=", of which no row has
    more than one 1; Poisson for non-negative integers of more than 10 values; squared error for all others. `losses_`
    is what it chose.

output_activation : str, default={output_activation}
    The decoder's link. "auto" is the one of the loss; "squared_error" also takes the name of any activation.

tied_weights : {tied_type}, default={tied_weights}
    Whether the decoder's weights are the encoder's, transposed.{tied_text}

alpha : float or "scale", default={alpha}
    Weight decay, alpha / 2 times the sum of the squared weights. It stands against the mean loss of a row, so it
    does not depend on the number of rows. "scale" is {weight_decay:g} in the units of X and of the layers, so that a
    fit does not depend on the unit of X (see Notes), resolved in `alpha_`.

scale_code : bool or "auto", default={scale_code}
    Whether `transform` divides codes by one number, `code_scale_`, and `inverse_transform` multiplies by it, so that
    codes suit the next step of a Pipeline as they are. Zeros and nearest neighbours do not change. "auto": if
    the code's activation is bounded, "logistic" or "tanh". False: the bare activations.

penalties : sequence of penalty objects, default={penalties}
    Further terms of the objective, from `skae.penalties`.

solver : {{"auto", "svd", "varpro", "kfac", "lbfgs"}}, default={solver}
    "svd" is the closed form of the linear autoencoder. "varpro" searches with L-BFGS over all layers but a linear,
    untied last one under squared error, which variable projection eliminates: far fewer and cheaper iterations.
    "kfac" takes natural gradient steps on minibatches of 250 rows, whose iterates are averaged; an iteration is a pass
    over the rows, or over 20,000 if they are fewer, and the objective of all rows decides when "lbfgs" goes on. If the
    inputs are corrupted anew, minibatches get new noise, a fixed set of draws decides, and the search ends there. A
    warm start goes to "lbfgs" at once, unless they are. "lbfgs" searches over all parameters. "auto" takes the first of
    these that applies to the other parameters, but "kfac" only where it pays: for inputs that are corrupted
    anew, and from 2000 rows on, or 500 with `hidden_layer_sizes`.

init : {{"glorot", "pca", "stacked"}}, default={init}
    Where the weights start: in Glorot's uniform range; the first layer on the principal axes; or, with
    `hidden_layer_sizes`, at plain autoencoders of one layer each, the first of X and each other one of the codes of the
    layer below, with this estimator's `alpha`, `max_iter`, `tol` and caps. `n_iter_` and `loss_curve_` do not count the
    iterations of a start.

n_init : int, default={n_init}
    Number of random starts; the result of the lowest objective is kept, or with `early_stopping` of the lowest
    validation loss. A warm start is one run. More than one is a search, so not the closed form.

n_jobs : int or None, default={n_jobs}
    Number of starts to run at a time, through joblib. The result does not depend on it. None is 1, unless a
    `joblib.parallel_config` says otherwise.

max_iter : int, default={max_iter}
    Cap on the solver's iterations. A `ConvergenceWarning` says when it is hit.

tol : float, default={tol}
    The solver has converged when the objective fell by less than `tol` in the last `n_iter_no_change` iterations, in
    units of the gain of a perfect reconstruction over the mean. 1e-2 is a loose setting, good enough for many
    searches over other parameters; 1e-4 is close to the minimum. With 0 the solver goes on until the objective no
    longer falls or a cap is hit.

n_iter_no_change : int, default={n_iter_no_change}
    Number of iterations over which the objective, and with `early_stopping` the lowest validation loss so far, must
    fall by `tol`.

max_fun : int, default={max_fun}
    Cap on the solver's evaluations of the objective. One on a minibatch counts by its share of the rows.

maxcor : int, default={maxcor}
    Number of corrections that L-BFGS keeps.

early_stopping : bool, default={early_stopping}
    Whether to hold out rows, to follow their mean reconstruction loss (of the rows as they are, without penalties)
    after every iteration over all others, to stop when it falls by too little (see `tol`), and to return the iterate
    where it was lowest. The rows are drawn at random, equal ones as one row; those trained on are copied. Intended
    against overfitting. Strong penalties also raise the held-out loss and can be mistaken for it; a warning says so.

validation_fraction : float in (0, 1), default={validation_fraction}
    Share of the rows to hold out, rounded up. Of use with `early_stopping` only.

warm_start : bool, default={warm_start}
    Whether to go on from the parameters of the previous fit, however it ended, which needs the same architecture:
    widths, activations, loss and tying. Iterations and `loss_curve_` count anew.

random_state : int, RandomState instance or None, default={random_state}
    Seed of all randomness. Pass an int for the same model in every call; None is fresh entropy, not NumPy's global
    generator.

verbose : int or bool, default={verbose}
    Whether to print a table: iteration, rows that it is over, objective, the terms it is the sum of, fall of the
    objective in the last `n_iter_no_change` iterations in the units of `tol`, validation loss, seconds. 1 prints every
    tenth iteration, and the first and the last one; 2 prints all.
"""

_ATTRIBUTES = """
n_components_ : int
    Code size.

network_ : Network
    The fitted network: layers with their weights, intercepts and activations, the loss, and the scale of the code. For
    exports and inspection.

losses_ : ColumnLosses or Loss
    The loss of each column, with the factors of the parts as weights: the `loss` of this fit, to look at and to pass to
    others. An object of `skae.losses` if there is one loss for all columns.

components_ : ndarray of shape (n_components_, n_features_in_)
    The encoder's weights, one unit a row. Absent if there are hidden layers.

alpha_ : ndarray of shape (n_distinct_weights,)
    Weight decay of each weight matrix; of the encoder's alone, if they are tied.
{own_strength}
code_scale_ : float
    Number by which `transform` divides codes: the root mean square of the units' standard deviations over the training
    rows. 1.0 without `scale_code`, or if the codes do not vary. `coefs_`, `components_` and the penalties do not
    contain it.

coefs_ : list of ndarray of shape (fan_in, fan_out)
    Weights of the encoder's layers, then of the decoder's.

intercepts_ : list of ndarray of shape (fan_out,)
    Intercepts of the same layers. `transform` itself works with the first one taken about `mean_`, which keeps the
    digits that a large mean would cost.

mean_ : ndarray of shape (n_features_in_,)
    Mean of the rows trained on.

loss_ : float
    The objective of the result.

loss_curve_ : list of float
    The objective after each iteration over all rows.

validation_loss_curve_ : list of float or None
    The mean reconstruction loss of the held-out rows after each of these. None without `early_stopping`.

best_validation_loss_ : float or None
    The lowest of these, that of the result. None without `early_stopping`.

n_iter_ : int
    Number of iterations; 1 for the closed form.

n_evaluations_ : int
    Number of evaluations of the objective, those on minibatches counted by their share of the rows, rounded up.

solver_ : str
    The solver that was used.

n_features_in_ : int
    Number of features seen during `fit`.

feature_names_in_ : ndarray of shape (n_features_in_,)
    Names of the features seen during `fit`. Only where X had string names.
"""


_TIED_AUTO = ' "auto": if no column has squared error.'

_SCALE = r"""
Strengths "scale" are constants in the units of the data. Let s be the root mean square of X about its column means, G
the gain of a perfect reconstruction over the mean in the loss of a row (both without gross outliers),
g = 2 G / n_features, which for squared error is s^2, and u_l the unit of layer l's outputs: that of its inputs for
"identity" and "relu", and 0.15 for other activations (1 with tied weights). The unit of the inputs is s. Then

.. math:: \alpha_l = a\, g \left(\frac{u_{l-1}}{u_l}\right)^2, \qquad
          \beta = \beta_0\, g, \qquad \lambda = \lambda_0\, g \left(\frac{s}{u_{\text{code}}}\right)^2,

with the constants that the parameters name. The unit of the raw output is s, or without a homogeneous link 1 for
cross-entropy and 0.03 for Poisson, and 1 for categories; with `ColumnLosses` the geometric mean over the columns, with
an s of its own for each entry. A fit to c X is then c times the fit to X for squared error with an identity or relu
link, and for the Poisson loss; not with a bounded output, with Gaussian noise whose level is a number, or with tied
weights and a code that is neither "identity" nor "relu". To search about the value that "scale" gives, fit once and
multiply: `ContractiveAutoencoder().fit(X).contraction_weight_ * numpy.logspace(-1, 1, 5)`.
"""


def _choices(registry):
    return "{" + ", ".join(f'"{name}"' for name in registry) + "}"


@dataclass_transform(eq_default=False, kw_only_default=True, field_specifiers=(field,))
def estimator(cls):
    """Make a class whose fields are parameters an estimator, with a constructor that only assigns, and its docstring.

    Equality and repr stay scikit-learn's. The parameters that the class adds to those of its base come right after the
    first one. The placeholders {n_components}, {parameters}, {attributes} and {scale} in the docstring are filled in,
    with the defaults of the class.
    """
    inherited = list(inspect.signature(cls.__mro__[1]).parameters)
    cls = dataclass(eq=False, repr=False, kw_only=True)(cls)
    signature = inspect.signature(cls.__init__)
    itself, first, *others = signature.parameters.values()
    others.sort(key=lambda parameter: parameter.name in inherited)
    cls.__init__.__signature__ = signature.replace(parameters=[itself, first, *others])
    cls.__doc__ = _filled(cls)
    return cls


def _filled(cls):
    """Return the docstring of an estimator with its placeholders filled in."""
    values = {name: repr(p.default) for name, p in inspect.signature(cls).parameters.items()}
    values |= {"activations": _choices(ACTIVATIONS), "losses": _choices(LOSSES), "weight_decay": cls._alpha_scale}
    is_auto = values["tied_weights"] == repr("auto")
    values |= {"tied_type": 'bool or "auto"' if is_auto else "bool", "tied_text": _TIED_AUTO if is_auto else ""}
    strengths = [
        f"\n{name}_ : float\n    The value of `{name}` that was used.\n" for name in cls._own_penalty_parameters
    ]
    doc = inspect.cleandoc(cls.__doc__)
    for marker, text in (
        ("{n_components}", _N_COMPONENTS.format(**values)),
        ("{parameters}", _PARAMETERS.format(**values)),
        ("{attributes}", _ATTRIBUTES.format(own_strength="".join(strengths))),
        ("{scale}", _SCALE),
    ):
        doc = doc.replace(marker, text.strip())
    return doc
