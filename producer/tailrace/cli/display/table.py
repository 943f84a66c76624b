"""A table in plain text."""

from collections.abc import Iterable, Sequence

from tailrace.cli.tty.control_characters import visible_line


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table.

    Args:
        head: The titles of the columns.
        rows: The cells of each row.
    """
    lines = [head, *([visible_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
