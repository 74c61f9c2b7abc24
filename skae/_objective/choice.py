"""The choice of the objective for a problem."""

from skae._network.parameters import Layout
from skae._objective.joint import Objective
from skae._objective.marginal import MarginalObjective, MarginalProjectedObjective
from skae._objective.projected import ProjectedObjective
from skae._variables.centring import search_variables
from skae._variables.start import theta_of


def objective_class(problem, is_projected=False):
    """Return the class of the objective, over all layers or with the last one eliminated."""
    if is_projected:
        return MarginalProjectedObjective if problem.moments else ProjectedObjective
    return MarginalObjective if problem.moments else Objective


def objective_terms(problem, parameters, threads):
    """Return the terms of a problem's objective at given Parameters, (n_terms,)."""
    layout = Layout(problem.architecture)
    variables, offset = search_variables(problem, layout)
    objective = objective_class(problem)(problem, variables, offset=offset, threads=threads)
    return objective(theta_of(parameters, problem, layout, variables, offset)).terms
