"""Who ended, at least once, across readers."""

import asyncio
import multiprocessing
import re
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from tailrace import (
    Answer,
    BrokerUnavailable,
    CancelOutcome,
    Job,
    JobEnding,
    JobNotFound,
    Settings,
    Tailrace,
)
from tailrace.broker.client import Broker, Command, open_redis
from tailrace.events import Cancelled, Completed, Failed
from tailrace.protocol.endings import close
from tailrace.protocol.endings_reader import EndingsLimits, read_endings
from tailrace.protocol.keys import Keys
from tailrace.tailing.reader import Reader
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.handwritten import REQUEST
from tests.support.proxy import Proxy


async def end_one(tailrace: Tailrace) -> str:
    job = await tailrace.enqueue(REQUEST, tenant="acme")
    await job.cancel()
    return job.id


async def take(
    tailrace: Tailrace, count: int, group: str = "archive", redeliver_seconds: float = 60
) -> list[JobEnding]:
    taken: list[JobEnding] = []
    endings = tailrace.endings(group, redeliver_seconds=redeliver_seconds)
    async with asyncio.timeout(10), aclosing(endings):
        async for ending in endings:
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


async def test_readers_outlive_the_expiry_of_the_stream(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    waiting = asyncio.create_task(take(tailrace, 1))

    async def waits() -> bool:
        return bool(await broker.call("EXISTS", keys.endings))

    await eventually(waits)
    await broker.call("DEL", keys.endings)
    job_id = await end_one(tailrace)
    assert [ending.job_id for ending in await waiting] == [job_id]


async def test_a_reader_that_leaves_with_nothing_open_leaves_nothing_behind(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    waiting = asyncio.create_task(take(tailrace, 99))
    stream = keys.endings

    async def consumers() -> int:
        groups = await broker.call("XINFO", "GROUPS", stream)
        return int(groups[0][groups[0].index(b"consumers") + 1]) if groups else 0

    async def reads() -> bool:
        return bool(await broker.call("EXISTS", stream)) and await consumers() == 1

    await eventually(reads)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert await consumers() == 0


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


async def announce(broker: Broker, keys: Keys, job_id: str, outcome: Completed | Failed) -> None:
    ended = JobEnding(job_id=job_id, tenant="acme", ending=outcome.type, outcome=outcome)
    await close(broker, keys, ended, keep_seconds=60)


async def test_the_loop_of_the_documentation_runs_on_although_answers_have_expired(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guides" / "tail-and-resume.md").read_text()
    (loop,) = re.findall(r"```python\n(async for ended in .*?)```", guide, re.DOTALL)
    archived: list[str] = []

    def archive(answer: Answer) -> None:
        assert answer.ending
        archived.append(answer.ending.type)

    names: dict[str, Any] = {"JobNotFound": JobNotFound, "tailrace": tailrace, "archive": archive}
    source = "".join(f"    {line}\n" for line in loop.replace("...", "archive(answer)").splitlines())
    exec(f"async def run():\n{source}", names)  # noqa: S102
    expired, first, deleted, last = [await end_one(tailrace) for _ in range(4)]
    await broker.call("DEL", keys.events(expired))
    await tailrace.job(deleted).delete()
    running = asyncio.create_task(names["run"]())
    await eventually(lambda: len(archived) == 2 or running.done())
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    assert archived == ["cancelled", "cancelled"]
    assert [ended.is_readable for ended in await take(tailrace, 4, "others")] == [False, True, False, True]
    assert {first, last} < {ended.job_id for ended in await take(tailrace, 4, "more")}


async def test_an_ending_has_its_outcome_with_what_it_says_while_the_answer_can_be_read(tailrace: Tailrace) -> None:
    job = await tailrace.enqueue(REQUEST, tenant="acme")
    await job.cancel("enough")
    (ended,) = await take(tailrace, 1)
    assert isinstance(ended.outcome, Cancelled)
    assert (ended.is_readable, ended.outcome.reason) == (True, "enough")


async def test_an_ending_whose_answer_has_expired_has_its_usage_and_no_text(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    completed = Completed(at=7, finish_reason="length", output_tokens=12, tokens_per_second=3.5)
    failed = Failed(at=8, code="idle_timeout", message="a secret prompt", retryable=True)
    await announce(broker, keys, "0" * 22, completed)
    await announce(broker, keys, "1" * 22, failed)
    ended = await take(tailrace, 2)
    assert [each.is_readable for each in ended] == [False, False]
    assert [each.outcome for each in ended] == [
        completed,
        Failed(at=8, code="idle_timeout", message="", retryable=True),
    ]
    assert b"secret" not in str(await broker.call("XRANGE", keys.endings, "-", "+")).encode()


async def test_an_ending_that_an_older_version_announced_is_told_and_what_is_none_is_not(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    stream = keys.endings
    for fields in (
        ("job", "x", "ending", "paused"),
        ("other", "1"),
        ("job", "x", "tenant", "acme", "ending", "failed"),
    ):
        await broker.call("XADD", stream, "*", *fields)
    (ended,) = await take(tailrace, 1)
    assert (ended.job_id, ended.ending, ended.outcome, ended.is_readable) == ("x", "failed", None, False)


async def test_a_job_whose_stream_is_none_ends_no_reader(tailrace: Tailrace, broker: Broker, keys: Keys) -> None:
    first, second = await end_one(tailrace), await end_one(tailrace)
    await broker.call("SET", keys.events(first), "no stream", "PX", 60_000)
    told = await take(tailrace, 2)
    assert [(ended.job_id, ended.is_readable) for ended in told] == [(first, False), (second, True)]


def test_the_ending_of_a_job_is_one_of_three_words() -> None:
    assert get_args(get_type_hints(JobEnding)["ending"]) == ("completed", "failed", "cancelled")


async def test_a_reader_holds_no_more_than_the_ending_that_it_was_given(tailrace: Tailrace) -> None:
    jobs = [await end_one(tailrace) for _ in range(3)]
    async with asyncio.timeout(10):
        slow = tailrace.endings("archive")
        assert (await anext(slow)).job_id == jobs[0]
        assert [ended.job_id for ended in await take(tailrace, 2)] == jobs[1:]
        await slow.aclose()
    # Both left the last one that they were given without asking for another.
    assert {ended.job_id for ended in await take(tailrace, 2, redeliver_seconds=0)} == {jobs[0], jobs[2]}


async def test_an_ending_is_acknowledged_when_the_next_one_is_asked_for(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    first, second = await end_one(tailrace), await end_one(tailrace)
    async with asyncio.timeout(10):
        reader = tailrace.endings("archive")
        for job_id in (first, second):
            assert (await anext(reader)).job_id == job_id
            pending = await broker.call("XPENDING", keys.endings, "archive")
            assert pending["pending"] == 1
        await reader.aclose()


def read_one_and_hold_it(redis_url: str, prefix: str, holds: Any) -> None:
    async def read() -> None:
        async with Tailrace.connect(redis_url, prefix=prefix) as tailrace:
            async for _ in tailrace.endings("archive"):
                holds.set()
                await asyncio.Event().wait()

    asyncio.run(read())


@pytest.mark.process
async def test_the_consumer_of_a_killed_reader_is_removed_once_others_have_what_it_held(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings
) -> None:
    job_id = await end_one(tailrace)
    fork = multiprocessing.get_context("forkserver")
    holds = fork.Event()
    process = fork.Process(target=read_one_and_hold_it, args=(settings.redis_url, settings.prefix, holds))
    process.start()
    await asyncio.to_thread(holds.wait)
    process.kill()
    await asyncio.to_thread(process.join)

    async def remain(count: int) -> bool:
        return len(await broker.call("XINFO", "CONSUMERS", keys.endings, "archive")) == count

    assert await remain(1)
    reader = read_endings(broker, settings, "archive", redeliver_seconds=0.2, limits=EndingsLimits(block_seconds=0.05))
    async with asyncio.timeout(20):
        assert (await anext(reader)).job_id == job_id
        waiting = asyncio.ensure_future(anext(reader))
        await eventually(partial(remain, 1))
        waiting.cancel()
        await asyncio.wait([waiting])
    await eventually(partial(remain, 0))


async def test_a_job_whose_canceller_died_is_announced_by_the_next_one(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings
) -> None:
    job = await tailrace.enqueue(REQUEST, tenant="acme", defer_seconds=3_600)
    await dies_while_cancelling(job.id, broker, settings)
    assert await job.cancel("again") is CancelOutcome.ENDED
    assert [ended.job_id for ended in await take(tailrace, 1)] == [job.id]
    assert await broker.call("ZCARD", keys.queue("default")) == 0


async def test_a_job_whose_canceller_died_is_kept_until_a_worker_finds_it(
    tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings
) -> None:
    job = await tailrace.enqueue(REQUEST, defer_seconds=86_400)
    await dies_while_cancelling(job.id, broker, settings)
    assert await broker.call("PTTL", keys.events(job.id)) > 86_400_000 > settings.keep_seconds * 1_000


class DyingBroker(Broker):
    """Its process dies between the ending of a job and its announcement."""

    async def pipeline(self, *_: Command) -> list[Any]:
        raise BrokerUnavailable("Redis cannot be reached: by order of the test")


async def dies_while_cancelling(job_id: str, broker: Broker, settings: Settings) -> None:
    dying = DyingBroker(broker.redis)
    with pytest.raises(BrokerUnavailable):
        await Job(job_id, dying, Reader(dying, settings), settings).cancel("enough")


async def test_a_reader_waits_while_redis_refuses_writes(own_broker: EmbeddedBroker) -> None:
    broker = Broker(open_redis(own_broker.url))
    async with Tailrace.connect(own_broker.url) as tailrace:
        job_id = await end_one(tailrace)
        await broker.call("CONFIG", "SET", "min-replicas-to-write", "1")
        async with aclosing(tailrace.endings("archive")) as endings:
            waiting = asyncio.create_task(anext(endings))

            async def is_refused() -> bool:
                return "errorstat_NOREPLICAS" in await broker.call("INFO", "errorstats")

            await eventually(is_refused)
            await broker.call("CONFIG", "SET", "min-replicas-to-write", "0")
            assert (await asyncio.wait_for(waiting, 20)).job_id == job_id
    await broker.aclose()
