"""The reader that all tails of a process share, on the real server."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any, TypeAlias, cast

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tailrace import BrokerUnavailable, Event, Job, JobNotFound, Settings, Snapshot, Tail, Tailrace
from tailrace.broker.client import Broker, Command, open_redis
from tailrace.broker.wire import TooMuch, Wire
from tailrace.cursor import BEGINNING
from tailrace.events import Delta, Failed
from tailrace.protocol.keys import Keys, arq_job
from tailrace.tailing import reader as reader_module
from tailrace.tailing.batch_read import BatchResult, read_batch
from tailrace.tailing.groups import Group
from tailrace.tailing.limits import ReaderLimits, ScheduleLimits
from tailrace.tailing.notifications import Notifications
from tailrace.tailing.reader import Reader
from tailrace.tailing.schedule import Schedule
from tests.support.eventually import eventually
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream

NO_SWEEPS = ReaderLimits(schedule=ScheduleLimits(sweep_seconds=3_600))

Handle: TypeAlias = Callable[[Reader], Job]


@pytest.fixture
def reader(broker: Broker, settings: Settings) -> Reader:
    return Reader(broker, settings)


@pytest.fixture
def handle(job: Job, broker: Broker, settings: Settings) -> Handle:
    """Makes a handle of the job with a reader of the test's own."""
    return lambda reader: Job(job.id, broker, reader, settings)


def assert_idle(reader: Reader) -> None:
    assert reader.registry.is_empty
    assert reader.registry.streams == []
    assert reader.schedule.is_empty


async def connections(broker: Broker, name: str) -> int:
    clients: bytes | str = await broker.call("CLIENT", "LIST")
    return str(clients).count(f"name={name} ")


async def test_a_notification_is_heard_at_once(
    handle: Handle, broker: Broker, settings: Settings, stream: HandwrittenStream
) -> None:
    async with asyncio.timeout(10):
        async for event in handle(Reader(broker, settings, limits=NO_SWEEPS)).tail():
            if event.type == "queued":
                await eventually(lambda: _is(stream.listeners(), 1))
                await stream.append("1-2", ENDING)


async def test_the_sweep_finds_an_entry_whose_notification_was_lost(job: Job, stream: HandwrittenStream) -> None:
    async with asyncio.timeout(10):
        async for event in job.tail():
            if event.type == "queued":
                await eventually(lambda: _is(stream.listeners(), 1))
                await stream.append_in_silence("1-2", ENDING)


async def test_an_entry_appended_before_the_subscription_is_not_missed(
    handle: Handle, broker: Broker, settings: Settings, stream: HandwrittenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught_up = asyncio.Event()
    held_back: list[Callable[[], None]] = []
    subscribe = Notifications.subscribe

    def hold_back(notifications: Notifications, channel: bytes) -> None:
        held_back.append(lambda: subscribe(notifications, channel))
        caught_up.set()

    monkeypatch.setattr(Notifications, "subscribe", hold_back)
    tailed = handle(Reader(broker, settings, limits=NO_SWEEPS))
    async with asyncio.timeout(10), tailed.tail() as tail:
        await anext(tail)
        await caught_up.wait()
        await stream.append("1-2", ENDING)
        held_back[0]()
        assert (await anext(tail)).type == "completed"


async def test_any_number_of_tails_share_two_connections(settings: Settings, broker: Broker) -> None:
    name = f"reader-{token_hex(4)}"
    async with Tailrace.connect(f"{settings.redis_url}?client_name={name}", prefix=settings.prefix) as tailrace:
        jobs = await tailrace.enqueue_many([REQUEST] * 100)
        before = await connections(broker, name)
        tails = [job.tail() for job in jobs for _ in range(3)]
        assert {event.type for event in await asyncio.gather(*map(anext, tails))} == {"queued"}
        assert await connections(broker, name) - before <= 2
        await asyncio.gather(*(tail.aclose() for tail in tails))
        await eventually(lambda: _is(connections(broker, name), before))


async def test_tails_of_one_job_share_one_subscription_and_one_read(
    handle: Handle, stream: HandwrittenStream, reader: Reader
) -> None:
    tails = [handle(reader).tail() for _ in range(50)]
    async with asyncio.timeout(20):
        await asyncio.gather(*map(anext, tails))
        await eventually(lambda: _is(stream.listeners(), 1))
        await stream.append("1-2", STARTED)
        started = await asyncio.gather(*map(anext, tails))
        # Decoded once, and handed to all of them.
        assert len({id(event) for event in started}) == 1
        (tailed,) = reader.registry.streams
        assert [len(group.inboxes) for group in tailed.groups] == [50]
        await asyncio.gather(*(tail.aclose() for tail in tails))


async def test_a_job_without_tails_has_no_subscription(tailrace: Tailrace, job: Job, stream: HandwrittenStream) -> None:
    async with (
        asyncio.timeout(10),
        (await tailrace.enqueue(REQUEST)).tail() as other,
        job.tail() as first,
        job.tail() as second,
    ):
        await asyncio.gather(anext(other), anext(first), anext(second))
        await eventually(lambda: _is(stream.listeners(), 1))
        await first.aclose()
        await stream.append("1-2", STARTED)
        await anext(second)
        assert await stream.listeners() == 1
        await second.aclose()
        await eventually(lambda: _is(stream.listeners(), 0))


async def test_a_tail_opened_after_the_reader_was_closed_hears_notifications(
    handle: Handle, broker: Broker, settings: Settings, stream: HandwrittenStream
) -> None:
    reader = Reader(broker, settings, limits=NO_SWEEPS)
    async with (
        asyncio.timeout(10),
        handle(reader).tail() as before,
        handle(reader).tail() as after,
    ):
        await anext(before)
        await eventually(lambda: _is(stream.listeners(), 1))
        await reader.aclose()
        await anext(after)
        await eventually(lambda: _is(stream.listeners(), 1))
        await stream.append("1-2", ENDING)
        assert (await anext(after)).type == "completed"
        with pytest.raises(BrokerUnavailable):
            await anext(before)


async def test_an_inbox_emptied_during_a_delivery_stays_in_one_group(
    handle: Handle, broker: Broker, settings: Settings, stream: HandwrittenStream
) -> None:
    reader = Reader(broker, settings, limits=ReaderLimits(woken_at_once=1))
    job = handle(reader)
    await stream.append("1-2", STARTED)
    await stream.append_deltas(3, 1_672)

    async def read_up_to(last_seq: int) -> None:
        async with job.tail() as tail:
            async for event in tail:
                if event.id.seq == last_seq:
                    return

    async with asyncio.timeout(20), job.tail(after="1-1671") as waiting:
        await anext(waiting)
        ending = asyncio.ensure_future(anext(waiting))
        await eventually(lambda: _is(stream.listeners(), 1))
        # The last that comes to the others are the 1,000 that an inbox holds. Then they are where the waiting one is.
        leaving = [asyncio.create_task(read_up_to(1_672)) for _ in range(5)]
        staying = [asyncio.create_task(read_up_to(1_673)) for _ in range(35)]
        await asyncio.gather(*leaving)
        await stream.append("1-1673", ENDING)
        await asyncio.gather(ending, *staying)
    assert_idle(reader)


async def test_thousands_of_tails_that_leave_at_random_leave_nothing_behind(
    tailrace: Tailrace, reader: Reader, broker: Broker, settings: Settings
) -> None:
    chance = random.Random(6)  # noqa: S311
    enqueued = await tailrace.enqueue_many([REQUEST] * 200)
    jobs = [Job(job.id, broker, reader, settings) for job in enqueued]
    tasks = asyncio.all_tasks()

    async def read(job: Job) -> None:
        async with job.tail() as tail:
            async for _ in tail:
                if chance.random() < 0.3:
                    return

    reading = [asyncio.create_task(read(chance.choice(jobs))) for _ in range(2_000)]
    async with asyncio.timeout(40):
        while any(not each.done() for each in reading):
            for each in chance.sample(reading, 100):
                each.cancel()
            await asyncio.sleep(0.001)
    await asyncio.gather(*reading, return_exceptions=True)
    assert asyncio.all_tasks() == tasks
    assert_idle(reader)
    listening = await broker.call("PUBSUB", "CHANNELS", f"{settings.prefix}:*")
    assert listening == []


async def test_a_slow_tail_buffers_a_bounded_number_of_events_and_slows_no_other(
    handle: Handle, stream: HandwrittenStream, reader: Reader
) -> None:
    job, last = handle(reader), 20_000
    await stream.append("1-2", STARTED)
    await stream.append_deltas(3, last)
    async with asyncio.timeout(30), job.tail() as slow, job.tail() as quick:
        await anext(slow)
        read = 0
        async for event in quick:
            read += 1
            if event.id.seq == last:
                await stream.append(f"1-{last + 1}", ENDING)
        assert read == last + 1
        (inbox,) = reader.registry.inboxes
        assert inbox.cursor.seq < 2_000
        assert [event.id.seq async for event in slow] == list(range(2, last + 2))


async def test_a_slow_tail_buffers_few_bytes_of_large_entries(
    handle: Handle, stream: HandwrittenStream, reader: Reader
) -> None:
    for seq in range(2, 202):
        await stream.append(f"1-{seq}", Delta(text="x" * 60_000))
    async with asyncio.timeout(30), handle(reader).tail() as slow:
        await anext(slow)
        (inbox,) = reader.registry.inboxes
        await eventually(lambda: inbox.is_full)
        assert inbox.cursor.seq * 60_000 < 4_000_000
        await stream.append("1-202", ENDING)
        assert [event.id.seq async for event in slow] == list(range(2, 203))


async def test_closing_the_client_ends_its_tails(settings: Settings, tailrace: Tailrace, job: Job) -> None:
    tasks = asyncio.all_tasks()
    async with Tailrace.connect(**settings.model_dump()) as own:
        tail = own.job(job.id).tail()
        await anext(tail)
    with pytest.raises(BrokerUnavailable, match="closed") as caught:
        await anext(tail)
    assert caught.value.cursor == "0-1"
    assert asyncio.all_tasks() == tasks


async def test_a_tail_ends_a_job_that_waited_for_too_long(
    tailrace: Tailrace, broker: Broker, settings: Settings
) -> None:
    job = await tailrace.enqueue(REQUEST, expires_in_seconds=0.01)
    reader = Reader(broker, settings, limits=ReaderLimits(silence_seconds=0))
    async with asyncio.timeout(10):
        answer = await Job(job.id, broker, reader, settings).answer()
    assert isinstance(answer.ending, Failed)
    assert answer.ending.code == "expired_in_queue"


async def test_a_tail_ends_a_job_that_no_queue_and_no_worker_holds(
    tailrace: Tailrace, job: Job, handle: Handle, broker: Broker, settings: Settings
) -> None:
    await broker.call("ZREM", Keys(settings.prefix).queue("default"), job.id)
    await broker.call("DEL", arq_job(job.id))
    async with asyncio.timeout(10):
        answer = await handle(Reader(broker, settings, limits=ReaderLimits(silence_seconds=0))).answer()
    assert isinstance(answer.ending, Failed)
    assert (answer.ending.code, answer.ending.retryable) == ("worker_lost", True)
    async for ending in tailrace.endings("test"):
        assert (ending.job_id, ending.ending) == (job.id, "failed")
        break


class ObservedBroker(Broker):
    """Counts how often silent jobs were checked."""

    checks = 0

    async def pipeline(self, *commands: Command) -> list[Any]:
        self.checks += commands[0] == ("TIME",)
        return await super().pipeline(*commands)


@pytest.mark.parametrize("missing", ["nothing", "body", "place in the queue"])
async def test_a_tail_leaves_a_silent_job_alone_while_a_worker_may_run_it(
    job: Job, stream: HandwrittenStream, broker: Broker, settings: Settings, missing: str
) -> None:
    if missing == "body":
        await stream.call("DEL", arq_job(job.id))
    elif missing == "place in the queue":
        await stream.call("ZREM", Keys(settings.prefix).queue("default"), job.id)
    observed = ObservedBroker(broker.redis)
    tailed = Job(job.id, observed, Reader(observed, settings, limits=ReaderLimits(silence_seconds=0)), settings)
    async with asyncio.timeout(20), tailed.tail() as tail:
        await anext(tail)
        # The second check begins when the first has ended.
        await eventually(lambda: observed.checks >= 2)
    assert await stream.call("XLEN", stream.key) == 1


async def test_a_deleted_stream_ends_its_tails_and_no_others(
    tailrace: Tailrace, broker: Broker, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = Wire.exchange
    reads: list[int] = []

    async def spy(wire: Wire, payload: bytes, replies: int, **given: Any) -> list[Any]:
        reads.append(payload.count(b"XREAD\r\n"))
        return await exchange(wire, payload, replies, **given)

    jobs = await tailrace.enqueue_many([REQUEST] * 20)
    tails = [job.tail() for job in jobs]
    await asyncio.gather(*map(anext, tails))
    monkeypatch.setattr(Wire, "exchange", spy)
    await asyncio.gather(*(job.delete() for job in jobs[::2]))
    async with asyncio.timeout(10):
        for tail in tails[::2]:
            with pytest.raises(JobNotFound):
                await anext(tail)
        for job, tail in zip(jobs[1::2], tails[1::2], strict=True):
            await HandwrittenStream(broker, Keys(settings.prefix), job).append("1-2", ENDING)
            assert (await anext(tail)).type == "completed"
            await tail.aclose()
    # The others are still read together.
    assert max(reads) == 1


Reading: TypeAlias = tuple[int, asyncio.Task[None], list[int]]
"""The `SEQ` after which a tail began, the task that reads it, and the `SEQ`s that it has read."""


@dataclass
class Play:
    """Appends to one stream, and tails of it that come and go, in any order."""

    job: Job
    stream: HandwrittenStream
    last: int = 1
    reading: list[Reading] = field(default_factory=list[Reading])

    async def step(self, step: tuple[str, int]) -> None:
        match step:
            case ("append", count):
                await self.stream.append_deltas(self.last + 1, self.last + count)
                self.last += count
            case ("append in silence", count):
                await self.stream.append_in_silence(f"1-{self.last + 1}", Delta(text="x"))
                self.last += 1
            case ("tail", part):
                after = self.last * part // 100
                seen: list[int] = []
                self.reading.append((after, asyncio.create_task(self.read(after, seen)), seen))
            case (_, part):
                if self.reading:
                    self.reading[len(self.reading) * part // 100][1].cancel()
        for _ in range(step[1] % 5):
            await asyncio.sleep(0)

    async def read(self, after: int, seen: list[int]) -> None:
        cursor = f"{min(after, 2) // 2}-{after}" if after else str(BEGINNING)
        async with self.job.tail(after=cursor) as tail:
            async for event in tail:
                seen.append(event.id.seq)  # noqa: PERF401

    async def end(self) -> None:
        await self.stream.append(f"1-{self.last + 1}", ENDING)
        for after, task, seen in self.reading:
            await asyncio.wait([task])
            wanted = list(range(after + 1, self.last + 2))
            assert seen == (wanted[: len(seen)] if task.cancelled() else wanted)


STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from([1, 1, 1, 2, 31, 32, 33, 1_100])),
    st.tuples(st.just("append in silence"), st.integers(0, 4)),
    st.tuples(st.just("tail"), st.integers(0, 100)),
    st.tuples(st.just("leave"), st.integers(0, 99)),
)


@given(steps=st.lists(STEPS, max_size=30))
@budget(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_in_any_interleaving_each_tail_yields_the_events_after_its_cursor(
    broker_url: str, steps: list[tuple[str, int]]
) -> None:
    async def play() -> None:
        broker = Broker(open_redis(broker_url))
        settings = Settings.read(redis_url=broker_url, prefix=f"test-{token_hex(6)}")
        async with Tailrace.connect(**settings.model_dump()) as tailrace, asyncio.timeout(20):
            enqueued = await tailrace.enqueue(REQUEST)
            # Between any two tails that are woken everybody else may do something.
            reader = Reader(broker, settings, limits=ReaderLimits(woken_at_once=1))
            job = Job(enqueued.id, broker, reader, settings)
            playing = Play(job, HandwrittenStream(broker, Keys(settings.prefix), job))
            for step in steps:
                await playing.step(step)
            await playing.end()
        await broker.aclose()

    asyncio.run(play())


async def _is(found: Awaitable[int], wanted: int) -> bool:
    return await found == wanted


async def test_a_read_of_many_late_tails_is_bounded_in_bytes(
    settings: Settings, broker: Broker, tailrace: Tailrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = await tailrace.enqueue_many([REQUEST] * 10)
    text = "x" * 500_000
    for job in jobs:
        stream = HandwrittenStream(broker, Keys(settings.prefix), job)
        await stream.append("1-2", STARTED)
        for seq in range(3, 20):
            await stream.append(f"1-{seq}", Delta(text=text))
        await stream.append("1-20", ENDING)
    brought: list[int] = []
    exchange = Wire.exchange

    async def counted(wire: Wire, payload: bytes, replies: int, **given: Any) -> list[Any]:
        answers = await exchange(wire, payload, replies, **given)
        brought.append(_size(answers))
        return answers

    monkeypatch.setattr(Wire, "exchange", counted)

    async def read(job: Job) -> int:
        return sum([len(event.text) async for event in job.tail() if isinstance(event, Delta)])

    async with asyncio.timeout(30):
        assert await asyncio.gather(*map(read, jobs)) == [17 * len(text)] * 10
    assert max(brought) <= 3 * (len(text) + 100) * 10
    assert sorted(brought)[len(brought) // 2] <= (len(text) + 100) * 10


def _size(reply: object) -> int:
    """The bytes of a reply."""
    if isinstance(reply, list):
        return sum(_size(part) for part in cast("list[object]", reply))
    return len(reply) if isinstance(reply, bytes) else 0


async def _read_up_to(seq: int, tail: Tail[Event]) -> None:
    while (await anext(tail)).id.seq < seq:
        pass


BROKEN_OFF = (0, 0)
SMALL_READS = ReaderLimits(read_bytes=3_000_000)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """For each read the number of groups, and the bytes of the entries that it brought, the newest ones included."""
    brought: list[tuple[int, int]] = []
    read_groups: set[Group] = set()
    next_batch = Schedule.next_batch

    async def begin(schedule: Schedule) -> tuple[list[Group], list[Group]]:
        read_groups.clear()
        return await next_batch(schedule)

    async def counted(wire: Wire, groups: Collection[Group], *, max_bytes: int) -> list[BatchResult]:
        # No group is read twice before the schedule is asked again.
        assert read_groups.isdisjoint(groups)
        read_groups.update(groups)
        try:
            results = await read_batch(wire, groups, max_bytes=max_bytes)
        except TooMuch:
            brought.append(BROKEN_OFF)
            raise
        entries = [flat for result in results for _, flat in (*result.entries, *result.newest)]
        brought.append((len(groups), sum(len(part) for flat in entries for part in flat)))
        return results

    monkeypatch.setattr(Schedule, "next_batch", begin)
    monkeypatch.setattr(reader_module, "read_batch", counted)
    return brought


async def test_oversized_entries_are_read_one_at_a_time(
    settings: Settings, broker: Broker, tailrace: Tailrace, reads: list[tuple[int, int]]
) -> None:
    text = "x" * 2_000_000
    jobs = await tailrace.enqueue_many([REQUEST] * 4)
    for job in jobs:
        stream = HandwrittenStream(broker, Keys(settings.prefix), job)
        await stream.append("1-2", STARTED)
        await stream.append_deltas(3, 40)
        for seq in range(41, 46):
            await stream.append(f"1-{seq}", Delta(text=text))
        # After so many small entries a read would ask for many of the large ones.
        await stream.append_deltas(46, 80)
        await stream.append("1-81", Delta(text=text))
        await stream.append("1-82", Delta(text=text))
    reader = Reader(broker, settings, limits=SMALL_READS)

    async def read(job: Job) -> int:
        large = 0
        async for event in Job(job.id, broker, reader, settings).tail():
            if isinstance(event, Delta) and len(event.text) == len(text):
                large += 1
            if event.id.seq == 82:
                stream = HandwrittenStream(broker, Keys(settings.prefix), job)
                await stream.append("1-83", ENDING)
        return large

    async with asyncio.timeout(60):
        assert await asyncio.gather(*map(read, jobs)) == [7] * 4
    assert max(size for _, size in reads) < 2_100_000
    assert {groups for groups, size in reads if size > 1_000_000} == {1}


async def test_a_stream_with_an_oversized_entry_is_read_one_entry_at_a_time_from_then_on(
    handle: Handle, broker: Broker, settings: Settings, stream: HandwrittenStream, reads: list[tuple[int, int]]
) -> None:
    for first in (2, 50):
        await stream.append_deltas(first, first + 40)
        for seq in range(first + 41, first + 48):
            await stream.append(f"1-{seq}", Delta(text="x" * 2_000_000))
    tailed = handle(Reader(broker, settings, limits=SMALL_READS))
    async with asyncio.timeout(30), tailed.tail() as tail:
        await _read_up_to(97, tail)
        # The very first read brought the newest entry, which is large too, and delivered another one.
        known = next(at for at, (_, size) in enumerate(reads) if at and size > 1_000_000)
        assert BROKEN_OFF in reads[:known]
        # A tail that begins later profits from it.
        async with tailed.tail(after="1-43") as late:
            assert [(await anext(late)).id.seq for _ in range(5)] == [44, 45, 46, 47, 48]
        assert BROKEN_OFF not in reads[known:]


async def test_tails_beside_one_with_oversized_entries_are_read_together_again(
    settings: Settings, broker: Broker, tailrace: Tailrace, reads: list[tuple[int, int]]
) -> None:
    foreign, *ours = await tailrace.enqueue_many([REQUEST] * 20)
    streams = [HandwrittenStream(broker, Keys(settings.prefix), job) for job in (foreign, *ours)]
    reader = Reader(broker, settings, limits=SMALL_READS)
    async with asyncio.timeout(60):
        tails = [Job(job.id, broker, reader, settings).tail() for job in (foreign, *ours)]
        assert {event.type for event in await asyncio.gather(*map(anext, tails))} == {"queued"}
        for seq in range(2, 5):
            await streams[0].append_in_silence(f"1-{seq}", Delta(text="x" * 2_000_000))
        for stream in streams:
            await stream.append_in_silence("1-5", Delta(text="five"))
        # Without notifications: the sweep reads all streams together, and that is too much.
        await asyncio.gather(*(_read_up_to(5, tail) for tail in tails))
        reads.clear()
        large = Delta(text="x" * 4_000_000)
        for seq in (6, 7):
            for stream in streams:
                event = large if stream is streams[0] else Delta(text="small")
                await stream.append_in_silence(f"1-{seq}", event)
            if seq == 6:
                # All are due together here, and the sweep finds them the next time.
                for tailed in reversed(reader.registry.streams):
                    for group in tailed.groups:
                        reader.schedule.mark_due(group)
            await asyncio.gather(*(_read_up_to(seq, tail) for tail in tails))
        for stream in streams:
            await stream.append_in_silence("1-8", ENDING)
        for tail in tails:
            assert [event.type async for event in tail] == ["completed"]
    assert BROKEN_OFF not in reads
    assert max(groups for groups, _ in reads) > 10


async def test_quiet_streams_beside_one_with_oversized_entries_are_read_together_again(
    settings: Settings, broker: Broker, tailrace: Tailrace, reads: list[tuple[int, int]]
) -> None:
    foreign, *ours = await tailrace.enqueue_many([REQUEST] * 20)
    stream = HandwrittenStream(broker, Keys(settings.prefix), foreign)
    reader = Reader(broker, settings, limits=SMALL_READS)

    def isolated() -> list[str]:
        groups = [group for tailed in reader.registry.streams for group in tailed.groups]
        return [group.stream.job_id for group in groups if group.is_isolated]

    async with asyncio.timeout(30):
        tails = [Job(job.id, broker, reader, settings).tail() for job in (foreign, *ours)]
        await asyncio.gather(*map(anext, tails))
        await stream.append_in_silence("1-2", Delta(text="x" * 4_000_000))
        # Without a notification: the sweep reads all streams together, and that is too much.
        await _read_up_to(2, tails[0])
        assert BROKEN_OFF in reads
        await eventually(lambda: isolated() == [foreign.id])
        await asyncio.gather(*(tail.aclose() for tail in tails))


async def test_a_new_tail_does_not_keep_a_large_newest_entry(
    handle: Handle, broker: Broker, settings: Settings, stream: HandwrittenStream, reads: list[tuple[int, int]]
) -> None:
    await stream.append("1-2", Delta(text="x" * 2_000_000))
    tailed = handle(Reader(broker, settings, limits=ReaderLimits(read_bytes=1_000_000)))
    async with asyncio.timeout(20), tailed.tail() as tail:
        assert [(await anext(tail)).id.seq for _ in range(2)] == [1, 2]
        assert sum(size > 1_000_000 for _, size in reads) == 1


async def test_a_tail_of_oversized_entries_goes_on_after_the_connection_broke(
    job: Job, stream: HandwrittenStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks = 0

    async def broken(wire: Wire, groups: Collection[Group], *, max_bytes: int) -> list[BatchResult]:
        nonlocal breaks
        if breaks < 3 and any(group.is_isolated for group in groups):
            breaks += 1
            raise BrokerUnavailable("Redis cannot be reached: by order of the test")
        return await read_batch(wire, groups, max_bytes=max_bytes)

    monkeypatch.setattr(reader_module, "read_batch", broken)
    for seq in range(2, 5):
        await stream.append(f"1-{seq}", Delta(text="x" * 2_000_000))
    await stream.append("1-5", ENDING)
    async with asyncio.timeout(20):
        assert [event.id.seq async for event in job.tail()] == [1, 2, 3, 4, 5]
    assert breaks == 3


async def test_a_tail_does_not_hold_an_event_that_was_taken(job: Job, stream: HandwrittenStream) -> None:
    await stream.append_deltas(2, 4)
    async with asyncio.timeout(10):
        async with job.tail() as tail:
            await anext(tail)
            event = await anext(tail)
            assert not held_in_a_list(event)
        async with job.tail(snapshot=True) as late:
            snapshot = await anext(late)
            assert isinstance(snapshot, Snapshot)
            assert late not in gc.get_referrers(snapshot.answer)


async def test_a_tail_does_not_hold_the_events_that_its_snapshot_was_made_of(
    job: Job, stream: HandwrittenStream
) -> None:
    await stream.append_deltas(2, 4)
    async with asyncio.timeout(10), job.tail(snapshot=True) as tail:
        assert (await anext(tail)).type == "snapshot"
        gc.collect()
        folded = [each for each in gc.get_objects() if isinstance(each, Delta) and each.text in {"2 ", "3 ", "4 "}]
        assert folded == []


def held_in_a_list(event: object) -> bool:
    return any(isinstance(holder, list) for holder in gc.get_referrers(event))
