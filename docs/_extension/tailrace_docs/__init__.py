"""The part of Sphinx that is our own: reference pages that are written from the code, and links to the source.

A page says `% generate: NAME` where the generated part goes. Nothing that is generated is checked in.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from docutils import nodes
from docutils.parsers.rst.states import Inliner
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from tailrace_docs import api, commands, errors, events, redis_keys, routes, settings
from tailrace_docs.docstrings import restructured

ROOT: Final = Path(__file__).parents[3]
SOURCE_URL: Final = "https://github.com/tailrace/tailrace/blob/main/"

_GENERATE: Final = re.compile(r"^% generate: ([a-z-]+)$", re.MULTILINE)
_COLON: Final = "\N{RATIO}"
_GENERATORS: Final[Mapping[str, Callable[[], str]]] = {
    "api": api.markdown,
    "commands": commands.markdown,
    "endings": events.endings_markdown,
    "errors": errors.tree_markdown,
    "events": events.markdown,
    "failure-codes": errors.codes_markdown,
    "gateway-settings": settings.gateway_markdown,
    "http-errors": routes.errors_markdown,
    "redis-keys": redis_keys.markdown,
    "routes": routes.markdown,
    "settings": settings.markdown,
    "worker-settings": settings.worker_markdown,
}


def setup(app: Sphinx) -> Mapping[str, Any]:
    """Registers the extension."""
    app.connect("source-read", _generate)
    app.connect("missing-reference", _resolve)
    app.connect("autodoc-process-signature", api.shortened)
    # Napoleon's own comes in between.
    app.connect("autodoc-process-docstring", _before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", _after_napoleon, priority=600)
    app.add_role("source", _source)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _generate(_app: Sphinx, _docname: str, content: list[str]) -> None:
    content[0] = _GENERATE.sub(lambda found: _GENERATORS[found[1]](), content[0])


def _before_napoleon(_app: Sphinx, what: str, _name: str, _member: object, _options: object, lines: list[str]) -> None:
    marked = restructured("\n".join(lines))
    if what in {"attribute", "property"}:
        # What stands before the first colon would be taken for a type.
        marked = marked.replace(":", _COLON)
    lines[:] = marked.splitlines()


def _after_napoleon(_app: Sphinx, _what: str, _name: str, _member: object, _options: object, lines: list[str]) -> None:
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def _resolve(
    _app: Sphinx, _env: BuildEnvironment, node: addnodes.pending_xref, content: nodes.TextElement
) -> nodes.TextElement | None:
    """Leaves a name of ours without a link if it exists and is not public: annotations have many."""
    module, _, name = str(node.get("reftarget")).rpartition(".")
    if not module.startswith("tailrace."):
        return None
    try:
        return content if hasattr(import_module(module), name) else None
    except ModuleNotFoundError:
        return None


def _source(
    _name: str,
    rawtext: str,
    text: str,
    line: int,
    inliner: Inliner,
    _options: Mapping[str, Any] | None = None,
    _content: list[str] | None = None,
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Links a path of the repository; a path that does not exist is an error."""
    messages: list[nodes.system_message] = []
    if not (ROOT / text).exists():
        reporter: Any = inliner.reporter
        messages.append(reporter.error(f"no such path in the repository: {text}", line=line))
    reference = nodes.reference(rawtext, "", nodes.literal(text, text), refuri=SOURCE_URL + text)
    return [reference], messages
