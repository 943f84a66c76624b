"""Runs a command that must not outlive its owner: a script that `child.py` starts in an interpreter of its own.

    watchdog.py GRACE_SECONDS SCRATCH COMMAND...

Standard input is a socket to the owner. The script sends one line: the command's process id, or why it could not be
started. Each byte that it receives is a signal for the command and its process group: SIGKILL, or SIGTERM. SIGKILL
follows the first SIGTERM after the grace time. If the socket closes, the owner has ended: the command gets SIGTERM, and
the directory SCRATCH is removed when the command has ended.

The exit code is that of the command, or 128 + N if signal N ended it.
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
    """Run the command until it and its process group have ended.

    Returns:
        The exit code.
    """
    grace_seconds, scratch, command = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    owner = socket.socket(fileno=sys.stdin.fileno())
    # Before the command is started: otherwise its end could be missed.
    signals = _signals_received(signal.SIGCHLD, *_ENDING)
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
    except OSError as error:
        owner.sendall(f"{error}\n".encode())
        return 127
    with suppress(OSError):
        owner.sendall(f"{child.pid}\n".encode())
    has_lost_owner = _relay_signals(child, owner, signals, grace_seconds)
    _signal(child, signal.SIGKILL)
    if has_lost_owner and scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _relay_signals(
    child: subprocess.Popen[bytes], owner: socket.socket, signals: socket.socket, grace_seconds: float
) -> bool:
    """Pass signals on until the command has ended.

    Returns:
        True if the owner has ended.
    """
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
        # Not a second SIGTERM: it makes some commands quit at once, and only the owner may ask for that.
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
    # macOS refuses a signal to a group in which all processes have ended.
    with suppress(OSError):
        os.killpg(child.pid, number)


def _signals_received(*numbers: signal.Signals) -> socket.socket:
    """Return a socket from which the numbers of incoming signals can be read.

    The signals get a handler and are not ignored, because the command would inherit that they are ignored.
    """
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    signal.set_wakeup_fd(waker.detach())
    for number in numbers:
        signal.signal(number, _do_nothing)
    return woken


def _do_nothing(number: int, frame: object) -> None:
    pass


def _received(source: socket.socket) -> bytes:
    try:
        return source.recv(4_096)
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main())
