"""How Sphinx builds the documentation: `make docs`."""

import sys
from pathlib import Path

import tailrace

sys.path.insert(0, str(Path(__file__).parent / "_extension"))

project = "tailrace"
author = "The tailrace authors"
project_copyright = "2026, The tailrace authors"
version = release = tailrace.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "tailrace_docs"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build", "_extension"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# Names of other packages are not looked up: the build needs no network.
nitpick_ignore_regex = [(r"py:.*", r"(?!tailrace\.).*")]

smartquotes = False

html_theme = "furo"
html_title = "tailrace"
html_static_path = ["_static"]
html_css_files = ["tailrace.css"]
html_show_sourcelink = False
html_theme_options = {
    "source_repository": "https://github.com/tailrace/tailrace/",
    "source_branch": "main",
    "source_directory": "docs/",
}
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
