"""`LivePanels`: the last lines of several answers, side by side on a terminal."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from tailrace import Job, Settings, TailraceError
from tailrace.cli.display.ending import STYLES, coloured_summary
from tailrace.cli.display.plain import remark
from tailrace.cli.display.progress import Progress
from tailrace.cli.display.transcript import Transcript
from tailrace.cli.tty.control_characters import visible, visible_line
from tailrace.cli.tty.screen import Screen, unbroken
from tailrace.events import Delta, Ending, Event, Reasoning, Refusal, Started
from tailrace.request.any_request import AnyRequest
from tailrace.request.generation_request import GenerationRequest

_MIN_WIDTH: Final = 36
_MIN_HEIGHT: Final = 4
_FRAME: Final = 4
"""Columns that a panel needs in addition to its text. Its frame also takes two lines."""
_CORNERS: Final = 6
"""Columns that a panel needs in addition to its title or its status."""
_KEPT: Final = 8_192
"""Characters kept at the end of a text, more than a panel can show."""
_PROMPT_LENGTH: Final = 60
"""Characters of the prompt in a title, enough to tell jobs apart."""
_TEXT_STYLES: Final[dict[type[Event], str]] = {Delta: "", Reasoning: "dim italic", Refusal: "red"}


class _Answer:
    """The answer of one job: its last lines, for the panel, and the whole of it, to print at the end."""

    def __init__(self, name: str) -> None:
        self.progress = Progress()
        self.ending: Ending | None = None
        self._title = Text(name, style="bold")
        self._text = ""
        self._style = ""
        self._begin()

    def describe(self, request: AnyRequest) -> None:
        """Add the model and the beginning of the prompt to the title."""
        self.progress.describe(request)
        self._title.append(f" {visible_line(request.model)}", style="not bold")
        if isinstance(request, GenerationRequest) and (prompt := visible_line(_prompt(request))):
            self._title.append(f": {prompt}", style="not bold dim")

    def add(self, event: Event) -> None:
        """Add an event."""
        self.progress.add(event)
        if isinstance(event, Started) and not event.continues:
            self._text = ""
            # A new attempt replaces the answer so far.
            self._begin()
        if isinstance(event, Delta | Reasoning | Refusal):
            style = _TEXT_STYLES[type(event)]
            before = self._text if style == self._style else ""
            self._text = (before + visible(event.text))[-_KEPT:]
            self._style = style
        if isinstance(event, Ending):
            self.ending = event
        else:
            self._transcript.add(event)

    def panel(self, console: Console, *, width: int, height: int) -> Panel:
        """Return the panel: the last lines of the answer, and its progress.

        Args:
            console: The console, which wraps the text.
            width: The width of the panel in columns.
            height: The height of the panel in lines.
        """
        text = Text(self._text.rstrip("\n"), style=self._style)
        lines = text.wrap(console, max(1, width - _FRAME))[2 - height :]
        title = self._title.copy()
        title.truncate(max(1, width - _CORNERS), overflow="ellipsis")
        status = Text(self.ending.type) if self.ending else self.progress.line(max(1, width - _CORNERS))
        return Panel(
            Text("\n").join(lines),
            title=title,
            title_align="left",
            subtitle=status,
            subtitle_align="left",
            border_style=STYLES[self.ending.type] if self.ending else "blue",
            height=height,
        )

    def whole(self, settings: Settings) -> Iterable[RenderableType]:
        """Yield the title, the whole answer, and the ending if the job has one."""
        self._transcript.end()
        yield Rule(self._title, align="left", style=STYLES[self.ending.type] if self.ending else "blue")
        yield from self._printed
        yield from self._transcript.sources()
        if self.ending:
            yield coloured_summary(self.ending, settings)
        yield Text()

    def remark(self, event: Event) -> Text | None:
        """Return the remark of an event after the name of the job, or `None` if the event needs no remark."""
        line = remark(event)
        return Text(f"{self._title.plain.split()[0]} {visible(line)}", style="yellow") if line else None

    def _begin(self) -> None:
        self._printed: list[RenderableType] = []
        self._transcript = Transcript(self._printed.append)


class LivePanels:
    """A `Display` of several jobs. Each has a panel. When it ends, its whole answer is printed above the panels."""

    def __init__(self, names: Mapping[str, str], jobs: Sequence[Job], *, console: Console | None = None) -> None:
        """Start with an empty panel for each job.

        Args:
            names: The name of each job, by its id.
            jobs: The jobs.
            console: Where to draw; `None` for the terminal.
        """
        self._jobs = jobs
        self._settings = Settings.read()
        self._screen = Screen(self, console=console, transient=True)
        self._answers = {job.id: _Answer(names[job.id]) for job in jobs}
        self._question: str | None = None

    def show(self, job: Job, event: Event) -> None:
        """Show the next event of a job in its panel. Remarks and whole answers are printed above all panels."""
        answer = self._answers[job.id]
        answer.add(event)
        if answer.ending:
            self._screen.print(*answer.whole(self._settings))
        elif line := answer.remark(event):
            self._screen.print(line)

    def say(self, line: str) -> None:
        """Print a line above the panels."""
        self._screen.print(unbroken(line))

    def ask(self, question: str | None) -> None:
        """Show a question below the panels."""
        self._question = question

    async def draw(self) -> None:
        """Redraw until it is cancelled, and then print the answers of jobs that have not ended."""
        await asyncio.gather(*map(self._describe, self._jobs))
        try:
            await self._screen.draw()
        finally:
            for answer in self._answers.values():
                if not answer.ending:
                    self._screen.print(*answer.whole(self._settings))

    async def _describe(self, job: Job) -> None:
        # The tail of the job raises the same error, and reports it.
        with suppress(TailraceError):
            self._answers[job.id].describe(await job.request())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the panels that fit, running jobs first, and the question or the number of hidden panels below."""
        columns = max(1, min(len(self._answers), options.max_width // _MIN_WIDTH))
        room = max(_MIN_HEIGHT, options.size.height - 2)
        rows = min(-(-len(self._answers) // columns), room // _MIN_HEIGHT)
        answers = list(self._answers.values())
        if len(answers) > rows * columns:
            answers.sort(key=lambda answer: answer.ending is not None)
        grid = Table.grid(expand=True)
        for _ in range(columns):
            grid.add_column(ratio=1)
        panels = [
            answer.panel(console, width=options.max_width // columns, height=room // rows)
            for answer in answers[: rows * columns]
        ]
        for first in range(0, len(panels), columns):
            grid.add_row(*panels[first : first + columns])
        yield grid
        hidden = len(answers) - len(panels)
        if self._question or hidden:
            yield Text(self._question or f"and {hidden:,} more", style="bold yellow", no_wrap=True, overflow="ellipsis")


def _prompt(request: GenerationRequest) -> str:
    """Return the beginning of the last message of the user."""
    for message in reversed(request.messages):
        if message["role"] == "user":
            content = message["content"]
            texts = (
                [content] if isinstance(content, str) else [each["text"] for each in content if each["type"] == "text"]
            )
            return " ".join(texts)[:_PROMPT_LENGTH]
    return ""
