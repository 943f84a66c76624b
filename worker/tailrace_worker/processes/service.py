"""Runs a verb of `tailrace` as a process of its own, for `tailrace demo` and `tailrace dev`."""

import asyncio
import re
import subprocess
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from tailrace.errors import InfrastructureError
from tailrace_worker.processes.child import ChildProcess

_READY: Final = {
    "serve": re.compile(r"^gateway on (http\S+),"),
    "simulate": re.compile(r"^simulator on (http\S+)"),
    "worker": re.compile(r"worker (\S+) runs jobs"),
}
"""For each verb, the line of its log that says that it is ready, and what else of the line its users need."""
_READY_SECONDS: Final = 120.0
_GRACE_SECONDS: Final = 10.0
_LINES_KEPT: Final = 8
_CHUNK_BYTES: Final = 65_536
_MAX_LINE_BYTES: Final = 65_536


class Service:
    """A verb that runs as a process of its own. `open_service` starts it."""

    def __init__(self, verb: str, child: ChildProcess, *, name: str, on_death: Callable[[Exception], None]) -> None:
        self._ready_line = _READY[verb]
        self._child = child
        self._name = name
        self._on_death = on_death
        self._is_ending = False
        self._said = asyncio.get_running_loop().create_future()
        self._lines = deque[str](maxlen=_LINES_KEPT)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._child.pid

    async def ready(self) -> str:
        """Wait until the verb is ready. If its process ends before, only `on_death` is told.

        Returns:
            What its log says then: the URL of a server, the name of a worker.

        Raises:
            InfrastructureError: It was not ready in time. The message has the last lines of its log.
        """
        try:
            async with asyncio.timeout(_READY_SECONDS):
                return str(await self._said)
        except TimeoutError:
            raise InfrastructureError(f"{self._name} was not ready in {_READY_SECONDS:g} s:{self._log}") from None

    def terminate(self, *, at_once: bool = False) -> None:
        """Ask the process to end, and do not wait for it.

        Args:
            at_once: True to kill it.
        """
        self._is_ending = True
        self._child.terminate(at_once=at_once)

    async def read(self, output: asyncio.StreamReader, show: Callable[[str], None] | None) -> None:
        """Read the log until the process has ended.

        Args:
            output: The output of the process.
            show: Called with each line.
        """
        async for line in _lines(output):
            self._lines.append(line)
            if show is not None:
                show(line)
            if not self._said.done() and (match := self._ready_line.search(line)):
                self._said.set_result(match[1])
        code = await self._child.ended()
        if not self._is_ending:
            self._on_death(InfrastructureError(f"{self._name} has ended with exit code {code}:{self._log}"))

    @property
    def _log(self) -> str:
        return "".join(f"\n    {line}" for line in self._lines)


@asynccontextmanager
async def open_service(
    verb: str,
    *options: str,
    env: Mapping[str, str],
    on_death: Callable[[Exception], None],
    name: str | None = None,
    show: Callable[[str], None] | None = None,
) -> AsyncGenerator[Service]:
    """Run a verb of `tailrace` until the block is left.

    Args:
        verb: The verb: `serve`, `simulate` or `worker`.
        options: Its options.
        env: The environment of the process.
        on_death: Called if the process ends inside the block, with the error to raise. Its message has the last lines
            of the log.
        name: The name of the process in messages; `None` for the verb.
        show: Called with each line of the log.

    Yields:
        The process, which may not be ready yet.
    """
    if env.get("TAILRACE_LOG_LEVEL", "").lower() in {"warning", "error"}:
        # A worker says at the level `info` that it is ready.
        env = {**env, "TAILRACE_LOG_LEVEL": "info"}
    # With -P, Python does not import modules from the user's current directory.
    process = [sys.executable, "-P", "-m", "tailrace.cli", verb, *options]
    with ChildProcess(process, env=env, output=subprocess.PIPE, grace_seconds=_GRACE_SECONDS) as child:
        output = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(output), child.output
        )
        service = Service(verb, child, name=name or f"'tailrace {verb}'", on_death=on_death)
        reading = asyncio.create_task(service.read(output, show))
        try:
            yield service
        finally:
            service.terminate()
            try:
                await reading
            finally:
                # Close it before the child closes the pipe: the event loop would mistake the next file with the same
                # descriptor for this one.
                transport.close()


async def _lines(output: asyncio.StreamReader) -> AsyncGenerator[str]:
    """Yield the lines. One that is too long is cut."""
    rest = b""
    while chunk := await output.read(_CHUNK_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > _MAX_LINE_BYTES:
            lines.append(rest)
            rest = b""
        for line in lines:
            yield line.decode(errors="replace").rstrip()
    if rest:
        yield rest.decode(errors="replace").rstrip()
