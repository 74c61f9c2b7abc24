"""The losses by name."""

from skae.activations import ACTIVATIONS
from skae.losses._categorical import Categorical
from skae.losses._elementwise import CrossEntropy, Poisson, SquaredError

LOSSES = {
    "squared_error": SquaredError,
    "cross_entropy": CrossEntropy,
    "poisson": Poisson,
    "categorical": Categorical,
}


def make_loss(loss, output_activation="auto"):
    """Return the Loss of a name in LOSSES, or what else is given, itself.

    "auto" is the canonical link of the loss. Any other link must be among its `links`, and an object has its own.
    """
    if not (isinstance(loss, str) and loss in LOSSES):
        if output_activation != "auto":
            raise ValueError(
                f"output_activation={output_activation!r} does not go with loss={loss!r}, which has its own link. "
                "Leave output_activation at 'auto'."
            )
        return loss
    if output_activation == "auto":
        return LOSSES[loss]()
    links = LOSSES[loss].links
    if output_activation not in links:
        allowed = ", ".join(repr(link) for link in ("auto", *links))
        raise ValueError(
            f"output_activation={output_activation!r} does not go with loss={loss!r}, which works with {allowed}."
        )
    return LOSSES[loss](ACTIVATIONS[output_activation])
