"""Asks what to do when the user presses Ctrl-C."""

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

READ_ON: Final = "r"
LEAVE: Final = "l"
CANCEL: Final = "c"
_CTRL_C: Final = "\x03"


def can_ask() -> bool:
    """Return whether a user can be asked: all standard streams are terminals, and SIGINT can be handled here."""
    return (
        all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
        and threading.current_thread() is threading.main_thread()
        and callable(signal.getsignal(signal.SIGINT))
    )


async def choice(what: str, ask: Callable[[str | None], None]) -> str:
    """Wait for Ctrl-C, then ask whether to read on, to leave, or to cancel.

    Only the key `l`, or a second Ctrl-C, leaves, and only the key `c` cancels. Anything else reads on: other keys, keys
    that send several characters, such as arrows, and pasted text.

    Args:
        what: What would be cancelled, such as "the job".
        ask: Shows a question, or removes it if it is called with `None`.

    Returns:
        `LEAVE` or `CANCEL`.
    """
    question = f"({READ_ON})ead on, ({LEAVE})eave or ({CANCEL})ancel {what}? [{READ_ON}]"
    pressed = asyncio.Queue[str]()
    with _interrupts(pressed), _keys(pressed):
        while True:
            while await pressed.get() != _CTRL_C:
                pass
            ask(question)
            key = (await pressed.get()).strip().lower()
            ask(None)
            if key == CANCEL:
                return CANCEL
            if key in {LEAVE, _CTRL_C}:
                return LEAVE


@contextmanager
def _interrupts(pressed: asyncio.Queue[str]) -> Generator[None]:
    """Handle Ctrl-C as one more key."""
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
    """Read keys from the terminal without waiting for Return, and without an echo in the middle of the output."""
    import termios  # noqa: PLC0415  # Not on Windows.
    import tty  # noqa: PLC0415

    terminal = sys.stdin.fileno()
    loop = asyncio.get_running_loop()

    def read() -> None:
        keys = os.read(terminal, 1_024).decode(errors="replace")
        if not keys:
            # A closed terminal would stay readable for ever.
            loop.remove_reader(terminal)
        pressed.put_nowait(keys)

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
