"""How the documentation is built: Markdown pages, and reference pages that are written from the code."""

import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]  # the extension, and the code that it describes

project = "visnet"
author = "the authors of visnet"
extensions = ["myst_parser", "reference"]
exclude_patterns = ["_ext"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "visnet"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sphinx = html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
highlight_language = "none"
myst_enable_extensions = ["attrs_inline"]
myst_heading_anchors = 3
nitpicky = True
