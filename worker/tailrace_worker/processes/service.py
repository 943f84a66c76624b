"""A verb of `tailrace` that runs as a process of its own, as long as the demo does."""

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
    """What it said of itself when it was ready."""


@asynccontextmanager
async def open_service(
    *command: str, env: Mapping[str, str], ready: re.Pattern[str], on_death: Callable[[Exception], None]
) -> AsyncGenerator[Service]:
    """Runs `tailrace VERB OPTIONS...`; entered once its log has a line that matches `ready`.

    Should it end of itself in between, `on_death` is called with what would have been raised before it was ready.

    Raises:
        InfrastructureError: It is not ready in time, or ended; the message has the last lines of its log.
    """
    # -P: what lies in the directory that the user happens to be in is not ours to import.
    process = [sys.executable, "-P", "-m", "tailrace.cli", *command]
    async with _open_log(process, env) as (child, log):
        try:
            async with asyncio.timeout(_READY_SECONDS):
                match = await log.find(ready)
        except TimeoutError:
            raise InfrastructureError(f"'tailrace {command[0]}' does not get ready:{log}") from None

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
            # Before the child closes the pipe: the loop would take the next one with its number for this one.
            transport.close()


@dataclass(frozen=True, slots=True)
class _Log:
    """What a process says, of which the last lines are kept."""

    reader: asyncio.StreamReader
    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=_LINES_KEPT))

    def __str__(self) -> str:
        return "".join(f"\n    {line}" for line in self.lines)

    async def find(self, pattern: re.Pattern[str] | None) -> re.Match[str] | None:
        """Reads until a line matches, or to the end."""
        async for line in self.reader:
            self.lines.append(line.decode(errors="replace").rstrip())
            if pattern and (match := pattern.search(self.lines[-1])):
                return match
        return None
