"""A server of the test's own, with a producer and workers, that comes back with less than it had."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tailrace import GenerationRequest, Job, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.generation import Generations
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.streams import run_unclaimed
from tests.worker.conftest import OpenGenerations, Puppet, running_worker


@dataclass(frozen=True, slots=True)
class Moment:
    """What the server had on its disk at some time."""

    server: EmbeddedBroker
    file: Path
    size: int

    def lose(self, *, more_bytes: int = 0) -> None:
        """Kills the server, and takes from it what has come since then, and so much of what came before."""
        self.server.kill()
        with self.file.open("r+b") as log:
            log.truncate(self.size - more_bytes)

    async def come_back(self) -> None:
        """Kills the server, and starts it with what it had then."""
        self.lose()
        await asyncio.to_thread(self.server.start)


@dataclass(frozen=True, slots=True)
class OwnServer:
    """The server, who enqueues there, and who works there."""

    server: EmbeddedBroker
    broker: Broker
    tailrace: Tailrace
    request: GenerationRequest
    puppet: Puppet
    """The provider of a worker for which the test names no other."""
    open_generations: OpenGenerations

    async def enqueue(self, front: Mapping[str, Any] | None = None) -> Job:
        return await self.tailrace.enqueue(self.request, front=front)

    async def moment(self) -> Moment:
        """What the server has now."""
        _, directory = await self.broker.call("CONFIG", "GET", "dir")
        file = next((Path(directory.decode()) / "appendonlydir").glob("*.incr.aof"))
        return Moment(self.server, file, file.stat().st_size)

    @asynccontextmanager
    async def worker(
        self, name: str = "worker", *, puppet: Puppet | None = None, **changed: object
    ) -> AsyncGenerator[Generations]:
        """A worker that claims jobs."""
        async with self.open_generations(name, **changed) as generations:
            providers = {"openai": puppet or self.puppet}
            calls = Calls(providers, RateLimits(generations.broker, generations.keys), generations.settings)
            own = replace(generations, calls=calls)
            async with running_worker(own):
                yield own

    @asynccontextmanager
    async def attempt(self, job: Job, **changed: object) -> AsyncGenerator[Generations]:
        """The first attempt of a job, without a worker that claims it; it has ended at the exit."""
        async with self.open_generations(**changed) as generations:
            running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
            yield generations
            await running


@pytest.fixture
def broker_url(own_broker: EmbeddedBroker) -> str:
    """The `settings` of these tests point at a server of their own."""
    return own_broker.url


@pytest.fixture
async def own(
    own_broker: EmbeddedBroker,
    tailrace: Tailrace,
    request_: GenerationRequest,
    puppet: Puppet,
    open_generations: OpenGenerations,
) -> AsyncIterator[OwnServer]:
    broker = Broker(open_redis(own_broker.url))
    await broker.call("CONFIG", "SET", "appendfsync", "always")
    yield OwnServer(own_broker, broker, tailrace, request_, puppet, open_generations)
    await broker.aclose()
