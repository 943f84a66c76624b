"""Blocks that are still open: each one knows what it is so far, and which further lines belong to it."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import partial

from tailrace.render import beginnings, table
from tailrace.render.blocks import (
    Block,
    Empty,
    FencedCode,
    Heading,
    Html,
    IndentedCode,
    Math,
    Place,
    Table,
    ThematicBreak,
)
from tailrace.render.line import CODE_INDENT, Line
from tailrace.render.table import Alignment
from tailrace.render.written import Written


class OpenBlock(ABC):
    """A block that is still open, with its lines so far."""

    def __init__(self, place: Place) -> None:
        self.place: Place = place
        self.over: bool = False
        """True if no further line can belong to it."""
        self.lines: list[str] = []
        """The lines that have ended. They are only appended to: a `Written` of an earlier block still reads them."""
        self._unfinished: list[str] = []
        """The pieces of the line that has not ended."""

    @property
    def ends_blank(self) -> bool:
        """True if blank lines follow it, which do not belong to it."""
        return False

    def begin(self, line: Line) -> None:
        """Add its first line."""
        self._add(line.words)

    def take(self, line: Line) -> bool:  # noqa: ARG002
        """Add a further line, if it can only belong to this block.

        Args:
            line: A line that continues all of the block's containers.

        Returns:
            True if the line was added.
        """
        return False

    def extend(self, text: str) -> None:
        """Append text to the line that has not ended."""
        self._unfinished.append(text)

    def end_line(self) -> None:
        """End the line that has not ended."""
        if self._unfinished:
            self.lines.append("".join(self._unfinished))
            self._unfinished = []

    @abstractmethod
    def block(self) -> Block:
        """Return the block that it is if nothing follows."""

    def closed(self) -> Iterable[Block]:
        """Return the blocks that it has become, after its last line."""
        return (self.block(),)

    def _written(self) -> Written:
        return Written(self.lines, self._unfinished)

    def _add(self, text: str) -> None:
        self._unfinished = [text]


class OpenEmpty(OpenBlock):
    """The content of a container that has no other content yet."""

    def block(self) -> Block:
        return Empty(written=self._written(), **self.place)


class OpenThematicBreak(OpenBlock):
    """A thematic break."""

    def end_line(self) -> None:
        super().end_line()
        self.over = True

    def block(self) -> Block:
        return ThematicBreak(written=self._written(), **self.place)


class OpenHeading(OpenBlock):
    """A heading that begins with `#` marks."""

    def __init__(self, place: Place, level: int) -> None:
        super().__init__(place)
        self._level = level

    def end_line(self) -> None:
        super().end_line()
        self.over = True

    def block(self) -> Block:
        return Heading(written=self._written(), level=self._level, **self.place)


class OpenFence(OpenBlock):
    """Code after an opening fence."""

    def __init__(self, place: Place, fence: str, indent: int) -> None:
        super().__init__(place)
        self._fence = fence
        self._indent = " " * indent
        self._language = ""

    def begin(self, line: Line) -> None:
        info = line.words.removeprefix(self._fence).split(maxsplit=1)
        self._language = info[0] if info else ""
        self._add(self._indent + line.words)

    def take(self, line: Line) -> bool:
        if line.indent < CODE_INDENT and line.character == self._fence[0]:
            closing = line.words.rstrip(" \t")
            self.over: bool = len(closing) >= len(self._fence) and not closing.strip(self._fence[0])
        line.skip(min(line.indent, len(self._indent)))
        self._add(self._indent + line.rest)
        return True

    def block(self) -> Block:
        return FencedCode(written=self._written(), language=self._language, ended=self.over, **self.place)


class OpenMath(OpenBlock):
    """A formula after `$$`. As in TeX, a blank line ends it, so a stray `$$` spoils only the text up to there."""

    def begin(self, line: Line) -> None:
        self.take(line)

    def take(self, line: Line) -> bool:
        if line.blank:
            return False
        self._add(line.rest)
        return True

    def end_line(self) -> None:
        super().end_line()
        last = self.lines[-1].strip(" \t")
        self.over: bool = last.endswith("$$") and (len(self.lines) > 1 or last != "$$")

    def block(self) -> Block:
        return Math(written=self._written(), ended=self.over, **self.place)


class OpenHtml(OpenBlock):
    """An HTML block, which goes up to a line with its end, or to a blank line if it has no such end."""

    def __init__(self, place: Place, end: re.Pattern[str] | None) -> None:
        super().__init__(place)
        self._end = end

    def begin(self, line: Line) -> None:
        self._add(" " * line.indent + line.words)

    def take(self, line: Line) -> bool:
        if line.blank and not self._end:
            return False
        self._add(line.rest)
        return True

    def end_line(self) -> None:
        super().end_line()
        self.over: bool = self._end is not None and self._end.search(self.lines[-1]) is not None

    def block(self) -> Block:
        return Html(written=self._written(), **self.place)


class OpenIndentedCode(OpenBlock):
    """Indented code."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._blank: list[str] = []
        """The last blank lines. They belong to it only if more code follows."""

    @property
    def ends_blank(self) -> bool:
        return bool(self._blank)

    def begin(self, line: Line) -> None:
        self.take(line)

    def take(self, line: Line) -> bool:
        if line.indent < CODE_INDENT and not line.blank:
            return False
        line.skip(min(line.indent, CODE_INDENT))
        text = " " * CODE_INDENT + line.rest
        if line.blank:
            self._blank.append(text)
        else:
            self.lines.extend(self._blank)
            self._blank = []
            self._add(text)
        return True

    def block(self) -> Block:
        return IndentedCode(written=self._written(), **self.place)


class OpenTable(OpenBlock):
    """A table. It is recognized in its second line, the delimiter row."""

    def __init__(self, place: Place, header: str, alignments: tuple[Alignment | None, ...]) -> None:
        super().__init__(place)
        self.lines.append(header)
        self._header = table.cells(header)
        self._alignments = alignments

    def block(self) -> Block:
        return Table(written=self._written(), header=self._header, alignments=self._alignments, **self.place)


def leaf_at(line: Line, *, interrupting: bool) -> Callable[[Place], OpenBlock] | None:
    """Return what makes the open block that a line begins, or `None` if the line is text or indented code.

    Args:
        line: The line, read up to the block.
        interrupting: True if the line above is text of a paragraph or of a table. Not every HTML block can begin there.
    """
    if line.indent >= CODE_INDENT:
        return None
    match line.character:
        case "#":
            heading = beginnings.HEADING.match(line.text, line.start)
            return partial(OpenHeading, level=len(heading[0])) if heading else None
        case "`" | "~":
            fence = beginnings.FENCE.match(line.text, line.start)
            return partial(OpenFence, fence=fence[0], indent=line.indent) if fence else None
        case "$":
            return OpenMath if beginnings.MATH.match(line.text, line.start) else None
        case "<":
            kind = beginnings.html_kind(line)
            return partial(OpenHtml, end=kind.end) if kind and (kind.interrupts or not interrupting) else None
        case _:
            return OpenThematicBreak if beginnings.is_thematic_break(line) else None
