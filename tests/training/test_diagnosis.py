"""Warnings about results: none of a good one, the cause and a change that helps of one that is not to be trusted."""

import re
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler, normalize

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder
from skae.penalties import KLSparsity, L1Sparsity, WeightDecay

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]
each = pytest.mark.parametrize("Autoencoder", AUTOENCODERS)


def warnings_of(estimator, X, **options):
    """The texts of the warnings of a fit, by category."""
    with warnings.catch_warnings(record=True) as record:
        warnings.simplefilter("always")
        estimator.fit(X, **options)
    return [(warning.category, str(warning.message)) for warning in record]


def the_warning(estimator, X, **options):
    """The text of the only warning, a UserWarning that begins with the estimator's name."""
    ((category, text),) = warnings_of(estimator, X, **options)
    assert category is UserWarning
    assert text.startswith(type(estimator).__name__)
    return text


@pytest.fixture(scope="module")
def wine():
    return StandardScaler().fit_transform(load_wine().data)


@pytest.fixture(scope="module")
def unit_rows():
    """Random directions: no code of 10 units can explain more than some of them."""
    return normalize(np.random.default_rng(0).normal(size=(500, 300)))


@each
def test_a_default_fit_is_silent(Autoencoder, digits, wine, cancer):
    for X in (digits, wine, cancer):
        assert warnings_of(Autoencoder(random_state=0), X) == []


# The cause.


def lowered(text, name):
    """The strength that a warning names."""
    return {name: float(re.search(r"ower it to about (\S+\d)", text)[1])}


@pytest.mark.parametrize(
    ("Autoencoder", "name", "strength", "settings"),
    [
        (ContractiveAutoencoder, "contraction_weight", 1.0, {"tied_weights": True}),
        (AutoencoderTransformer, "alpha", 3.0, {}),
        (AutoencoderTransformer, "alpha", 3.0, {"activation": "identity"}),
        (DenoisingAutoencoder, "alpha", 3.0, {}),
    ],
)
def test_a_penalty_that_outweighs_the_reconstruction(Autoencoder, name, strength, settings, unit_rows):
    estimator = Autoencoder(10, random_state=0, **{**settings, name: strength})
    text = the_warning(estimator, unit_rows)
    assert "learned next to nothing" in text
    assert f"{name}={strength:g} is too strong for X" in text
    assert estimator.score(unit_rows) < 0.1 * 10 / 300
    estimator.set_params(**lowered(text, name)).fit(unit_rows)
    assert estimator.score(unit_rows) > 0.5 * 10 / 300
    assert not any("learned next to nothing" in text for _, text in warnings_of(estimator, unit_rows))


def test_a_penalty_among_others_is_named(unit_rows):
    culprit = WeightDecay(3.0)
    text = the_warning(AutoencoderTransformer(8, penalties=(L1Sparsity(1e-6), culprit), random_state=0), unit_rows)
    assert f"{culprit!r} among the penalties is too strong for X" in text


@pytest.mark.parametrize("unit", [1e-4, 1e-2])
def test_the_unit_is_named_first_where_it_is_unusual(unit, cancer):
    settings = {"contraction_weight": 0.1, "tied_weights": True, "alpha": 1e-4, "random_state": 0}
    text = the_warning(ContractiveAutoencoder(8, **settings), unit * cancer)
    assert f"X, whose standard deviation is {unit:g}" in text
    assert text.index("Scale X with StandardScaler") < text.index("lower it to about")


@pytest.mark.parametrize("activation", ["logistic", "softplus"])
def test_a_tied_code_with_a_unit_of_its_own_in_tiny_units(activation, cancer):
    settings = {"tied_weights": True, "random_state": 0}
    text = the_warning(AutoencoderTransformer(8, activation=activation, **settings), 1e-4 * cancer)
    assert f"With tied weights, a {activation} code needs X on a scale near 1, but the standard deviation" in text
    for homogeneous in ("identity", "relu"):
        assert warnings_of(AutoencoderTransformer(8, activation=homogeneous, **settings), 1e-4 * cancer) == []


def test_saturated_units():
    """A start far out in the flat part of every unit stays there."""
    X = np.random.default_rng(0).normal(size=(300, 6))
    estimator = AutoencoderTransformer(4, solver="lbfgs", alpha=0, random_state=0, max_iter=50).fit(X)
    estimator._offset_intercept = np.full(4, 40.0)
    estimator.coefs_ = [np.zeros_like(W) for W in estimator.coefs_]
    text = the_warning(estimator.set_params(warm_start=True), X)
    assert "100% of the units are saturated or dead" in text


def test_early_stopping_that_forestalls_sparsity(wine):
    settings = {"alpha": 1e-4, "sparsity_weight": 1.0, "random_state": 0}
    text = the_warning(SparseAutoencoder(early_stopping=True, **settings), wine)
    assert re.search(r"the mean activation is 0\.\d+, the sparsity target 0\.05\. early_stopping=True kept", text)
    assert "Set early_stopping=False" in text
    assert warnings_of(SparseAutoencoder(**settings), wine) == []


@pytest.mark.parametrize("activation", ["logistic", "tanh"])
def test_a_sparsity_weight_that_is_too_weak(activation, cancer):
    settings = {"activation": activation, "scale_code": False, "random_state": 0}
    estimator = SparseAutoencoder(8, sparsity_weight=1e-4, **settings)
    text = the_warning(estimator, cancer)
    mean = estimator.transform(cancer).mean()
    mean = (mean + 1) / 2 if activation == "tanh" else mean
    assert f"the mean activation is {mean:.2g}, the sparsity target 0.05. sparsity_weight=0.0001 is too weak" in text
    for harmless in ({"sparsity_weight": 0}, {"sparsity_target": round(mean / 1.5, 2)}):
        assert warnings_of(SparseAutoencoder(8, **settings).set_params(**harmless), cancer) == []


def test_the_mean_activation_is_that_of_the_corrupted_inputs(cancer):
    """Masked rows have other codes, and the penalty is on those."""
    target = AutoencoderTransformer(8, scale_code=False, random_state=0).fit_transform(cancer).mean() / 3
    penalty = KLSparsity(1e-6, target=round(target, 3))
    text = the_warning(DenoisingAutoencoder(8, penalties=(penalty,), random_state=0), cancer)
    assert f"{penalty!r} among the penalties is too weak" in text


@pytest.mark.parametrize("constant", [np.zeros((20, 3)), np.full((20, 3), 0.1), np.tile([1.0, 2, 1e6], (20, 1))])
@each
def test_constant_data_have_nothing_to_learn(Autoencoder, constant):
    assert warnings_of(Autoencoder(2, random_state=0), constant) == []


def test_one_warning_at_the_most(unit_rows):
    capped = ContractiveAutoencoder(10, contraction_weight=1e-4, max_iter=3, random_state=0)
    ((category, text),) = warnings_of(capped, unit_rows)
    assert category is ConvergenceWarning
    assert "it reached max_iter" in text
    capped.set_params(contraction_weight=100.0, max_iter=60, tol=0)
    assert "is too strong" in the_warning(capped, unit_rows)  # more iterations would not help


# Outliers.


@pytest.mark.parametrize("row", [0, 7, 568])
@each
def test_a_gross_outlier_is_named_or_does_no_harm(Autoencoder, row, cancer):
    X = cancer.copy()
    X[row, 3] = 1e4
    others = np.delete(X, row, axis=0)
    estimator = Autoencoder(8, random_state=0)
    messages = warnings_of(estimator, X)
    if messages:
        ((_, text),) = messages
        assert f"fitted mainly row {row} of X, which looks like an outlier" in text
    else:
        assert estimator.score(others) > Autoencoder(8, random_state=0).fit(others).score(others) - 0.02
    weak = Autoencoder(8, random_state=0, alpha=0)
    if Autoencoder is AutoencoderTransformer:
        assert warnings_of(weak, X) == []
        assert weak.score(others) > weak.fit(others).score(others) - 0.02


def test_outliers_with_weights_and_held_out_rows(cancer):
    X = cancer.copy()
    X[[100, 200], 3] = 1e4, -2e4
    weights = np.ones(len(X))
    weights[:50] = 0
    text = the_warning(AutoencoderTransformer(8, random_state=0), X, sample_weight=weights)
    assert re.search(r"2 rows of X that look like outliers \((100, 200|200, 100)\)", text)


def test_an_outlier_does_not_end_the_search_of_the_others(cancer):
    """In units of all there is to gain, the others' part is less than tol."""
    X = cancer.copy()
    X[7, 3] = 1e4
    others = np.delete(X, 7, axis=0)
    estimator = AutoencoderTransformer(15, activation="tanh", alpha=0, random_state=0).fit(X)
    assert_allclose(estimator.score(others), estimator.fit(others).score(others), atol=0.01)


def test_a_code_that_is_narrow_for_its_data_is_not_blamed():
    """Two of many equal directions explain little, but all that two can."""
    X = np.random.default_rng(0).normal(size=(2000, 100))
    assert warnings_of(AutoencoderTransformer(2, random_state=0), X) == []


@each
def test_diabetes_warns_of_the_sparsity_target_alone(Autoencoder):
    X = StandardScaler().fit_transform(load_diabetes().data)
    messages = warnings_of(Autoencoder(random_state=0), X)
    assert all("the sparsity target" in text for _, text in messages)
    assert len(messages) <= (Autoencoder is SparseAutoencoder)


def test_the_warning_points_at_the_call(unit_rows):
    with pytest.warns(UserWarning, match="next to nothing") as record:
        AutoencoderTransformer(10, alpha=3, random_state=0).fit(unit_rows)
    assert record[0].filename == __file__


def test_digits_in_their_own_unit_are_no_case():
    assert warnings_of(AutoencoderTransformer(30, random_state=0), load_digits().data) == []


# Nothing is wrong with these.


@pytest.mark.parametrize("n_components", [3, 10, 20])
def test_a_small_cluster_far_away_is_not_blamed_for_a_narrow_code(n_components):
    rng = np.random.default_rng(0)
    X = np.vstack([rng.normal(size=(980, 30)), rng.normal(size=(20, 30)) + 8])
    assert warnings_of(AutoencoderTransformer(n_components, random_state=0), X) == []


@pytest.mark.parametrize("share", [0.01, 0.03])
def test_rows_that_are_noise_are_not_blamed_on_the_others(share):
    """Events: few rows have a signal, and the others rounding noise."""
    rng = np.random.default_rng(0)
    X = 1e-6 * rng.normal(size=(1000, 20))
    n_events = int(1000 * share)
    X[:n_events] += rng.normal(size=(n_events, 3)) @ rng.normal(size=(3, 20))
    assert warnings_of(AutoencoderTransformer(3, activation="identity"), X) == []


@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_callback_that_ended_the_search_knows(early_stopping, wine, monkeypatch):
    pytest.importorskip("sklearn.callback")

    class StopAtOnce:
        def setup(self, estimator, context):
            pass

        def on_fit_task_begin(self, estimator, context, **data):
            pass

        def on_fit_task_end(self, estimator, context, **data):
            return context.task_name == "iteration"

        def teardown(self, estimator, context):
            pass

    estimator = SparseAutoencoder(early_stopping=early_stopping, random_state=0).set_callbacks(StopAtOnce())
    assert warnings_of(estimator, wine) == []
    assert estimator.n_iter_ == 1


# Advice that fits.


@pytest.mark.parametrize("loss", ["cross_entropy", "poisson"])
def test_no_scaling_is_advised_where_the_loss_forbids_it(loss):
    X = (np.random.default_rng(0).uniform(size=(300, 40)) < 0.02) * 1.0
    estimator = AutoencoderTransformer(3, loss=loss, alpha=10.0, random_state=0)
    text = the_warning(estimator, X)
    assert "StandardScaler" not in text
    estimator.set_params(**lowered(text, "alpha"))
    assert not any("next to nothing" in text for _, text in warnings_of(estimator, X))


def test_scaling_is_advised_only_for_an_unusual_scale(cancer):
    assert "StandardScaler" not in the_warning(AutoencoderTransformer(8, alpha=1e4, random_state=0), cancer)


def test_a_link_that_cannot_reach_x(cancer):
    estimator = AutoencoderTransformer(8, output_activation="logistic", random_state=0)
    text = the_warning(estimator, cancer)
    assert f"gives values between 0 and 1, but X goes from {cancer.min():.3g} to {cancer.max():.3g}" in text
    assert warnings_of(estimator.set_params(output_activation="auto"), cancer) == []


def test_a_weight_that_is_too_weak_is_raised_until_it_is_not():
    X = load_digits().data
    estimator = SparseAutoencoder(30, random_state=0)
    for _ in range(3):
        messages = warnings_of(estimator, X)
        if not messages:
            break
        assert "ncrease it tenfold" in messages[0][1]
        estimator.set_params(sparsity_weight=10 * estimator.sparsity_weight)
    assert messages == []


def test_without_an_outlier_that_is_removed_as_advised(cancer):
    X = cancer.copy()
    X[7, 3] = 1e4
    estimator = AutoencoderTransformer(8, random_state=0)
    assert "Remove or clip such rows" in the_warning(estimator, X)
    assert warnings_of(estimator, np.delete(X, 7, axis=0)) == []
    assert warnings_of(estimator, np.clip(X, -10, 10)) == []
