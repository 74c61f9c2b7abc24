"""The layout of the package: dependencies point one way, and modules stay small."""

import ast
from pathlib import Path

import skae

ROOT = Path(skae.__file__).parent
# Each part imports from the parts before it alone. Those of one line do not know each other.
ORDER = [
    ["_compat", "_hiding", "_reconstruction_sums", "_rollback", "_typing", "_version", "_weights", "activations"],
    ["_files"],
    ["_rows", "_scorer", "_validation", "losses"],
    ["_imputation_error"],
    ["_network", "corruption", "metrics"],
    ["_onnx", "_variables", "penalties", "plotting"],
    ["_objective"],
    ["_solvers"],
    ["_training"],
    ["_estimators"],
    ["_cluster", "_detection", "_imputation"],
    ["dask", "impute"],
    ["_trusted"],
    ["__init__"],
]
LEVELS = {name: level for level, names in enumerate(ORDER) for name in names}


def part_of(module):
    return module.split(".")[1] if "." in module else "__init__"


def imports(path):
    """The parts of the package that a module imports from."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "skae":
            if node.module == "skae":
                yield from (alias.name for alias in node.names if alias.name in LEVELS)
            else:
                yield part_of(node.module)
        elif isinstance(node, ast.Import):
            yield from (part_of(alias.name) for alias in node.names if alias.name.split(".")[0] == "skae")


MODULES = {path: path.relative_to(ROOT).parts[0].removesuffix(".py") for path in ROOT.rglob("*.py")}


def test_every_module_has_its_place():
    assert set(MODULES.values()) == set(LEVELS)


def test_dependencies_point_one_way():
    wrong = [
        (str(path.relative_to(ROOT)), name)
        for path, part in MODULES.items()
        for name in imports(path)
        if name != part and LEVELS[name] >= LEVELS[part]
    ]
    assert wrong == []
