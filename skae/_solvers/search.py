"""Searches with L-BFGS: over all layers, or over all but the last one, which variable projection eliminates."""

from dataclasses import replace

from skae._network.parameters import Layout
from skae._objective.choice import objective_class
from skae._solvers.result import SolverResult, Status
from skae._solvers.solver import Solver
from skae._solvers.warm_up import sample, warm_up_phases
from skae._variables.centring import search_variables
from skae._variables.start import fresh_start, theta_of
from skae._variables.whitening import whitened


class JointSearch(Solver):
    """L-BFGS over the parameters of all layers, after a warm-up on parts of the rows."""

    name = "lbfgs"

    def why_not(self, problem):
        return None

    def solve(self, problem, context):
        search = Search(problem, context)
        if problem.scale:  # constant rows have no second moments
            # Short searches on parts of the rows would undo a start that is already good.
            for phase in warm_up_phases(problem, context) if context.start is None else ():
                search.whiten(phase.sample)
                search.minimize(phase.problem, phase.max_iter, phase.max_fun)
            search.whiten(sample(problem, context.rng.permutation(len(problem.targets)), context.threads))
        return search.finish()


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
        return Search(problem, context, is_projected=True).finish()


class Search:
    """A search in phases, each over the problem or some of its rows, in the variables of its own.

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

    def minimize(self, problem, max_iter, max_fun):
        """Search over the problem or some of its rows, within these caps and the run's; return the SolverResult."""
        objective, rows_before = self._objective(problem), self._history.n_rows_evaluated
        max_iter = min(max_iter, max(1, self._context.limits.max_iter - self._history.n_iterations))

        def report(theta, evaluation, fall, n_evaluations):
            self._history.n_rows_evaluated = rows_before + n_evaluations * len(problem.targets)
            self._history.add(**self._point(objective, theta, evaluation), fall=fall, n_rows=len(problem.targets))

        limits = replace(self._context.limits, max_iter=max_iter, max_fun=max_fun)
        result = limits.minimize(objective, self._theta, report)
        self._history.n_rows_evaluated = rows_before + result.n_evaluations * len(problem.targets)
        self._theta = result.theta
        return result

    def finish(self):
        """Search over all rows with the rest of the caps, unless a watcher has stopped the search before."""
        history, limits = self._history, self._context.limits
        if history.was_stopped:
            return self._stay()
        if self._context.start is not None and history.patience is not None:
            history.consider_start(**self._point_here()[0])  # it may be better than any iterate
        max_fun = max(1, limits.max_fun - history.n_evaluations)
        return self.minimize(self._problem, limits.max_iter, max_fun)

    def _stay(self):
        """Take the present parameters for the result, with the objective over all rows."""
        point, value = self._point_here()
        self._history.add_end(**point)
        return SolverResult(Status.CALLBACK, self._theta, value)

    def _objective(self, problem):
        return self._objective_class(problem, self._variables, offset=self._offset, threads=self._context.threads)

    def _point_here(self):
        """Return the arguments that describe the present point to the history, and the objective's value there."""
        objective = self._objective(self._problem)
        evaluation = objective(self._theta)
        self._history.n_rows_evaluated += len(self._problem.targets)
        return self._point(objective, self._theta, evaluation), evaluation.value

    @staticmethod
    def _point(objective, theta, evaluation):
        """Return the arguments that describe a point to the history."""
        return {"terms": evaluation.terms, "parameters_of": lambda: objective.parameters(theta, evaluation)}
