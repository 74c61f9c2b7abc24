"""Displays of fitted autoencoders that follow scikit-learn's convention: `from_estimator` computes, `plot` plots.

matplotlib is imported only for plotting. The displays use only fitted attributes and public methods of estimators, so
filters and reconstructions of scikit-learn's transformers can be plotted, too. For a Pipeline, a display uses the step
that has the attribute or method to plot.
"""

from skae.plotting._curves import JacobianSpectrumDisplay, LossCurveDisplay
from skae.plotting._images import FilterDisplay, ReconstructionDisplay

__all__ = ["FilterDisplay", "JacobianSpectrumDisplay", "LossCurveDisplay", "ReconstructionDisplay"]
