"""Fixtures for what has to be the same on fakeredis and on the real server."""

import pytest
from redis.asyncio import Redis

from tailrace import Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys


@pytest.fixture
def tailrace(redis: Redis, settings: Settings) -> Tailrace:
    return Tailrace(redis, settings=settings)


@pytest.fixture
def broker(redis: Redis) -> Broker:
    return Broker(redis)


async def queued(broker: Broker, keys: Keys, queue: str = "default") -> list[str]:
    """The jobs that wait in a queue, in their order."""
    return [job_id.decode() for job_id in await broker.call("ZRANGE", keys.queue(queue), 0, -1)]
