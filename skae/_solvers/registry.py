"""The solvers, and the choice among them."""

from skae._solvers.closed_form import ClosedForm
from skae._solvers.search import JointSearch, ProjectedSearch
from skae._solvers.stochastic import StochasticSearch

# By name, in the order in which "auto" tries them. A new solver is one class and one entry here.
SOLVERS = {solver.name: solver for solver in (ClosedForm(), ProjectedSearch(), StochasticSearch(), JointSearch())}


def choose_solver(name, problem, search_options=()):
    """Return the Solver to use; "auto" is the first that applies.

    `search_options` are the options, in words, that only a search can honour. Raises ValueError if the solver of that
    name does not apply.
    """

    def why_not(solver):
        if search_options and not solver.is_search:
            return f"it does not search, as {' and '.join(search_options)} would need"
        return solver.why_not(problem)

    if name == "auto":
        return next(s for s in SOLVERS.values() if why_not(s) is None and s.is_worthwhile(problem))
    reason = why_not(SOLVERS[name])
    if reason is not None:
        raise ValueError(f"solver={name!r} does not apply: {reason}. Set solver='auto'.")
    return SOLVERS[name]
