"""Runs a command that must not outlive its owner: a script for an interpreter of its own, started by `child`.

    watchdog.py GRACE_SECONDS SCRATCH COMMAND...

Standard input is a socket to the owner. What goes up it is one line: the command's process id, or why it could not be
started. Each byte that comes down is a signal for the command and all its group: SIGKILL, or SIGTERM, which SIGKILL
follows after the grace time, counted from the first one. The end of it is the end of the owner, however that came
about: the command gets SIGTERM, and the directory SCRATCH is removed when the command has ended.
Exits with the code of the command, or with 128 + the signal that ended it.
"""

import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> int:
    """Returns when the command and its group have ended."""
    grace_seconds, scratch, command = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    owner = socket.socket(fileno=sys.stdin.fileno())
    # Before the command is started, or its death could come unheard.
    signals = _heard(signal.SIGCHLD, *_ENDING)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    except OSError as error:
        owner.sendall(f"{error}\n".encode())
        return 127
    with suppress(OSError):
        owner.sendall(f"{child.pid}\n".encode())
    owner_is_gone = _keep(child, owner, signals, grace_seconds)
    _signal(child, signal.SIGKILL)
    if owner_is_gone and scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _keep(child: subprocess.Popen[bytes], owner: socket.socket, signals: socket.socket, grace_seconds: float) -> bool:
    """Passes signals on until the command has ended; returns whether the owner is gone."""
    sources = [owner, signals]
    deadline: float | None = None
    while child.poll() is None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ready, _, _ = select.select(sources, [], [], left)
        asked = [] if ready else [signal.SIGKILL]
        is_over = signals in ready and bool(set(_received(signals)) & set(_ENDING))
        if owner in ready:
            said = _received(owner)
            if not said:
                sources.remove(owner)
                is_over = True
            asked += map(signal.Signals, said)
        # A second SIGTERM makes some commands give up on ending in good order: that is the owner's to say.
        if is_over and deadline is None:
            asked.append(signal.SIGTERM)
        for number in asked:
            _signal(child, number)
        if signal.SIGKILL in asked:
            deadline = None
        elif signal.SIGTERM in asked and deadline is None:
            deadline = time.monotonic() + grace_seconds
    return owner not in sources


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    # A group that has only its dead left is refused on macOS.
    with suppress(OSError):
        os.killpg(child.pid, number)


def _heard(*numbers: signal.Signals) -> socket.socket:
    """Where the numbers of signals can be read from now on. They are not ignored: that would be inherited."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.detach())
    for number in numbers:
        signal.signal(number, _noted)
    return woken


def _noted(number: int, frame: object) -> None:
    pass


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(4_096)
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
