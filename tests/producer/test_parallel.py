"""Many jobs read as one, on the real server; a puppet stands for the workers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import aclosing
from secrets import token_hex

import pytest

from tailrace import (
    BrokerUnavailable,
    GenerationRequest,
    InvalidRequest,
    JobNotFound,
    JobState,
    QueueFull,
    RequestTooLarge,
    Settings,
    Tailrace,
)
from tailrace.broker.client import Broker, Command, open_redis
from tailrace.events import Completed, Delta, Failed, Started, StreamEvent
from tailrace.parallel import parallel
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys
from tailrace.protocol.new_job import NewJob
from tailrace.tailing.reader import Reader
from tests.support.eventually import eventually
from tests.support.proxy import Proxy

REQUESTS = [
    GenerationRequest.model_validate(
        {"provider": "openai", "model": str(number), "messages": [{"role": "user", "content": "Hi"}]}
    )
    for number in range(6)
]
COMPLETED = Completed(at=2, finish_reason="stop")
FAILED = Failed(at=2, code="provider_rejected", message="No.")


class Puppet:
    """Does what workers do, when it is told to."""

    def __init__(self, broker: Broker, keys: Keys) -> None:
        self._broker = broker
        self._keys = keys
        self._said: Counter[str] = Counter()
        self.claimed: list[str] = []

    async def claim(self) -> str:
        """The id of the next job; waits for it."""
        _, job_id, _ = await self._broker.call("BZPOPMIN", self._keys.queue("default"), 5)
        await self.say(job_id.decode(), Started(at=1, attempt=1, provider="openai", model="m", worker="w"))
        self.claimed.append(job_id.decode())
        return self.claimed[-1]

    async def say(self, job_id: str, *events: StreamEvent) -> None:
        await self._append(job_id, [encode(event) for event in events])

    async def say_rubbish(self, job_id: str) -> None:
        await self._append(job_id, [["type", "queued"]])

    def lose(self, job_id: str, entries: int) -> None:
        """What it would have said next is lost."""
        self._said[job_id] += entries

    async def _append(self, job_id: str, entries: Iterable[list[str]]) -> None:
        first = self._said[job_id] + 2
        appends: list[Command] = [
            ("XADD", self._keys.events(job_id), "NOMKSTREAM", f"1-{seq}", *fields)
            for seq, fields in enumerate(entries, first)
        ]
        self._said[job_id] += len(appends)
        await self._broker.transaction(*appends, ("PUBLISH", self._keys.bell(job_id), ""))

    async def queued(self) -> list[str]:
        """The jobs that wait, in their order."""
        return [job_id.decode() for job_id in await self._broker.call("ZRANGE", self._keys.queue("default"), 0, -1)]

    async def jobs(self) -> int:
        """How many there are."""
        return len(await self._broker.call("KEYS", self._keys.record("*")))

    async def connections(self, name: str) -> int:
        """How many the client of that name holds."""
        return str(await self._broker.call("CLIENT", "LIST")).count(f"name={name} ")

    async def is_to_stop(self, job_id: str) -> bool:
        return bool(await self._broker.call("EXISTS", self._keys.cancel(job_id)))


@pytest.fixture
def puppet(broker: Broker, settings: Settings) -> Puppet:
    return Puppet(broker, Keys(settings.prefix))


def new_job(request: GenerationRequest, settings: Settings) -> NewJob:
    return NewJob.of(request, settings, tenant="default", queue="default")


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[Proxy]:
    async with Proxy(settings.redis_url) as proxy:
        yield proxy


@pytest.fixture
async def proxied(settings: Settings, proxy: Proxy) -> AsyncIterator[Tailrace]:
    """A connection that breaks when the proxy cuts it, and is given up soon."""
    async with Tailrace.connect(proxy.url, prefix=settings.prefix, reconnect_seconds=0.5) as tailrace:
        yield tailrace


@pytest.fixture(autouse=True)
async def in_time() -> AsyncIterator[None]:
    async with asyncio.timeout(20):
        yield


async def test_events_come_as_they_are_written_each_with_the_index_of_its_request(
    tailrace: Tailrace, puppet: Puppet
) -> None:
    seen: list[tuple[int, str]] = []
    async for index, event in tailrace.parallel(REQUESTS[:2]):
        seen.append((index, event.text if isinstance(event, Delta) else event.type))
        if len(seen) == 2:
            await puppet.claim()
            await puppet.claim()
        if len(seen) == 4:
            await puppet.say(puppet.claimed[1], Delta(text="b1"))
        if seen[-1] == (1, "b1"):
            await puppet.say(puppet.claimed[0], Delta(text="a1"))
        if seen[-1] == (0, "a1"):
            await puppet.say(puppet.claimed[1], Delta(text="b2"), COMPLETED)
        if seen[-1] == (1, "completed"):
            await puppet.say(puppet.claimed[0], COMPLETED)
    assert sorted(seen[:2]) == [(0, "queued"), (1, "queued")]
    assert sorted(seen[2:4]) == [(0, "started"), (1, "started")]
    assert seen[4:] == [(1, "b1"), (0, "a1"), (1, "b2"), (1, "completed"), (0, "completed")]


async def test_a_job_that_fails_does_not_end_the_others(tailrace: Tailrace, puppet: Puppet) -> None:
    endings: list[tuple[int, str]] = []
    async for index, event in tailrace.parallel(REQUESTS[:3], max_concurrent=2):
        if event.type == "queued":
            await puppet.claim()
        if event.type == "started":
            await puppet.say(puppet.claimed[index], FAILED if index == 0 else COMPLETED)
        if event.type in {"completed", "failed"}:
            endings.append((index, event.type))
    assert sorted(endings) == [(0, "failed"), (1, "completed"), (2, "completed")]


async def test_no_more_wait_or_run_at_a_time_than_may(tailrace: Tailrace, puppet: Puppet) -> None:
    ended = 0
    at_a_time: list[int] = []
    async for index, event in tailrace.parallel(REQUESTS, max_concurrent=2):
        at_a_time.append(await puppet.jobs() - ended)
        if event.type == "queued":
            await puppet.claim()
        if event.type == "started":
            await puppet.say(puppet.claimed[index], COMPLETED)
        if event.type == "completed":
            ended += 1
    assert ended == len(REQUESTS)
    assert max(at_a_time) == 2


async def test_a_long_past_is_read_to_its_end(tailrace: Tailrace, puppet: Puppet) -> None:
    deltas: list[str] = []
    async for _, event in tailrace.parallel(REQUESTS[:1]):
        if event.type == "queued":
            said = [Delta(text=str(number)) for number in range(2_500)]
            await puppet.say(await puppet.claim(), *said, COMPLETED)
        if isinstance(event, Delta):
            deltas.append(event.text)
    assert deltas == [str(number) for number in range(2_500)]


async def test_no_requests_are_no_events(tailrace: Tailrace) -> None:
    assert [each async for each in tailrace.parallel([])] == []


async def test_what_breaks_a_rule_is_refused_before_the_first_is_enqueued(tailrace: Tailrace, puppet: Puppet) -> None:
    with pytest.raises(InvalidRequest, match="max_concurrent"):
        tailrace.parallel(REQUESTS, max_concurrent=0)
    with pytest.raises(InvalidRequest, match="queue"):
        tailrace.parallel(REQUESTS, queue="a:b")
    with pytest.raises(RequestTooLarge):
        tailrace.parallel([REQUESTS[0], REQUESTS[0].model_copy(update={"model": "m" * 2_000_000})])
    assert await puppet.jobs() == 0


async def test_a_full_queue_is_told_and_leaves_nothing_behind(settings: Settings, puppet: Puppet) -> None:
    async with Tailrace.connect(settings.redis_url, prefix=settings.prefix, max_queued=1) as tailrace:

        async def read() -> None:
            async for _ in tailrace.parallel(REQUESTS[:3], max_concurrent=1):
                pass

        reading = asyncio.create_task(read())
        ends = await puppet.claim()
        await tailrace.enqueue(REQUESTS[0])
        await puppet.say(ends, COMPLETED)
        with pytest.raises(QueueFull):
            await reading
    # The one that ended, and the one that filled the queue.
    assert await puppet.jobs() == 2


async def test_leaving_the_loop_cancels_what_runs_and_enqueues_nothing_more(tailrace: Tailrace, puppet: Puppet) -> None:
    jobs: list[str] = []
    async with aclosing(tailrace.parallel(REQUESTS, max_concurrent=3)) as events:
        async for _, event in events:
            if not jobs:
                jobs = await puppet.queued()
                await puppet.claim()
            if event.type == "started":
                await puppet.say(puppet.claimed[0], COMPLETED)
            if event.type == "completed":
                await puppet.claim()
                break
    states = [(await tailrace.job(job_id).status()).state for job_id in jobs]
    assert states == [JobState.COMPLETED, JobState.RUNNING, JobState.CANCELLED]
    assert [await puppet.is_to_stop(job_id) for job_id in jobs] == [False, True, True]
    assert await puppet.jobs() == 3


async def test_leaving_the_loop_may_let_it_run_on(tailrace: Tailrace, puppet: Puppet) -> None:
    async with aclosing(tailrace.parallel(REQUESTS[:2], cancel_on_leave=False)) as events:
        async for _ in events:
            break
    assert [await puppet.is_to_stop(await puppet.claim()) for _ in range(2)] == [False, False]


async def test_a_bare_break_cancels_soon_afterwards(tailrace: Tailrace, puppet: Puppet) -> None:
    async for _ in tailrace.parallel(REQUESTS[:1]):
        await puppet.claim()
        break
    await eventually(lambda: puppet.is_to_stop(puppet.claimed[0]))


async def test_a_reader_that_is_cancelled_cancels_its_jobs(tailrace: Tailrace, puppet: Puppet) -> None:
    async def read() -> None:
        async for _ in tailrace.parallel(REQUESTS[:1]):
            pass

    reading = asyncio.create_task(read())
    running = await puppet.claim()
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert await puppet.is_to_stop(running)


async def test_a_redis_that_is_away_for_a_moment_is_not_seen(proxied: Tailrace, proxy: Proxy, puppet: Puppet) -> None:
    seen: list[tuple[int, str]] = []
    async for index, event in proxied.parallel(REQUESTS[:3], max_concurrent=2):
        seen.append((index, event.type))
        await proxy.cut()
        if event.type == "queued":
            await puppet.claim()
        if event.type == "started":
            await puppet.say(puppet.claimed[index], Delta(text="a"), COMPLETED)
    assert sorted(seen) == sorted((i, said) for i in range(3) for said in ("queued", "started", "delta", "completed"))
    assert await puppet.jobs() == 3


@pytest.mark.parametrize("lost", ["request", "reply"])
async def test_an_enqueue_that_is_lost_is_sent_again_and_makes_one_job(
    tailrace: Tailrace, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, lost: str
) -> None:
    send = Broker.pipeline
    sent = 0

    async def lossy(self: Broker, *commands: Command) -> list[object]:
        nonlocal sent
        sent += 1
        if sent == 1 and lost == "request":
            raise BrokerUnavailable("it is lost")
        replies = await send(self, *commands)
        if sent == 1:
            raise BrokerUnavailable("its reply is lost")
        return replies

    monkeypatch.setattr(Broker, "pipeline", lossy)
    seen: list[str] = []
    async for _, event in tailrace.parallel(REQUESTS[:1]):
        seen.append(event.type)
        if event.type == "queued":
            await puppet.say(await puppet.claim(), COMPLETED)
    assert seen == ["queued", "started", "completed"]
    assert sent == 2
    assert await puppet.jobs() == 1


async def test_a_redis_that_stays_away_is_told_and_leaving_is_bounded(
    settings: Settings, proxy: Proxy, puppet: Puppet, caplog: pytest.LogCaptureFixture
) -> None:
    impatient = settings.model_copy(update={"reconnect_seconds": 0.5})
    broker = Broker(open_redis(proxy.url))
    events = parallel(
        *(broker, Reader(broker, impatient), impatient, [new_job(REQUESTS[0], impatient)]),
        max_concurrent=1,
        cancel_on_leave=True,
        leave_seconds=0.2,
    )
    started = asyncio.Event()

    async def read() -> None:
        async for _, event in events:
            if event.type == "started":
                started.set()

    reading = asyncio.create_task(read())
    running = await puppet.claim()
    await started.wait()
    await proxy.close()
    with pytest.raises(BrokerUnavailable):
        await reading
    assert f"could not cancel [Job('{running}')], which may run on" in caplog.text
    assert not await puppet.is_to_stop(running)
    await broker.aclose()


async def test_a_job_that_is_deleted_is_told_when_the_others_have_ended(tailrace: Tailrace, puppet: Puppet) -> None:
    seen: list[tuple[int, str]] = []

    async def read() -> None:
        async for index, event in tailrace.parallel(REQUESTS[:2], max_concurrent=1):
            seen.append((index, event.type))

    reading = asyncio.create_task(read())
    deleted = await puppet.claim()
    await tailrace.job(deleted).delete()
    await puppet.say(await puppet.claim(), COMPLETED)
    with pytest.raises(JobNotFound, match=deleted):
        await reading
    assert seen[-1] == (1, "completed")


async def test_an_entry_that_is_none_of_ours_is_skipped(
    tailrace: Tailrace, puppet: Puppet, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []
    async for _, event in tailrace.parallel(REQUESTS[:1]):
        seen.append(event.type)
        if event.type == "queued":
            await puppet.say_rubbish(await puppet.claim())
            await puppet.say(puppet.claimed[0], COMPLETED)
    assert seen == ["queued", "started", "completed"]
    assert "skipped entry 1-3" in caplog.text


async def test_a_gap_is_told(tailrace: Tailrace, puppet: Puppet) -> None:
    seen: list[str] = []
    async for _, event in tailrace.parallel(REQUESTS[:1]):
        seen.append(f"{event.id} {event.type}")
        if event.type == "queued":
            puppet.lose(await puppet.claim(), 3)
            await puppet.say(puppet.claimed[0], COMPLETED)
    assert seen == ["0-1 queued", "1-2 started", "1-5 gap", "1-6 completed"]


async def test_any_number_of_lanes_is_read_over_the_connections_of_one_tail(settings: Settings, puppet: Puppet) -> None:
    name = f"parallel-{token_hex(4)}"
    connections: list[int] = []
    async with Tailrace.connect(f"{settings.redis_url}?client_name={name}", prefix=settings.prefix) as tailrace:
        idle = await puppet.connections(name)
        async with aclosing(tailrace.parallel(REQUESTS[:1] * 60, max_concurrent=50)) as events:
            async for index, event in events:
                connections.append(await puppet.connections(name))
                if event.type == "queued":
                    await puppet.say(await puppet.claim(), COMPLETED)
                if event.type == "completed" and index >= 50:
                    break
        connections.append(await puppet.connections(name))
        await eventually(lambda: _is(puppet.connections(name), idle))
    assert len(connections) > 100
    assert max(connections) <= 4


async def test_one_who_does_not_read_is_held_little_for_and_slows_no_other_tail(
    tailrace: Tailrace, puppet: Puppet, broker: Broker, settings: Settings
) -> None:
    reader = Reader(broker, settings)
    jobs = [new_job(REQUESTS[0], settings)]
    deltas = [Delta(text=str(number)) for number in range(10_000)]
    async with aclosing(parallel(broker, reader, settings, jobs, max_concurrent=1, cancel_on_leave=True)) as events:
        await anext(events)
        slow = tailrace.job(await puppet.claim())
        await puppet.say(slow.id, *deltas, COMPLETED)
        quick = await slow.answer()
        assert quick.text == "".join(delta.text for delta in deltas)
        (inbox,) = reader.registry.inboxes
        assert inbox.is_full
        assert inbox.cursor.seq < 5_000
        assert [event.text async for _, event in events if isinstance(event, Delta)] == [each.text for each in deltas]


@pytest.mark.parametrize("cancel_on_leave", [True, False])
async def test_leaving_the_loop_leaves_nothing_behind(
    broker: Broker, settings: Settings, puppet: Puppet, cancel_on_leave: bool
) -> None:
    reader = Reader(broker, settings)
    jobs = [new_job(request, settings) for request in REQUESTS]
    tasks = asyncio.all_tasks()
    async with aclosing(
        parallel(broker, reader, settings, jobs, max_concurrent=3, cancel_on_leave=cancel_on_leave)
    ) as events:
        await anext(events)
        assert len(asyncio.all_tasks()) > len(tasks)
    assert asyncio.all_tasks() == tasks
    assert reader.registry.is_empty
    assert reader.registry.streams == []
    assert await puppet.jobs() == 3


async def _is(found: Awaitable[int], wanted: int) -> bool:
    return await found == wanted
