"""What the publisher keeps to send again, and how it lets go of it."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import cycle, islice
from typing import Any

import pytest

from tailrace import GenerationRequest, Job, Tailrace
from tailrace.broker.backoff import Backoff
from tailrace.broker.liveness import LivenessLimits
from tailrace.broker.wire import Wire, packed
from tailrace.errors import BrokerRefused, BrokerUnavailable
from tailrace.events import Delta, Reasoning, StreamEvent, ToolCall
from tailrace_worker.generation import Generations
from tailrace_worker.publishing.batch import BatchLimits
from tailrace_worker.publishing.entry_fields import ENTRY_BYTES
from tailrace_worker.publishing.losses import Fenced, StreamDeleted, StreamLost
from tailrace_worker.publishing.publisher import Publisher, PublisherLimits
from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.streams import ENDING, begin, read, run_unclaimed, texts, writing
from tests.worker.conftest import OpenGenerations, Puppet


def held(publisher: Publisher) -> tuple[int, int, int, int]:
    kept = publisher.resend_buffer
    return len(publisher.writers), len(kept), kept.used_bytes, publisher.budget.used_bytes


@pytest.mark.parametrize("limits", [{"resend_seconds": 0}, {"max_resend_bytes": 0}], ids=["too-old", "too-much"])
async def test_what_ended_is_let_go_of(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    limits: dict[str, int],
) -> None:
    async with open_generations(**limits) as generations:
        for _ in range(20):
            job = await tailrace.enqueue(request_)
            puppet.say("Hello")
            puppet.finish()
            await run_unclaimed(generations, job.id, 1)
        await eventually(lambda: held(generations.publisher) == (0, 0, 0, 0))


async def test_a_writer_that_lost_its_stream_after_a_long_silence_is_let_go_of(
    job: Job, open_generations: OpenGenerations
) -> None:
    async with open_generations(max_resend_bytes=0) as generations:
        publisher = generations.publisher
        async with writing(generations, job) as writer:
            await eventually(lambda: not publisher.resend_buffer)
            await job.delete()
            with pytest.raises(StreamDeleted):
                await writer.end(ENDING)
        assert held(publisher) == (0, 0, 0, 0)


async def test_what_is_kept_is_bounded_in_bytes_and_in_time_and_not_before(
    job: Job, open_generations: OpenGenerations
) -> None:
    async with open_generations(max_resend_bytes=4_096, resend_seconds=60) as generations:
        publisher = generations.publisher
        async with writing(generations, job) as writer:
            for number in range(40):
                writer.write(Delta(text=f"{number}" * 100))
                await writer.settled()
            kept = publisher.resend_buffer
            await eventually(lambda: kept.used_bytes <= 4_096)
            assert kept.used_bytes > 2_048
            assert sum(ENTRY_BYTES + len(entry.command) for entry in writer.landed) == kept.used_bytes
            kept.drop(publisher.link.heard_at + 120)
            assert held(publisher) == (1, 0, 0, 0)
            assert not writer.landed


async def test_what_a_slow_disk_or_a_lagging_replica_may_lose_is_kept_for_ten_seconds_at_least(
    job: Job, generations: Generations
) -> None:
    publisher = generations.publisher
    async with writing(generations, job) as writer:
        writer.write(Delta(text="one"))
        await writer.settled()
        publisher.resend_buffer.drop(publisher.link.heard_at + 10)
        assert len(writer.landed) == 2


async def test_time_does_not_count_while_redis_says_nothing(job: Job, open_generations: OpenGenerations) -> None:
    silent = PublisherLimits(watch_seconds=3_600)
    async with (
        open_generations(resend_seconds=0, publisher_limits=silent) as generations,
        writing(generations, job) as writer,
    ):
        writer.write(Delta(text="one"))
        await writer.settled()
        # The `started` is older than the last reply. "one" landed with it, and ages with the next one.
        await eventually(lambda: [entry.seq for entry in writer.landed] == [3])


async def test_a_batch_that_arrives_after_the_reconnect_lands_once(
    job: Job, open_generations: OpenGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stood in the socket of a connection that was given up, and Redis reads it after the reconciliation.

    What goes along with it the second time did not the first time, and lands before it is known of the other.
    """
    one_entry = PublisherLimits(batch=BatchLimits(first_bytes=0))
    async with open_generations(publisher_limits=one_entry) as generations:
        wire = generations.publisher.link.wire
        exchange = wire.exchange
        late: list[tuple[bytes, int]] = []

        async def delayed(payload: bytes, replies: int) -> list[Any]:
            if b"two" in payload and not late:
                late.append((payload, replies))
                await wire.disconnect()
                raise BrokerUnavailable("Redis cannot be reached: no reply in time")
            answered = await exchange(payload, replies)
            if b"XREVRANGE" in payload and len(late) == 1:
                async with Wire(generations.broker.redis) as old:
                    await old.connect()
                    await old.exchange(*late[0])
                late.append((b"", 0))
            return answered

        async with writing(generations, job) as writer:
            writer.write(Delta(text="one "))
            await writer.settled()
            monkeypatch.setattr(wire, "exchange", delayed)
            writer.write(Delta(text="two "))
            writer.write(Reasoning(text="three"))
            await eventually(lambda: len(late) == 2)
            await writer.end(ENDING)
            # Each is kept once, and in its place: so it would be sent again, should Redis lose it.
            assert [entry.seq for entry in writer.landed] == [2, 3, 4, 5, 6]
            assert generations.publisher.budget.used_bytes == 0
    events = await read(job, 99)
    assert texts(events) == ["one ", "two "]
    assert [event.id.seq for event in events] == [1, 2, 3, 4, 5, 6]


async def test_a_refused_resend_on_the_same_connection_is_not_taken_for_landed_where_a_successor_has_begun(
    job: Job, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = generations.publisher.link.wire
    exchange, began = wire.exchange, asyncio.Event()

    async def refused(payload: bytes, replies: int) -> list[Any]:
        if b"two" in payload and not began.is_set():
            # As for want of memory: nothing of the batch has landed, and it goes out again.
            await begin(generations, job, attempt=2)
            began.set()
            raise BrokerRefused("Redis refused: OOM command not allowed")
        return await exchange(payload, replies)

    async with writing(generations, job) as writer:
        writer.write(Delta(text="one "))
        await writer.settled()
        monkeypatch.setattr(wire, "exchange", refused)
        writer.write(Delta(text="two "))
        with pytest.raises(Fenced):
            await writer.end(ENDING)
    assert [event.type for event in await read(job, 4)] == ["queued", "started", "delta", "started"]


async def test_a_stream_that_cannot_be_written_stops_its_attempt(job: Job, generations: Generations) -> None:
    async with writing(generations, job) as writer:
        writer.write(Delta(text="one"))
        await writer.settled()
        key = generations.keys.events(job.id)
        await generations.broker.transaction(("DEL", key), ("SET", key, "rubbish", "PX", 60_000))
        with pytest.raises(StreamLost, match="cannot be written"):
            await writer.end(ENDING)


async def test_each_batch_rings_once_for_each_job_that_it_touches(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest
) -> None:
    jobs = [await tailrace.enqueue(request_) for _ in range(2)]
    async with open_generations(batch_ms=1_000) as generations, _bells(generations) as bells:
        await bells.subscribe(*(generations.keys.bell(job.id) for job in jobs))
        async with AsyncExitStack() as stack:
            writers = [await stack.enter_async_context(writing(generations, job)) for job in jobs]
            for writer in writers:
                writer.write(Reasoning(text="Hm."))
                writer.write(Delta(text="Hello"))
            await asyncio.gather(*(writer.settled() for writer in writers))
        rung = [message["channel"].decode() async for message in _messages(bells, 2)]
        assert sorted(rung) == sorted(generations.keys.bell(job.id) for job in jobs)
        assert await bells.get_message(ignore_subscribe_messages=True, timeout=0) is None


def _bells(generations: Generations) -> Any:
    redis: Any = generations.broker.redis
    return redis.pubsub()


async def _messages(bells: Any, count: int) -> AsyncIterator[dict[str, Any]]:
    async with asyncio.timeout(5):
        async for message in bells.listen():
            if message["type"] == "message":
                yield message
                count -= 1
            if not count:
                return


async def test_texts_join_one_entry_only_where_nothing_else_differs(
    job: Job, open_generations: OpenGenerations
) -> None:
    async with open_generations(batch_ms=1_000) as generations, writing(generations, job) as writer:
        writer.write(Delta(text="one "))
        await writer.settled()
        for text in ("two ", "three "):
            writer.write(Delta(text=text))
        writer.write(Reasoning(text="Hm."))
        writer.write(Delta(text="x" * 65_000))
        writer.write(Delta(text="y" * 65_000))
        await writer.end(ENDING)
    events = await read(job, 99)
    assert [text[:5] for text in texts(events)] == ["one ", "two t", "xxxxx", "yyyyy"]


async def test_a_provider_is_not_read_while_as_much_waits_as_may(
    job: Job,
    open_generations: OpenGenerations,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_generations(max_waiting_bytes=65_536) as generations, asyncio.timeout(20):
        publisher = generations.publisher
        exchange, answers = publisher.link.wire.exchange, asyncio.Event()

        async def held(payload: bytes, replies: int) -> list[Any]:
            await answers.wait()
            return await exchange(payload, replies)

        monkeypatch.setattr(publisher.link.wire, "exchange", held)
        puppet.say(*["x" * 40_000] * 4)
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        await eventually(lambda: publisher.budget.is_full)
        for _ in range(100):
            await asyncio.sleep(0)
        assert puppet.unread == 2
        answers.set()
        puppet.finish()
        await running
    assert len("".join(texts(await read(job, 99)))) == 4 * 40_000


@pytest.mark.parametrize(
    "pieces",
    [
        [Delta(text="word")],
        [ToolCall(index=index, arguments='{"a') for index in range(2)],
        [ToolCall(index=index, call_id="c" * 1_000, name="n" * 1_000, arguments="") for index in range(2)],
    ],
    ids=["texts-that-join", "fragments-that-take-turns", "calls-without-arguments"],
)
async def test_what_waits_is_bounded_in_memory_whatever_it_is(
    job: Job,
    open_generations: OpenGenerations,
    pieces: list[StreamEvent],
) -> None:
    async with open_generations(max_waiting_bytes=262_144) as generations:
        publisher = generations.publisher
        async with writing(generations, job) as writer:
            tracemalloc.start()
            try:
                for piece in islice(cycle(pieces), 100_000):
                    if publisher.budget.is_full:
                        break
                    writer.write(piece)
                taken_bytes, _ = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
            assert publisher.budget.is_full
            assert 131_072 < taken_bytes < 393_216
            await writer.settled()
            assert not publisher.budget.is_full


async def test_the_first_text_of_a_job_does_not_wait_for_the_next_batch(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest
) -> None:
    jobs = [await tailrace.enqueue(request_) for _ in range(2)]
    # Longer than the settings allow.
    async with open_generations(unchecked={"batch_ms": 600_000}) as generations, asyncio.timeout(20):
        for job in jobs:
            async with writing(generations, job) as writer:
                writer.write(Delta(text="first"))
                await writer.settled()


async def test_adjacent_batches_are_as_far_apart_as_they_are_told(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest
) -> None:
    job: Job = await tailrace.enqueue(request_)
    async with open_generations(batch_ms=300) as generations:
        loop = asyncio.get_running_loop()
        async with writing(generations, job) as writer:
            writer.write(Delta(text="first"))
            await writer.settled()
            start = loop.time()
            writer.write(Delta(text="second"))
            await writer.settled()
            assert loop.time() - start > 0.2


async def test_a_batch_is_bounded_in_bytes(
    job: Job, open_generations: OpenGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_generations(batch_ms=1_000) as generations:
        wire, sizes = generations.publisher.link.wire, list[int]()
        exchange = wire.exchange

        async def measured(payload: bytes, replies: int) -> list[Any]:
            sizes.append(len(payload))
            return await exchange(payload, replies)

        monkeypatch.setattr(wire, "exchange", measured)
        async with writing(generations, job) as writer:
            for _ in range(80):
                writer.write(Delta(text="x" * 60_000))
            await writer.end(ENDING)
    assert len("".join(texts(await read(job, 999)))) == 80 * 60_000
    assert max(sizes) < 1_048_576 + 3 * 65_536


@pytest.mark.parametrize("cuts", [0, 8], ids=["slow", "slow-and-cut-again-and-again"])
async def test_a_backlog_goes_through_a_slow_link(
    tailrace: Tailrace,
    proxy: Proxy,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    cuts: int,
) -> None:
    # The whole of it takes longer than Redis may be silent.
    limits = LivenessLimits(reply_timeout_seconds=2.0)
    jobs = [await tailrace.enqueue(request_) for _ in range(20)]
    async with (
        open_generations(redis_url=proxy.url, liveness=limits) as generations,
        AsyncExitStack() as stack,
    ):
        writers = [await stack.enter_async_context(writing(generations, job)) for job in jobs]
        proxy.bytes_per_second = 40_000
        for writer in writers:
            for piece in range(5):
                writer.write(Reasoning(text=f"{piece}"))
                writer.write(Delta(text=f"{piece}" * 2_000))
        ending = asyncio.gather(*(writer.end(ENDING) for writer in writers))
        for _ in range(cuts):
            await asyncio.wait([ending], timeout=1)
            await proxy.cut()
        async with asyncio.timeout(40):
            await ending
    for job in jobs:
        events = await read(job, 99)
        assert events[-1].type == "completed"
        assert "".join(texts(events)) == "".join(f"{piece}" * 2_000 for piece in range(5))


async def test_who_has_little_to_say_does_not_wait_for_who_has_much(
    tailrace: Tailrace, proxied: Generations, request_: GenerationRequest, proxy: Proxy
) -> None:
    jobs = [await tailrace.enqueue(request_) for _ in range(2)]
    async with AsyncExitStack() as stack:
        much, little = [await stack.enter_async_context(writing(proxied, job)) for job in jobs]
        proxy.bytes_per_second = 200_000
        for number in range(40):
            much.write(Reasoning(text=f"{number}"))
            much.write(Delta(text="x" * 30_000))
        await eventually(lambda: len(much.unsettled) > 0)
        little.write(Delta(text="Hello"))
        await little.settled()
        assert much.unsettled
        await much.end(ENDING)
    assert texts(await read(jobs[0], 99)) == ["x" * 30_000] * 40


async def test_all_entries_of_a_stream_are_in_one_transaction_of_a_batch(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were one refused and the next one not, the entries of the first could never be appended again."""
    jobs = [await tailrace.enqueue(request_) for _ in range(8)]
    sent: list[list[bytes]] = []
    large = PublisherLimits(batch=BatchLimits(first_bytes=1_000_000))
    async with open_generations(publisher_limits=large) as generations:
        publisher = generations.publisher
        exchange = publisher.link.wire.exchange

        async def spied(payload: bytes, replies: int) -> list[Any]:
            sent.append(payload.split(packed("EXEC"))[:-1])
            return await exchange(payload, replies)

        async with AsyncExitStack() as stack:
            writers = [
                await stack.enter_async_context(writing(generations, job, attempt))
                for attempt in (1, 2)
                for job in jobs
            ]
            await eventually(lambda: publisher.link.wire.is_connected)
            monkeypatch.setattr(publisher.link.wire, "exchange", spied)
            for writer in writers[8:]:
                for number in range(6):
                    writer.write(Reasoning(text=f"{number}"))
                    writer.write(Delta(text="x" * 20_000))
            await asyncio.gather(*(writer.end(ENDING) for writer in writers[8:]))
    assert max(len(transactions) for transactions in sent) > 1
    for transactions in sent:
        for job in jobs:
            assert sum(generations.keys.events(job.id).encode() in each for each in transactions) <= 1


async def test_the_waits_between_tries_grow_although_a_connection_is_made_each_time(
    job: Job, open_generations: OpenGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    class Watched(Backoff):
        def next_seconds(self) -> float:
            waits.append(super().next_seconds())
            return waits[-1]

    monkeypatch.setattr("tailrace_worker.publishing.publisher.Backoff", Watched)
    async with open_generations(publisher_limits=PublisherLimits(first_backoff_seconds=0.001)) as generations:
        wire = generations.publisher.link.wire
        exchange = wire.exchange

        async def fails(payload: bytes, replies: int) -> list[Any]:
            if b"XADD" in payload and len(waits) < 6:
                await wire.disconnect()
                raise BrokerUnavailable("Redis cannot be reached: by order of the test")
            return await exchange(payload, replies)

        async with writing(generations, job) as writer:
            monkeypatch.setattr(wire, "exchange", fails)
            writer.write(Delta(text="Hello"))
            await writer.end(ENDING)
    assert waits == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032]


async def test_no_more_is_kept_while_a_backlog_is_sent(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[int] = []
    job = await tailrace.enqueue(request_)
    async with open_generations(max_resend_bytes=4_096) as generations:
        publisher = generations.publisher
        exchange = publisher.link.wire.exchange

        async def noted(payload: bytes, replies: int) -> list[Any]:
            if b"XADD" in payload:
                kept.append(publisher.resend_buffer.used_bytes)
            return await exchange(payload, replies)

        monkeypatch.setattr(publisher.link.wire, "exchange", noted)
        async with writing(generations, job) as writer:
            for _ in range(100):
                writer.write(Delta(text="x" * 60_000))
            await writer.end(ENDING)
    assert len(kept) > 3
    assert max(kept) <= 4_096
