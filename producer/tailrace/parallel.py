"""Many jobs side by side, a few at a time, read as one."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

from tailrace.broker.backoff import Backoff
from tailrace.broker.client import FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS, Broker, patiently
from tailrace.cursor import BEGINNING
from tailrace.errors import BrokerRefused, BrokerUnavailable, JobNotFound
from tailrace.events import Event
from tailrace.job import Job
from tailrace.protocol.keys import Keys, new_job_id
from tailrace.protocol.queue import NewJob, enqueue_many
from tailrace.settings import Settings
from tailrace.tailing.reader import Reader

_logger = logging.getLogger(__name__)

_LEAVE_SECONDS: Final = 5.0


@dataclass(slots=True, eq=False)
class _Lane:
    """A job that waits for its turn, or has it."""

    index: int
    job: Job
    new_job: NewJob
    tail: asyncio.Task[None] | None = None


_News: TypeAlias = "asyncio.Queue[tuple[_Lane, list[Event] | Exception | None]]"
"""What each job said, and at last what its tail ended with."""


async def parallel(
    broker: Broker,
    reader: Reader,
    settings: Settings,
    jobs: Iterable[NewJob],
    *,
    max_concurrent: int,
    cancel_on_leave: bool,
    leave_seconds: float = _LEAVE_SECONDS,
) -> AsyncGenerator[tuple[int, Event], None]:
    """Run jobs side by side, a few at a time, and read them as one.

    Args:
        broker: The connections to Redis.
        reader: The reader that all tails share.
        settings: The key prefix, and for how long Redis may be away.
        jobs: The jobs, which are enqueued when their turn comes.
        max_concurrent: How many of them wait or run at a time; 1 or more.
        cancel_on_leave: True to cancel the jobs that still run when the loop is left.
        leave_seconds: For how long to try to cancel them.

    Yields:
        Each event as it comes, with the index of its job.

    Raises:
        QueueFull: The queue has no room for those whose turn it is.
        JobNotFound: A stream went away before its ending; raised when the others have ended.
        BrokerUnavailable: Redis was away for `reconnect_seconds`.
    """
    keys = Keys(settings.prefix)
    waiting = deque(
        _Lane(index, Job(new_job_id(), broker, reader, settings), new_job) for index, new_job in enumerate(jobs)
    )
    running: set[_Lane] = set()
    # A lane that finds it full waits, and its inbox fills: who does not read is held no more for, and slows nobody.
    news: _News = asyncio.Queue(1)
    lost: JobNotFound | None = None
    try:
        while waiting or running:
            turn = [waiting.popleft() for _ in range(min(len(waiting), max_concurrent - len(running)))]
            if turn:
                # Before they go in: who leaves while Redis has yet to reply cancels them as well.
                running.update(turn)
                await _enqueue(broker, keys, turn, limit_seconds=settings.reconnect_seconds)
                for lane in turn:
                    lane.tail = asyncio.create_task(_tail(reader, lane, news))
            lane, said = await news.get()
            if isinstance(said, list):
                for event in said:
                    yield lane.index, event
            elif said is None or isinstance(said, JobNotFound):
                running.remove(lane)
                lost = lost or said
            else:
                raise said
    finally:
        if running:
            await asyncio.shield(_leave(running, cancel_within=leave_seconds if cancel_on_leave else None))
    if lost is not None:
        raise lost


async def _enqueue(broker: Broker, keys: Keys, lanes: Iterable[_Lane], *, limit_seconds: float) -> None:
    """In one round trip. Where the reply is lost it is sent again, under the same ids."""
    offered = {lane.job.id: lane.new_job for lane in lanes}
    await patiently(lambda: enqueue_many(broker, keys, offered), limit_seconds=limit_seconds)


async def _tail(reader: Reader, lane: _Lane, news: _News) -> None:
    end: Exception | None = None
    try:
        async with reader.open(lane.job.id, BEGINNING) as inbox:
            while (events := await inbox.take()) is not None:
                await news.put((lane, events))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is raised where the news is read
        end = error
    # Behind all that it said, and once nothing of the tail is left.
    await news.put((lane, end))


async def _leave(lanes: Iterable[_Lane], *, cancel_within: float | None) -> None:
    """Stop reading, and cancel the jobs within so many seconds; `None` lets them run on."""
    tails = [lane.tail for lane in lanes if lane.tail is not None]
    for tail in tails:
        tail.cancel()
    if tails:
        await asyncio.wait(tails)
    if cancel_within is not None:
        await _cancel(deque(lane.job for lane in lanes), limit_seconds=cancel_within)


async def _cancel(jobs: deque[Job], *, limit_seconds: float) -> None:
    """Never raises: who leaves has a reason of their own, which an error of ours would hide."""
    backoff = Backoff(first_seconds=FIRST_RETRY_SECONDS, last_seconds=LAST_RETRY_SECONDS)
    try:
        async with asyncio.timeout(limit_seconds):
            while jobs:
                try:
                    # One that was deleted, or never went in, needs no cancel.
                    with suppress(JobNotFound):
                        await jobs[0].cancel("its reader left")
                    jobs.popleft()
                    backoff.reset()
                except BrokerUnavailable:
                    await asyncio.sleep(backoff.next_seconds())
    except (TimeoutError, BrokerRefused) as error:
        _logger.warning("could not cancel %s, which may run on: %r", list(jobs), error)
