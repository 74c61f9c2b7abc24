"""The choice of the objective for a problem."""

from skae._objective.joint import Objective
from skae._objective.marginal import MarginalObjective, MarginalProjectedObjective
from skae._objective.projected import ProjectedObjective


def objective_class(problem, is_projected=False):
    """Return the class of the objective, over all layers or with the last one eliminated."""
    if is_projected:
        local = MarginalProjectedObjective if problem.moments else ProjectedObjective
    else:
        local = MarginalObjective if problem.moments else Objective
    return problem.targets.objective_over(local)
