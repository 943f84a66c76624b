"""Ctrl-Z at a terminal that is held: the shell gets it back as it was, and it is taken again when the shell goes on."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, eq=False)
class _Hold:
    take: Callable[[], object]
    release: Callable[[], object]


_HOLDS: Final[list[_Hold]] = []
"""Those of this process, which has one terminal at most."""


@contextmanager
def held(take: Callable[[], object], release: Callable[[], object]) -> Generator[None]:
    """Takes something of the terminal, and releases it at the end, and for as long as the process is stopped."""
    hold = _Hold(take, release)
    take()
    _HOLDS.append(hold)
    _listen()
    try:
        yield
    finally:
        _HOLDS.remove(hold)
        if not _HOLDS:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
        release()


def _listen() -> None:
    # What is started where nobody could make it go on ignores Ctrl-Z.
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, _stop)


def _stop() -> None:
    for hold in reversed(_HOLDS):
        hold.release()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
    # Here the process stands still. SIGSTOP would stop it where there is no shell to make it go on, too.
    signal.raise_signal(signal.SIGTSTP)
    _listen()
    for hold in _HOLDS:
        hold.take()
