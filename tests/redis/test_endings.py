"""Who ended, at least once, across readers."""

import asyncio

import pytest

from tailrace import BrokerUnavailable, GenerationRequest, JobEnding, Settings, Tailrace
from tailrace.broker import Broker, open_redis
from tailrace.keys import Keys
from tests.eventually import eventually
from tests.proxy import Proxy

REQUEST = GenerationRequest.model_validate(
    {"provider": "openai", "model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}
)


async def end_one(tailrace: Tailrace) -> str:
    job = await tailrace.enqueue(REQUEST, tenant="acme")
    await job.cancel()
    return job.id


async def take(
    tailrace: Tailrace, count: int, group: str = "archive", redeliver_seconds: float = 60
) -> list[JobEnding]:
    taken: list[JobEnding] = []
    async with asyncio.timeout(10):
        async for ending in tailrace.endings(group, redeliver_seconds=redeliver_seconds):
            taken.append(ending)
            if len(taken) == count:
                break
    return taken


async def test_an_ending_reaches_its_group(tailrace: Tailrace) -> None:
    job_id = await end_one(tailrace)
    assert await take(tailrace, 1) == [JobEnding(job_id=job_id, tenant="acme", ending="cancelled")]


async def test_a_reader_that_waits_is_told(tailrace: Tailrace) -> None:
    waiting = asyncio.create_task(take(tailrace, 1))
    job_id = await end_one(tailrace)
    assert [ending.job_id for ending in await waiting] == [job_id]


async def test_every_group_gets_every_ending(tailrace: Tailrace) -> None:
    job_id = await end_one(tailrace)
    for group in ("archive", "billing"):
        assert [ending.job_id for ending in await take(tailrace, 1, group)] == [job_id]


async def test_an_ending_that_was_asked_beyond_is_not_given_again(tailrace: Tailrace) -> None:
    first, second = await end_one(tailrace), await end_one(tailrace)
    assert [ending.job_id for ending in await take(tailrace, 2)] == [first, second]
    third = await end_one(tailrace)
    assert [ending.job_id for ending in await take(tailrace, 2, redeliver_seconds=0)] == [second, third]


async def test_an_ending_whose_reader_failed_goes_to_another(tailrace: Tailrace) -> None:
    job_id = await end_one(tailrace)

    async def fail() -> None:
        async for _ in tailrace.endings("archive"):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert [ending.job_id for ending in await take(tailrace, 1, redeliver_seconds=0)] == [job_id]


async def test_readers_outlive_the_expiry_of_the_stream(tailrace: Tailrace, settings: Settings) -> None:
    broker = Broker(open_redis(settings.redis_url))
    waiting = asyncio.create_task(take(tailrace, 1))

    async def waits() -> bool:
        return bool(await broker.call("EXISTS", Keys(settings.prefix).endings))

    await eventually(waits)
    await broker.call("DEL", Keys(settings.prefix).endings)
    job_id = await end_one(tailrace)
    assert [ending.job_id for ending in await waiting] == [job_id]
    await broker.aclose()


async def test_a_reader_that_leaves_with_nothing_open_leaves_nothing_behind(
    tailrace: Tailrace, settings: Settings
) -> None:
    broker = Broker(open_redis(settings.redis_url))
    waiting = asyncio.create_task(take(tailrace, 99))
    stream = Keys(settings.prefix).endings

    async def consumers() -> int:
        groups = await broker.call("XINFO", "GROUPS", stream)
        return int(groups[0][groups[0].index(b"consumers") + 1]) if groups else 0

    async def reads() -> bool:
        return bool(await broker.call("EXISTS", stream)) and await consumers() == 1

    await eventually(reads)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await consumers() == 0
    await broker.aclose()


async def test_a_reader_survives_a_cut_connection(tailrace: Tailrace, settings: Settings) -> None:
    async with Proxy(settings.redis_url) as proxy, Tailrace.connect(proxy.url, prefix=settings.prefix) as reader:
        waiting = asyncio.create_task(take(reader, 1))
        await proxy.requested(b"XREADGROUP")
        await proxy.cut()
        job_id = await end_one(tailrace)
        assert [ending.job_id for ending in await waiting] == [job_id]


async def test_a_reader_is_told_of_a_redis_that_stays_away_for_as_long_as_the_settings_say(settings: Settings) -> None:
    async with (
        Proxy(settings.redis_url) as proxy,
        Tailrace.connect(proxy.url, prefix=settings.prefix, reconnect_seconds=0.1) as reader,
    ):
        waiting = asyncio.create_task(take(reader, 1))
        await proxy.requested(b"XREADGROUP")
        await proxy.close()
        with pytest.raises(BrokerUnavailable):
            await waiting
