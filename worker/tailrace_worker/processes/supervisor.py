"""Several processes of one command on one machine, kept at their number until they are told to end."""

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
    """How soon a process that ended unasked is started again."""

    first_wait_seconds: float = 0.5
    """The wait before the first start after a healthy process; it doubles with each further one."""
    longest_wait_seconds: float = 30.0
    """The longest wait."""
    healthy_seconds: float = 60.0
    """How long a process has to live for its end to be an accident of its own, unrelated to those before."""


class Supervisor:
    """Starts a command's processes, and each again that ends unasked. They end with this process, however it ends.

    Each SIGTERM or SIGINT is passed on to all of them as SIGTERM.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        processes: int,
        grace_seconds: float,
        timings: SupervisorTimings | None = None,
    ) -> None:
        """`grace_seconds` is how long a process may take to end before it is killed."""
        self._command = command
        self._processes = processes
        self._grace_seconds = grace_seconds
        self._timings = timings or SupervisorTimings()
        self._running: set[ChildProcess] = set()
        self._ending = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Returns when all have ended: 0 after a signal, else the exit code of the one that could not be started.

        Such a one is misused (2), or was the first in its place and failed (1) within a minute: it has said why, and
        another one in its place would say no more.
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
                _logger.error("a worker process cannot be started (exit code %d): all end", code)
                self._exit_code = code
                self._end()
                return
            if is_healthy:
                backoff.reset()
            wait_seconds = backoff.next_seconds()
            # By its process id, which is in the worker's name: whoever takes its jobs over tells their number.
            _logger.warning(
                "worker process %d ended with exit code %d: another starts in %g s", pid, code, wait_seconds
            )
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_seconds):
                    await self._ending.wait()
            is_first = False

    async def _run_one(self) -> tuple[int, int]:
        """Returns the process id and the exit code."""
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
