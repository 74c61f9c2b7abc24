"""scikit-learn's own checks of an estimator: those of check_estimator, and those that only its own tests run."""

from functools import partial
from unittest import SkipTest

import pytest
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_get_feature_names_out_error,
    check_global_output_transform_pandas,
    check_global_set_output_transform_polars,
    check_inplace_ensure_writeable,
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    parametrize_with_checks,
)

from skae import AutoencoderTransformer, ContractiveAutoencoder, DenoisingAutoencoder, SparseAutoencoder

AUTOENCODERS = [AutoencoderTransformer, DenoisingAutoencoder, SparseAutoencoder, ContractiveAutoencoder]


def behind_a_scaler(Autoencoder, loss):
    # A Pipeline is not given the random_state that the checks set.
    return make_pipeline(MinMaxScaler(clip=True), Autoencoder(2, loss=loss, max_iter=20, random_state=0))


# Each of the four at its defaults; every network, loss and solver once.
ESTIMATORS = {
    **{f"{Autoencoder.__name__}-default": Autoencoder() for Autoencoder in AUTOENCODERS},
    "deep": AutoencoderTransformer(2, hidden_layer_sizes=(4,), max_iter=20),
    "deep, contracted": ContractiveAutoencoder(2, hidden_layer_sizes=(4,), max_iter=20),
    "tied": ContractiveAutoencoder(2, tied_weights=True, max_iter=20),
    "linear": AutoencoderTransformer(2, activation="identity"),
    "overcomplete": SparseAutoencoder(40, max_iter=10),
    "poisson": AutoencoderTransformer(2, loss="poisson", max_iter=20),
    "losses by column": AutoencoderTransformer(2, loss="auto", max_iter=20),
    "scaled cross-entropy": behind_a_scaler(DenoisingAutoencoder, "cross_entropy"),
    "scaled poisson": behind_a_scaler(AutoencoderTransformer, "poisson"),
}

# Without an array-API library there is nothing to check.
MAY_SKIP = {"check_array_api_input"}
# What scikit-learn 1.7 yields; later releases add to it.
N_CHECKS, N_CHECKS_POSITIVE_ONLY, N_CHECKS_PIPELINE = 53, 54, 47

BEYOND_CHECK_ESTIMATOR = [
    check_param_validation,
    check_set_output_transform,
    check_set_output_transform_pandas,
    check_global_output_transform_pandas,
    check_set_output_transform_polars,
    check_global_set_output_transform_polars,
    check_transformer_get_feature_names_out,
    check_transformer_get_feature_names_out_pandas,
    check_get_feature_names_out_error,
    check_dataframe_column_names_consistency,
    check_inplace_ensure_writeable,
]


def expected_failed_checks(estimator):
    if isinstance(estimator, Pipeline):
        reason = "Pipeline puts its fitted steps where its parameters were"
        return {"check_estimators_overwrite_params": reason, "check_dont_overwrite_parameters": reason}
    return {}


def run(check, estimator):
    """Run a check; one that skips itself would vanish unseen."""
    try:
        check(estimator)
    except SkipTest:
        if check.func.__name__ not in MAY_SKIP:
            raise AssertionError("the check skipped itself") from None
        raise


MARK = parametrize_with_checks(list(ESTIMATORS.values()), expected_failed_checks=expected_failed_checks)
# In scikit-learn 1.7 a generator, which pytest no longer takes.
CHECKS = list(MARK.args[1])


# Some checks have rows about 100 with a spread of 1: partly masked, they are beyond a denoising fit.
@pytest.mark.filterwarnings("ignore:.*the same for all rows:UserWarning")
@pytest.mark.parametrize(MARK.args[0], CHECKS, **MARK.kwargs)
def test_check_estimator(estimator, check):
    run(check, estimator)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_check_vanishes(name):
    estimator = ESTIMATORS[name]
    if isinstance(estimator, Pipeline):
        at_least = N_CHECKS_PIPELINE
    else:
        at_least = N_CHECKS_POSITIVE_ONLY if estimator.loss == "poisson" else N_CHECKS
    assert sum(getattr(check, "values", check)[0] is estimator for check in CHECKS) >= at_least


def test_an_expected_failure_that_passes_fails(pytestconfig):
    assert pytestconfig.getini("xfail_strict")


def test_eleven_checks_beyond_check_estimator():
    assert len(set(BEYOND_CHECK_ESTIMATOR)) == 11


# These checks fit frames and transform arrays, and the reverse.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names", "ignore:X has feature names, but")
# How scikit-learn 1.7 reads polars frames.
@pytest.mark.filterwarnings("ignore:Support for the dataframe interchange protocol")
@pytest.mark.parametrize("check", BEYOND_CHECK_ESTIMATOR, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name.endswith("default")])
def test_beyond_check_estimator(name, check):
    estimator = ESTIMATORS[name]
    run(partial(check, type(estimator).__name__), clone(estimator))
