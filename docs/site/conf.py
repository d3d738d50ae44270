"""Sphinx' settings for the documentation site. `build.py` calls Sphinx with pages that it has prepared."""

from __future__ import annotations

import os
import re
from typing import Any

project = "plugmux"
version = release = os.environ["PLUGMUX_DOCS_VERSION"]
language = "en"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "index"
nitpicky = False  # Types of other packages are named in signatures; links of pages are checked whatever this says.
suppress_warnings = [
    "misc.highlighting_failure",
    "myst.header",
    "ref.python",  # A short name in an annotation may mean several classes; then it is no link.
]
exclude_patterns = ["files"]
linkcheck_anchors = False  # Pages of GitHub and others make their anchors by scripts.
linkcheck_timeout = 20
linkcheck_retries = 2
linkcheck_workers = 4
linkcheck_ignore = [r"https?://(localhost|127\.0\.0\.1|\[::1\]|unix|plugin)\b", r"https?://[\w.-]+\.example\b"]
default_role = "code"  # Docstrings write names as Markdown does.

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_class_signature = "mixed"
python_maximum_signature_line_length = 100
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = "plugmux"
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "plugmux"},
    "navbar_start": ["navbar-logo", "version-switcher"],
    "navbar_align": "left",
    "header_links_before_dropdown": 5,
    "show_toc_level": 2,
    "show_prev_next": True,
    "switcher": {"json_url": "../versions.json", "version_match": version},
    "check_switcher": False,
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "default",
    "pygments_dark_style": "github-dark",
}

_PLURAL = re.compile(r"(`[^`\s]+`)(?=[a-z])")
_SECTION = re.compile(r"^(Args|Attributes|Raises|Returns|Yields|Example|Note):$")


def from_markdown(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Write a docstring as reStructuredText wants it: indented blocks are examples, and letters may follow a name."""
    found: list[str] = []
    previous, inside, in_section = "", False, False
    for line in lines:
        indented = line.startswith("    ")
        in_section = bool(_SECTION.match(line)) or (in_section and (indented or not line))
        if indented and not in_section and not inside and not previous:
            found += ["::", ""]
            inside = True
        elif line and not indented:
            inside = False
        found.append(_PLURAL.sub(r"\1\\ ", line))
        previous = line
    lines[:] = found


def setup(app: Any) -> None:
    """Register with Sphinx; before napoleon, which sees what this leaves."""
    app.connect("autodoc-process-docstring", from_markdown, priority=1)
