"""Types of the arguments of public functions."""

from numpy.typing import ArrayLike
from scipy.sparse import sparray, spmatrix

# Arrays, nested lists, frames, and SciPy's sparse containers.
MatrixLike = ArrayLike | sparray | spmatrix
