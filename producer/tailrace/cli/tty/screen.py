"""`Screen`: what is printed for good and scrolls away, and below it the few lines that are drawn again and again."""

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
"""So many times as long as the drawing took passes before the next one: it costs a fifth of the time at most."""
_PRINT_SECONDS: Final = 0.05
"""After so long others of the event loop have their turn."""
_ERASE: Final[tuple[ControlCode, ...]] = (ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)


def _environment() -> dict[str, str]:
    """For rich. A size of 0 in it says nothing, as elsewhere in Python: rich would draw on no columns."""
    return {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"} or value.strip("0")}


def unbroken(line: str) -> Text:
    """A line that is broken by nobody but the terminal: what is copied from there is whole."""
    return Text(visible(line), no_wrap=True, overflow="ignore")


class Screen:
    """A terminal that is written to a few times a second at most, by one task, and only where something has changed."""

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
            bottom: The lines that are drawn again and again.
            console: Where to draw; `None` for the terminal.
            transient: True to take `bottom` away at the end.
            print_seconds: For how long to print before others of the event loop have their turn.
        """
        self._console = console or Console(highlight=False, _environ=_environment())
        self._bottom = bottom
        self._transient = transient
        self._print_seconds = print_seconds
        self._waiting: deque[RenderableType] = deque()
        self._is_drawn = False
        self._lines: list[list[Segment]] = []
        """Those of the bottom that stand on the terminal. The cursor is in the last one."""
        self._size = self._console.size

    def print(self, *printed: RenderableType) -> None:
        """Prints for good: while it is drawn, with the next drawing, above the last lines."""
        self._waiting += printed
        while self._waiting and not self._is_drawn:
            self._print()

    async def draw(self) -> None:
        """Draws until it is cancelled, and then prints what waits. Cancelled once more, it drops that."""
        self._is_drawn = True
        try:
            with held(take=partial(self._console.show_cursor, show=False), release=self._retire):
                await self._draw_on()
        finally:
            await self._print_rest()
            self._is_drawn = False

    async def _draw_on(self) -> None:
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

    def _retire(self) -> None:
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
        # All of it in one write: a terminal shows nothing in between.
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
        """Prints what waits, or as much of it as may be printed at once."""
        until = time.perf_counter() + self._print_seconds
        with self._console:
            while self._waiting:
                # Alone, a text would be broken even where it is not to be.
                self._console.print(Group(self._waiting.popleft()), crop=False)
                if time.perf_counter() > until:
                    break

    def _erase(self) -> None:
        if self._lines:
            above = [((ControlType.CURSOR_UP, 1), *_ERASE)] * (len(self._lines) - 1)
            self._console.control(Control(*_ERASE, *chain.from_iterable(above)))
            self._lines = []


def _changes(before: Sequence[list[Segment]], after: Sequence[list[Segment]]) -> Iterable[Segment]:
    """Writes lines over no more lines than they are, those alone that have changed."""
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
