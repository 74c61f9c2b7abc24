"""Warnings about results: the most useful one, with its cause and a change that helps."""

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from skae._solvers.result import Status
from skae._training.diagnosis import FAR_BELOW, is_unusual

# A penalty is taken for the cause if, at a fresh start, it costs this share of the gain of as many random directions.
_COSTLY = 0.1

# After a search that ended on rounding, a larger fall in its last iterations means that it had not converged.
_STILL_FALLING = 1e-3


def warning_about(result, verdict, problem, limits, *, name, penalty_names, outliers):
    """Return the category and the text of the most useful warning about a result, or None.

    Parameters
    ----------
    result : TrainingResult

    verdict : Verdict

    problem : Problem

    limits : LBFGS
        The settings of the search.

    name : str
        The estimator's.

    penalty_names : list of str
        The penalties as a user sees them.

    outliers : ndarray of int
        The outliers' numbers among the rows that `fit` was given.
    """
    if result.was_stopped:
        return None
    cause = _cause(result, verdict, problem, penalty_names) if verdict.is_poor else None
    is_off_scale = verdict.pca_share is not None and verdict.share < FAR_BELOW * verdict.pca_share
    is_explained = verdict.is_dominated or is_off_scale or cause is not None
    if _stopped_short(result, limits) and not (is_explained and _is_settled(result.last_search, limits)):
        return ConvergenceWarning, _not_converged(name, result, problem, limits)
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
        return UserWarning, _missed(name, result, verdict, problem, penalty_names)
    if result.precedes_penalties:
        return UserWarning, _precedes_penalties(name, result)
    return None


def _changes(problem, *changes):
    """Return a sentence that names the changes, with one to the scale of X before them if that is unusual."""
    takes_any_unit = problem.loss.takes_any_unit
    if is_unusual(problem.scale) and np.any(takes_any_unit):
        scaled = "X" if np.all(takes_any_unit) else "the columns of squared error"
        changes = (f"scale {scaled} with StandardScaler", *changes)
    text = ", or ".join(changes)
    return f"{text[0].upper()}{text[1:]}."


def _stopped_short(result, limits):
    search = result.last_search
    if search.status in (Status.PRECISION, Status.LINE_SEARCH):
        # A small problem can reach its rounding in fewer iterations than the window. Its gradient is near zero then.
        is_far = search.gradient_norm > np.sqrt(limits.precision)
        return not result.was_cut_short and _was_falling(search, limits) and is_far
    return search.status in (Status.MAX_ITER, Status.MAX_FUN)


def _is_settled(search, limits):
    """Whether more iterations, if there could be any, would leave the verdict as it is."""
    if search.status in (Status.MAX_ITER, Status.MAX_FUN):
        return not _was_falling(search, limits)
    return search.status is Status.PRECISION or search.n_iter >= limits.n_iter_no_change


def _was_falling(search, limits):
    """Whether the objective was still falling in the last window, or there was no whole window."""
    return search.n_iter < limits.n_iter_no_change or search.fall > _STILL_FALLING


def _not_converged(name, result, problem, limits):
    search, n_iter = result.last_search, len(result.loss_curve)
    if search.status in (Status.MAX_ITER, Status.MAX_FUN):
        cap = "max_iter" if search.status is Status.MAX_ITER else "max_fun"
        advice = f"Increase {cap}, or raise tol if the result is good enough."
    else:
        in_double = () if problem.targets.dtype == np.float64 else ("fit in float64",)
        advice = _changes(problem, *in_double, "raise tol if the result is good enough")
    n_last = min(search.n_iter, limits.n_iter_no_change)
    return (
        f"{name} stopped before it converged: {search.status.value} (n_iter={n_iter}, "
        f"n_evaluations={result.n_evaluations}). In its last {n_last} iterations the objective fell by "
        f"{search.fall:.2g} of the gain of a perfect reconstruction over the mean, with tol={limits.tol:g}. {advice}"
    )


def _poor(name, verdict):
    return (
        f"{name} learned next to nothing: its reconstructions have {verdict.share:.2g} of the gain of perfect ones "
        "over the mean of the training rows."
    )


def _dominated(name, verdict, rows):
    if len(rows) == 1:
        subject = f"row {rows[0]} of X, which looks like an outlier"
    else:
        some = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
        subject = f"{len(rows)} rows of X that look like outliers ({some})"
    return (
        f"{name} fitted mainly {subject}: the reconstructions of all other rows have {verdict.share:.2g} of the gain "
        "of perfect ones over their mean. Remove or clip such rows, or take the logarithm of a skewed column."
    )


def _cause(result, verdict, problem, penalty_names):
    """Return the likely cause of a poor result and a change that helps, or None."""
    if result.was_cut_short:
        return _early(result)
    if verdict.out_of_range is not None:
        low, high, least, largest = verdict.out_of_range
        return (
            f"The output activation gives values between {low:g} and {high:g}, but X goes from {least:.3g} "
            f"to {largest:.3g}. Set output_activation='auto', or scale X into that range."
        )
    largest = int(np.argmax(verdict.costs))
    cost, weight = verdict.costs[largest], np.max(problem.penalties[largest].weight)
    if cost > _COSTLY:
        changes = _changes(problem, f"lower it to about {0.01 * weight / cost:.0e}")
        return (
            f"{penalty_names[largest]} is too strong for X, whose standard deviation is {problem.scale:.2g}: at random "
            f"weights its term is {cost:.2g} times the gain of {problem.architecture.widths[-1]} random directions. "
            f"{changes}"
        )
    if verdict.flat_units > 0.5:
        changes = _changes(problem, "try another activation or random_state")
        return f"{verdict.flat_units:.0%} of the units are saturated or dead. {changes}"
    return None


def _unit_bound(name, verdict, problem):
    return (
        f"{name} learned little: its reconstructions have {verdict.share:.2g} of the gain of perfect ones over the "
        f"mean of the training rows; as many principal components have {verdict.pca_share:.2g}. With tied weights, a "
        f"{type(problem.architecture.code).__name__.lower()} code needs X on a scale near 1, but the standard "
        f"deviation of X is {problem.scale:.2g}. Scale X with StandardScaler, or set tied_weights=False."
    )


def _early(result):
    return (
        f"early_stopping=True kept iteration {result.best_iteration} of {result.n_iterations}, where the loss of the "
        "held-out rows was lowest. Set early_stopping=False."
    )


def _missed(name, result, verdict, problem, penalty_names):
    index, words = verdict.unmet[0]
    if result.was_cut_short:
        advice = _early(result)
    else:
        changes = _changes(problem, "increase it tenfold")
        advice = f"{penalty_names[index]} is too weak for that against the reconstruction. {changes}"
    return f"{name} missed the aim of its penalty: {words}. {advice}"


def _precedes_penalties(name, result):
    return (
        f"early_stopping=True kept iteration {result.best_iteration} of {result.n_iterations}, where the penalties had "
        f"not taken effect (the objective there is {result.loss:.4g}, at the end "
        f"{result.loss_curve[-1]:.4g}). Strong penalties also raise the held-out loss, and that of the "
        "training rows, and can be mistaken for overfitting. Set early_stopping=False, or weaker penalties."
    )
