"""The screen of the demo on a terminal, with panels that grow."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tailrace_worker.demo.job import DemoJob, Update

_LABEL_LENGTH = 9
_MIN_LINES = 5
_STYLES: Final = {"completed": "green", "failed": "red", "cancelled": "yellow"}
_SIDE_BY_SIDE_COLUMNS = 70
_FRAME = 4
"""The columns of a panel that its text cannot use: two borders, and the space inside them."""


class LiveScreen:
    """A `Screen` on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def heading(self, text: str) -> None:
        """Begin a part with a heading."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def fact(self, label: str, text: str) -> None:
        """Show one fact on one line."""
        self._console.print(Text.assemble((f"{label:>{_LABEL_LENGTH}}  ", "cyan"), text), soft_wrap=True)

    @contextmanager
    def jobs(self, *jobs: DemoJob) -> Generator[Update]:
        """Show jobs side by side, or one below the other if the terminal is narrow."""
        # There is no automatic refresh, because it would read the answers from another thread.
        with Live(self._panels(jobs), console=self._console, auto_refresh=False) as live:
            yield lambda _: live.update(self._panels(jobs), refresh=True)

    def _panels(self, jobs: tuple[DemoJob, ...]) -> Table:
        columns = len(jobs) if self._console.width >= _SIDE_BY_SIDE_COLUMNS else 1
        width = self._console.width // columns - _FRAME
        lines = max(_MIN_LINES, *(len(Text(job.answer.text).wrap(self._console, width)) for job in jobs))
        grid = Table.grid(expand=True)
        for _ in range(columns):
            grid.add_column(ratio=1)
        panels = [_panel(job, height=lines + 2) for job in jobs]
        for first in range(0, len(panels), columns):
            grid.add_row(*panels[first : first + columns])
        return grid


def _panel(job: DemoJob, *, height: int) -> Panel:
    ending = job.answer.ending
    return Panel(
        Text(job.answer.text),
        title=Text.assemble((job.label, "bold"), f" {job.model}"),
        title_align="left",
        subtitle=Text(job.status),
        subtitle_align="left",
        border_style=_STYLES[ending.type] if ending else "blue",
        height=height,
    )
