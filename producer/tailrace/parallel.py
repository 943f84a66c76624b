"""Many jobs side by side, a few at a time, read as one."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tailrace.attempts import no_stream
from tailrace.broker import Broker, PatientBroker
from tailrace.enqueue import NewJob, enqueue_many
from tailrace.errors import BrokerRefused, BrokerUnavailable, JobNotFound
from tailrace.events import ENDINGS, Event, decode
from tailrace.job import Job
from tailrace.keys import BEGINNING, EntryId, Keys, new_job_id
from tailrace.settings import Settings

_logger = logging.getLogger(__name__)

_COUNT = 1_000
_BLOCK_MS = 1_000
_CHECK_SECONDS = 1.0
_LEAVE_SECONDS = 5.0
_RETRY_SECONDS = 0.2

_Streams = Sequence[tuple[bytes, Sequence[tuple[bytes, dict[bytes, bytes]]]]]


@dataclass(slots=True)
class _Lane:
    index: int
    job: Job
    cursor: EntryId = BEGINNING


async def parallel(
    broker: Broker,
    settings: Settings,
    jobs: Iterable[NewJob],
    handle: Callable[[str], Job],
    *,
    max_concurrent: int,
    cancel_on_leave: bool,
) -> AsyncGenerator[tuple[int, Event], None]:
    """Yields the events of all jobs as they come, each with its job's index; so many wait or run at a time.

    Raises:
        QueueFull: The queue has no room for those whose turn it is.
        JobNotFound: A stream went away before its ending; raised when the others have ended.
        BrokerUnavailable: Redis was away for `reconnect_seconds`.
    """
    keys = Keys(settings.prefix)
    patient = PatientBroker(broker, limit_seconds=settings.reconnect_seconds)
    waiting = deque(enumerate(jobs))
    offered: dict[str, NewJob] = {}
    lanes: dict[bytes, _Lane] = {}
    lost: list[_Lane] = []
    checks_at = time.monotonic() + _CHECK_SECONDS
    try:
        while waiting or lanes:
            while waiting and len(lanes) < max_concurrent:
                index, new_job = waiting.popleft()
                job = handle(new_job_id())
                lanes[keys.events(job.id).encode()] = _Lane(index, job)
                offered[job.id] = new_job
            if offered:
                # Where Redis is away, the read waits for it; what was offered is then sent again, under the same ids.
                with suppress(BrokerUnavailable):
                    await enqueue_many(broker, keys, offered)
                    offered.clear()
            for stream, entries in await _read(patient, lanes):
                lane = lanes[stream]
                for entry_id, fields in entries:
                    lane.cursor = EntryId.decode(entry_id)
                    if fields.get(b"type", b"").decode(errors="replace") in ENDINGS:
                        del lanes[stream]
                    event = _decoded(stream, entry_id, fields)
                    if event is not None:
                        yield lane.index, event
            if lanes and not offered and time.monotonic() > checks_at:
                lost += [lanes.pop(stream) for stream in await _gone(patient, lanes)]
                checks_at = time.monotonic() + _CHECK_SECONDS
    finally:
        if cancel_on_leave and lanes:
            await asyncio.shield(_cancel(deque(lane.job for lane in lanes.values())))
    if lost:
        raise no_stream(lost[0].job.id)


async def _read(broker: PatientBroker, lanes: Mapping[bytes, _Lane]) -> _Streams:
    cursors = (str(lane.cursor) for lane in lanes.values())
    reply: Any = await broker.call("XREAD", "COUNT", _COUNT, "BLOCK", _BLOCK_MS, "STREAMS", *lanes, *cursors)
    return reply or ()


async def _gone(broker: PatientBroker, lanes: Mapping[bytes, _Lane]) -> list[bytes]:
    """The streams that expired or were deleted: no read wakes up for them."""
    if await broker.call("EXISTS", *lanes) == len(lanes):
        return []
    return [stream for stream in lanes if not await broker.call("EXISTS", stream)]


def _decoded(stream: bytes, entry_id: bytes, fields: dict[bytes, bytes]) -> Event | None:
    try:
        return decode(entry_id, fields)
    except ValueError as error:
        _logger.warning("skipped entry %s of %s, which is none of ours: %s", entry_id.decode(), stream.decode(), error)
        return None


async def _cancel(jobs: deque[Job]) -> None:
    """Never raises: who leaves has a reason of their own, which an error of ours would hide."""
    try:
        async with asyncio.timeout(_LEAVE_SECONDS):
            while jobs:
                try:
                    # One that was deleted, or never went in, needs no cancel.
                    with suppress(JobNotFound):
                        await jobs[0].cancel("its reader left")
                    jobs.popleft()
                except BrokerUnavailable:
                    await asyncio.sleep(_RETRY_SECONDS)
    except (TimeoutError, BrokerRefused) as error:
        _logger.warning("could not cancel %s, which may run on: %r", list(jobs), error)
