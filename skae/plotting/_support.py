"""What all displays share: matplotlib when it is needed, and rows of whatever X is."""

from scipy.sparse import issparse


def pyplot(display):
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f'{display.__name__} needs matplotlib: pip install "skae[plot]"') from error
    return plt


def some_rows(X, rows):
    if issparse(X):
        return X.tocsr()[rows]
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]
