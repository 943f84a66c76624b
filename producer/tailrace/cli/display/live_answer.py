"""`LiveAnswer`: one answer on a terminal, as it grows."""

from collections.abc import Callable
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.text import Text

from tailrace import Job, Settings
from tailrace.cli.display.ending import judged
from tailrace.cli.display.parts import MarkdownPart, Part, StyledPart
from tailrace.cli.display.plain import remark
from tailrace.cli.display.progress import Progress
from tailrace.cli.tty.control_characters import visible
from tailrace.cli.tty.screen import Screen, unbroken
from tailrace.events import (
    Box,
    Cancelled,
    Completed,
    Delta,
    Event,
    Failed,
    Reasoning,
    Refusal,
    Started,
    ToolCall,
)

_THINKING: Final = "dim italic"


class LiveAnswer:
    """A `Display` of one job: what will not change any more is printed once, what may is drawn again and again."""

    def __init__(self, job: Job, *, console: Console | None = None) -> None:
        self._job = job
        self._settings = Settings.read()
        self._screen = Screen(self, console=console, transient=True)
        self._progress = Progress()
        self._part: Part | None = None
        self._of: object = None
        """What the part is made of: a type of events, or the fragments of one tool call."""
        self._has_printed = False
        self._question: str | None = None
        self._version = 0
        self._rendered: tuple[tuple[int, int, int], list[list[Segment]]] | None = None
        """The lines of what is open, and the version, width and height that they are for."""

    def show(self, _: Job, event: Event) -> None:
        """Shows the next event."""
        self._version += 1
        self._progress.add(event)
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
                self._screen.print(Text(f"▢ {visible(event.label or 'box')}: {corners}", style="dim"))
            case Completed() | Failed() | Cancelled():
                self._end_part()
                self._screen.print(*[Text()] * self._has_printed, judged(event, self._settings))
            case Started():
                if not event.continues:
                    self._end_part()
                self._remark(event)
            case _:
                self._remark(event)

    def say(self, line: str) -> None:
        """Prints a line above what is open."""
        self._screen.print(unbroken(line))

    def ask(self, question: str | None) -> None:
        """Shows a question in place of the status."""
        self._question = question

    async def draw(self) -> None:
        """Draws until it is cancelled, and then prints what is open."""
        await self._progress.read_limit(self._job)
        try:
            await self._screen.draw()
        finally:
            self._end_part()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The end of what is open, and the status below it."""
        for line in self._open_lines(console, options):
            yield from line
            yield Segment.line()
        if self._question:
            question = Text(self._question, style="bold yellow")
            question.truncate(options.max_width, overflow="ellipsis")
            yield question
        else:
            yield self._progress.line(options.max_width)

    def _take(self, text: str, of: object, begin: Callable[[], Part]) -> None:
        if self._part is None or self._of != of:
            self._end_part()
            if self._has_printed:
                self._screen.print(Text())
            self._part, self._of = begin(), of
            self._has_printed = True
        self._screen.print(*self._part.take(visible(text)))

    def _end_part(self) -> None:
        if self._part is not None:
            self._screen.print(*self._part.end())
            self._part = None

    def _remark(self, event: Event) -> None:
        if line := remark(event):
            self._screen.print(Text(visible(line), style="yellow"))

    def _open_lines(self, console: Console, options: ConsoleOptions) -> list[list[Segment]]:
        width, height = options.max_width, max(1, options.size.height - 2)
        version = self._version, width, height
        if self._rendered is None or self._rendered[0] != version:
            preview = self._part.preview(width=width, height=height) if self._part else None
            lines = console.render_lines(preview, options, pad=False) if preview is not None else []
            self._rendered = version, lines[-height:]
        return self._rendered[1]
