"""`Screen`: a terminal with text that is printed once and scrolls, and a few lines below it that are redrawn."""

import asyncio
import os
import time
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.segment import ControlCode, ControlType, Segment, Segments
from rich.text import Text

from tailrace.cli.tty.control_characters import visible
from tailrace.cli.tty.suspend import held

_DRAW_SECONDS: Final = 1 / 12
_IDLE: Final = 4
"""The pause after a drawing is at least this many times as long as the drawing, which so takes at most a fifth of the
time."""
_PRINT_SECONDS: Final = 0.05
"""How long printing may block the event loop."""
_ERASE: Final[tuple[ControlCode, ...]] = (ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)


def _environment() -> dict[str, str]:
    """Return the environment for rich, without COLUMNS and LINES if they are 0.

    0 means that the size is unknown, as elsewhere in Python, but rich would draw on 0 columns.
    """
    return {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"} or value.strip("0")}


def unbroken(line: str) -> Text:
    """Return a line that rich does not wrap. The terminal wraps it, so that it can be copied as one line."""
    return Text(visible(line), no_wrap=True, overflow="ignore")


class Screen:
    """A terminal that one task draws on, a few times a second. Only lines that have changed are written."""

    def __init__(
        self,
        bottom: RenderableType,
        *,
        console: Console | None,
        transient: bool,
        print_seconds: float = _PRINT_SECONDS,
    ) -> None:
        """Prepare a screen; `draw` draws it.

        Args:
            bottom: Draws the lines at the bottom, which are redrawn.
            console: Where to draw; `None` for the terminal.
            transient: True to erase the lines at the bottom at the end.
            print_seconds: How many seconds printing may block the event loop.
        """
        self._console = console or Console(highlight=False, _environ=_environment())
        self._bottom = bottom
        self._transient = transient
        self._print_seconds = print_seconds
        self._waiting: deque[RenderableType] = deque()
        self._is_drawn = False
        self._lines: list[list[Segment]] = []
        """The lines of `bottom` that are on the terminal. The cursor is in the last one."""
        self._size = self._console.size

    def print(self, *printed: RenderableType) -> None:
        """Print above the lines at the bottom. While `draw` runs, this is done with the next drawing."""
        self._waiting += printed
        while self._waiting and not self._is_drawn:
            self._print()

    async def draw(self) -> None:
        """Redraw until it is cancelled, and then print what still waits to be printed.

        A second cancel drops what still waits.
        """
        self._is_drawn = True
        try:
            with held(take=partial(self._console.show_cursor, show=False), release=self._release):
                await self._draw_repeatedly()
        finally:
            await self._print_rest()
            self._is_drawn = False

    async def _draw_repeatedly(self) -> None:
        try:
            while True:
                began = time.perf_counter()
                self._draw()
                took = time.perf_counter() - began
                await asyncio.sleep(0 if self._waiting else max(_DRAW_SECONDS, _IDLE * took))
        finally:
            if not self._transient:
                self._draw_bottom()
                self._console.print()
                self._lines = []

    def _release(self) -> None:
        self._erase()
        self._console.show_cursor(show=True)

    async def _print_rest(self) -> None:
        try:
            while self._waiting:
                self._print()
                await asyncio.sleep(0)
        finally:
            self._waiting.clear()

    def _draw(self) -> None:
        # `with` joins all of it into one write, so that the terminal does not show it half-drawn.
        with self._console:
            if self._waiting:
                self._erase()
                self._print()
            self._draw_bottom()

    def _draw_bottom(self) -> None:
        size = self._console.size
        lines = self._console.render_lines(self._bottom, pad=False)[-size.height :]
        if size != self._size or len(lines) < len(self._lines):
            self._erase()
            self._size = size
        if lines != self._lines:
            self._console.print(Segments(_changes(self._lines, lines)), end="", crop=False)
            self._lines = lines

    def _print(self) -> None:
        """Print what waits, until the time is up. At least one thing is printed."""
        until = time.perf_counter() + self._print_seconds
        with self._console:
            while self._waiting:
                # In a group, because rich wraps a `Text` that is printed by itself, even if it has `no_wrap`.
                self._console.print(Group(self._waiting.popleft()), crop=False)
                if time.perf_counter() > until:
                    break

    def _erase(self) -> None:
        if self._lines:
            above = [((ControlType.CURSOR_UP, 1), *_ERASE)] * (len(self._lines) - 1)
            self._console.control(Control(*_ERASE, *chain.from_iterable(above)))
            self._lines = []


def _changes(before: Sequence[list[Segment]], after: Sequence[list[Segment]]) -> Iterable[Segment]:
    """Yield what turns the drawn lines into new ones, which are at least as many. Only changed lines are written."""
    same = [old == new for old, new in zip(before, after, strict=False)]
    first = [*same, False].index(False)
    up = len(before) - 1 - first
    if up > 0:
        yield Control((ControlType.CURSOR_UP, up)).segment
    elif up < 0 < len(before):
        yield Segment.line()
    for at in range(first, len(after)):
        if at > first:
            yield Segment.line()
        if at >= len(before):
            yield from after[at]
        elif not same[at]:
            yield Control(*_ERASE).segment
            yield from after[at]
