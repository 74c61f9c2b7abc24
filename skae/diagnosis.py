"""Whether a result is to be trusted: the share of what there is to gain that it gained, and why that is little."""

from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skae.moments import block_sum, principal_axes
from skae.network import output
from skae.objective import Objective
from skae.parameters import Layout
from skae.problem import mean_loss
from skae.rows import dense_rows, less
from skae.solvers import Status
from skae.variables import fresh_start, search_variables

# A result says next to nothing if it gains less than this share of the gain of as many random directions.
_SHARE_OF_RANDOM = 0.1

# A share is far below another one, of outliers or of principal components, if it is less than this part of it.
_FAR_BELOW = 0.75

# A penalty is taken for the cause if, at a fresh start, it costs this share of what as many random directions gain.
_COSTLY = 0.1

# A unit is taken for saturated or dead if its activation is flatter than this on nearly all rows.
_FLAT, _NEARLY_ALL = 1e-3, 0.99

# Standard deviations of X that the default strengths, and a bounded code with tied weights, are made for.
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
        Share that as many principal components gain, if the code's range ties the result to the scale of X and that is
        unusual.

    is_dominated : bool
        Whether it is far below the outliers' share.

    costs : ndarray of shape (n_penalties,), or None
        The penalties at a fresh start, in units of what as many random directions gain, if the result is poor.

    flat_units : float or None
        Share of the units whose activation is flat on nearly all rows, if the result is poor.

    unmet : tuple of (int, str)
        Penalties, by number, whose aim is missed, and how in words.
    """

    share: float = 1.0
    is_poor: bool = False
    pca_share: float | None = None
    is_dominated: bool = False
    costs: np.ndarray | None = None
    flat_units: float | None = None
    unmet: tuple = ()


def examine(problem, parameters, terms, threads):
    """Return the Verdict on Parameters at which the objective has these terms."""
    if not problem.scale or not 0 < problem.gain < np.inf:
        return Verdict()
    unmet = _unmet(problem, parameters, threads)
    n_components, n_features = problem.architecture.widths[-1], problem.X.shape[1]
    share, is_dominated = _share(problem, parameters, terms, threads)
    pca_share = _pca_share(problem, threads) if _is_unit_bound(problem) else None
    of_random = min(1, n_components / min(problem.n_distinct - 1, n_features))
    if share >= _SHARE_OF_RANDOM * of_random:
        return Verdict(share, pca_share=pca_share, is_dominated=is_dominated, unmet=unmet)
    costs, flat_units = _costs(problem, threads) / of_random, _flat_units(problem, parameters, threads)
    return Verdict(share, True, pca_share, is_dominated, costs, flat_units, unmet)


def _share(problem, parameters, terms, threads):
    """Return the share of what there is to gain, outliers left out, and whether theirs is far larger."""
    if not (problem.is_corrupted or len(problem.outliers)):
        return 1 - (terms[0] - problem.least) / problem.reference, False

    def excess(weights):
        def least(rows):
            return weights[rows] @ problem.loss.least(dense_rows(problem.X, rows).astype(np.float64))

        total = weights.sum() * mean_loss(problem, problem.X, weights, threads, parameters)
        return (total - block_sum(least, problem.X, threads)) / problem.weights.sum()

    is_outlier = np.zeros(len(problem.weights))
    is_outlier[problem.outliers] = 1
    others = problem.weights * (1 - is_outlier)
    gain_of_others = problem.reference * others.sum() / problem.weights.sum()
    share = 1 - excess(others) / gain_of_others
    if not is_outlier.any():
        return share, False
    of_outliers = 1 - excess(problem.weights * is_outlier) / (problem.gain - gain_of_others)
    return share, share < _FAR_BELOW * of_outliers


def _is_unit_bound(problem):
    """Whether X has an unusual scale that the code cannot follow: a tied matrix has to fill its range and to decode."""
    architecture = problem.architecture
    is_bounded = all(np.isfinite(architecture.code.bounds))
    return architecture.tied and is_bounded and architecture.loss.least_squares and _is_unusual(problem.scale)


def _is_unusual(scale):
    return not _USUAL_SCALES[0] <= scale <= _USUAL_SCALES[1]


def _pca_share(problem, threads):
    n_components = problem.architecture.widths[-1]
    variances, _, total = principal_axes(problem.X, problem.weights, problem.mean, threads, n_components)
    return float(variances.sum() / total)


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


_ADVICE = {
    Status.MAX_ITER: "Increase max_iter, or raise tol if the result is good enough.",
    Status.MAX_FUN: "Increase max_fun, or raise tol if the result is good enough.",
    Status.LINE_SEARCH: "Scale X, or fit in float64.",
    Status.PRECISION: "Scale X, or fit in float64.",
}


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
    verdict, status = trained.verdict, trained.result.status
    if status is Status.CALLBACK and trained.kept is None:
        return None  # the user wanted no more
    cause = _cause(trained, problem, penalty_names) if verdict.is_poor else None
    is_explained = verdict.is_dominated or cause is not None
    if _stopped_short(trained.result, search) and (not is_explained or _is_cut_off(trained.result, search)):
        return ConvergenceWarning, _not_converged(name, trained, search)
    if verdict.is_dominated:
        return UserWarning, _dominated(name, verdict, outliers)
    if cause is not None:
        return UserWarning, f"{_poor(name, verdict)} {cause}"
    if verdict.pca_share is not None and verdict.share < _FAR_BELOW * verdict.pca_share:
        return UserWarning, _unit_bound(name, verdict, problem)
    if verdict.is_poor:
        advice = "Scale X with StandardScaler; if it is, lower tol, or try another random_state or activation."
        return UserWarning, f"{_poor(name, verdict)} {advice}"
    if verdict.unmet:
        return UserWarning, _missed(name, trained, penalty_names)
    if trained.outvoted:
        return UserWarning, _outvoted(name, trained)
    return None


def _stopped_short(result, search):
    if result.status in (Status.PRECISION, Status.LINE_SEARCH):
        # A small problem may be solved to rounding within a window; then the gradient is rounding, too.
        return _was_falling(result, search) and result.gradient_norm**2 > search.precision
    return result.status in (Status.MAX_ITER, Status.MAX_FUN)


def _is_cut_off(result, search):
    """Whether the verdict might be another one after more iterations, or is none of the penalties' doing."""
    if result.status in (Status.MAX_ITER, Status.MAX_FUN):
        return _was_falling(result, search)
    return result.status is Status.LINE_SEARCH and result.n_iter < search.n_iter_no_change


def _was_falling(result, search):
    """Whether the objective was still falling in the last window, as far as there was a whole one."""
    return result.n_iter < search.n_iter_no_change or result.fall > _STILL_FALLING


def _not_converged(name, trained, search):
    result = trained.result
    return (
        f"{name} stopped before it converged: {result.status.value} (n_iter={trained.n_iterations}, "
        f"n_evaluations={trained.outcome.n_evaluations}). In its last {search.n_iter_no_change} iterations the "
        f"objective fell by {result.fall:.2g} of what a perfect reconstruction gains over the mean, with "
        f"tol={search.tol:g}. {_ADVICE[result.status]}"
    )


def _poor(name, verdict):
    return (
        f"{name} learned next to nothing: its reconstructions gain {verdict.share:.2g} of what perfect ones gain over "
        "the mean of the training rows."
    )


def _dominated(name, verdict, rows):
    some = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    subject = (
        f"row {some} of X, which looks like an outlier"
        if len(rows) == 1
        else (f"{len(rows)} rows of X that look like outliers ({some})")
    )
    return (
        f"{name} fitted mainly {subject}: the reconstructions of all other rows gain {verdict.share:.2g} of what "
        "perfect ones gain over their mean. Remove or clip such rows, or scale X with RobustScaler."
    )


def _cause(trained, problem, penalty_names):
    """Return the likely cause of a poor result and what to change, or None."""
    verdict = trained.verdict
    if _is_cut_short(trained):
        return _early(trained)
    largest = int(np.argmax(verdict.costs))
    if verdict.costs[largest] > _COSTLY:
        return _outweighing(penalty_names[largest], problem.penalties[largest], verdict.costs[largest], problem.scale)
    if verdict.flat_units > 0.5:
        return (
            f"{verdict.flat_units:.0%} of the units are saturated or dead. Scale X with StandardScaler, or try another "
            "activation or random_state."
        )
    return None


def _outweighing(name, penalty, cost, scale):
    changes = ["scale X with StandardScaler", f"lower it to about {0.01 * penalty.weight / cost:.0e}"]
    change = " or ".join(changes if _is_unusual(scale) else reversed(changes))
    return (
        f"{name} outweighs the reconstruction: at random weights its term is {cost:.2g} times what as many random "
        f"directions gain (the standard deviation of X is {scale:.2g}). {change[0].upper()}{change[1:]}."
    )


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


def _missed(name, trained, penalty_names):
    index, words = trained.verdict.unmet[0]
    if _is_cut_short(trained):
        advice = _early(trained)
    else:
        advice = f"{penalty_names[index]} is too weak for that against the reconstruction. Increase it."
    return f"{name} missed the aim of its penalty: {words}. {advice}"


def _outvoted(name, trained):
    return (
        f"early_stopping=True kept iteration {trained.kept} of {trained.n_iterations}, where the penalties had not "
        f"taken effect (the objective there is {trained.outcome.loss:.4g}, at the end "
        f"{trained.outcome.loss_curve[-1]:.4g}). Strong penalties also raise the held-out loss, and that of the "
        "training rows, and can be mistaken for overfitting. Set early_stopping=False, or weaker penalties."
    )
