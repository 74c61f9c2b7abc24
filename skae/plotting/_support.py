"""Shared by all displays: matplotlib when it is needed, and the step of a Pipeline that a display is about."""

from sklearn.pipeline import Pipeline


def pyplot(display):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'{display.__name__} needs matplotlib: pip install "skae[plot]"') from error
    return plt


def step_with(attribute, estimator, needs):
    """Return the part of a fitted estimator that a display is about, and the steps of a Pipeline before it.

    Parameters
    ----------
    attribute : str
        The attribute or method that the display uses. Of a Pipeline the part is the last step that has it, if only by
        its class: a deep autoencoder, which has no `components_`, is not passed over for a PCA before it.

    estimator : object
        Fitted; if it is no Pipeline, the part itself.

    needs : str
        The kind of estimator that has it, for the error message.

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
    """Return the steps of a fitted Pipeline, or the estimator alone; ValueError for a Pipeline that only predicts."""
    steps = _steps(estimator)
    if isinstance(estimator, Pipeline) and not hasattr(steps[-1], "transform"):
        raise ValueError(
            f"The last step of the Pipeline, {type(steps[-1]).__name__}, does not transform: this display needs "
            f"{needs}. Give it the steps up to that one, pipeline[:-1] say."
        )
    return steps


def _steps(estimator):
    """Return the steps of a Pipeline, and of Pipelines in it, but those that are passed through."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    steps = [part for _, step in estimator.steps if step not in (None, "passthrough") for part in _steps(step)]
    return steps or [estimator]
