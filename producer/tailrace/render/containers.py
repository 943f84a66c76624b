"""The quotes and list items that are open."""

import sys
from bisect import bisect_left
from dataclasses import dataclass
from typing import Literal, cast

from tailrace.render.blocks import Container, Item, Quote
from tailrace.render.line import CODE_INDENT, Line


@dataclass(slots=True)
class _Open:
    container: Container
    indent: int
    """Columns by which a further line of a list item is indented; 0 for a quote."""
    columns: int
    """The sum of the indents of this container and of those around it."""


class Containers:
    """The containers that are open, outermost first."""

    def __init__(self) -> None:
        self._open: list[_Open] = []
        self._quotes: list[int] = []
        """The positions of the quotes among them."""

    def __len__(self) -> int:
        return len(self._open)

    @property
    def path(self) -> tuple[Container, ...]:
        """The open containers, outermost first."""
        return tuple(each.container for each in self._open)

    @property
    def quote_depth(self) -> int:
        """The number of containers up to and including the innermost quote."""
        return self._quotes[-1] + 1 if self._quotes else 0

    def read_marks(self, line: Line) -> int:
        """Read the marks of the containers that a line continues.

        Returns:
            The number of these containers. They are the outermost ones.
        """
        for depth, each in enumerate(self._open):
            if line.blank:
                return self._skip_items(line, depth)
            if isinstance(each.container, Quote):
                if line.indent >= CODE_INDENT or line.character != ">":
                    return depth
                _read_quote_mark(line)
            elif line.indent >= each.indent:
                line.skip(each.indent)
            else:
                return depth
        return len(self._open)

    def begin(self, mark: str, line: Line, number: int, before: Container | None) -> None:
        """Open a container.

        Args:
            mark: Its mark, as `container_mark` returns it.
            line: The line that begins with the mark. The mark and the white space after it are read.
            number: The number of the line in the text, from 0.
            before: The container that was closed in its place. It may be an earlier item of the same list.
        """
        if mark == ">":
            _read_quote_mark(line)
            self._quotes.append(len(self._open))
            self._push(Quote(line=number), 0)
        else:
            indent = line.indent + len(mark)
            line.step(len(mark))
            # If there is more white space than that, indented code begins one column after the mark.
            space = 1 if line.blank or line.indent > CODE_INDENT else line.indent
            if not line.blank:
                line.skip(space)
            self._push(_item(mark, number, before), indent + space)

    def end_item(self) -> bool:
        """End the innermost container, if it is an item. The next item may still belong to its list.

        Returns:
            True if it is an item.
        """
        if isinstance(self._open[-1].container, Item):
            self._open[-1].indent = sys.maxsize
            return True
        return False

    def close_to(self, depth: int) -> Container | None:
        """Close all containers except the first ones.

        Args:
            depth: How many stay open.

        Returns:
            The outermost container that was closed, if any.
        """
        closed = None
        while len(self._open) > depth:
            closed = self._open.pop().container
        while self._quotes and self._quotes[-1] >= depth:
            self._quotes.pop()
        return closed

    def _skip_items(self, blank: Line, depth: int) -> int:
        """Continue all items up to the next quote. Visiting each item would make every blank line cost their number."""
        quote = bisect_left(self._quotes, depth)
        end = self._quotes[quote] if quote < len(self._quotes) else len(self._open)
        columns = self._columns(end) - self._columns(depth)
        blank.skip(min(blank.indent, columns))
        return end

    def _columns(self, depth: int) -> int:
        return self._open[depth - 1].columns if depth else 0

    def _push(self, container: Container, indent: int) -> None:
        self._open.append(_Open(container, indent, self._columns(len(self._open)) + indent))


def _read_quote_mark(line: Line) -> None:
    line.step(1)
    line.skip(min(line.indent, 1))


def _item(mark: str, number: int, before: Container | None) -> Item:
    marker = cast('Literal["-", "+", "*", ".", ")"]', mark[-1])
    return Item(
        line=number,
        list_line=before.list_line if isinstance(before, Item) and before.marker == marker else number,
        marker=marker,
        number=int(mark[:-1]) if len(mark) > 1 else None,
    )
