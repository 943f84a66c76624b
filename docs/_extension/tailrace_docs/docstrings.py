"""What the code says of itself: the docstrings of classes, functions and attributes."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any, Final

_CODE: Final = re.compile(r"(?<![`:])`([^`]+)`(?!`)")


def summary_of(documented: object) -> str:
    """The first paragraph of a docstring, on one line."""
    return _one_line((inspect.getdoc(documented) or "").partition("\n\n")[0])


def description_of(documented: object) -> str:
    """A docstring without its sections (`Args`, `Raises`)."""
    return re.split(r"\n\n(?:Args|Raises|Returns|Yields):\n", inspect.getdoc(documented) or "")[0]


def attribute_docs(documented: type[Any] | ModuleType) -> dict[str, str]:
    """The strings that follow the attributes of a class, its bases' too, or of a module, each on one line."""
    if isinstance(documented, ModuleType):
        return dict(_in_body(ast.parse(inspect.getsource(documented)).body))
    docs: dict[str, str] = {}
    for base in reversed(documented.__mro__):
        if base.__module__.partition(".")[0] in {"tailrace", "tailrace_worker"}:
            (tree,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
            if isinstance(tree, ast.ClassDef):
                docs |= _in_body(tree.body)
    return docs


def defined_names(module: ModuleType) -> set[str]:
    """The names that a module assigns at its top level."""
    return {name for statement in ast.parse(inspect.getsource(module)).body if (name := _assigned(statement))}


def restructured(text: str) -> str:
    """Marks code as reStructuredText does: docstrings write it as Markdown does, between single backticks."""
    return _CODE.sub(r"``\1``\\ ", text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown. Each cell is written on one line."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return _one_line(text).replace("|", "\\|")


def _in_body(body: list[ast.stmt]) -> Iterable[tuple[str, str]]:
    for statement, following in pairwise(body):
        name = _assigned(statement)
        if name and isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            yield name, _one_line(str(following.value.value))


def _assigned(statement: ast.stmt) -> str | None:
    match statement:
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case _:
            return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
