"""What the docstrings, which are written to be read in a terminal, need on their way to the site."""

import re


def skip_foreign(app, what, name, member, skip, options):
    """Leave out of the API pages what comes from scikit-learn."""
    function = getattr(member, "__func__", getattr(member, "fget", member))
    module = getattr(function, "__module__", None) or ""
    return None if module.split(".")[0] == "skae" else True


def mark_formulas(app, what, name, obj, options, lines):
    """Show formulas, the indented paragraphs before the first section, as they are typed; escape the other lines."""
    rules = (i for i, line in enumerate(lines) if re.fullmatch(r"-{3,}", line.strip()))
    summary = next(rules, len(lines) + 1) - 1
    result, in_formula = [], False
    for i, line in enumerate(lines):
        is_formula = i < summary and line.startswith("    ")
        if is_formula and not in_formula:
            result += [".. code-block:: text", ""]
        if line.strip():
            in_formula = is_formula
        result.append(line if is_formula else _escaped(line))
    lines[:] = result


def _escaped(line):
    """Keep ||W|| from being a substitution, and the names of shapes, as in (n_components_, ), from being references."""
    if line.lstrip().startswith((">>>", "...")):
        return line
    line = re.sub(r"\|\|(.*?)\|\|", r"\\|\\|\1\\|\\|", line)
    return re.sub(r"(?<![`\w])(\w+)_(?=[,)])", r"\1\\_", line)


def setup(app):
    app.connect("autodoc-skip-member", skip_foreign)
    # Before numpydoc takes the sections apart.
    app.connect("autodoc-process-docstring", mark_formulas, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
