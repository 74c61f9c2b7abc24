"""Whether a result is to be trusted: the share of what there is to gain that it gained, and why that is little."""

from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skae._network.parameters import Layout
from skae._network.propagation import output
from skae._objective.joint import Objective
from skae._objective.problem import mean_loss
from skae._rows.blocks import dense_rows, less
from skae._rows.moments import block_sum, column_means
from skae._rows.principal_axes import principal_axes
from skae._solvers.result import Status
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start

# A result says next to nothing if it gains less than this share of the gain of as many random directions.
_SHARE_OF_RANDOM = 0.1

# A share is far below that of principal components if it is less than this part of it.
_FAR_BELOW = 0.75

# A penalty is taken for the cause if, at a fresh start, it costs this share of what as many random directions gain.
_COSTLY = 0.1

# A unit is taken for saturated or dead if its activation is flatter than this on nearly all rows.
_FLAT, _NEARLY_ALL = 1e-3, 0.99

# Standard deviations of X that strengths about 1, and a code with a unit of its own and tied weights, are made for.
_USUAL_SCALES = 0.1, 10.0

# After a search that ended on rounding, a fall larger than this in its last iterations says that it was not done.
_STILL_FALLING = 1e-3


@dataclass(frozen=True, eq=False)
class Verdict:
    """Quality of a result.

    Attributes
    ----------
    share : float
        Share of what there is to gain over the mean of the training rows that clean reconstructions gain. Outliers are
        left out.

    is_poor : bool
        Whether that is less than a tenth of the share of as many random directions.

    pca_share : float or None
        Share that as many principal components gain, if the code's own unit ties the result to the scale of X and that
        is unusual.

    is_dominated : bool
        Whether outliers keep it far below what the other rows could gain.

    costs : ndarray of shape (n_penalties,), or None
        The penalties at a fresh start, in units of what as many random directions gain, if the result is poor.

    flat_units : float or None
        Share of the units whose activation is flat on nearly all rows, if the result is poor.

    is_out_of_range : bool
        Whether the result is poor and the link cannot reach values of X.

    unmet : tuple of (int, str)
        Penalties, by number, whose aim is missed, and how in words.
    """

    share: float = 1.0
    is_poor: bool = False
    pca_share: float | None = None
    is_dominated: bool = False
    costs: np.ndarray | None = None
    flat_units: float | None = None
    is_out_of_range: bool = False
    unmet: tuple = ()


def examine(problem, parameters, terms, threads):
    """Return the Verdict on Parameters at which the objective has these terms."""
    if not problem.scale or not 0 < problem.gain < np.inf:
        return Verdict()
    unmet = _unmet(problem, parameters, threads)
    n_components, n_features = problem.architecture.widths[-1], problem.X.shape[1]
    share = _share(problem, parameters, terms, threads)
    pca_share = _pca_share(problem, problem.weights, problem.mean, threads) if _is_unit_bound(problem) else None
    of_random = min(1, n_components / min(problem.n_distinct - 1, n_features))
    is_dominated = len(problem.outliers) and share < _FAR_BELOW * _attainable(problem, of_random, threads)
    if share >= _SHARE_OF_RANDOM * of_random:
        return Verdict(share, pca_share=pca_share, is_dominated=is_dominated, unmet=unmet)
    costs, flat_units = _costs(problem, threads) / of_random, _flat_units(problem, parameters, threads)
    return Verdict(share, True, pca_share, is_dominated, costs, flat_units, _is_out_of_range(problem), unmet)


def _share(problem, parameters, terms, threads):
    """Return the share of what there is to gain, outliers left out."""
    if not (problem.is_corrupted or len(problem.outliers)):
        return 1 - (terms[0] - problem.least) / problem.reference
    weights = _weights_of_others(problem)

    def least(rows):
        return weights[rows] @ problem.loss.least(dense_rows(problem.X, rows).astype(np.float64))

    loss = mean_loss(problem, problem.X, weights, threads, parameters)
    return 1 - (loss - block_sum(least, problem.X, threads) / weights.sum()) / problem.reference


def _weights_of_others(problem):
    weights = problem.weights.copy()
    weights[problem.outliers] = 0
    return weights


def _attainable(problem, of_random, threads):
    """Return a share that the rows but the outliers could gain: of principal components, or of random directions."""
    if not problem.loss.least_squares:
        return of_random
    weights = _weights_of_others(problem)
    return _pca_share(problem, weights, column_means([problem.X], weights, threads), threads)


def _is_unit_bound(problem):
    """Whether X has an unusual scale that the code cannot follow: a tied matrix encodes and decodes."""
    architecture = problem.architecture
    has_own_unit = architecture.tied and not architecture.code.homogeneous
    return has_own_unit and architecture.loss.least_squares and _is_unusual(problem.scale)


def _is_unusual(scale):
    return not _USUAL_SCALES[0] <= scale <= _USUAL_SCALES[1]


def _pca_share(problem, weights, mean, threads):
    variances, _, total = principal_axes(problem.X, weights, mean, threads, problem.architecture.widths[-1])
    return float(variances.sum() / total)


def _is_out_of_range(problem):
    low, high = problem.loss.link.bounds
    return bool(problem.loss.takes_any_unit and (problem.X.min() < low or problem.X.max() > high))


def _costs(problem, threads):
    layout = Layout(problem.architecture)
    variables, offset = search_variables(problem, layout, threads)
    objective = Objective(problem, variables, offset=offset, threads=threads)
    objective(fresh_start(problem, layout, variables, "glorot", np.random.default_rng(0), threads))
    return objective.terms[1:] / problem.reference


def _mean_of_codes(values, problem, parameters, threads):
    """Return the mean, over rows and corruptions, of `values`, a function of a block of codes."""
    architecture, dtype = problem.architecture, problem.X.dtype
    encoder = architecture.layers_at(parameters, dtype)[: architecture.depth]
    offset, weights = parameters.offset.astype(dtype), problem.weights
    total = sum(
        block_sum(lambda rows, X=X: weights[rows] @ values(output(encoder, less(X[rows], offset))), X, threads)
        for X in problem.draws
    )
    return total / (weights.sum() * len(problem.draws))


def _unmet(problem, parameters, threads):
    on_mean_code = [index for index, penalty in enumerate(problem.penalties) if penalty.acts_on == "mean_code"]
    if not on_mean_code:
        return ()
    mean = _mean_of_codes(lambda codes: codes, problem, parameters, threads)
    misses = ((index, problem.penalties[index].unmet(mean, problem.architecture.code)) for index in on_mean_code)
    return tuple((index, words) for index, words in misses if words is not None)


def _flat_units(problem, parameters, threads):
    slope = problem.architecture.code.derivative
    flat = _mean_of_codes(lambda codes: np.abs(slope(codes)) < _FLAT, problem, parameters, threads)
    return float(np.mean(flat > _NEARLY_ALL))


def complaint(trained, problem, search, *, name, penalty_names, outliers):
    """Return the category and the text of the most useful warning about a training run, or None.

    Parameters
    ----------
    trained : Trained

    problem : Problem

    search : LBFGS
        The settings of the search.

    name : str
        The estimator's.

    penalty_names : list of str
        The penalties as a user sees them.

    outliers : ndarray of int
        The outliers' numbers among the rows that `fit` was given.
    """
    if trained.was_stopped:
        return None
    verdict, result = trained.verdict, trained.result
    cause = _cause(trained, problem, penalty_names) if verdict.is_poor else None
    is_off_scale = verdict.pca_share is not None and verdict.share < _FAR_BELOW * verdict.pca_share
    is_explained = verdict.is_dominated or is_off_scale or cause is not None
    if _stopped_short(trained, search) and not (is_explained and _is_settled(result, search)):
        return ConvergenceWarning, _not_converged(name, trained, problem, search)
    if verdict.is_dominated:
        return UserWarning, _dominated(name, verdict, outliers)
    if cause is not None:
        return UserWarning, f"{_poor(name, verdict)} {cause}"
    if is_off_scale:
        return UserWarning, _unit_bound(name, verdict, problem)
    if verdict.is_poor:
        changes = _changes(problem, "lower tol", "try another random_state or activation")
        return UserWarning, f"{_poor(name, verdict)} {changes}"
    if verdict.unmet:
        return UserWarning, _missed(name, trained, problem, penalty_names)
    if trained.outvoted:
        return UserWarning, _outvoted(name, trained)
    return None


def _changes(problem, *changes):
    """Return a sentence that names the changes, with one to the scale of X before them if that is unusual."""
    if _is_unusual(problem.scale) and problem.loss.takes_any_unit:
        changes = ("scale X with StandardScaler", *changes)
    text = ", or ".join(changes)
    return f"{text[0].upper()}{text[1:]}."


def _stopped_short(trained, search):
    result = trained.result
    if result.status in (Status.PRECISION, Status.LINE_SEARCH):
        # A small problem may be solved to rounding within a window; then the gradient is rounding, too.
        return (
            not _is_cut_short(trained) and _was_falling(result, search) and result.gradient_norm**2 > search.precision
        )
    return result.status in (Status.MAX_ITER, Status.MAX_FUN)


def _is_settled(result, search):
    """Whether the verdict would be the same after more iterations, if those were to be had."""
    if result.status in (Status.MAX_ITER, Status.MAX_FUN):
        return not _was_falling(result, search)
    return result.status is Status.PRECISION or result.n_iter >= search.n_iter_no_change


def _was_falling(result, search):
    """Whether the objective was still falling in the last window, as far as there was a whole one."""
    return result.n_iter < search.n_iter_no_change or result.fall > _STILL_FALLING


def _not_converged(name, trained, problem, search):
    result, n_iter = trained.result, len(trained.outcome.loss_curve)
    on_parts = f" after {trained.n_iterations - n_iter} on parts of the rows" if trained.n_iterations > n_iter else ""
    if result.status in (Status.MAX_ITER, Status.MAX_FUN):
        cap = "max_iter" if result.status is Status.MAX_ITER else "max_fun"
        advice = f"Increase {cap}, or raise tol if the result is good enough."
    else:
        in_double = () if problem.X.dtype == np.float64 else ("fit in float64",)
        advice = _changes(problem, *in_double, "raise tol if the result is good enough")
    n_last = min(result.n_iter, search.n_iter_no_change)
    return (
        f"{name} stopped before it converged: {result.status.value} (n_iter={n_iter}{on_parts}, "
        f"n_evaluations={trained.outcome.n_evaluations}). In its last {n_last} iterations the objective fell by "
        f"{result.fall:.2g} of what a perfect reconstruction gains over the mean, with tol={search.tol:g}. {advice}"
    )


def _poor(name, verdict):
    return (
        f"{name} learned next to nothing: its reconstructions gain {verdict.share:.2g} of what perfect ones gain over "
        "the mean of the training rows."
    )


def _dominated(name, verdict, rows):
    if len(rows) == 1:
        subject = f"row {rows[0]} of X, which looks like an outlier"
    else:
        some = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        subject = f"{len(rows)} rows of X that look like outliers ({some})"
    return (
        f"{name} fitted mainly {subject}: the reconstructions of all other rows gain {verdict.share:.2g} of what "
        "perfect ones gain over their mean. Remove or clip such rows, or take the logarithm of a skewed column."
    )


def _cause(trained, problem, penalty_names):
    """Return the likely cause of a poor result and what to change, or None."""
    verdict = trained.verdict
    if _is_cut_short(trained):
        return _early(trained)
    if verdict.is_out_of_range:
        low, high = problem.loss.link.bounds
        return (
            f"The output activation gives values between {low:g} and {high:g}, but X goes from {problem.X.min():.3g} "
            f"to {problem.X.max():.3g}. Set output_activation='auto', or scale X into that range."
        )
    largest = int(np.argmax(verdict.costs))
    cost, weight = verdict.costs[largest], np.max(problem.penalties[largest].weight)
    if cost > _COSTLY:
        changes = _changes(problem, f"lower it to about {0.01 * weight / cost:.0e}")
        return (
            f"{penalty_names[largest]} is too strong for X, whose standard deviation is {problem.scale:.2g}: at random "
            f"weights its term is {cost:.2g} times what {problem.architecture.widths[-1]} random directions would "
            f"gain. {changes}"
        )
    if verdict.flat_units > 0.5:
        changes = _changes(problem, "try another activation or random_state")
        return f"{verdict.flat_units:.0%} of the units are saturated or dead. {changes}"
    return None


def _unit_bound(name, verdict, problem):
    return (
        f"{name} learned little: its reconstructions gain {verdict.share:.2g} of what perfect ones gain over the mean "
        f"of the training rows; as many principal components gain {verdict.pca_share:.2g}. With tied weights, a "
        f"{type(problem.architecture.code).__name__.lower()} code needs X on a scale near 1, but the standard "
        f"deviation of X is {problem.scale:.2g}. Scale X with StandardScaler, or set tied_weights=False."
    )


def _is_cut_short(trained):
    return trained.kept is not None and trained.kept < trained.n_iterations


def _early(trained):
    return (
        f"early_stopping=True kept iteration {trained.kept} of {trained.n_iterations}, where the loss of the held-out "
        "rows was lowest. Set early_stopping=False."
    )


def _missed(name, trained, problem, penalty_names):
    index, words = trained.verdict.unmet[0]
    if _is_cut_short(trained):
        advice = _early(trained)
    else:
        changes = _changes(problem, "increase it tenfold")
        advice = f"{penalty_names[index]} is too weak for that against the reconstruction. {changes}"
    return f"{name} missed the aim of its penalty: {words}. {advice}"


def _outvoted(name, trained):
    return (
        f"early_stopping=True kept iteration {trained.kept} of {trained.n_iterations}, where the penalties had not "
        f"taken effect (the objective there is {trained.outcome.loss:.4g}, at the end "
        f"{trained.outcome.loss_curve[-1]:.4g}). Strong penalties also raise the held-out loss, and that of the "
        "training rows, and can be mistaken for overfitting. Set early_stopping=False, or weaker penalties."
    )
