"""`ChildProcess`: runs a command that ends together with this process."""

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
    """A command that ends when the `with` block is left, or when this process ends in any way, SIGKILL included.

    A `watchdog` process starts the command and ends it. It holds one end of a socket, and the kernel closes the other
    end when this process dies. The command has a session of its own, so that Ctrl-C on the terminal reaches only this
    process, which decides what happens.
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
        """Start the command.

        Args:
            command: The command and its arguments.
            env: Its environment; `None` for that of this process.
            output: Where its stdout and stderr go, as for `subprocess.Popen`; `None` for those of this process.
            scratch: A directory that the watchdog removes if this process ends before the command.
            grace_seconds: How long the command has between SIGTERM and SIGKILL.

        Raises:
            InfrastructureError: The command does not exist, or this process may not run it.
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
        """The process id of the command itself."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def output(self) -> IO[bytes] | None:
        """The output of the command, if `output` was `subprocess.PIPE`. It ends when the command has ended."""
        return self._watchdog.stdout

    def poll(self) -> int | None:
        """Return the exit code of the command: 128 + N if signal N ended it, and `None` while it runs."""
        return self._watchdog.poll()

    def wait(self, timeout_seconds: float | None = None) -> int | None:
        """Wait for the exit code, and return it, or `None` if the time has passed."""
        with suppress(subprocess.TimeoutExpired):
            return self._watchdog.wait(timeout_seconds)
        return None

    async def ended(self) -> int:
        """Wait for the exit code without blocking the event loop, and return it."""
        # The watchdog sends nothing more. The socket closes when it ends, with an error if it left a signal unread.
        with suppress(ConnectionError):
            await asyncio.get_running_loop().sock_recv(self._owner, 1)
        return self._watchdog.wait()

    def terminate(self, *, at_once: bool = False) -> None:
        """Send SIGTERM to the command. The first call also starts the grace time, after which it gets SIGKILL.

        Args:
            at_once: True to send SIGKILL, without a grace time.
        """
        self._send(signal.SIGKILL if at_once else signal.SIGTERM)

    def stop(self) -> None:
        """End the command with SIGTERM, and with SIGKILL after the grace time, and wait for its end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the command with SIGKILL, and wait for its end."""
        self._end(signal.SIGKILL)

    def close(self) -> None:
        """End the command as `stop` does. If it was still running, its `scratch` directory is removed too."""
        self._owner.close()
        self._watchdog.wait()
        if self._watchdog.stdout is not None:
            self._watchdog.stdout.close()

    def _end(self, number: signal.Signals) -> None:
        self._send(number)
        self._watchdog.wait()
        self.close()

    def _send(self, number: signal.Signals) -> None:
        # Only the watchdog, the command's parent, knows that the process id still belongs to the command.
        with suppress(OSError):
            self._owner.send(bytes([number]))
