"""`Screen`: what is printed for good and scrolls away, and below it the few lines that are drawn again and again."""

import asyncio
import time
from collections import deque
from itertools import islice
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from tailrace.cli.controls import visible

_DRAW_SECONDS: Final = 1 / 12
_IDLE: Final = 4
"""So many times as long as the drawing took passes before the next one: it costs a fifth of the time at most."""
_BATCH: Final = 50
"""How much is printed before others of the event loop have their turn."""


def unbroken(line: str) -> Text:
    """A line that is broken by nobody but the terminal: what is copied from there is whole."""
    return Text(visible(line), no_wrap=True, overflow="ignore")


class Screen:
    """A terminal that is written to a few times a second at most, by one task."""

    def __init__(self, bottom: RenderableType, *, console: Console | None, transient: bool) -> None:
        """`bottom` is no higher than the console. It is taken away at the end where it is `transient`."""
        self._console = console or Console(highlight=False)
        self._bottom = bottom
        self._transient = transient
        self._waiting: deque[RenderableType] = deque()
        self._is_drawn = False

    def print(self, *printed: RenderableType) -> None:
        """Prints for good: while it is drawn, with the next drawing, above the last lines."""
        self._waiting += printed
        if not self._is_drawn:
            self._print()

    async def draw(self) -> None:
        """Draws until it is cancelled."""
        live = Live(
            self._bottom,
            console=self._console,
            auto_refresh=False,
            transient=self._transient,
            vertical_overflow="crop",
        )
        self._is_drawn = True
        try:
            with live:
                while True:
                    began = time.perf_counter()
                    if self._waiting:
                        self._print(_BATCH)
                    else:
                        live.refresh()
                    took = time.perf_counter() - began
                    await asyncio.sleep(0 if self._waiting else max(_DRAW_SECONDS, _IDLE * took))
        finally:
            self._is_drawn = False
            self._print()

    def _print(self, count: int | None = None) -> None:
        batch = list(islice(self._waiting, count))
        for _ in batch:
            self._waiting.popleft()
        if batch:
            # All at once: the last lines are drawn anew behind whatever is printed.
            self._console.print(Group(*batch), crop=False)
