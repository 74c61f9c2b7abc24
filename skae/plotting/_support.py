"""Helpers of all displays: the import of matplotlib, and the step of a Pipeline that a display uses."""

from sklearn.pipeline import Pipeline


def pyplot(display):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'{display.__name__} needs matplotlib: pip install "skae[plot]"') from error
    return plt


def step_with(attribute, estimator, needs):
    """Return the part of a fitted estimator that a display uses, and the steps of a Pipeline before it.

    Parameters
    ----------
    attribute : str
        Attribute or method that the display uses. In a Pipeline, the part is the last step that has the attribute or
        whose class has it: a deep autoencoder, which has no `components_`, is not skipped in favour of an earlier PCA.

    estimator : object
        Fitted estimator. If it is not a Pipeline, it is the part itself.

    needs : str
        Kind of estimator that has the attribute, for the error message.

    Returns
    -------
    step : object
    before : list of object
    """
    steps = transforming_steps(estimator, needs)
    having = [index for index, step in enumerate(steps) if hasattr(step, attribute) or hasattr(type(step), attribute)]
    index = having[-1] if having else -1
    if not hasattr(steps[index], attribute):
        names = ", ".join(type(step).__name__ for step in (steps[index : index + 1] if having else steps))
        raise ValueError(f"{names} has no {attribute}: this display needs {needs}.")
    return steps[index], steps[:index]


def transforming_steps(estimator, needs):
    """Return the steps of a fitted Pipeline, or the estimator itself; raise ValueError if a Pipeline only predicts."""
    steps = _steps(estimator)
    if isinstance(estimator, Pipeline) and not hasattr(steps[-1], "transform"):
        raise ValueError(
            f"The last step of the Pipeline, {type(steps[-1]).__name__}, does not transform: this display needs "
            f"{needs}. Give it the steps up to that one, pipeline[:-1] say."
        )
    return steps


def _steps(estimator):
    """Return the steps of a Pipeline and of its nested Pipelines, without passthrough steps."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [part for _, step in estimator.steps if step not in (None, "passthrough") for part in _steps(step)]
    return steps or [estimator]
