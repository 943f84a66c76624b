"""`LivePanels`: several answers side by side on a terminal, the last lines of each."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tailrace import Job, Settings
from tailrace.cli.display.ending import STYLES, judged
from tailrace.cli.display.plain import remark
from tailrace.cli.display.progress import Progress
from tailrace.cli.tty.control_characters import visible
from tailrace.cli.tty.screen import Screen, unbroken
from tailrace.events import Cancelled, Completed, Delta, Ending, Event, Failed, Reasoning, Refusal, Started

_MIN_WIDTH: Final = 36
_MIN_HEIGHT: Final = 4
_FRAME: Final = 4
"""Columns: what a panel takes off the width of its text. Its frame takes two lines."""
_CORNERS: Final = 6
"""Columns: what it takes off the width of its status."""
_KEPT: Final = 8_192
"""Characters at the end of a text: more than a panel can show."""
_TEXTS: Final[dict[type[Event], str]] = {Delta: "", Reasoning: "dim italic", Refusal: "red"}


class _Lane:
    """One job."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.progress = Progress()
        self.ending: Ending | None = None
        self._text = ""
        self._style = ""

    def add(self, event: Event) -> None:
        """Adds an event."""
        self.progress.add(event)
        match event:
            case Delta() | Reasoning() | Refusal():
                style = _TEXTS[type(event)]
                before = self._text if style == self._style else ""
                self._text = (before + visible(event.text))[-_KEPT:]
                self._style = style
            case Started() if not event.continues:
                self._text = ""
            case Completed() | Failed() | Cancelled():
                self.ending = event
            case _:
                pass

    def panel(self, console: Console, *, width: int, height: int) -> Panel:
        """The last lines, and how far it is."""
        text = Text(self._text.rstrip("\n"), style=self._style)
        lines = text.wrap(console, max(1, width - _FRAME))[2 - height :]
        status = Text(self.ending.type) if self.ending else self.progress.line(max(1, width - _CORNERS))
        return Panel(
            Text("\n").join(lines),
            title=Text(self.name, style="bold"),
            title_align="left",
            subtitle=status,
            subtitle_align="left",
            border_style=STYLES[self.ending.type] if self.ending else "blue",
            height=height,
        )


class LivePanels:
    """A `Display` of several jobs."""

    def __init__(self, names: Mapping[str, str], jobs: Sequence[Job], *, console: Console | None = None) -> None:
        """Takes the names by the jobs' ids."""
        self._jobs = jobs
        self._settings = Settings.read()
        self._screen = Screen(self, console=console, transient=False)
        self._lanes = {job.id: _Lane(names[job.id]) for job in jobs}
        self._question: str | None = None

    def show(self, job: Job, event: Event) -> None:
        """Shows the next event of a job in its panel, and remarks above all panels."""
        lane = self._lanes[job.id]
        lane.add(event)
        if isinstance(event, Ending):
            self._screen.print(Text.assemble((f"{lane.name} ", "bold"), judged(event, self._settings)))
        elif line := remark(event):
            self._screen.print(Text(f"{lane.name} {visible(line)}", style="yellow"))

    def say(self, line: str) -> None:
        """Prints a line above the panels."""
        self._screen.print(unbroken(line))

    def ask(self, question: str | None) -> None:
        """Shows a question below the panels."""
        self._question = question

    async def draw(self) -> None:
        """Draws until it is cancelled."""
        await asyncio.gather(*(self._lanes[job.id].progress.read_limit(job) for job in self._jobs))
        await self._screen.draw()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As many panels as have room, those that still grow before the others, and what else is to be said."""
        columns = max(1, min(len(self._lanes), options.max_width // _MIN_WIDTH))
        room = max(_MIN_HEIGHT, options.size.height - 2)
        rows = min(-(-len(self._lanes) // columns), room // _MIN_HEIGHT)
        lanes = list(self._lanes.values())
        if len(lanes) > rows * columns:
            lanes.sort(key=lambda lane: lane.ending is not None)
        grid = Table.grid(expand=True)
        for _ in range(columns):
            grid.add_column(ratio=1)
        panels = [
            lane.panel(console, width=options.max_width // columns, height=room // rows)
            for lane in lanes[: rows * columns]
        ]
        for first in range(0, len(panels), columns):
            grid.add_row(*panels[first : first + columns])
        yield grid
        hidden = len(lanes) - len(panels)
        if self._question or hidden:
            yield Text(self._question or f"and {hidden:,} more", style="bold yellow", no_wrap=True, overflow="ellipsis")
