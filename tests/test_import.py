"""Importing skae costs what it uses, and nothing besides."""

import subprocess
import sys

SCRIPT = """
import sys
import sklearn.decomposition
before = {name.partition(".")[0] for name in sys.modules}
import skae
after = {name.partition(".")[0] for name in sys.modules}
print(sorted(after - before - sys.stdlib_module_names))
"""


def test_it_loads_no_package_that_scikit_learn_has_not_loaded():
    result = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "['skae']"
