"""What all workers know of rate limits, as Redis keeps it."""

import asyncio
from typing import Any

import pytest

from tailrace import BrokerUnavailable, Settings
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys
from tailrace_worker.attempt.rate_limits import RateLimits

MILL = ("openai", "mill")
OTHER = ("openai", "other")


@pytest.fixture
def throttle(broker: Broker, settings: Settings) -> RateLimits:
    return RateLimits(broker, Keys(settings.prefix))


async def test_each_model_is_limited_for_itself(throttle: RateLimits) -> None:
    await throttle.tell(*MILL, 50)
    mill, other = await throttle.left(MILL, OTHER)
    assert 40 < mill <= 50
    assert other == 0


@pytest.mark.parametrize(("first", "then"), [(50, 1), (1, 50)])
async def test_the_longer_of_two_limits_holds(throttle: RateLimits, first: float, then: float) -> None:
    await throttle.tell(*MILL, first)
    await throttle.tell(*MILL, then)
    (left,) = await throttle.left(MILL)
    assert 40 < left <= 50


async def test_no_limit_holds_for_more_than_a_minute(throttle: RateLimits) -> None:
    await throttle.tell(*MILL, 3_600)
    (left,) = await throttle.left(MILL)
    assert 50 < left <= 60


async def test_who_waits_keeps_to_a_limit_that_was_made_longer_meanwhile(
    throttle: RateLimits, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline, looked = broker.pipeline, asyncio.Event()

    async def watched(*commands: Any) -> list[Any]:
        replies = await pipeline(*commands)
        if commands[0][0] == "PTTL":
            looked.set()
        return replies

    monkeypatch.setattr(broker, "pipeline", watched)
    async with asyncio.timeout(10):
        await throttle.tell(*MILL, 0.2)
        waiting = asyncio.create_task(throttle.wait(*MILL))
        await looked.wait()
        await throttle.tell(*MILL, 0.6)
        await waiting
    assert await throttle.left(MILL) == [0]


async def test_a_redis_that_is_away_holds_up_no_call(
    throttle: RateLimits, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    await throttle.tell(*MILL, 50)

    async def away(*commands: Any) -> list[Any]:
        raise BrokerUnavailable("Redis cannot be reached: by order of the test")

    monkeypatch.setattr(broker, "pipeline", away)
    async with asyncio.timeout(5):
        await throttle.tell(*MILL, 50)
        await throttle.wait(*MILL)
    assert await throttle.left(MILL, OTHER) == [0, 0]
