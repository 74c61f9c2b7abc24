"""The public surface: numpydoc's rules for every docstring, with scikit-learn's exceptions, and annotations."""

import importlib.util
import inspect

import pytest

import skae
import skae.activations
import skae.corruption
import skae.impute
import skae.losses
import skae.metrics
import skae.penalties
import skae.plotting

MODULES = [
    skae,
    skae.activations,
    skae.corruption,
    skae.impute,
    skae.losses,
    skae.metrics,
    skae.penalties,
    skae.plotting,
]
if importlib.util.find_spec("distributed"):
    import skae.dask

    MODULES.append(skae.dask)
# As in scikit-learn's own tests: how a summary and a Returns section are laid out, and for methods also that there is
# no extended summary, See Also or example.
NOT_OURS = {"GL01", "GL02", "RT02"}
NOT_OF_METHODS = {"ES01", "SA01", "EX01"}
# Parts that stand beside their like in one module, and functions.
NOT_OF_PARTS = {"ES01", "SA01"}
BASES = {"skae.activations.Activation", "skae.corruption.Corruption", "skae.losses.Loss", "skae.penalties.Penalty"}


def public_objects():
    for module in MODULES:
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):
                yield f"{module.__name__}.{name}", value


def public_methods():
    """Those of estimators and displays; the hooks of penalties and corruptions are for who writes one."""
    for path, cls in public_objects():
        is_users = inspect.isclass(cls) and (hasattr(cls, "fit") or hasattr(cls, "plot"))
        for name, value in inspect.getmembers(cls) if is_users else []:
            function = inspect.unwrap(value.__func__ if isinstance(value, classmethod) else value)
            if (
                not name.startswith("_")
                and callable(function)
                and getattr(function, "__module__", "").startswith("skae")
            ):
                yield f"{path}.{name}"


OBJECTS = dict(public_objects())
ESTIMATORS = [path for path, value in OBJECTS.items() if hasattr(value, "feature_errors") and inspect.isclass(value)]
METHODS = sorted(public_methods())


def complaints(path, leave_out):
    validate = pytest.importorskip("numpydoc.validate")
    return [error for error in validate.validate(path)["errors"] if error[0] not in leave_out]


def test_there_is_something_to_check():
    assert len(ESTIMATORS) == 5
    assert {"skae.AutoencoderTransformer.fit", "skae.AutoencoderTransformer.transform"} <= set(METHODS)


@pytest.mark.parametrize("path", ESTIMATORS)
def test_docstrings_of_estimators(path):
    assert complaints(path, NOT_OURS) == []


@pytest.mark.parametrize("path", [path for path in OBJECTS if path not in ESTIMATORS])
def test_docstrings_of_parts(path):
    assert complaints(path, NOT_OURS | NOT_OF_PARTS | ({"EX01"} if path in BASES else set())) == []


@pytest.mark.parametrize("path", METHODS)
def test_docstrings_of_methods(path):
    assert complaints(path, NOT_OURS | NOT_OF_METHODS) == []


@pytest.mark.parametrize("path", ESTIMATORS)
def test_every_parameter_is_described_with_its_default(path):
    text = inspect.getdoc(OBJECTS[path])
    for name, parameter in inspect.signature(OBJECTS[path]).parameters.items():
        lines = [line for line in text.splitlines() if line.startswith(f"{name} : ")]
        assert len(lines) == 1
        default = parameter.default
        if default is inspect.Parameter.empty:
            assert "default" not in lines[0]
            continue
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        assert lines[0].endswith((f"default={shown}", f"default={default!r}"))


@pytest.mark.parametrize("path", ESTIMATORS)
def test_what_users_call_is_annotated(path):
    cls = OBJECTS[path]
    for name in ("__init__", "fit", "transform", "inverse_transform", "reconstruct", "score", "score_samples"):
        signature = inspect.signature(inspect.unwrap(getattr(cls, name)))
        assert signature.return_annotation is not inspect.Signature.empty
        given = [p for p in signature.parameters.values() if p.name != "self"]
        assert all(p.annotation is not inspect.Parameter.empty for p in given)
