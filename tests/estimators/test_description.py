"""The summary of a fitted autoencoder, and its table in the HTML representation."""

import numpy as np
import pytest
from configurations import AUTOENCODERS, WEIGHTS, X, each, make
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.corruption import Gaussian
from skae.losses import ColumnLosses
from skae.penalties import L1Sparsity


def test_what_it_says():
    sparse = SparseAutoencoder(
        3,
        hidden_layer_sizes=(6,),
        activation="tanh",
        code_activation="logistic",
        alpha=0.01,
        sparsity_weight=0.2,
        penalties=[L1Sparsity(0.05)],
        tol=1e-2,
        random_state=0,
    ).fit(X, sample_weight=WEIGHTS)
    explained = sparse.describe().pop("explained")
    assert {name: value for name, value in sparse.describe().items() if name != "explained"} == {
        "estimator": "SparseAutoencoder",
        "widths": (8, 6, 3, 6, 8),
        "activations": ("Tanh()", "Logistic()"),
        "loss": "SquaredError(link=Identity())",
        "tied_weights": False,
        "alpha": [0.01] * 4,
        "sparsity_weight": 0.2,
        "penalties": ("L1Sparsity(weight=0.05)",),
        "n_samples": len(X),
        "n_features": 8,
        "solver": sparse.solver_,
        "n_iter": sparse.n_iter_,
        "warning": None,
    }
    expected = r2_score(X, sparse.reconstruct(X), sample_weight=WEIGHTS, multioutput="variance_weighted")
    assert explained == pytest.approx(expected, rel=1e-6)


def test_a_corruption_is_named():
    description = make(DenoisingAutoencoder, corruption_level=0.5).fit(X).describe()
    assert (description["corruption"], description["corruption_level"]) == ("masking", 0.5)
    description = make(DenoisingAutoencoder, corruption=Gaussian(0.1)).fit(X).describe()
    assert description["corruption"] == "Gaussian(level=0.1)"


@pytest.mark.parametrize("parameters", [{}, {"corruption": "gaussian", "expectation": "fresh"}])
def test_the_share_is_of_clean_rows(parameters):
    denoising = make(DenoisingAutoencoder, **parameters).fit(X)
    expected = r2_score(X, denoising.reconstruct(X), multioutput="variance_weighted")
    assert denoising.describe()["explained"] == pytest.approx(expected, rel=1e-6)


def test_strengths_are_those_that_were_used():
    contractive = make(ContractiveAutoencoder).fit(X)
    assert contractive.describe()["contraction_weight"] == contractive.contraction_weight_
    assert contractive.describe()["alpha"] == contractive.alpha_.tolist()


def test_it_repeats_the_warning():
    with pytest.warns(ConvergenceWarning) as caught:
        autoencoder = make(AutoencoderTransformer, max_iter=2).fit(X)
    assert autoencoder.describe()["warning"] == str(caught[0].message)


def test_a_loss_by_column():
    losses = ColumnLosses([("poisson", [0]), ("squared_error", slice(1, None))])
    autoencoder = make(AutoencoderTransformer, loss=losses).fit(X)
    assert autoencoder.describe()["loss"] == repr(autoencoder.losses_)


@each
def test_it_needs_a_fit(Autoencoder):
    with pytest.raises(NotFittedError):
        make(Autoencoder).describe()


def test_a_refit_replaces_it():
    autoencoder = make(AutoencoderTransformer).fit(X)
    assert autoencoder.fit(X[:20, :5]).describe()["n_samples"] == 20
    assert autoencoder.describe()["n_features"] == 5


# The HTML representation.

TITLE = "<summary>Fitted model</summary>"


@pytest.mark.parametrize("Autoencoder", AUTOENCODERS)
def test_the_table_is_that_of_a_fitted_one(Autoencoder):
    autoencoder = make(Autoencoder).fit(X)
    html = estimator_html_repr(autoencoder)
    assert html.count(TITLE) == 1
    assert all(f'<td class="param">{name}</td>' in html for name in autoencoder.describe())
    assert TITLE not in estimator_html_repr(clone(autoencoder))


def test_a_pipeline_shows_the_table_of_its_step():
    pipeline = make_pipeline(StandardScaler(), make(AutoencoderTransformer))
    assert TITLE not in estimator_html_repr(pipeline)
    assert estimator_html_repr(pipeline.fit(X)).count(TITLE) == 1


def test_names_are_escaped_and_long_values_cut():
    names = [f"<b>{index}</b>" for index in range(200)]
    losses = ColumnLosses([("squared_error", [name]) for name in names])
    frame = pytest.importorskip("pandas").DataFrame(np.random.default_rng(0).uniform(size=(30, 200)), columns=names)
    html = estimator_html_repr(make(AutoencoderTransformer, loss=losses, max_iter=2).fit(frame))
    table = html[html.index(TITLE) : html.index("</table>", html.index(TITLE))]
    assert "&lt;b&gt;0" in table
    assert "<b>" not in table
    assert len(table) < 4000
