"""How Sphinx builds the site. The command is in doc/README.md."""

import logging
import os
import shutil
import sys
import warnings
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "_ext")]

from skae import __version__ as release  # noqa: E402

project = "skae"
author = "The skae developers"
copyright = "the skae developers, BSD-3-Clause"
version = release

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "docstrings",
    "markdown",
]
exclude_patterns = ["_build", "README.md", "gallery_header.rst", "**sg_execution_times.rst"]
templates_path = ["_templates"]
# Code in single backticks, as in the docstrings; a link where the name is one of the API.
default_role = "py:obj"
rst_prolog = ".. currentmodule:: skae\n"

# API pages.
autosummary_generate = True
autodoc_typehints = "none"  # the docstrings say more
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_use_plots = False

# Code.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
trim_doctest_flags = True

# Links to other projects. Without a network their names stay plain code.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "scipy": ("https://docs.scipy.org/doc/scipy", None),
    "sklearn": ("https://scikit-learn.org/stable", None),
}
intersphinx_timeout = 10


class _NoInventory(logging.Filter):
    """Drops the one warning that says that inventories could not be fetched, which must not fail a build."""

    def filter(self, record):
        return "failed to reach any of the inventories" not in str(record.msg)


for _name in ("sphinx.ext.intersphinx", "sphinx.ext.intersphinx._load"):
    logging.getLogger(f"sphinx.{_name}").addFilter(_NoInventory())

# Formulas: MathJax from the package sphinx-mathjax-offline, so that they show without a network; else from the CDN.
_mathjax = find_spec("sphinx-mathjax-offline")
if _mathjax is not None:
    extensions.append("sphinx-mathjax-offline")
    mathjax_path = "mathjax/tex-chtml.js"

# The gallery. sphinx-gallery wants a header beside the examples, and runs them where they stand, so it gets copies.
_EXAMPLES = HERE / "_build" / "examples"
shutil.rmtree(_EXAMPLES, ignore_errors=True)
shutil.copytree(ROOT / "examples", _EXAMPLES, ignore=shutil.ignore_patterns("__pycache__", "*.png"))
if not (_EXAMPLES / "GALLERY_HEADER.rst").exists():
    shutil.copy(HERE / "gallery_header.rst", _EXAMPLES / "GALLERY_HEADER.rst")

# Without the extra that it needs, an example is shown but not run.
_NEEDS = {"onnx": ["skl2onnx", "onnxruntime"], "larger_than_memory": ["h5py"], "search_then_cluster": ["distributed"]}
_NOT_RUN = [example for example, packages in _NEEDS.items() if not all(map(find_spec, packages))]

sphinx_gallery_conf = {
    "examples_dirs": ["_build/examples"],
    "gallery_dirs": ["auto_examples"],
    "filename_pattern": f"plot_(?!{'|'.join(_NOT_RUN)})" if _NOT_RUN else "plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "min_reported_time": 5,
    "reset_modules": ("matplotlib",),
    "remove_config_comments": True,
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skae",),
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "show_memory": False,
}
# The examples choose Agg themselves; that the gallery has done so too is no news.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")

# The theme.
html_theme = "pydata_sphinx_theme"
html_title = "skae"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"install": [], "quickstart": [], "changelog": [], "contributing": []}
html_theme_options = {
    "show_nav_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc", "sg_download_links"],
    "header_links_before_dropdown": 6,
    "show_prev_next": True,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "navbar_align": "left",
    "show_toc_level": 2,
}
