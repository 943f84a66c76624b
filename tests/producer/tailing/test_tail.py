"""Reading a stream, on the real server."""

import asyncio
from typing import Any

import pytest

from tailrace import (
    Answer,
    BrokerRefused,
    BrokerUnavailable,
    InfrastructureError,
    InvalidCursor,
    InvalidJobId,
    InvalidRequest,
    Job,
    JobNotFound,
    Settings,
    Tailrace,
)
from tailrace.answer import Snapshot
from tailrace.broker.client import Broker
from tailrace.broker.wire import Wire
from tailrace.cursor import EntryId
from tailrace.events import Delta, Gap, Reasoning, Started
from tailrace.protocol.keys import Keys
from tailrace.tailing.limits import ReaderLimits
from tailrace.tailing.reader import Reader
from tests.support.eventually import eventually
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream
from tests.support.proxy import Proxy


async def collect(job: Job, after: str = "0-0") -> list[str]:
    async with asyncio.timeout(10):
        return [f"{event.id} {event.type}" async for event in job.tail(after=after)]


async def test_a_tail_waits_for_new_events_and_stops_at_the_ending(job: Job, stream: HandwrittenStream) -> None:
    seen: list[str] = []
    async with asyncio.timeout(10):
        async for event in job.tail():
            seen.append(event.type)
            if event.type == "queued":
                await stream.append("1-2", STARTED)
            if event.type == "started":
                await stream.append("1-3", Delta(text="Hello"))
            if event.type == "delta":
                await stream.append("1-4", ENDING)
    assert seen == ["queued", "started", "delta", "completed"]


async def test_a_tail_resumes_after_a_cursor(job: Job, stream: HandwrittenStream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append("1-3", Delta(text="Hello"))
    await stream.append("1-4", ENDING)
    assert await collect(job, "1-2") == ["1-3 delta", "1-4 completed"]
    assert await collect(job, "1-4") == []


async def test_a_tail_reads_a_long_stream_to_its_end(job: Job, stream: HandwrittenStream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append_deltas(3, 2_502)
    await stream.append("1-2503", ENDING)
    assert len(await collect(job)) == 2_503


async def test_an_unknown_job_is_not_found_at_once(tailrace: Tailrace) -> None:
    async with asyncio.timeout(1):
        with pytest.raises(JobNotFound, match="expired, was deleted, or was never enqueued"):
            await collect(tailrace.job("x" * 22))


async def test_a_waiting_tail_raises_when_its_stream_expires(job: Job, stream: HandwrittenStream) -> None:
    with pytest.raises(JobNotFound):  # noqa: PT012
        async with asyncio.timeout(5):
            async for event in job.tail():
                if event.type == "queued":
                    await stream.call("PEXPIRE", stream.key, 20)


@pytest.mark.parametrize("cursor", ["", "1", "1-", "-1", "1-x", "\u0663-\u0661", "1-2-3", "9" * 40 + "-1"])
async def test_an_invalid_cursor_is_refused(job: Job, cursor: str) -> None:
    with pytest.raises(InvalidCursor, match="ATTEMPT-SEQ"):
        job.tail(after=cursor)


async def test_a_cursor_ahead_of_the_stream_is_refused(job: Job) -> None:
    with pytest.raises(InvalidCursor, match="ahead"):
        await collect(job, "7-7")


@pytest.mark.parametrize("job_id", ["", "short", "a" * 65, "a" * 15 + "}", "a" * 20 + "\n", "ä" * 20])
async def test_an_invalid_job_id_is_refused_before_it_reaches_redis(tailrace: Tailrace, job_id: str) -> None:
    with pytest.raises(InvalidJobId):
        tailrace.job(job_id)


async def test_a_tail_resumes_after_a_cursor_of_an_earlier_attempt(job: Job, stream: HandwrittenStream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append_deltas(3, 4)
    await stream.append("2-5", Started(at=1, attempt=2, provider="openai", model="m", worker="w", reason="worker_lost"))
    await stream.append("2-6", Delta(text="again"))
    await stream.append("2-7", ENDING)
    assert await collect(job, "1-3") == ["1-4 delta", "2-5 started", "2-6 delta", "2-7 completed"]


async def test_a_cursor_ahead_of_its_stream_waits_until_the_lost_entries_are_back(
    job: Job, stream: HandwrittenStream
) -> None:
    await stream.append("1-2", STARTED)
    reading = asyncio.create_task(collect(job, "1-4"))

    async def waits() -> bool:
        return await stream.listeners() == 1

    async with asyncio.timeout(10):
        await eventually(waits)
    await stream.append_deltas(3, 3)
    await stream.append_deltas(4, 5)
    await stream.append("1-6", ENDING)
    assert await reading == ["1-5 delta", "1-6 completed"]


async def test_a_cursor_ahead_of_an_ended_job_is_refused_at_once(
    job: Job, stream: HandwrittenStream, broker: Broker, settings: Settings
) -> None:
    await stream.append("1-2", ENDING)
    reader = Reader(broker, settings, limits=ReaderLimits(grace_seconds=3_600))
    with pytest.raises(InvalidCursor, match="ahead"):
        await collect(Job(job.id, broker, reader, settings), "1-3")


async def test_a_gap_comes_before_the_entry_that_follows_it(job: Job, stream: HandwrittenStream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append("1-3", Delta(text="one "))
    await stream.append("1-7", Delta(text="five"))
    await stream.append("1-8", ENDING)
    answer = Answer()
    told: list[Gap] = []
    async for event in job.tail():
        answer.add(event)
        if event.type == "gap":
            told.append(event)
    assert told == [Gap(id=EntryId(1, 6), after=EntryId(1, 3), before=EntryId(1, 7))]
    assert (answer.text, answer.complete) == ("one five", False)
    assert await collect(job, str(told[0].id)) == ["1-7 delta", "1-8 completed"]
    assert await collect(job, "1-3") == ["1-6 gap", "1-7 delta", "1-8 completed"]


async def test_a_snapshot_replaces_the_events_so_far_and_the_tail_goes_on(job: Job, stream: HandwrittenStream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append_deltas(3, 1_502)
    seen: list[str] = []
    mine = Answer()
    async with asyncio.timeout(10):
        async for event in job.tail(snapshot=True):
            mine.add(event)
            seen.append(f"{event.id} {event.type}")
            if isinstance(event, Snapshot):
                assert event.answer.text == "".join(f"{seq} " for seq in range(3, 1_503))
                assert (event.answer.cursor, event.answer.ending) == (EntryId(1, 1_502), None)
                await stream.append("1-1503", Delta(text="more"))
                await stream.append("1-1504", ENDING)
    assert seen == ["1-1502 snapshot", "1-1503 delta", "1-1504 completed"]
    assert mine.text.endswith("1502 more")
    assert mine.finish_reason == "stop"


async def test_a_snapshot_of_a_long_answer_is_its_beginning_and_the_rest_comes_as_events(
    job: Job, stream: HandwrittenStream, broker: Broker, settings: Settings
) -> None:
    reader = Reader(broker, settings, limits=ReaderLimits(snapshot_bytes=10_000))
    await stream.append("1-2", STARTED)
    for seq in range(3, 103):
        await stream.append_in_silence(f"1-{seq}", Delta(text="x" * 10_000))
    await stream.append("1-103", ENDING)
    mine = Answer()
    snapshots: list[int] = []
    async with asyncio.timeout(10):
        async for event in Job(job.id, broker, reader, settings).tail(snapshot=True):
            mine.add(event)
            if isinstance(event, Snapshot):
                snapshots.append(len(event.answer.text))
    assert len(snapshots) == 1
    # Events that a tail takes at once are all folded.
    assert 0 < snapshots[0] < 600_000
    assert (len(mine.text), mine.finish_reason, mine.complete) == (1_000_000, "stop", True)


async def test_a_snapshot_of_an_ended_job_is_followed_by_its_ending(job: Job, stream: HandwrittenStream) -> None:
    await stream.append("1-2", STARTED)
    await stream.append_deltas(3, 3)
    await stream.append("1-4", ENDING)
    told = [event async for event in job.tail(snapshot=True)]
    assert [event.type for event in told] == ["snapshot", "completed"]
    assert isinstance(told[0], Snapshot)
    assert told[0].answer.ending is None


async def test_a_snapshot_comes_at_once_after_a_foreign_last_entry(
    job: Job, stream: HandwrittenStream, tailrace: Tailrace
) -> None:
    await stream.call("XADD", stream.key, "1-2", "colour", "blue")
    async with asyncio.timeout(10):
        async for event in job.tail(snapshot=True):
            assert event.type == "snapshot"
            break


async def test_a_snapshot_holds_the_events_read_before_redis_went_away(
    job: Job, stream: HandwrittenStream, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await stream.append_deltas(2, 100)
    exchange = Wire.exchange

    async def once(wire: Wire, payload: bytes, replies: int, **given: Any) -> list[Any]:
        monkeypatch.setattr(Wire, "exchange", never)
        return await exchange(wire, payload, replies, **given)

    async def never(wire: Wire, payload: bytes, replies: int, **given: Any) -> list[Any]:
        raise BrokerUnavailable("Redis cannot be reached: by order of the test")

    monkeypatch.setattr(Wire, "exchange", once)
    async with Tailrace.connect(settings.redis_url, prefix=settings.prefix, reconnect_seconds=0) as impatient:
        tail = impatient.job(job.id).tail(snapshot=True)
        told = await anext(tail)
        assert isinstance(told, Snapshot)
        with pytest.raises(BrokerUnavailable, match="cannot be reached") as caught:
            await anext(tail)
    monkeypatch.undo()
    assert caught.value.cursor == str(told.id) == "1-4"
    assert told.answer.text.endswith("3 4 ")


async def test_a_snapshot_and_a_cursor_cannot_be_combined(job: Job) -> None:
    with pytest.raises(InvalidRequest, match="snapshot"):
        job.tail(after="0-1", snapshot=True)


async def test_foreign_entries_are_skipped_with_one_warning(
    job: Job, stream: HandwrittenStream, caplog: pytest.LogCaptureFixture
) -> None:
    await stream.call("XADD", stream.key, "1-2", "type", "started", "at", "soon")
    await stream.call("XADD", stream.key, "1-3", "type", "of-a-later-version", "x", "y")
    await stream.call("XADD", stream.key, "1-4", "colour", "blue")
    await stream.call("XADD", stream.key, "1-5", "type", "delta", "text", b"\xff\xfe")
    await stream.call("XADD", stream.key, "1-6", b"\xff", b"\xfe")
    await stream.call("XADD", stream.key, "1-7", "type", "delta", "text", "Hello", "mood", "fine")
    await stream.append("1-8", ENDING)
    assert await collect(job) == ["0-1 queued", "1-7 delta", "1-8 completed"]
    assert caplog.text.count("1-2") == 1
    assert len(caplog.records) == 1


async def test_an_entry_with_a_clock_id_is_skipped_but_a_later_ending_counts(
    job: Job, stream: HandwrittenStream
) -> None:
    rubbish_id = await stream.call("XADD", stream.key, "*", "type", "delta", "text", "spam")
    await stream.append(f"{int(rubbish_id.partition(b'-')[0]) + 1_000}-1", ENDING)
    assert [line.split()[1] for line in await collect(job)] == ["queued", "completed"]


async def test_an_unreadable_ending_raises_after_the_events_before_it(job: Job, stream: HandwrittenStream) -> None:
    await stream.append_deltas(2, 2)
    await stream.call("XADD", stream.key, "1-3", "type", "completed", "at", "never")
    seen: list[str] = []
    with pytest.raises(InfrastructureError, match="'1-3'"):  # noqa: PT012
        async for event in job.tail():
            seen.append(event.type)  # noqa: PERF401
    assert seen == ["queued", "delta"]


async def test_a_key_that_holds_no_stream_is_refused_and_harms_no_other_tail(
    job: Job, stream: HandwrittenStream, tailrace: Tailrace, settings: Settings
) -> None:
    spoiled = tailrace.job("x" * 22)
    others: list[str] = []
    async with asyncio.timeout(10):
        async for event in job.tail():
            others.append(event.type)
            if event.type == "queued":
                await stream.call("SET", Keys(settings.prefix).events(spoiled.id), "no stream")
                with pytest.raises(BrokerRefused, match="WRONGTYPE"):
                    await collect(spoiled)
                await stream.append("1-2", ENDING)
    assert others == ["queued", "completed"]


async def test_a_stream_replaced_by_another_type_harms_no_other_tail(
    job: Job, stream: HandwrittenStream, tailrace: Tailrace, settings: Settings
) -> None:
    spoiled = await tailrace.enqueue(REQUEST)
    async with asyncio.timeout(10), spoiled.tail() as other:
        await anext(other)
        async for event in job.tail():
            if event.type == "queued":
                await stream.call("SET", Keys(settings.prefix).events(spoiled.id), "no stream")
                with pytest.raises(BrokerRefused, match="WRONGTYPE"):
                    await anext(other)
                await stream.append("1-2", ENDING)


async def test_a_tail_survives_a_cut_connection(job: Job, stream: HandwrittenStream, settings: Settings) -> None:
    async with Proxy(settings.redis_url) as proxy, Tailrace.connect(proxy.url, prefix=settings.prefix) as tailrace:
        seen: list[str] = []
        async with asyncio.timeout(10):
            async for event in tailrace.job(job.id).tail():
                seen.append(str(event.id))
                await proxy.cut()
                if event.type == "queued":
                    await stream.append("1-2", STARTED)
                    await stream.append("1-3", Reasoning(text="Hm."))
                if event.type == "reasoning":
                    await stream.append("1-4", ENDING)
    assert seen == ["0-1", "1-2", "1-3", "1-4"]


async def test_many_tails_see_the_same_events(job: Job, stream: HandwrittenStream) -> None:
    tails = [asyncio.create_task(collect(job)) for _ in range(20)]
    await stream.append("1-2", STARTED)
    await stream.append("1-3", ENDING)
    assert {tuple(seen) for seen in await asyncio.gather(*tails)} == {("0-1 queued", "1-2 started", "1-3 completed")}


async def test_what_was_read_together_is_taken_at_once_and_the_tail_goes_on(
    job: Job, stream: HandwrittenStream
) -> None:
    await stream.append_deltas(2, 4)
    async with asyncio.timeout(10), job.tail() as tail:
        assert tail.take_ready() == []
        taken = [await anext(tail), *tail.take_ready()]
        assert tail.take_ready() == []
        await stream.append("1-5", ENDING)
        taken += [event async for event in tail]
    assert [event.id.seq for event in taken] == [1, 2, 3, 4, 5]
