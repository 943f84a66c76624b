"""`OpenParagraph`: text that is still open, and may become a heading, a table or a link definition."""

from collections.abc import Iterable

from tailrace.render.blocks import Block, Heading, LinkDefinition, Paragraph, Place
from tailrace.render.definition import DefinitionReader
from tailrace.render.leaves import OpenBlock
from tailrace.render.line import CODE_INDENT, Line
from tailrace.render.written import Written


class OpenParagraph(OpenBlock):
    """Text, or a link definition. Sometimes only the next line shows which of them it is."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._reader: DefinitionReader | None = None

    def begin(self, line: Line) -> None:
        super().begin(line)
        if line.character == "[":
            self._reader = DefinitionReader()

    def add_line(self, line: Line, *, is_lazy: bool) -> None:
        """Add a further line.

        Args:
            line: The line.
            is_lazy: True for a lazy continuation line, which lacks marks of the containers. It is indented, so that a
                parser of `source` reads it as text too.
        """
        self._add(" " * (CODE_INDENT if is_lazy else line.indent) + line.words)

    def remove_last_line(self) -> str:
        """Remove and return its last line, which is the header of a table."""
        *self.lines, last = self.lines
        return last

    def split_definition(self, next_character: str | None) -> LinkDefinition | None:
        """Remove and return the link definition at the beginning of the text, if it has one that is complete.

        Args:
            next_character: The first character of the next line; `None` if no line follows.
        """
        length = self._definition_lines()
        if self._reader and next_character is not None and self._reader.may_continue_with(next_character):
            return None
        self._reader = None
        if not length:
            return None
        definition = LinkDefinition(written=Written(self.lines[:length]), **self.place)
        self.lines: list[str] = self.lines[length:]
        if self.lines:
            self.lines[0] = self.lines[0].lstrip(" \t")
        self.place: Place = Place(line=self.place["line"] + length, containers=self.place["containers"], apart=False)
        return definition

    def underlined(self, underline: str) -> Heading:
        """Return the heading that its text becomes above an underline."""
        return Heading(
            written=Written([*self.lines, underline]),
            level=1 if underline.startswith("=") else 2,
            **self.place,
        )

    def block(self) -> Block:
        made = LinkDefinition if self._definition_lines() else Paragraph
        return made(written=self._written(), **self.place)

    def closed(self) -> Iterable[Block]:
        definition = self.split_definition(None)
        if definition:
            yield definition
        if self.lines:
            yield self.block()

    def _definition_lines(self) -> int:
        """Return how many of the lines that have ended are a link definition."""
        if not self._reader:
            return 0
        for text in self.lines[self._reader.lines :]:
            self._reader.read(text)
        return self._reader.length
