"""Who ended is told, whoever dies on the way, for as long as there is room, and without what was asked."""

import asyncio
from typing import Any

import pytest

from tailrace import BrokerRefused, BrokerUnavailable, Job, Tailrace
from tailrace.protocol import cancellation, endings
from tailrace.protocol.endings import JobEnding, announcement
from tailrace_worker.generation import Generations
from tests.worker.conftest import running_worker


async def test_a_cancel_that_dies_before_it_is_told_leaves_the_job_to_a_worker_who_tells(
    job: Job, tailrace: Tailrace, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:

    async def dies(*_: object, **__: object) -> None:
        raise BrokerUnavailable("Redis cannot be reached: by order of the test")

    with monkeypatch.context() as dying:
        dying.setattr(cancellation, "close", dies)
        with pytest.raises(BrokerUnavailable):
            await job.cancel("enough")
    async with running_worker(generations), asyncio.timeout(10):
        async for ended in tailrace.endings("readers"):
            assert (ended.job_id, ended.ending) == (job.id, "cancelled")
            break


async def test_the_oldest_endings_make_room(generations: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "CAPACITY", 10)
    keys, broker = generations.keys, generations.broker
    for number in range(300):
        await broker.pipeline(*announcement(keys, JobEnding(job_id=f"{number}", tenant="acme", ending="completed")))
    # Redis trims by the block, of 100 entries.
    assert 10 <= await broker.call("XLEN", keys.endings) < 300
    newest = await broker.call("XREVRANGE", keys.endings, "+", "-", "COUNT", 1)
    assert newest[0][1][b"job"] == b"299"


@pytest.mark.parametrize("way", ["call", "pipeline", "transaction"])
async def test_what_redis_refuses_is_told_without_what_was_asked(generations: Generations, way: str) -> None:
    broker = generations.broker
    command = ("HSET", generations.keys.endings, "request", "a secret prompt")
    await broker.call("SET", generations.keys.endings, "no hash", "PX", 60_000)
    ask: Any = getattr(broker, way)
    with pytest.raises(BrokerRefused, match="WRONGTYPE") as caught:
        await (ask(*command) if way == "call" else ask(command))
    assert "secret" not in str(caught.value)
    error: BaseException | None = caught.value
    while error is not None:
        assert "secret" not in str(error)
        error = error.__cause__ or error.__context__
