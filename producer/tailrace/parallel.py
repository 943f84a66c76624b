"""Run many jobs side by side, a few at a time, and read their events as one sequence."""

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
from tailrace.protocol.new_job import NewJob
from tailrace.protocol.queue import enqueue_many
from tailrace.settings import Settings
from tailrace.tailing.reader import Reader

_logger = logging.getLogger(__name__)

_LEAVE_SECONDS: Final = 5.0
"""For how long to try to cancel the jobs that still run when the loop is left."""


@dataclass(slots=True, eq=False)
class _Run:
    """One job of the sequence, from the time before it is enqueued until its tail has ended."""

    index: int
    job: Job
    new_job: NewJob
    tail: asyncio.Task[None] | None = None


_Arrivals: TypeAlias = "asyncio.Queue[tuple[_Run, list[Event] | Exception | None]]"
"""Batches of events of the running jobs. The last item of each job is the error of its tail, or `None`."""


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
        settings: The key prefix, and for how long Redis may be unavailable (`reconnect_seconds`).
        jobs: The jobs. Each is enqueued only when fewer than `max_concurrent` run.
        max_concurrent: How many of the jobs wait in the queue or run at a time, 1 or more.
        cancel_on_leave: True to cancel the jobs that still run when the loop is left.
        leave_seconds: For how many seconds to try to cancel them.

    Yields:
        Each event as it arrives, with the index of its job, from 0.

    Raises:
        QueueFull: The queue has no room for the next jobs.
        JobNotFound: A stream went away before its ending; raised after the other jobs ended.
        BrokerUnavailable: Redis was unavailable for `reconnect_seconds`.
        BrokerRefused: Redis refused to enqueue a job, or to read a stream.
    """
    keys = Keys(settings.prefix)
    waiting = deque(
        _Run(index, Job(new_job_id(), broker, reader, settings), new_job) for index, new_job in enumerate(jobs)
    )
    running: set[_Run] = set()
    # It holds one batch: while the caller is slow the tails wait here, their inboxes fill, and the reader stops
    # reading for them. No other tail is delayed, and memory stays bounded.
    arrivals: _Arrivals = asyncio.Queue(1)
    lost: JobNotFound | None = None
    try:
        while waiting or running:
            starting = [waiting.popleft() for _ in range(min(len(waiting), max_concurrent - len(running)))]
            if starting:
                # Before the enqueue: if the loop is left while Redis has not replied, these jobs are cancelled too.
                running.update(starting)
                await _enqueue(broker, keys, starting, limit_seconds=settings.reconnect_seconds)
                for run in starting:
                    run.tail = asyncio.create_task(_tail(reader, run, arrivals))
            run, arrived = await arrivals.get()
            if isinstance(arrived, list):
                for event in arrived:
                    yield run.index, event
            elif arrived is None or isinstance(arrived, JobNotFound):
                running.remove(run)
                lost = lost or arrived
            else:
                raise arrived
    finally:
        if running:
            await asyncio.shield(_leave(running, cancel_within=leave_seconds if cancel_on_leave else None))
    if lost is not None:
        raise lost


async def _enqueue(broker: Broker, keys: Keys, runs: Iterable[_Run], *, limit_seconds: float) -> None:
    """Enqueue the jobs in one round trip. If the reply is lost the same jobs are sent again, under the same ids."""
    offered = {run.job.id: run.new_job for run in runs}
    await patiently(lambda: enqueue_many(broker, keys, offered), limit_seconds=limit_seconds)


async def _tail(reader: Reader, run: _Run, arrivals: _Arrivals) -> None:
    """Put the events of a job among the arrivals, and after the last of them how the tail ended."""
    end: Exception | None = None
    try:
        async with reader.open(run.job.id, BEGINNING) as inbox:
            while (events := await inbox.take()) is not None:
                await arrivals.put((run, events))
        end = inbox.error
    except Exception as error:  # noqa: BLE001 - every error is raised to the caller
        end = error
    # Only after the tail has left the reader: the next job is enqueued when this is read.
    await arrivals.put((run, end))


async def _leave(runs: Iterable[_Run], *, cancel_within: float | None) -> None:
    """Stop the tails, and then try to cancel the jobs for `cancel_within` seconds; `None` lets the jobs run."""
    tails = [run.tail for run in runs if run.tail is not None]
    for tail in tails:
        tail.cancel()
    if tails:
        await asyncio.wait(tails)
    if cancel_within is not None:
        await _cancel(deque(run.job for run in runs), limit_seconds=cancel_within)


async def _cancel(jobs: deque[Job], *, limit_seconds: float) -> None:
    """Cancel jobs, and log what could not be cancelled: an error here would hide why the caller leaves the loop."""
    backoff = Backoff(first_seconds=FIRST_RETRY_SECONDS, last_seconds=LAST_RETRY_SECONDS)
    try:
        async with asyncio.timeout(limit_seconds):
            while jobs:
                try:
                    # A job that was deleted, or was never enqueued, needs no cancel.
                    with suppress(JobNotFound):
                        await jobs[0].cancel("its reader left")
                    jobs.popleft()
                    backoff.reset()
                except BrokerUnavailable:
                    await asyncio.sleep(backoff.next_seconds())
    except (TimeoutError, BrokerRefused) as error:
        _logger.warning("could not cancel %s, which may run on: %r", list(jobs), error)
