"""Ctrl-C at a terminal, which may mean two things."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from tailrace.cli.tty.suspend import held

LEAVE: Final = "l"
CANCEL: Final = "c"
_CTRL_C: Final = "\x03"


def can_ask() -> bool:
    """Whether a person is there to be asked, and Ctrl-C reaches us."""
    return (
        all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
        and threading.current_thread() is threading.main_thread()
        and callable(signal.getsignal(signal.SIGINT))
    )


async def choice(ask: Callable[[], None]) -> str:
    """Waits for Ctrl-C, asks, and gives the key that was pressed: `LEAVE` or `CANCEL`. A second Ctrl-C is `LEAVE`."""
    pressed = asyncio.Queue[str]()
    with _interrupts(pressed), _keys(pressed):
        while await pressed.get() != _CTRL_C:
            pass
        ask()
        while (key := (await pressed.get()).lower()) not in {LEAVE, CANCEL, _CTRL_C}:
            pass
    return CANCEL if key == CANCEL else LEAVE


@contextmanager
def _interrupts(pressed: asyncio.Queue[str]) -> Generator[None]:
    """Takes Ctrl-C for a key."""
    loop = asyncio.get_running_loop()

    def take(_: int, __: FrameType | None) -> None:
        loop.call_soon_threadsafe(pressed.put_nowait, _CTRL_C)

    before = signal.signal(signal.SIGINT, take)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _keys(pressed: asyncio.Queue[str]) -> Generator[None]:
    """Takes keys from the terminal one by one, without waiting for Return, and without an echo amid what is shown."""
    import termios  # noqa: PLC0415  # Not on Windows.
    import tty  # noqa: PLC0415

    terminal = sys.stdin.fileno()
    loop = asyncio.get_running_loop()

    def read() -> None:
        keys = os.read(terminal, 1_024).decode(errors="replace")
        if not keys:
            # A terminal that has gone is readable for ever.
            loop.remove_reader(terminal)
        for key in keys:
            pressed.put_nowait(key)

    before = termios.tcgetattr(terminal)
    with held(
        take=lambda: tty.setcbreak(terminal, termios.TCSADRAIN),
        release=lambda: termios.tcsetattr(terminal, termios.TCSADRAIN, before),
    ):
        loop.add_reader(terminal, read)
        try:
            yield
        finally:
            loop.remove_reader(terminal)
