"""What the benchmarks stand on: a broker and a simulator of their own, on the loopback, and workers as processes."""

import asyncio
import json
import os
import re
import resource
import urllib.request
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from tailrace import GenerationRequest, Job, Message, Settings, Tailrace
from tailrace.broker import Broker, open_redis
from tailrace.keys import Keys
from tailrace_worker.demo.service import Service, open_service
from tailrace_worker.embedded import EmbeddedBroker

SILENT: Final = "demo?first_token_ms=3600000"
"""The model that never says a word: a job that runs, and costs no CPU."""
BRIEF: Final = "demo?pieces=1&interval_ms=0"

_SIMULATOR_READY: Final = re.compile(r"^simulator on (http\S+)")
_WORKER_READY: Final = re.compile(r"worker (\S+) runs jobs")
_OPEN_FILES: Final = 20_000
_FILL_SECONDS: Final = 180
_LOOK_SECONDS: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Stand:
    """Where jobs are enqueued and looked at. What the environment sets for tailrace holds, but for the broker."""

    redis_url: str
    broker: Broker
    tailrace: Tailrace
    keys: Keys
    settings: Settings
    simulator_url: str

    async def enqueue(self, model: str) -> Job:
        """Enqueues a job for the simulator."""
        return await self.tailrace.enqueue(
            GenerationRequest(provider="openai", model=model, messages=[Message(role="user", content="Hi")])
        )

    async def fill(self, running: int) -> list[Job]:
        """Enqueues silent jobs, one after the other; returns when the provider has all of their calls."""
        before = await asyncio.to_thread(self._calls)
        jobs = [await self.enqueue(SILENT) for _ in range(running)]
        async with asyncio.timeout(_FILL_SECONDS):
            while await asyncio.to_thread(self._calls) < before + running:
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
    async def worker(self, **settings: str | float) -> AsyncGenerator[Service]:
        """A worker process, as soon as it is ready; `settings` are those of `WorkerSettings`."""
        variables = {f"TAILRACE_{name.upper()}": str(value) for name, value in settings.items()}
        env = {
            **os.environ,
            "TAILRACE_REDIS_URL": self.redis_url,
            "TAILRACE_GRACE_SECONDS": "0",
            # Silent jobs must outlast the benchmark, and its kills.
            "TAILRACE_TOTAL_SECONDS": "3600",
            "TAILRACE_MAX_ATTEMPTS": "100",
            "OPENAI_API_KEY": "key-of-the-benchmark",
            "OPENAI_BASE_URL": f"{self.simulator_url}/v1",
            "NO_PROXY": "127.0.0.1",
            **variables,
        }
        async with open_service("worker", env=env, ready=_WORKER_READY, on_death=lambda _: None) as service:
            yield service

    @asynccontextmanager
    async def workers(self, number: int, **settings: str | float) -> AsyncGenerator[Sequence[Service]]:
        """Several of them, started at the same time."""
        async with AsyncExitStack() as stack:
            starting = [stack.enter_async_context(self.worker(**settings)) for _ in range(number)]
            yield await asyncio.gather(*starting)

    def _calls(self) -> int:
        """How many silent jobs the provider answers."""
        with urllib.request.urlopen(f"{self.simulator_url}/journal") as journal:  # noqa: S310
            return sum(entry["model"] == SILENT and entry["outcome"] == "open" for entry in json.load(journal))


@asynccontextmanager
async def open_stand() -> AsyncGenerator[Stand]:
    """Starts the broker and the simulator, and ends them at the exit, or with this process."""
    _allow_open_files()
    with EmbeddedBroker() as embedded:
        env = {**os.environ, "TAILRACE_REDIS_URL": embedded.url}
        settings = Settings.read(redis_url=embedded.url)
        broker = Broker(open_redis(embedded.url))
        async with (
            open_service(
                *("simulate", "--port", "0"), env=env, ready=_SIMULATOR_READY, on_death=lambda _: None
            ) as simulator,
            Tailrace.connect(**settings.model_dump()) as tailrace,
        ):
            try:
                yield Stand(
                    redis_url=embedded.url,
                    broker=broker,
                    tailrace=tailrace,
                    keys=Keys(settings.prefix),
                    settings=settings,
                    simulator_url=simulator.said,
                )
            finally:
                await broker.aclose()


def _allow_open_files() -> None:
    """A running job is a socket of its worker and one of the simulator; the processes inherit what is allowed here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _OPEN_FILES:
        wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
