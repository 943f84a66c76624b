"""Text that is open, and may become something else."""

from collections.abc import Iterable

from tailrace.render.blocks import Block, Heading, LinkDefinition, Paragraph, Place
from tailrace.render.definition import DefinitionReader
from tailrace.render.leaves import OpenBlock
from tailrace.render.line import CODE_INDENT, Line
from tailrace.render.written import Written


class OpenParagraph(OpenBlock):
    """Text, or the definition of a link, which may show only by the line behind it."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._reader: DefinitionReader | None = None

    def begin(self, line: Line) -> None:
        super().begin(line)
        if line.character == "[":
            self._reader = DefinitionReader()

    def go_on(self, line: Line, *, lazily: bool) -> None:
        """Takes a further line. One that is no line of its containers is indented, so that it is read as text alone."""
        self._add(" " * (CODE_INDENT if lazily else line.indent) + line.words)

    def take_last_line(self) -> str:
        """Takes off its last line, which turned out to be the header of a table."""
        *self.lines, last = self.lines
        return last

    def split_definition(self, next_character: str | None) -> LinkDefinition | None:
        """Takes the definition off that the text begins with, if the next line, or that there is none, ends it."""
        length = self._definition_lines()
        if self._reader and next_character is not None and self._reader.goes_on_with(next_character):
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
        """The heading that it is with a line below it."""
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
        """How many of its lines that have ended are a definition."""
        if not self._reader:
            return 0
        for text in self.lines[self._reader.lines :]:
            self._reader.read(text)
        return self._reader.length
