"""`Transcript`: separates the final text of an answer, which is printed once, from the text that may still change."""

from collections.abc import Callable, Iterable
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from tailrace.cli.display.parts import MarkdownPart, Part, StyledPart
from tailrace.cli.display.plain import remark
from tailrace.cli.display.sources import Sources
from tailrace.cli.tty.control_characters import visible
from tailrace.cli.tty.screen import unbroken
from tailrace.events import Box, Delta, Event, Reasoning, Refusal, Started, ToolCall

_THINKING: Final = "dim italic"


class Transcript:
    """Turns the events of one answer into what a terminal prints, part by part."""

    def __init__(self, output: Callable[[RenderableType], object]) -> None:
        """Start without parts.

        Args:
            output: Called with what draws the next final text, in order.
        """
        self._output = output
        self._part: Part | None = None
        """The open part."""
        self._kind: object = None
        """The kind of the open part: a type of events, or one tool call. An event of another kind ends the part."""
        self.has_parts: bool = False
        """True after the first text."""
        self._sources = Sources()

    def add(self, event: Event) -> None:
        """Add an event that is not an ending."""
        self._sources.add(event)
        match event:
            case Delta() | Reasoning() | Refusal() if not event.text:
                # It carries something else, for example the signature of the thinking.
                pass
            case Delta():
                self._take(event.text, Delta, MarkdownPart)
            case Reasoning():
                self._take(event.text, Reasoning, lambda: StyledPart(_THINKING))
            case Refusal():
                self._take(event.text, Refusal, lambda: StyledPart("red"))
            case ToolCall():
                lead = Text.assemble(("→ ", "magenta"), (visible(event.name or "unnamed"), "bold magenta"), " ")
                self._take(event.arguments, (ToolCall, event.index), lambda: StyledPart("", lead))
            case Box():
                corners = f"{event.x1:g}, {event.y1:g} to {event.x2:g}, {event.y2:g}"
                if event.scale is not None:
                    corners += f" of {event.scale}"
                self._output(Text(f"▢ {visible(event.label or 'box')}: {corners}", style="dim"))
            case Started():
                if not event.continues:
                    self.end()
                self._remark(event)
            case _:
                self._remark(event)

    def sources(self) -> Iterable[RenderableType]:
        """Return the sources that the answer cites, below a blank line; nothing if there are none."""
        lines = [unbroken(line) for line in self._sources.lines()]
        return [Text(), *lines] if lines else []

    def preview(self, *, width: int, height: int) -> RenderableType | None:
        """Return what draws the text that may still change, or as much of its end as fits.

        Args:
            width: The width of the screen in columns.
            height: The height of the screen in lines.
        """
        return self._part.preview(width=width, height=height) if self._part else None

    def end(self) -> None:
        """Print the open part, if there is one."""
        if self._part is not None:
            self._print(self._part.end())
            self._part = None

    def _take(self, text: str, kind: object, begin: Callable[[], Part]) -> None:
        if self._part is None or self._kind != kind:
            self.end()
            if self.has_parts:
                self._output(Text())
            self._part, self._kind = begin(), kind
            self.has_parts = True
        self._print(self._part.take(visible(text)))

    def _print(self, final: Iterable[RenderableType]) -> None:
        for each in final:
            self._output(each)

    def _remark(self, event: Event) -> None:
        if line := remark(event):
            self._output(Text(visible(line), style="yellow"))
