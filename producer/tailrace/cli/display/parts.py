"""The parts of an answer, such as its text or its thinking. A part grows until the next one begins."""

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
        """Add text, and yield what draws the text that is now final."""
        ...

    def preview(self, *, width: int, height: int) -> RenderableType | None:
        """Return what draws the text that may still change, or as much of its end as fits.

        Args:
            width: The width of the screen in columns.
            height: The height of the screen in lines.
        """

    def end(self) -> Iterable[RenderableType]:
        """Yield what draws the rest of the text."""
        ...


class MarkdownPart:
    """Text of the answer, drawn as Markdown."""

    def __init__(self, limits: PageLimits | None = None) -> None:
        """Start with no text.

        Args:
            limits: How much of a block is drawn at once.
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
    """Text that is drawn in one style and not as Markdown, such as thinking."""

    def __init__(self, style: str, lead: Text | None = None) -> None:
        self._style = style
        self._lead = lead or Text()
        """Text that is drawn before its first line."""
        self._line: list[str] = []
        """The pieces of the line that has not ended."""

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
