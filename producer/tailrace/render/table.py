"""The cells of a table, and the alignments of its columns."""

import re
from typing import Final, Literal, TypeAlias

from tailrace.render.line import CODE_INDENT

Alignment: TypeAlias = Literal["left", "center", "right"]

_CODE: Final = " " * CODE_INDENT
_DELIMITER_ROW: Final = re.compile(r"(?:[|:][-|: \t]|-[-|:])[-|: \t]*+")
_DELIMITER: Final = re.compile(r":?+-++:?+")
_PIPE: Final = re.compile(r"(?<!\\)\|")


def alignments(delimiter_row: str, header: str) -> tuple[Alignment | None, ...] | None:
    """Return the alignments of a table's columns, or `None` if these two lines do not begin a table.

    Args:
        delimiter_row: The second line, such as `| --- | :-: |`.
        header: The line above it.
    """
    if "|" not in header or header.startswith(_CODE) or not _DELIMITER_ROW.fullmatch(delimiter_row):
        return None
    delimiters = _outer_removed([cell.strip(" \t") for cell in delimiter_row.split("|")])
    if len(delimiters) != len(cells(header)) or not all(map(_DELIMITER.fullmatch, delimiters)):
        return None
    return tuple(_alignment(delimiter) for delimiter in delimiters)


def cells(row: str) -> tuple[str, ...]:
    """Return the cells of a row."""
    written = _outer_removed(_PIPE.split(row.strip(" \t")))
    return tuple(cell.strip(" \t").replace("\\|", "|") for cell in written)


def _outer_removed(written: list[str]) -> list[str]:
    if not written[0]:
        del written[0]
    if written and not written[-1]:
        del written[-1]
    return written


def _alignment(delimiter: str) -> Alignment | None:
    match delimiter.startswith(":"), delimiter.endswith(":"):
        case True, True:
            return "center"
        case True, False:
            return "left"
        case False, True:
            return "right"
        case _:
            return None
