"""`Transcript`: what of an answer is printed for good, and what is still open."""

from collections.abc import Callable, Iterable
from typing import Final

from rich.console import RenderableType
from rich.text import Text

from tailrace.cli.display.parts import MarkdownPart, Part, StyledPart
from tailrace.cli.display.plain import remark
from tailrace.cli.tty.control_characters import visible
from tailrace.events import Box, Delta, Event, Reasoning, Refusal, Started, ToolCall

_THINKING: Final = "dim italic"


class Transcript:
    """Turns the events of one answer into what a terminal prints, part by part."""

    def __init__(self, output: Callable[[RenderableType], object]) -> None:
        """Takes where the lines go that will not change any more, in their order."""
        self._output = output
        self._part: Part | None = None
        self._of: object = None
        """What the part is made of: a type of events, or the fragments of one tool call."""
        self.has_parts: bool = False

    def add(self, event: Event) -> None:
        """Add an event that is not an ending."""
        match event:
            case Delta() | Reasoning() | Refusal() if not event.text:
                # A signature of the thinking, say.
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

    def preview(self, *, width: int, height: int) -> RenderableType | None:
        """Return what may still change, or as much of its end as fits into so many columns and lines."""
        return self._part.preview(width=width, height=height) if self._part else None

    def end(self) -> None:
        """Print what is open."""
        if self._part is not None:
            self._print(self._part.end())
            self._part = None

    def _take(self, text: str, of: object, begin: Callable[[], Part]) -> None:
        if self._part is None or self._of != of:
            self.end()
            if self.has_parts:
                self._output(Text())
            self._part, self._of = begin(), of
            self.has_parts = True
        self._print(self._part.take(visible(text)))

    def _print(self, printed: Iterable[RenderableType]) -> None:
        for each in printed:
            self._output(each)

    def _remark(self, event: Event) -> None:
        if line := remark(event):
            self._output(Text(visible(line), style="yellow"))
