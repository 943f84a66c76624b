"""`MarkdownStream`: parses Markdown as it arrives into closed blocks and one open block."""

from collections.abc import AsyncIterable, Awaitable, Callable, Iterable
from typing import Final, TypeAlias

from tailrace.render import beginnings, table
from tailrace.render.blocks import Block, Container, Place
from tailrace.render.containers import Containers
from tailrace.render.leaves import OpenBlock, OpenEmpty, OpenIndentedCode, OpenTable, leaf_at
from tailrace.render.line import CODE_INDENT, Line
from tailrace.render.paragraph import OpenParagraph

_MAX_AMBIGUOUS: Final = 256
"""Characters: an ambiguous line that is longer than this is not searched again at each part, but only at its end."""


class MarkdownStream:
    """Parses Markdown as it arrives: CommonMark 0.31.2, the tables of GFM, and formulas between `$$` and `$$`.

    The blocks do not depend on how the text is cut, and the time is linear in its length. After each part the blocks
    are those of the whole text so far, except for a last line that is still ambiguous. It is held back until it is
    certain: otherwise text above a list would become a heading while only the `-` of the list has arrived.

    A closed block never changes. Its meaning may: `[label]` in it becomes a link through a later `LinkDefinition`.
    """

    def __init__(self) -> None:
        self._containers = Containers()
        self._leaf: OpenBlock | None = None
        self._closed: list[Block] = []
        self._number = 0
        """The number of the line that is being read, from 0."""
        self._apart = False
        """True if a blank line came after the last block."""
        self._ambiguous: list[str] = []
        """The parts of the line that is being read, while its kind is ambiguous."""
        self._is_certain = False
        """True if the kind of the line is certain: the rest of it goes directly to the open block."""
        self._after_return = False
        """True if a line feed at the beginning of the next part belongs to the last line end."""

    def feed(self, text: str) -> list[Block]:
        """Read more of the text.

        Args:
            text: The next part of the text, of any length.

        Returns:
            The blocks that this part has closed, in their order.
        """
        *ended, unfinished = self._normalized(text).split("\n")
        for piece in ended:
            self._add(piece)
            self._end_line()
        if unfinished:
            self._add(unfinished)
            self._read_if_certain()
        return self._take_closed()

    def end(self) -> list[Block]:
        """End the text. Nothing may be fed after it.

        Returns:
            The last blocks, in their order.
        """
        # White space at the end of the text is not a blank line.
        if self._is_certain or "".join(self._ambiguous).strip(" \t"):
            self._end_line()
        self._close_to(0)
        return self._take_closed()

    @property
    def open(self) -> Block | None:
        """The block that is open, as far as it has arrived. Only reading its text takes time linear in its length.

        It may still become another block: text becomes a table or a heading if the next line says so, and the
        definition of a link at the end of its line. `None` if the next text begins another block.
        """
        return self._leaf.block() if self._leaf else None

    def _normalized(self, text: str) -> str:
        if self._after_return and text:
            text = text.removeprefix("\n")
            self._after_return = False
        if "\r" in text:
            self._after_return = text.endswith("\r")
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        return text.replace("\0", "\ufffd")

    def _take_closed(self) -> list[Block]:
        closed, self._closed = self._closed, []
        return closed

    def _add(self, piece: str) -> None:
        if self._is_certain and self._leaf:
            self._leaf.extend(piece)
        else:
            self._ambiguous.append(piece)

    def _read_if_certain(self) -> None:
        if not self._is_certain and (len(self._ambiguous) == 1 or len(self._ambiguous[0]) <= _MAX_AMBIGUOUS):
            self._ambiguous = ["".join(self._ambiguous)]
            if beginnings.is_certain(self._ambiguous[0]):
                self._is_certain = True
                self._read(self._ambiguous.pop())

    def _end_line(self) -> None:
        if not self._is_certain:
            self._read("".join(self._ambiguous))
        self._is_certain = False
        self._ambiguous.clear()
        self._number += 1
        if self._leaf:
            self._leaf.end_line()
            if self._leaf.over:
                self._close_leaf()

    def _read(self, text: str) -> None:
        """Read a line, or a beginning that makes its kind certain."""
        line = Line(text)
        depth = self._containers.read_marks(line)
        inside = depth == len(self._containers)
        if inside and self._leaf and self._leaf.take(line):
            return
        if line.blank:
            self._read_blank(depth)
        elif not (isinstance(self._leaf, OpenParagraph) and self._convert(self._leaf, line, inside=inside)):
            self._begin(line, depth)

    def _read_blank(self, depth: int) -> None:
        if isinstance(self._leaf, OpenEmpty) and depth == len(self._containers):
            if not self._containers.end_item():
                return
            self._close_leaf()
        else:
            self._close_to(depth)
        self._apart = True

    def _convert(self, paragraph: OpenParagraph, line: Line, *, inside: bool) -> bool:
        """Turn a paragraph into a link definition, a table or a heading, if the next line shows that it is one.

        Returns:
            True if the line belongs to the table or to the heading, and is read.
        """
        self._split_definition(paragraph, line.character)
        if not paragraph.lines or not inside or line.indent >= CODE_INDENT:
            return False
        if alignments := table.alignments(line.words, paragraph.lines[-1]):
            header = paragraph.remove_last_line()
            place = paragraph.place
            if paragraph.lines:
                self._close_leaf()
                place = Place(line=self._number - 1, containers=place["containers"], apart=False)
            self._leaf = OpenTable(place, header, alignments)
            self._leaf.begin(line)
            return True
        if beginnings.UNDERLINE.fullmatch(line.words):
            self._split_definition(paragraph, None)
            self._closed.append(paragraph.underlined(line.words))
            self._leaf = None
            return True
        return False

    def _split_definition(self, paragraph: OpenParagraph, next_character: str | None) -> None:
        definition = paragraph.split_definition(next_character)
        if definition:
            self._closed.append(definition)
            if not paragraph.lines:
                self._leaf = None

    def _begin(self, line: Line, depth: int) -> None:
        """Begin the containers and the block that a line begins, or continue the paragraph or the table above it.

        Args:
            line: The line.
            depth: How many of the open containers the line continues.
        """
        inside = depth == len(self._containers)
        paragraph = self._leaf if isinstance(self._leaf, OpenParagraph) else None
        rows = self._leaf if isinstance(self._leaf, OpenTable) and inside else None
        while mark := beginnings.container_mark(line, interrupting=paragraph is not None and inside):
            before = self._close_to(depth)
            self._containers.begin(mark, line, self._number, before)
            depth += 1
            paragraph = rows = None
        if line.blank:
            self._open(OpenEmpty, line, depth)
        elif make := leaf_at(line, interrupting=(paragraph or rows) is not None):
            self._open(make, line, depth)
        elif paragraph:
            paragraph.add_line(line, is_lazy=not inside)
        elif line.indent >= CODE_INDENT:
            self._open(OpenIndentedCode, line, depth)
        elif rows:
            rows.begin(line)
        else:
            self._open(OpenParagraph, line, depth)

    def _open(self, make: Callable[[Place], OpenBlock], line: Line, depth: int) -> None:
        self._close_to(depth)
        self._leaf = make(Place(line=self._number, containers=self._containers.path, apart=self._apart))
        self._leaf.begin(line)
        self._apart = False

    def _close_to(self, depth: int) -> Container | None:
        if isinstance(self._leaf, OpenEmpty) and depth == len(self._containers):
            # The container has another content after all.
            self._apart = self._leaf.place["apart"]
            self._leaf = None
        self._close_leaf()
        if depth < self._containers.quote_depth:
            # A blank line inside a quote does not separate the blocks after the quote.
            self._apart = False
        return self._containers.close_to(depth)

    def _close_leaf(self) -> None:
        if self._leaf:
            self._closed += self._leaf.closed()
            self._apart = self._leaf.ends_blank
            self._leaf = None


Reported: TypeAlias = Awaitable[None] | None
"""What a callback returns: `None`, or what a coroutine function returns."""


async def follow(
    texts: AsyncIterable[str],
    *,
    on_closed: Callable[[Block], Reported],
    on_open: Callable[[Block | None], Reported],
) -> None:
    """Parse Markdown as it arrives. After each part, report the blocks that it closed, and then the open block.

    Args:
        texts: The parts of the text, of any length.
        on_closed: Called with each block that was closed. It may be a coroutine function.
        on_open: Called with the open block after each part, or with `None` if no block is open. It may be a coroutine
            function. The next part is read only after it is done.
    """
    stream = MarkdownStream()

    async def report(closed: Iterable[Block]) -> None:
        for block in closed:
            await _done(on_closed(block))
        await _done(on_open(stream.open))

    async for text in texts:
        await report(stream.feed(text))
    await report(stream.end())


async def _done(reported: Reported) -> None:
    if reported is not None:
        await reported
