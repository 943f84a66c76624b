"""Workers as processes of their own, to be killed, suspended and told to stop."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

from tailrace import Settings
from tailrace_worker.simulator import Simulator


class WorkerProcess:
    """A `tailrace worker` that is ready."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._log: list[str] = []
        self._reader = asyncio.create_task(self._read())
        self._ready = asyncio.Event()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return "".join(self._log)

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def ready(self) -> None:
        async with asyncio.timeout(40):
            await self._ready.wait()

    async def ended(self) -> int:
        """Waits for the exit code."""
        async with asyncio.timeout(40):
            code = await self._process.wait()
            await self._reader
        return code

    async def close(self) -> None:
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
        await self.ended()

    async def _read(self) -> None:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            self._log.append(line.decode())
            if b"runs jobs" in line:
                self._ready.set()


@asynccontextmanager
async def worker_process(
    settings: Settings, simulator: Simulator, *options: str, **variables: str
) -> AsyncGenerator[WorkerProcess]:
    """Starts one with the test's Redis and prefix, whose providers are the simulator; kills it at the exit."""
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
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace.cli", "worker", *options), env=environment, stderr=asyncio.subprocess.PIPE
    )
    worker = WorkerProcess(process)
    try:
        await worker.ready()
        yield worker
    finally:
        await worker.close()
