"""`Screen`: what is printed for good and scrolls away, and below it the few lines that are drawn again and again."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.segment import ControlCode, ControlType, Segment, Segments
from rich.text import Text

from tailrace.cli.controls import visible

_DRAW_SECONDS: Final = 1 / 12
_IDLE: Final = 4
"""So many times as long as the drawing took passes before the next one: it costs a fifth of the time at most."""
_BATCH: Final = 50
"""How much is printed before others of the event loop have their turn."""
_ERASE: Final[tuple[ControlCode, ...]] = (ControlType.CARRIAGE_RETURN,), (ControlType.ERASE_IN_LINE, 2)


def unbroken(line: str) -> Text:
    """A line that is broken by nobody but the terminal: what is copied from there is whole."""
    return Text(visible(line), no_wrap=True, overflow="ignore")


class Screen:
    """A terminal that is written to a few times a second at most, by one task, and only where something has changed."""

    def __init__(self, bottom: RenderableType, *, console: Console | None, transient: bool) -> None:
        """`bottom` is taken away at the end where it is `transient`."""
        self._console = console or Console(highlight=False)
        self._bottom = bottom
        self._transient = transient
        self._waiting: deque[RenderableType] = deque()
        self._is_drawn = False
        self._lines: list[list[Segment]] = []
        """Those of the bottom that stand on the terminal. The cursor is in the last one."""
        self._size = self._console.size

    def print(self, *printed: RenderableType) -> None:
        """Prints for good: while it is drawn, with the next drawing, above the last lines."""
        self._waiting += printed
        if not self._is_drawn:
            self._print()

    async def draw(self) -> None:
        """Draws until it is cancelled."""
        self._is_drawn = True
        self._console.show_cursor(show=False)
        try:
            while True:
                began = time.perf_counter()
                self._draw()
                took = time.perf_counter() - began
                await asyncio.sleep(0 if self._waiting else max(_DRAW_SECONDS, _IDLE * took))
        finally:
            self._is_drawn = False
            if self._transient:
                self._erase()
            else:
                self._draw_bottom()
                self._console.print()
            self._console.show_cursor(show=True)
            self._print()

    def _draw(self) -> None:
        # All of it in one write: a terminal shows nothing in between.
        with self._console:
            if self._waiting:
                self._erase()
                self._print(_BATCH)
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

    def _print(self, count: int | None = None) -> None:
        batch = list(islice(self._waiting, count))
        for _ in batch:
            self._waiting.popleft()
        if batch:
            self._console.print(Group(*batch), crop=False)

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
