"""The demo on a terminal: panels that grow."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from tailrace_worker.demo.lane import Lane, Update

_LABEL_LENGTH = 9
_MIN_LINES = 5
_STYLES: Final = {"completed": "green", "failed": "red", "cancelled": "yellow"}
_SIDE_BY_SIDE_COLUMNS = 70
_FRAME = 4
"""What a panel takes off the width of its text, and adds up with its title and status."""


class LiveScreen:
    """A `Screen` on a terminal."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)

    def heading(self, text: str) -> None:
        """Begins a part."""
        self._console.print(Text(f"\n{text}", style="bold"))

    def fact(self, label: str, text: str) -> None:
        """Says one thing, on one line."""
        self._console.print(Text.assemble((f"{label:>{_LABEL_LENGTH}}  ", "cyan"), text), soft_wrap=True)

    @contextmanager
    def lanes(self, *lanes: Lane) -> Generator[Update]:
        """Shows jobs side by side, or one below the other where the terminal is narrow."""
        # No refreshing by itself: that would read the answers from another thread.
        with Live(self._panels(lanes), console=self._console, auto_refresh=False) as live:
            yield lambda _: live.update(self._panels(lanes), refresh=True)

    def _panels(self, lanes: tuple[Lane, ...]) -> Table:
        columns = len(lanes) if self._console.width >= _SIDE_BY_SIDE_COLUMNS else 1
        width = self._console.width // columns - _FRAME
        lines = max(_MIN_LINES, *(len(Text(lane.answer.text).wrap(self._console, width)) for lane in lanes))
        grid = Table.grid(expand=True)
        for _ in range(columns):
            grid.add_column(ratio=1)
        panels = [_panel(lane, height=lines + 2) for lane in lanes]
        for first in range(0, len(panels), columns):
            grid.add_row(*panels[first : first + columns])
        return grid


def _panel(lane: Lane, *, height: int) -> Panel:
    ending = lane.answer.ending
    return Panel(
        Text(lane.answer.text),
        title=Text.assemble((lane.label, "bold"), f" {lane.model}"),
        title_align="left",
        subtitle=Text(lane.status),
        subtitle_align="left",
        border_style=_STYLES[ending.type] if ending else "blue",
        height=height,
    )
