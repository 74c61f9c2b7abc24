"""Searches with L-BFGS: over all layers, or over all but the last one, which variable projection eliminates."""

from dataclasses import replace

from skae._network.parameters import Layout
from skae._objective.choice import objective_class
from skae._solvers.result import SolverResult, Status
from skae._solvers.solver import Solver
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start, theta_of
from skae._variables.whitening import whitened


class JointSearch(Solver):
    """L-BFGS over the parameters of all layers."""

    name = "lbfgs"

    def why_not(self, problem):
        return None

    def solve(self, problem, context):
        search = Search(problem, context)
        if problem.scale:  # constant rows have no second moments
            search.whiten(problem.sample(context.rng))
        return search.search()


class ProjectedSearch(Solver):
    """L-BFGS over all layers but the last one. The decoder must be one linear, untied layer under squared error."""

    name = "varpro"

    def why_not(self, problem):
        architecture = problem.architecture
        if architecture.tied:
            return "tied_weights=True makes the decoder the encoder's transpose"
        if architecture.loss.least_squares_weights is None:
            return "its loss, or output_activation, does not make the last layer a linear least-squares problem"
        if problem.noise and problem.noise.has_emphasis:
            return "the corruption's emphasis gives the entries different weights"
        if any(penalty.acts_on == "weights" and penalty.linear_decays is None for penalty in problem.penalties):
            return "penalties hold one on the weights that is not a weight decay"
        return None

    def solve(self, problem, context):
        return Search(problem, context, is_projected=True).search()


class Start(Solver):
    """No search: the start is the result."""

    name = "start"
    is_search = False

    def why_not(self, problem):
        return None

    def solve(self, problem, context):
        return Search(problem, context).stay()


class Search:
    """A search with L-BFGS, in variables that may be whitened before.

    Parameters
    ----------
    problem : Problem

    context : Context

    is_projected : bool, default=False
        Whether the last layer is eliminated.
    """

    def __init__(self, problem, context, is_projected=False):
        self._problem, self._objective_class = problem, objective_class(problem, is_projected)
        self._context, self._history = context, context.history
        layout = Layout(problem.architecture, self._objective_class.n_layers)
        self._variables, self._offset = search_variables(problem, layout)
        if context.start is None:
            self._theta = fresh_start(problem, layout, self._variables, context.rng, context.axes)
        else:
            self._theta = theta_of(context.start, problem, layout, self._variables, self._offset)

    def whiten(self, sampled):
        """Change to the variables that suit the present parameters, by the moments of a sample of the rows."""
        self._variables, self._theta = whitened(
            sampled, self._variables, self._theta, self._offset, self._context.threads
        )

    def search(self):
        """Search within the caps that the run has left; return the SolverResult."""
        history, limits = self._history, self._context.limits
        objective = self._objective()
        if self._context.start is not None and history.patience is not None and not history.n_iterations:
            evaluation = objective(self._theta)
            history.n_rows_evaluated += len(self._problem.targets)
            history.consider_start(**_point(objective, self._theta, evaluation))  # it may be better than any iterate
        limits = replace(
            limits,
            max_iter=max(1, limits.max_iter - history.n_iterations),
            max_fun=max(1, limits.max_fun - history.n_evaluations),
        )
        rows_before, n_rows = history.n_rows_evaluated, len(self._problem.targets)

        def report(theta, evaluation, fall, n_evaluations):
            history.n_rows_evaluated = rows_before + n_evaluations * n_rows
            history.add(**_point(objective, theta, evaluation), fall=fall)

        result = limits.minimize(objective, self._theta, report)
        history.n_rows_evaluated = rows_before + result.n_evaluations * n_rows
        return result

    def stay(self):
        """Report the start as the only iterate; return the SolverResult."""
        objective, history = self._objective(), self._history
        evaluation = objective.value(self._theta)
        history.n_rows_evaluated = len(self._problem.targets)
        history.add_only(**_point(objective, self._theta, evaluation))
        return SolverResult(Status.CONVERGED, self._theta, evaluation.value)

    def _objective(self):
        options = {"offset": self._offset, "threads": self._context.threads}
        return self._objective_class(self._problem, self._variables, **options)


def _point(objective, theta, evaluation):
    """Return the arguments that describe a point to the history."""
    return {"terms": evaluation.terms, "parameters_of": lambda: objective.parameters(theta, evaluation)}
