"""Sphinx settings: the pages in Markdown, the API reference from the docstrings."""

from importlib.metadata import version as version_of
from pathlib import Path

project = "cot_attn"
author = "the cot-attn authors"
copyright = f"{author}. MIT licence"  # noqa: A001
release = version_of("cot-attn")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_extra"]
myst_heading_anchors = 3
default_role = "py:obj"  # `name` in a docstring: a link where there is one, code in any case
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_attr_annotations = False  # jaxtyping writes shapes as "*site", which is no reST
add_module_names = False

html_theme = "furo"
html_title = "cot_attn"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
# What `make docs` makes: a report to look at. Without it the pages are built too.
html_extra_path = [path for path in ["_extra"] if (Path(__file__).parent / path).exists()]
