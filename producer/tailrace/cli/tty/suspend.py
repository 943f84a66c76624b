"""Handles Ctrl-Z: the shell gets the terminal back as it was, and `fg` restores what this process had changed."""

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
"""All holds of this process, which has at most one terminal."""


@contextmanager
def held(take: Callable[[], object], release: Callable[[], object]) -> Generator[None]:
    """Change a state of the terminal. It is restored on exit, and while the process is stopped by Ctrl-Z.

    Args:
        take: Changes the state.
        release: Restores it.
    """
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
    # SIGTSTP is ignored if a program without job control started this process: nothing could continue it.
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTSTP, _stop)


def _stop() -> None:
    for hold in reversed(_HOLDS):
        hold.release()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGTSTP)
    # The process stops here, until SIGCONT. SIGSTOP would stop it even if there is no shell to continue it.
    signal.raise_signal(signal.SIGTSTP)
    _listen()
    for hold in _HOLDS:
        hold.take()
