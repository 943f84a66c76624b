"""Runs a verb of `tailrace` as a process of its own, for the demo."""

import asyncio
import re
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tailrace.errors import InfrastructureError
from tailrace_worker.processes.child import ChildProcess

_READY_SECONDS = 60.0
_LINES_KEPT = 8
_MAX_LINE_BYTES = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A process that is ready."""

    pid: int
    said: str
    """What its log said when it was ready: the first group of the pattern `ready`."""


@asynccontextmanager
async def open_service(
    *command: str, env: Mapping[str, str], ready: re.Pattern[str], on_death: Callable[[Exception], None]
) -> AsyncGenerator[Service]:
    """Run a verb of `tailrace` until the block is left. The block is entered when the verb is ready.

    Args:
        command: The verb and its options.
        env: The environment of the process.
        ready: Matches the line of the log that says that the verb is ready.
        on_death: Called if the process ends inside the block, with the error to raise.

    Yields:
        The process.

    Raises:
        InfrastructureError: The process ended, or was not ready in time. The message has the last lines of its log.
    """
    # With -P, Python does not import modules from the user's current directory.
    process = [sys.executable, "-P", "-m", "tailrace.cli", *command]
    async with _open_log(process, env) as (child, log):
        try:
            async with asyncio.timeout(_READY_SECONDS):
                match = await log.find(ready)
        except TimeoutError:
            raise InfrastructureError(f"'tailrace {command[0]}' was not ready in {_READY_SECONDS:g} s:{log}") from None

        def death() -> InfrastructureError:
            return InfrastructureError(f"'tailrace {command[0]}' has ended with exit code {child.wait()}:{log}")

        if match is None:
            raise death()
        watching = asyncio.create_task(log.find(None))
        watching.add_done_callback(lambda watched: None if watched.cancelled() else on_death(death()))
        try:
            yield Service(pid=child.pid, said=match[1])
        finally:
            watching.cancel()


@asynccontextmanager
async def _open_log(process: list[str], env: Mapping[str, str]) -> AsyncGenerator[tuple[ChildProcess, "_Log"]]:
    with ChildProcess(process, env=env, output=subprocess.PIPE, grace_seconds=3) as child:
        reader = asyncio.StreamReader(limit=_MAX_LINE_BYTES)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), child.output
        )
        try:
            yield child, _Log(reader)
        finally:
            # Close it before the child closes the pipe: the event loop would mistake the next file with the same
            # descriptor for this one.
            transport.close()


@dataclass(frozen=True, slots=True)
class _Log:
    """The log of a process, of which the last lines are kept."""

    reader: asyncio.StreamReader
    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=_LINES_KEPT))

    def __str__(self) -> str:
        return "".join(f"\n    {line}" for line in self.lines)

    async def find(self, pattern: re.Pattern[str] | None) -> re.Match[str] | None:
        """Read until a line matches, and return the match, or `None` at the end of the log."""
        async for line in self.reader:
            self.lines.append(line.decode(errors="replace").rstrip())
            if pattern and (match := pattern.search(self.lines[-1])):
                return match
        return None
