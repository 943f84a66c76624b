"""`Supervisor`: keeps a number of processes of one command running, until it is told to end them."""

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from tailrace.broker.backoff import Backoff
from tailrace_worker.processes.child import ChildProcess

_logger = logging.getLogger(__name__)

_FAILED: Final = 1
_MISUSED: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorTimings:
    """How soon a process that ended by itself is replaced."""

    first_wait_seconds: float = 0.5
    """The wait before the first replacement. It doubles with each further one."""
    longest_wait_seconds: float = 30.0
    """The longest wait."""
    healthy_seconds: float = 60.0
    """How long a process has to run to count as healthy. After a healthy process the wait begins at its first value."""


class Supervisor:
    """Starts a number of processes of a command, and replaces each one that ends by itself.

    Each SIGTERM or SIGINT is passed on to all of them as SIGTERM. They end when this process ends, even after SIGKILL.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        processes: int,
        grace_seconds: float,
        timings: SupervisorTimings | None = None,
    ) -> None:
        """Prepare the processes; `run` starts them.

        Args:
            command: The command and its arguments.
            processes: How many processes to run.
            grace_seconds: How long a process may take to end before it is killed.
            timings: How soon a process is replaced; `None` for the defaults.
        """
        self._command = command
        self._processes = processes
        self._grace_seconds = grace_seconds
        self._timings = timings or SupervisorTimings()
        self._running: set[ChildProcess] = set()
        self._ending = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Run the processes, and return when all of them have ended.

        A process that cannot be started ends all of them: one with exit code 2 (wrong use), or a first one that ended
        with exit code 1 before it was healthy. It has logged the reason, and a replacement would fail in the same way.

        Returns:
            The exit code: 0 after a signal, otherwise that of the process that could not be started.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)
        try:
            async with asyncio.TaskGroup() as places:
                for _ in range(self._processes):
                    places.create_task(self._keep_one())
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
        return self._exit_code

    async def _keep_one(self) -> None:
        loop = asyncio.get_running_loop()
        backoff = Backoff(
            first_seconds=self._timings.first_wait_seconds, last_seconds=self._timings.longest_wait_seconds
        )
        is_first = True
        while not self._ending.is_set():
            began = loop.time()
            pid, code = await self._run_one()
            if self._ending.is_set():
                return
            is_healthy = loop.time() - began >= self._timings.healthy_seconds
            if code == _MISUSED or (code == _FAILED and is_first and not is_healthy):
                _logger.error("a worker process cannot be started (exit code %d): all processes are stopped", code)
                self._exit_code = code
                self._end()
                return
            if is_healthy:
                backoff.reset()
            wait_seconds = backoff.next_seconds()
            # The process id is part of the worker's name, by which another worker logs the number of its lost jobs.
            _logger.warning(
                "worker process %d ended with exit code %d: a new one starts in %g s", pid, code, wait_seconds
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._ending.wait()
            is_first = False

    async def _run_one(self) -> tuple[int, int]:
        """Run one process, and return its process id and its exit code."""
        with ChildProcess(self._command, grace_seconds=self._grace_seconds) as child:
            self._running.add(child)
            try:
                return child.pid, await child.ended()
            finally:
                self._running.remove(child)

    def _end(self) -> None:
        self._ending.set()
        for child in self._running:
            child.terminate()
