"""The directive `markdown`: includes a file of the repository that is Markdown, or one of its sections.

It knows what those files hold: headings, paragraphs, lists, tables, indented and fenced code, links, code and bold.
The first heading is left out, because the page has its own.
"""

import re
from pathlib import Path

from docutils.parsers.rst import directives
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

_CODE = re.compile(r"(`[^`]+`)")
_LINK = re.compile(r"\[([^\]]+)\]\(([^)]+)\)")


def _inline(text):
    parts = _CODE.split(text)
    for i, part in enumerate(parts):
        if i % 2:
            parts[i] = f"``{part[1:-1]}``"
        else:
            part = re.sub(r"(?<=\w)_(?!\w)", r"\\_", part)  # loss_ is no reference
            parts[i] = _LINK.sub(lambda link: f"`{link[1]} <{link[2]}>`__", part)
    return "".join(parts)


def _table(rows):
    cells = [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows if not _is_rule(row)]
    yield from [".. list-table::", "   :header-rows: 1", "   :class: markdown-table", ""]
    for row in cells:
        for i, cell in enumerate(row):
            yield ("   * - " if i == 0 else "     - ") + _inline(cell)
    yield ""


def _is_rule(row):
    return set(row.strip()) <= set("|-: ")


def _section(lines, title):
    if title is None:
        return lines
    start = next(i for i, line in enumerate(lines) if line.startswith("## ") and title in line)
    end = next((i for i in range(start + 1, len(lines)) if lines[i].startswith("## ")), len(lines))
    return lines[start + 1 : end]


def to_rst(text, section=None, underline="-"):
    """Return the lines of a Markdown text, or of a section of it, as reStructuredText."""
    lines = _section(text.splitlines(), section)
    i = 0
    while i < len(lines):
        line = lines[i]
        if line.startswith("# "):
            pass
        elif line.startswith("## "):
            heading = _inline(line[3:])
            yield from ["", heading, underline * len(heading), ""]
        elif line.startswith("|"):
            end = next((j for j in range(i, len(lines)) if not lines[j].startswith("|")), len(lines))
            yield from _table(lines[i:end])
            i = end - 1
        elif line.startswith("```"):
            end = next(j for j in range(i + 1, len(lines)) if lines[j].startswith("```"))
            yield from ["", f".. code-block:: {line[3:].strip() or 'text'}", ""]
            yield from ["   " + code for code in lines[i + 1 : end]]
            yield ""
            i = end
        elif line.startswith("    ") and not lines[i - 1].strip():
            end = next((j for j in range(i, len(lines)) if lines[j] and not lines[j].startswith("    ")), len(lines))
            yield from [".. code-block:: bash", ""]
            yield from ["   " + code.strip() for code in lines[i:end]]
            yield ""
            i = end - 1
        else:
            yield _inline(line)
        i += 1


class Markdown(SphinxDirective):
    required_arguments = 1
    option_spec = {"section": directives.unchanged, "underline": directives.unchanged}

    def run(self):
        file = (Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]).resolve()
        self.env.note_dependency(str(file))
        rst = to_rst(file.read_text(), self.options.get("section"), self.options.get("underline", "-"))
        return self.parse_text_to_nodes(StringList(list(rst), source=str(file)), allow_section_headings=True)


def setup(app):
    app.add_directive("markdown", Markdown)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
