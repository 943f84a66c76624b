"""Leaving a tail, in any task and at any moment: nothing is raised, and nothing of it stays behind."""

import asyncio
import gc
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from secrets import token_hex
from typing import Any, TypeAlias

import pytest

from tailrace import BrokerUnavailable, Event, Job, JobNotFound, Settings, Tail, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.keys import Keys
from tailrace.tailing.reader import Reader
from tests.support.eventually import eventually
from tests.support.handwritten import ENDING, REQUEST, HandwrittenStream


@pytest.fixture
async def job(tailrace: Tailrace, broker: Broker, reader: Reader, settings: Settings) -> Job:
    return Job((await tailrace.enqueue(REQUEST)).id, broker, reader, settings)


@pytest.fixture
def reader(broker: Broker, settings: Settings) -> Reader:
    return Reader(broker, settings)


def is_idle(reader: Reader) -> bool:
    return reader.registry.is_empty and reader.registry.streams == [] and reader.schedule.is_empty


async def waiting_at(tail: Tail[Event]) -> asyncio.Task[Event]:
    """A task that waits for an event that does not come."""
    await anext(tail)
    waiting = asyncio.ensure_future(anext(tail))
    await asyncio.sleep(0)
    return waiting


async def _break(job: Job) -> None:
    async for _ in job.tail():
        break


async def _break_in_a_block(job: Job) -> None:
    async with job.tail() as tail:
        async for _ in tail:
            break


async def _break_in_aclosing(job: Job) -> None:
    async with aclosing(job.tail()) as tail:
        async for _ in tail:
            break


async def _raise(job: Job) -> None:
    with suppress(ZeroDivisionError):
        async for _ in job.tail():
            raise ZeroDivisionError


async def _never_begin(job: Job) -> None:
    job.tail()
    await job.tail().aclose()


async def _open_and_drop(job: Job) -> None:
    await job.open_tail()


async def _time_out(job: Job) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(0.02):
            async for _ in job.tail():
                pass


async def _time_out_and_close(job: Job) -> None:
    async with job.tail() as tail:
        await anext(tail)
        with suppress(TimeoutError):
            await asyncio.wait_for(anext(tail), 0.01)


async def _close_twice(job: Job) -> None:
    tail = job.tail()
    await anext(tail)
    await tail.aclose()
    await tail.aclose()


async def _close_in_another_task(job: Job) -> None:
    tail = job.tail()
    waiting = await waiting_at(tail)
    await asyncio.create_task(tail.aclose())
    with suppress(StopAsyncIteration):
        await waiting


async def _cancel_the_close(job: Job) -> None:
    tail = job.tail()
    await anext(tail)
    closing = asyncio.create_task(tail.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])


async def _cancel_the_opening(job: Job) -> None:
    opening = asyncio.create_task(job.open_tail())
    for _ in range(3):
        await asyncio.sleep(0)
    opening.cancel()
    await asyncio.wait([opening])


async def _leave_a_generator_of_frames(job: Job) -> None:
    async def frames() -> AsyncGenerator[str, None]:
        async for event in job.tail(keep_alive_seconds=0.01):
            yield event.to_json()

    async with aclosing(frames()) as generator:
        async for _ in generator:
            break


async def _drop_in_a_circle(job: Job) -> None:
    circle: list[Any] = [job.tail(keep_alive_seconds=0.01)]
    circle.append(circle)
    await anext(circle[0])
    del circle
    gc.collect()


async def _drop_in_another_thread(job: Job) -> None:
    held = [job.tail()]
    await anext(held[0])
    dropping = threading.Thread(target=held.clear)
    dropping.start()
    dropping.join()


WAYS = [
    *(_break, _break_in_a_block, _break_in_aclosing, _raise, _never_begin, _open_and_drop, _time_out),
    *(_time_out_and_close, _close_twice, _close_in_another_task, _cancel_the_close, _cancel_the_opening),
    *(_leave_a_generator_of_frames, _drop_in_a_circle, _drop_in_another_thread),
]

Leave: TypeAlias = Callable[[Job], Awaitable[None]]


@pytest.mark.parametrize("leave", WAYS)
async def test_leaving_a_tail_in_any_way_frees_everything(
    leave: Leave, settings: Settings, broker: Broker, tailrace: Tailrace, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"reader-{token_hex(4)}"
    named = Broker(open_redis(f"{settings.redis_url}?client_name={name}"))
    reader = Reader(named, settings)
    job = Job((await tailrace.enqueue(REQUEST)).id, named, reader, settings)
    tasks = asyncio.all_tasks()
    await leave(job)
    await eventually(lambda: is_idle(reader))
    await eventually(lambda: asyncio.all_tasks() <= tasks)

    async def has_no_connection() -> bool:
        return f"name={name} " not in str(await broker.call("CLIENT", "LIST"))

    await eventually(has_no_connection)
    assert await HandwrittenStream(broker, Keys(settings.prefix), job).listeners() == 0
    await named.aclose()
    gc.collect()
    assert caplog.records == []


@pytest.mark.parametrize("leave", [_break_in_a_block, _time_out_and_close, _close_in_another_task, _close_twice])
async def test_nothing_is_left_as_soon_as_a_tail_is_closed(leave: Leave, job: Job, reader: Reader) -> None:
    tasks = asyncio.all_tasks()
    await leave(job)
    assert is_idle(reader)
    assert asyncio.all_tasks() <= tasks


async def test_a_cancelled_loop_frees_its_tail_although_its_task_is_still_held(job: Job, reader: Reader) -> None:
    began = asyncio.Event()

    async def read() -> None:
        async for _ in job.tail():
            began.set()

    reading = asyncio.create_task(read())
    await began.wait()
    reading.cancel()
    await asyncio.wait([reading])
    gc.disable()
    try:
        await eventually(lambda: is_idle(reader))
    finally:
        gc.enable()
    assert reading.cancelled()


async def test_a_loop_that_waits_ends_when_another_task_closes_its_tail(job: Job) -> None:
    tail, seen = job.tail(), list[str]()
    began = asyncio.Event()

    async def read() -> None:
        async for event in tail:
            seen.append(event.type)
            began.set()

    async with asyncio.timeout(10):
        reading = asyncio.create_task(read())
        await began.wait()
        await tail.aclose()
        await reading
    assert seen == ["queued"]
    with pytest.raises(StopAsyncIteration):
        await anext(tail)


async def test_a_tail_that_was_closed_yields_nothing_that_it_had_taken(
    job: Job, broker: Broker, settings: Settings
) -> None:
    stream = HandwrittenStream(broker, Keys(settings.prefix), job)
    await stream.append_deltas(2, 4)
    tail = job.tail()
    assert (await anext(tail)).type == "queued"
    await tail.aclose()
    assert [event async for event in tail] == []


async def test_a_second_task_that_asks_at_the_same_time_is_refused_and_the_first_goes_on(
    job: Job, broker: Broker, settings: Settings
) -> None:
    stream = HandwrittenStream(broker, Keys(settings.prefix), job)
    async with asyncio.timeout(10), job.tail() as tail:
        waiting = await waiting_at(tail)
        with pytest.raises(RuntimeError, match=f"Another task waits .* of job '{job.id}'"):
            await anext(tail)
        await stream.append("1-2", ENDING)
        assert (await waiting).type == "completed"
        assert [event async for event in tail] == []


async def test_closing_the_client_frees_tails_that_are_held_and_not_read(
    settings: Settings, tailrace: Tailrace
) -> None:
    enqueued = await tailrace.enqueue(REQUEST)
    tasks = asyncio.all_tasks()
    async with Tailrace.connect(**settings.model_dump()) as own:
        held = own.job(enqueued.id).tail(keep_alive_seconds=3_600)
        await anext(held)
        (inbox,) = [each for each in gc.get_referents(held) if type(each).__name__ == "Inbox"]
    assert asyncio.all_tasks() <= tasks
    # Nothing but the tail itself holds its inbox.
    gc.collect()
    assert [each for each in gc.get_referrers(inbox) if isinstance(each, dict | list)] == []
    with pytest.raises(BrokerUnavailable, match="closed"):
        await anext(held)


async def test_an_error_that_comes_while_the_caller_gives_up_is_raised_the_next_time(
    job: Job, tailrace: Tailrace, reader: Reader
) -> None:
    tail = job.tail()
    await anext(tail)
    await tailrace.job(job.id).delete()
    with pytest.raises(JobNotFound):  # noqa: PT012
        async with asyncio.timeout(10):
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(anext(tail), 0.001)
    assert is_idle(reader)
    with pytest.raises(StopAsyncIteration):
        await anext(tail)


async def _leave_it_to_the_end(job: Job) -> AsyncIterator[object]:
    tail = job.tail(keep_alive_seconds=0.01)
    await anext(tail)
    return tail


async def _let_a_task_wait(job: Job) -> object:
    return await waiting_at(job.tail())


async def _let_a_loop_wait(job: Job) -> object:
    async def read() -> None:
        async for _ in job.tail():
            began.set()

    began = asyncio.Event()
    reading = asyncio.create_task(read())
    await began.wait()
    return reading


async def _stop_a_generator_in_the_middle(job: Job) -> object:
    async def frames() -> AsyncGenerator[str, None]:
        async for event in job.tail():
            yield event.to_json()

    generator = frames()
    await anext(generator)
    return generator


ENDS = [_leave_it_to_the_end, _let_a_task_wait, _let_a_loop_wait, _stop_a_generator_in_the_middle]


@pytest.mark.parametrize("is_held", [True, False])
@pytest.mark.parametrize("end", ENDS)
def test_a_loop_that_ends_with_an_open_tail_says_nothing(
    broker_url: str, end: Callable[[Job], Awaitable[object]], is_held: bool, caplog: pytest.LogCaptureFixture
) -> None:
    held: list[object] = []
    readers: list[Reader] = []

    async def main() -> None:
        # The machine may be slow, which debugging would tell.
        asyncio.get_running_loop().slow_callback_duration = 60
        settings = Settings.read(redis_url=broker_url, prefix=f"test-{token_hex(6)}")
        broker = Broker(open_redis(broker_url))
        async with Tailrace(broker.redis, settings=settings) as tailrace:
            enqueued = await tailrace.enqueue(REQUEST)
        readers.append(Reader(broker, settings))
        left = await end(Job(enqueued.id, broker, readers[0], settings))
        if is_held:
            held.append(left)
        await broker.aclose()

    asyncio.run(main(), debug=True)
    gc.collect()
    held.clear()
    gc.collect()
    assert is_idle(readers[0])
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
