"""A process that ends with this one."""

import asyncio
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tailrace.errors import InfrastructureError
from tailrace_worker.processes import watchdog


class ChildProcess:
    """A command that runs until the `with` block is left, or this process ends in whatever way, SIGKILL included.

    Between the two stands a `watchdog`, which holds the other end of a socket: the kernel closes ours when we die. The
    command is in a session of its own, so that Ctrl-C on our terminal reaches us alone, and we decide.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        output: int | IO[bytes] | None = None,
        scratch: Path | None = None,
        grace_seconds: float = 5,
    ) -> None:
        """Starts it. `output` takes both what it says and its errors; `scratch` is a directory that goes with it.

        Raises:
            InfrastructureError: There is no such command, or it may not be run.
        """
        self._owner, theirs = socket.socketpair()
        with theirs:
            self._watchdog = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", watchdog.__file__, str(grace_seconds), str(scratch or ""), *command],
                stdin=theirs.fileno(),
                stdout=output,
                stderr=None if output is None else subprocess.STDOUT,
                env=env,
                start_new_session=True,
            )
        with self._owner.makefile() as reports:
            report = reports.readline().rstrip()
        self._owner.setblocking(False)
        if not report.isdecimal():
            self.close()
            raise InfrastructureError(f"{command[0]!r} cannot be started: {report}")
        self.pid = int(report)
        """The process of the command itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def output(self) -> IO[bytes] | None:
        """What the command says, where `output` was `subprocess.PIPE`. It ends when the command has ended."""
        return self._watchdog.stdout

    def poll(self) -> int | None:
        """The command's exit code, 128 + N where signal N ended it, or `None` while it runs."""
        return self._watchdog.poll()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Waits for the exit code; `None` when the time has passed."""
        with suppress(subprocess.TimeoutExpired):
            return self._watchdog.wait(timeout_seconds)
        return None

    async def ended(self) -> int:
        """Waits for the exit code, as `wait` does, while the event loop turns."""
        # The watchdog says nothing more; its end of the socket closes with it, which may leave an order unread.
        with suppress(ConnectionError):
            await asyncio.get_running_loop().sock_recv(self._owner, 1)
        return self._watchdog.wait()

    def terminate(self) -> None:
        """Sends the command SIGTERM, each time; SIGKILL follows the first one after the grace time."""
        self._send(signal.SIGTERM)

    def stop(self) -> None:
        """Ends the command: SIGTERM, and SIGKILL for what is left after the grace time."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the command with SIGKILL."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """Ends the command as `stop` does and, where it still ran, removes `scratch`."""
        self._owner.close()
        self._watchdog.wait()
        if self._watchdog.stdout is not None:
            self._watchdog.stdout.close()

    def _end(self, number: signal.Signals) -> None:
        self._send(number)
        self._watchdog.wait()
        self.close()

    def _send(self, number: signal.Signals) -> None:
        # By way of the watchdog, which alone knows that the process id is still the command's.
        with suppress(OSError):
            self._owner.send(bytes([number]))
