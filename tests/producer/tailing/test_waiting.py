"""Waiting for the next event of a tail with a timeout, and signs of life, on the real server."""

import asyncio
import random
from contextlib import suppress
from secrets import token_hex

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from tailrace import Answer, Event, InvalidRequest, Job, KeepAlive, Settings, Snapshot, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.cursor import BEGINNING, EntryId
from tailrace.events import Delta
from tailrace.protocol.keys import Keys
from tailrace.tailing.limits import ReaderLimits
from tailrace.tailing.reader import Reader
from tests.support.handwritten import ENDING, REQUEST, STARTED, HandwrittenStream


async def test_a_wait_that_timed_out_is_asked_again_and_nothing_is_lost_or_doubled(
    job: Job, stream: HandwrittenStream
) -> None:
    async def write() -> None:
        await stream.append("1-2", STARTED)
        await stream.append_deltas(3, 1_502)
        for seq in range(1_503, 1_553):
            await stream.append_deltas(seq, seq)
        await stream.append("1-1553", ENDING)

    chance = random.Random(15)  # noqa: S311
    seen: list[int] = []
    async with asyncio.timeout(40), job.tail() as tail, asyncio.TaskGroup() as tasks:
        tasks.create_task(write())
        while True:
            try:
                seen.append((await asyncio.wait_for(anext(tail), chance.choice((0, 0.0001, 0.001, 0.01)))).id.seq)
            except TimeoutError:
                await asyncio.sleep(0)
            except StopAsyncIteration:
                break
    assert seen == list(range(1, 1_554))


STEPS = st.one_of(
    st.tuples(st.just("append"), st.sampled_from([1, 1, 1, 2, 40])),
    st.tuples(st.just("ask"), st.integers(0, 12)),
    st.tuples(st.just("let pass"), st.integers(0, 6)),
)


@given(steps=st.lists(STEPS, max_size=40), snapshot=st.booleans(), keep_alive_seconds=st.sampled_from([None, 0.0005]))
@budget(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whenever_a_wait_is_cancelled_nothing_is_lost_or_doubled(
    broker_url: str, steps: list[tuple[str, int]], snapshot: bool, keep_alive_seconds: float | None
) -> None:
    seen: list[Event | Snapshot] = []
    last = 1

    async def play() -> None:
        nonlocal last
        settings = Settings.read(redis_url=broker_url, prefix=f"test-{token_hex(6)}")
        broker = Broker(open_redis(broker_url))
        async with Tailrace.connect(**settings.model_dump()) as tailrace, asyncio.timeout(20):
            enqueued = await tailrace.enqueue(REQUEST)
            # A snapshot is of a few events only, and between any two tails that are woken others have a turn.
            limits = ReaderLimits(snapshot_bytes=200, woken_at_once=1)
            job = Job(enqueued.id, broker, Reader(broker, settings, limits=limits), settings)
            stream = HandwrittenStream(broker, Keys(settings.prefix), job)
            async with job.tail(snapshot=snapshot, keep_alive_seconds=keep_alive_seconds) as tail:
                for step, count in steps:
                    if step == "append":
                        await stream.append_deltas(last + 1, last + count)
                        last += count
                    elif step == "ask":
                        asking = asyncio.ensure_future(anext(tail))
                        for _ in range(count):
                            await asyncio.sleep(0)
                        asking.cancel()
                        with suppress(asyncio.CancelledError):
                            note(await asking)
                    else:
                        await asyncio.sleep(count / 1_000)
                await stream.append(f"1-{last + 1}", ENDING)
                async for event in tail:
                    note(event)
        await broker.aclose()

    def note(event: Event | Snapshot | KeepAlive) -> None:
        if isinstance(event, KeepAlive):
            assert event.id == (seen[-1].id if seen else BEGINNING)
        else:
            seen.append(event)

    asyncio.run(play())
    events = [event for event in seen if not isinstance(event, Snapshot)]
    first = seen[0].id.seq if snapshot else 0
    assert [event.id.seq for event in events] == list(range(first + 1, last + 2))
    assert [isinstance(event, Snapshot) for event in seen[:1]] == [snapshot]
    answer = Answer()
    for event in seen:
        answer.add(event)
    assert answer.text == "".join(f"{seq} " for seq in range(2, last + 1))


async def test_a_silent_tail_gives_a_sign_of_life_again_and_again(job: Job, stream: HandwrittenStream) -> None:
    silences = 0
    events: list[Event] = []
    async with asyncio.timeout(20), job.tail(keep_alive_seconds=0.02) as tail:
        async for event in tail:
            if isinstance(event, KeepAlive):
                assert event.id == (events[-1].id if events else BEGINNING)
                silences += bool(events)
                if silences == 2:
                    await stream.append("1-2", Delta(text="Hello"))
            else:
                events.append(event)
                if event.type == "delta":
                    await stream.append("1-3", ENDING)
    assert [event.type for event in events] == ["queued", "delta", "completed"]
    assert silences >= 2


async def test_waits_that_time_out_sooner_do_not_keep_the_sign_of_life_away(job: Job) -> None:
    seen: list[Event | KeepAlive] = []
    given_up = 0
    async with asyncio.timeout(20), job.tail(keep_alive_seconds=0.2) as tail:
        while KeepAlive(id=EntryId(0, 1)) not in seen:
            try:
                seen.append(await asyncio.wait_for(anext(tail), 0.01))
            except TimeoutError:
                given_up += 1
    assert given_up >= 1


async def test_a_sign_of_life_comes_before_a_snapshot_that_is_not_there_yet(
    tailrace: Tailrace, broker: Broker, settings: Settings
) -> None:
    job = tailrace.job("x" * 22)
    # As a stock arq client leaves it: a body, and no stream before a worker begins.
    await broker.call("SET", f"arq:job:{job.id}", "{}", "EX", 30)
    stream = HandwrittenStream(broker, Keys(settings.prefix), job)
    async with asyncio.timeout(10), job.tail(snapshot=True, keep_alive_seconds=0.02) as tail:
        assert await anext(tail) == KeepAlive(id=BEGINNING)
        await stream.append("1-1", STARTED)
        while isinstance(event := await anext(tail), KeepAlive):
            pass
        assert (event.type, event.id) == ("snapshot", EntryId(1, 1))
    await broker.call("DEL", f"arq:job:{job.id}")


async def test_a_sign_of_life_changes_no_answer(job: Job, stream: HandwrittenStream) -> None:
    answer = Answer()
    await stream.append_deltas(2, 3)
    async with asyncio.timeout(10), job.tail(keep_alive_seconds=0.01) as tail:
        async for event in tail:
            answer.add(event)
            if event == KeepAlive(id=EntryId(1, 3)):
                break
    assert (answer.text, answer.cursor) == ("2 3 ", EntryId(1, 3))
    assert KeepAlive(id=EntryId(1, 3)).to_dict() == {"type": "keep_alive", "id": "1-3"}


@pytest.mark.parametrize("seconds", [0, -1, 86_401, float("nan"), float("inf")])
async def test_a_time_without_a_sign_of_life_that_is_out_of_range_is_refused(job: Job, seconds: float) -> None:
    with pytest.raises(InvalidRequest, match=r"keep_alive_seconds: .* is out of range"):
        job.tail(keep_alive_seconds=seconds)
    with pytest.raises(InvalidRequest, match="keep_alive_seconds"):
        await job.open_tail(keep_alive_seconds=seconds)
