"""What the benchmarks stand on: a broker and a simulator of their own, on the loopback, and workers as processes."""

import asyncio
import json
import os
import resource
import urllib.request
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tailrace import GenerationRequest, Job, Settings, Tailrace, UserMessage
from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.keys import Keys
from tailrace_worker.cancel_scope import Interruptible
from tailrace_worker.processes.service import Service, open_service
from tailrace_worker.processes.valkey import EmbeddedBroker

SILENT: Final = "demo?first_token_ms=3600000"
"""The model that never says a word: a job that runs, and costs no CPU."""
PATIENCE: Final = {
    "TAILRACE_FIRST_TOKEN_SECONDS": "3600",
    "TAILRACE_TOTAL_SECONDS": "3600",
    "TAILRACE_MAX_ATTEMPTS": "100",
}
"""The settings of workers under which silent jobs outlast the filling, the benchmark and its kills."""
BRIEF: Final = "demo?pieces=1&interval_ms=0"
PROMPT: Final = "Hi"

_OPEN_FILES: Final = 20_000
_FILL_SECONDS: Final = 180
_LOOK_SECONDS: Final = 0.2
_AT_ONCE: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where jobs are enqueued and looked at. What the environment sets for tailrace holds, but for the broker."""

    redis_url: str
    broker: Broker
    tailrace: Tailrace
    keys: Keys
    simulator_url: str
    on_death: Callable[[Exception], None]
    """Ends the benchmark, should a process end of itself."""

    async def enqueue(self, model: str) -> Job:
        """Enqueues a job for the simulator."""
        return await self.tailrace.enqueue(_asking(model))

    @asynccontextmanager
    async def waiting(self, jobs: int) -> AsyncGenerator[list[str]]:
        """The ids of jobs that wait in the queue. When the block is left, all that Redis holds is gone."""
        request = _asking(SILENT)
        waiting: list[Job] = []
        while len(waiting) < jobs:
            waiting += await self.tailrace.enqueue_many([request] * min(_AT_ONCE, jobs - len(waiting)))
        yield [job.id for job in waiting]
        await self.broker.call("FLUSHALL")

    async def fill(self, running: int) -> list[Job]:
        """Enqueues silent jobs, one after the other; returns when the provider has all of their calls."""
        before = await asyncio.to_thread(self._calls)
        jobs = [await self.enqueue(SILENT) for _ in range(running)]
        async with asyncio.timeout(_FILL_SECONDS):
            while await asyncio.to_thread(self._calls) < before + running:  # noqa: ASYNC110  # It is another process.
                await asyncio.sleep(_LOOK_SECONDS)
        return jobs

    async def first_entry(self, stream: str, after: str) -> dict[bytes, bytes]:
        """Waits, in a read that blocks, for the first entry of a stream after a position; returns its fields."""
        while True:
            reply: Any = await self.broker.call("XREAD", "COUNT", 1, "BLOCK", 5_000, "STREAMS", stream, after)
            if reply:
                fields: dict[bytes, bytes] = reply[0][1][0][1]
                return fields

    @asynccontextmanager
    async def worker(
        self,
        *,
        max_jobs: int = 100,
        is_to_die: bool = False,
        url: str | None = None,
        providers: Collection[str] = ("openai",),
    ) -> AsyncGenerator[Service]:
        """A worker process, as soon as it is ready. One that `is_to_die` may end before the block is left.

        It calls the simulator, or the server at `url`, and loads only the SDKs of its providers.
        """
        url = url or self.simulator_url
        env = {
            **os.environ,
            "TAILRACE_REDIS_URL": self.redis_url,
            "TAILRACE_MAX_JOBS": str(max_jobs),
            "TAILRACE_GRACE_SECONDS": "0",
            **PATIENCE,
            "OPENAI_API_KEY": "key-of-the-benchmark" if {*providers} - {"anthropic"} else "",
            "OPENAI_BASE_URL": f"{url}/v1",
            "ANTHROPIC_API_KEY": "key-of-the-benchmark" if "anthropic" in providers else "",
            "ANTHROPIC_BASE_URL": url,
            "NO_PROXY": "127.0.0.1",
        }
        on_death = _unmoved if is_to_die else self.on_death
        async with open_service("worker", env=env, on_death=on_death) as service:
            await service.ready()
            yield service

    @asynccontextmanager
    async def workers(self, number: int, *, max_jobs: int) -> AsyncGenerator[None]:
        """Several of them, started at the same time."""
        async with AsyncExitStack() as stack:
            async with asyncio.TaskGroup() as starting:
                for _ in range(number):
                    starting.create_task(stack.enter_async_context(self.worker(max_jobs=max_jobs)))
            yield

    @asynccontextmanager
    async def gateway(self) -> AsyncGenerator[Service]:
        """A gateway process. Its `ready` returns its URL."""
        env = {**os.environ, "TAILRACE_REDIS_URL": self.redis_url}
        async with open_service("serve", "--port=0", env=env, on_death=self.on_death) as service:
            yield service

    def _calls(self) -> int:
        """How many silent jobs the provider answers."""
        with urllib.request.urlopen(f"{self.simulator_url}/journal") as journal:  # noqa: S310
            return sum(entry["model"] == SILENT and entry["outcome"] == "open" for entry in json.load(journal))


def _asking(model: str) -> GenerationRequest:
    return GenerationRequest(provider="openai", model=model, messages=[UserMessage(role="user", content=PROMPT)])


@asynccontextmanager
async def open_stand() -> AsyncGenerator[Stand]:
    """Starts the broker and the simulator, and ends them at the exit, or with this process."""
    _allow_open_files()
    async with AsyncExitStack() as stack, Interruptible() as interruptible:
        url = stack.enter_context(EmbeddedBroker()).url
        settings = Settings.read(redis_url=url)
        broker = Broker(open_redis(url))
        stack.push_async_callback(broker.aclose)
        simulator = await stack.enter_async_context(
            open_service("simulate", "--port=0", env=os.environ, on_death=interruptible.interrupt)
        )
        yield Stand(
            redis_url=url,
            broker=broker,
            tailrace=await stack.enter_async_context(Tailrace.connect(**settings.model_dump())),
            keys=Keys(settings.prefix),
            simulator_url=await simulator.ready(),
            on_death=interruptible.interrupt,
        )


def _unmoved(_: Exception) -> None:
    pass


def _allow_open_files() -> None:
    """A running job is a socket of its worker and one of the simulator; the processes inherit what is allowed here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _OPEN_FILES:
        wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
