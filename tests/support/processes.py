"""Workers as processes of their own, to be killed, suspended and told to stop."""

import asyncio
import multiprocessing
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from typing import Final, Protocol

from tailrace import Settings
from tailrace.cli import main
from tests.support.permissions import PROCESS_STARTED

_ENDING_SECONDS: Final = 40.0

_FORKS = multiprocessing.get_context("forkserver")
# The SDKs take seconds to import: they are, once, where all of these processes are forked from.
_FORKS.set_forkserver_preload(
    ["tests.support.processes", *(f"tailrace_worker.providers.sdks.{sdk}_sdk" for sdk in ("openai", "anthropic"))]
)


class ProvidersServer(Protocol):
    """A server in the providers' place, such as the simulator."""

    @property
    def url(self) -> str: ...


class WorkerProcess:
    """A `tailrace worker` that is ready."""

    def __init__(self, process: ForkServerProcess, stderr: asyncio.StreamReader) -> None:
        self._process = process
        self._log: list[str] = []
        self._ready = asyncio.Event()
        self._reader = asyncio.create_task(self._read(stderr))

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def log(self) -> str:
        return "".join(self._log)

    def signal(self, number: signal.Signals) -> None:
        if self._process.is_alive():
            os.kill(self.pid, number)

    async def ready(self) -> None:
        async with asyncio.timeout(40):
            await self._ready.wait()

    async def ended(self) -> int:
        """Waits for the exit code."""
        await asyncio.to_thread(self._process.join, _ENDING_SECONDS)
        assert self._process.exitcode is not None
        await self._reader
        return self._process.exitcode

    async def close(self) -> None:
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        await self.ended()

    async def _read(self, stderr: asyncio.StreamReader) -> None:
        while line := await stderr.readline():
            self._log.append(line.decode())
            if b"runs jobs" in line:
                self._ready.set()


@asynccontextmanager
async def worker_process(
    settings: Settings, simulator: ProvidersServer, *options: str, **variables: str
) -> AsyncGenerator[WorkerProcess]:
    """Starts one with the test's Redis and prefix, whose providers are such a server; kills it at the exit."""
    environment = {
        **os.environ,
        "TAILRACE_REDIS_URL": settings.redis_url,
        "TAILRACE_PREFIX": settings.prefix,
        "OPENAI_API_KEY": "key-of-the-tests",
        "OPENAI_BASE_URL": f"{simulator.url}/v1",
        "ANTHROPIC_API_KEY": "key-of-the-tests",
        "ANTHROPIC_BASE_URL": simulator.url,
        "NO_PROXY": "127.0.0.1",
        **variables,
    }
    sys.audit(PROCESS_STARTED)
    ours, theirs = _FORKS.Pipe(duplex=False)
    process = _FORKS.Process(target=_run, args=(["worker", *options], environment, theirs), daemon=True)
    with theirs:
        await asyncio.to_thread(process.start)
    stderr = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stderr), ours
    )
    worker = WorkerProcess(process, stderr)
    try:
        await worker.ready()
        yield worker
    finally:
        await worker.close()
        transport.close()


def _run(arguments: Sequence[str], environment: Mapping[str, str], stderr: Connection) -> None:
    """The process: the command, as it runs in an environment."""
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(stderr.fileno(), sys.stderr.fileno())
    stderr.close()
    sys.exit(main(arguments))
