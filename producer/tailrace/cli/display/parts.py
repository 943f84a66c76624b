"""The parts of an answer, each of which grows at its end until the next one begins."""

from collections.abc import Iterable
from itertools import chain
from typing import Protocol

from rich.console import RenderableType
from rich.text import Text

from tailrace.cli.display.page import Page, PageLimits
from tailrace.render import MarkdownStream


class Part(Protocol):
    """A part of an answer."""

    def take(self, text: str) -> Iterable[RenderableType]:
        """Takes more text, and gives what will not change any more."""
        ...

    def preview(self, *, width: int, height: int) -> RenderableType | None:
        """What may still change, or as much of its end as has room."""

    def end(self) -> Iterable[RenderableType]:
        """Gives the rest."""
        ...


class MarkdownPart:
    """Text of the answer."""

    def __init__(self, limits: PageLimits | None = None) -> None:
        """Start with no text.

        Args:
            limits: How much of a block is shown at once.
        """
        self._stream = MarkdownStream()
        self._page = Page(limits or PageLimits())

    def take(self, text: str) -> Iterable[RenderableType]:
        return chain.from_iterable(map(self._page.add, self._stream.feed(text)))

    def preview(self, *, width: int, height: int) -> RenderableType | None:
        block = self._stream.open
        return self._page.preview(block, width=width, height=height) if block else None

    def end(self) -> Iterable[RenderableType]:
        return chain.from_iterable(map(self._page.add, self._stream.end()))


class StyledPart:
    """Text that is shown as it is: thinking, say."""

    def __init__(self, style: str, lead: Text | None = None) -> None:
        self._style = style
        self._lead = lead or Text()
        """What stands before its first line."""
        self._line: list[str] = []
        """Pieces of the line that has not ended."""

    def take(self, text: str) -> Iterable[RenderableType]:
        *ended, rest = text.split("\n")
        for piece in ended:
            self._line.append(piece)
            yield from self.end()
            self._lead = Text()
        if rest:
            self._line.append(rest)

    def preview(self, *, width: int, height: int) -> RenderableType | None:
        line = "".join(self._line)
        return self._lead + Text(line[-width * height :], style=self._style)

    def end(self) -> Iterable[RenderableType]:
        line = self._lead + Text("".join(self._line), style=self._style)
        self._line.clear()
        yield line
