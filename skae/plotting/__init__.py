"""Displays of fitted autoencoders, by scikit-learn's convention: `from_estimator` computes, `plot` draws.

matplotlib is imported when something is drawn. Estimators are asked for fitted attributes and public methods alone, so
filters and reconstructions are drawn of scikit-learn's transformers too. A Pipeline stands for the step that a display
is about.
"""

from skae.plotting._curves import JacobianSpectrumDisplay, LossCurveDisplay
from skae.plotting._images import FilterDisplay, ReconstructionDisplay

__all__ = ["FilterDisplay", "JacobianSpectrumDisplay", "LossCurveDisplay", "ReconstructionDisplay"]
