"""The blocks of a Markdown text."""

import re
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, TypeAlias, TypedDict

from tailrace.render import table
from tailrace.render.line import CODE_INDENT
from tailrace.render.table import Alignment
from tailrace.render.written import Written

_CLOSING_HASHES: Final = re.compile(r"(?:^|[ \t])#++[ \t]*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Quote:
    """A block quote that contains blocks."""

    type: ClassVar[Literal["quote"]] = "quote"
    line: int
    """The line of the text in which it begins, counted from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A list item that contains blocks. Items of one list have the same `list_line` and the same depth."""

    type: ClassVar[Literal["item"]] = "item"
    line: int
    """The line of the text in which it begins, counted from 0."""
    list_line: int
    """The line of the text in which its list begins, counted from 0."""
    marker: Literal["-", "+", "*", ".", ")"]
    number: int | None
    """The number as it is written; `None` if the list is not ordered. As in CommonMark, only the number of a list's
    first item counts: renderers count on from it."""


Container: TypeAlias = Quote | Item


class Place(TypedDict):
    """Where a block is: the fields `line`, `containers` and `apart` of every block."""

    line: int
    containers: tuple[Container, ...]
    apart: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    type: ClassVar[str]
    written: Written
    """The lines of the block. `source` joins them when it is read, and the other properties are read from `source`."""
    line: int
    """The line of the text in which it begins, counted from 0."""
    containers: tuple[Container, ...]
    """The quotes and list items around it, outermost first. Those that the block before does not have begin here."""
    apart: bool
    """True if a blank line comes before it. A list is loose if `apart` is true for one of its items after the first, or
    for a block directly in an item after that item's first block."""

    @property
    def source(self) -> str:
        """The Markdown of this block only, without the marks of its containers and without the last line feed."""
        return str(self.written)


@dataclass(frozen=True, slots=True, kw_only=True)
class Paragraph(_Block):
    """Text."""

    type: ClassVar[Literal["paragraph"]] = "paragraph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading(_Block):
    """A heading: text after `#` marks, or text above a line of `=` or `-`."""

    type: ClassVar[Literal["heading"]] = "heading"
    level: int
    """The level, 1 to 6."""

    @property
    def text(self) -> str:
        """The text, which is Markdown."""
        *lines, last = self.source.split("\n")
        return "\n".join(lines).strip(" \t") if lines else _CLOSING_HASHES.sub("", last[self.level :]).strip(" \t")


@dataclass(frozen=True, slots=True, kw_only=True)
class FencedCode(_Block):
    """Code between fences. The closing fence may be missing."""

    type: ClassVar[Literal["fenced_code"]] = "fenced_code"
    language: str
    """The first word after the opening fence, as it is written; empty if there is none."""
    ended: bool
    """True after the closing fence has arrived."""

    @property
    def text(self) -> str:
        """The lines between the fences, without the last line feed."""
        opening, *code = self.source.split("\n")
        indent = len(opening) - len(opening.lstrip(" "))
        return "\n".join(line[indent:] for line in (code[:-1] if self.ended else code))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndentedCode(_Block):
    """Code that is indented by four columns."""

    type: ClassVar[Literal["indented_code"]] = "indented_code"

    @property
    def text(self) -> str:
        """The code without the four columns, and without the last line feed."""
        return "\n".join(line[CODE_INDENT:] for line in self.source.split("\n"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Table(_Block):
    """A table. Cells are Markdown."""

    type: ClassVar[Literal["table"]] = "table"
    header: tuple[str, ...]
    alignments: tuple[Alignment | None, ...]

    @property
    def rows(self) -> tuple[tuple[str, ...], ...]:
        """The rows so far. A row that is longer than the header is cut; a shorter one is not padded."""
        _, _, *rows = self.source.split("\n")
        return tuple(table.cells(row)[: len(self.header)] for row in rows)


@dataclass(frozen=True, slots=True, kw_only=True)
class Math(_Block):
    """A formula between `$$` and `$$`. The closing `$$` may be missing."""

    type: ClassVar[Literal["math"]] = "math"
    ended: bool
    """True after the closing `$$` has arrived."""

    @property
    def text(self) -> str:
        """The TeX between the `$$`."""
        text = self.source.strip().removeprefix("$$")
        return (text.removesuffix("$$") if self.ended else text).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Html(_Block):
    """HTML, which is its `source`."""

    type: ClassVar[Literal["html"]] = "html"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThematicBreak(_Block):
    """A thematic break: a horizontal line."""

    type: ClassVar[Literal["thematic_break"]] = "thematic_break"


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkDefinition(_Block):
    """The target of `[label]` in all blocks of the text, those before it included. It is not shown."""

    type: ClassVar[Literal["link_definition"]] = "link_definition"


@dataclass(frozen=True, slots=True, kw_only=True)
class Empty(_Block):
    """An empty block: its innermost container has no content."""

    type: ClassVar[Literal["empty"]] = "empty"


Block: TypeAlias = (
    Paragraph | Heading | FencedCode | IndentedCode | Table | Math | Html | ThematicBreak | LinkDefinition | Empty
)
