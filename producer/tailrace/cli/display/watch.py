"""Shows lines that change: in place on a terminal, and otherwise once for each change."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Protocol, Self

from tailrace.cli.display.choice import can_draw


class Watch(Protocol):
    """Shows the newest lines, from the beginning of an `async with` block to its end."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None: ...

    def show(self, lines: Sequence[str]) -> None:
        """Show lines in place of those before."""


def open_watch() -> Watch:
    """Return what suits stdout."""
    if can_draw():
        return _LiveWatch()
    return _PlainWatch()


class _PlainWatch:
    """Prints the lines if they have changed."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return

    def show(self, lines: Sequence[str]) -> None:
        if self._lines == list(lines):
            return
        if self._lines:
            print()
        self._lines = list(lines)
        print("\n".join(lines), flush=True)


class _LiveWatch:
    """Draws the lines over those before."""

    def __init__(self) -> None:
        # Of the extra.
        from rich.text import Text  # noqa: PLC0415

        from tailrace.cli.tty.screen import Screen  # noqa: PLC0415

        self._text = Text()
        self._screen = Screen(self._text, console=None, transient=False)

    async def __aenter__(self) -> Self:
        self._drawing = asyncio.create_task(self._screen.draw())
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._drawing.cancel()
        with suppress(asyncio.CancelledError):
            await self._drawing

    def show(self, lines: Sequence[str]) -> None:
        self._text.plain = "\n".join(lines)
