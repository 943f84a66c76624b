"""Reads the statuses of jobs, many at a time, and lists the jobs of an index."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from tailrace.broker.client import Broker, Command, text
from tailrace.cursor import EntryId
from tailrace.errors import InvalidRequest
from tailrace.events import Ending, Event, Failed, Started
from tailrace.protocol.endings import newest_entry
from tailrace.protocol.entries import decode
from tailrace.protocol.keys import Keys
from tailrace.protocol.labels import decode_labels
from tailrace.protocol.new_job import INDEX_CAPACITY
from tailrace.settings import Settings
from tailrace.status import JobState, JobStatus
from tailrace.timing import Timing

_RECORD_FIELDS: Final = (
    *("tenant", "queue", "provider", "model"),
    *("queued_at", "regenerated_from", "conversation", "labels"),
)
"""The fields of the record that a status shows."""
_MS_DIGITS: Final = 14
"""The most digits of a time in Unix ms: enough up to the year 5138."""
_STATES_OF_EVENTS: Final = frozenset(JobState) - {JobState.RUNNING}
"""The states that have the name of a type of event."""
_AT_ONCE: Final = 100
"""How many jobs of an index are read at a time."""


def checked_limit(limit: int) -> int:
    """Check how many jobs are to be listed.

    Args:
        limit: The number.

    Returns:
        The same number.

    Raises:
        InvalidRequest: The number is not 1 to 10,000.
    """
    if not 1 <= limit <= INDEX_CAPACITY:
        raise InvalidRequest(f"limit: {limit!r} is out of range. Give 1 to {INDEX_CAPACITY:,} jobs.")
    return limit


class _Read(NamedTuple):
    """What Redis has of one job."""

    job_id: str
    entry_id: bytes
    event: Event | None
    record: Mapping[str, str]
    labels: bytes | None
    regenerated_as: tuple[str, ...]

    @property
    def state(self) -> JobState:
        event = self.event
        return JobState(event.type) if event and event.type in _STATES_OF_EVENTS else JobState.RUNNING


async def read_statuses(
    broker: Broker,
    keys: Keys,
    settings: Settings,
    job_ids: Sequence[str],
    *,
    state: JobState | None = None,
    cancel_requested_at: int | None = None,
) -> list[JobStatus | None]:
    """Read the statuses of jobs from their streams and records, in at most two round trips.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        settings: The thresholds of the verdicts.
        job_ids: The jobs, at least one.
        state: Only jobs in this state are looked at more closely; the statuses of others are not complete.
        cancel_requested_at: When the job was asked to stop, by the Redis server's clock, in Unix ms.

    Returns:
        The statuses, in the order of the ids; `None` for a job without a stream.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused to read a stream or a record.
    """
    found = await _read(broker, keys, job_ids)
    # A running job's attempt, and a waiting job's place in its queue, are looked up only for those that have them.
    asked = [each for each in found if each is not None and state in (None, each.state)]
    running = [each for each in asked if each.state is JobState.RUNNING]
    waiting = [each for each in asked if each.state is JobState.QUEUED]
    commands = [_started_command(keys, each) for each in running]
    commands += [command for each in waiting for command in _position_commands(keys, each)]
    replies: list[Any] = await broker.pipeline(*commands, ("TIME",)) if commands else [(0, 0)]
    seconds, micros = replies.pop()
    now = int(seconds) * 1_000 + int(micros) / 1_000
    started = {each.job_id: _started(reply) for each, reply in zip(running, replies, strict=False)}
    places = iter(replies[len(running) :])
    positions = {each.job_id: _position(next(places), next(places), now) for each in waiting}
    return [
        each
        and _status(
            each,
            started.get(each.job_id),
            positions.get(each.job_id),
            settings,
            cancel_requested_at=cancel_requested_at,
        )
        for each in found
    ]


async def list_jobs(
    broker: Broker, keys: Keys, settings: Settings, index: str, *, state: JobState | None, limit: int
) -> list[JobStatus]:
    """List the jobs of an index, the newest first, and remove the entries whose jobs are gone.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        settings: The thresholds of the verdicts.
        index: The key of the index.
        state: The state of the jobs; `None` for all.
        limit: How many jobs to list at most.

    Returns:
        The statuses.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    listed: dict[str, JobStatus] = {}
    gone: list[str] = []
    read = 0
    while len(listed) < limit:
        members = await broker.call("ZRANGE", index, read, read + _AT_ONCE - 1, "REV")
        if not members:
            break
        read += len(members)
        # Jobs that were enqueued meanwhile move the others down, so that some are read twice.
        job_ids = [job_id for job_id in map(text, members) if job_id not in listed]
        statuses = await read_statuses(broker, keys, settings, job_ids, state=state) if job_ids else []
        for job_id, status in zip(job_ids, statuses, strict=True):
            if status is None:
                gone.append(job_id)
            elif state in (None, status.state) and len(listed) < limit:
                listed[job_id] = status
    if gone:
        await broker.call("ZREM", index, *gone)
    return list(listed.values())


async def _read(broker: Broker, keys: Keys, job_ids: Sequence[str]) -> list[_Read | None]:
    replies = await broker.pipeline(
        *(
            command
            for job_id in job_ids
            for command in (
                newest_entry(keys, job_id),
                ("HMGET", keys.record(job_id), *_RECORD_FIELDS),
                ("LRANGE", keys.regenerated(job_id), 0, -1),
            )
        )
    )
    each = iter(replies)
    return [
        _found(job_id, newest[0], record, regenerated_as) if newest else None
        for job_id, newest, record, regenerated_as in zip(job_ids, each, each, each, strict=True)
    ]


def _found(
    job_id: str,
    newest: tuple[bytes, Mapping[bytes, bytes]],
    record: list[bytes | None],
    regenerated_as: list[bytes],
) -> _Read:
    entry_id, fields = newest
    *texts, labels = record
    return _Read(
        job_id=job_id,
        entry_id=entry_id,
        event=_decoded(entry_id, fields),
        record={name: text(value or b"") for name, value in zip(_RECORD_FIELDS, texts, strict=False)},
        labels=labels,
        regenerated_as=tuple(map(text, regenerated_as)),
    )


def _started_command(keys: Keys, each: _Read) -> Command:
    attempt = EntryId.decode(each.entry_id).attempt
    return ("XRANGE", keys.events(each.job_id), attempt, attempt, "COUNT", 1)


def _started(first: Any) -> Started | None:
    """Return the `started` of an attempt; `None` if Redis has lost it."""
    event = _decoded(*first[0]) if first else None
    return event if isinstance(event, Started) else None


def _decoded(entry_id: bytes, fields: Mapping[bytes, bytes]) -> Event | None:
    """Return the event of an entry; `None` if another program wrote it. It must not hide the other jobs of a list."""
    with suppress(ValueError):
        return decode(entry_id, fields)
    return None


def _position_commands(keys: Keys, each: _Read) -> tuple[Command, Command]:
    queue = keys.queue(each.record["queue"])
    return ("ZRANK", queue, each.job_id), ("ZSCORE", queue, each.job_id)


def _position(rank: int | None, due: Any, now: float) -> int | None:
    """Return the position of a job. The queue is ordered by the times at which jobs are due, so those that are not due
    come after all that are."""
    return None if rank is None or due is None or float(due) > now else rank + 1


def _status(
    each: _Read,
    started: Started | None,
    position: int | None,
    settings: Settings,
    *,
    cancel_requested_at: int | None,
) -> JobStatus:
    event, record = each.event, each.record
    ending = event if isinstance(event, Ending) else None
    failed = event if isinstance(event, Failed) else None
    named = ending or started
    return JobStatus(
        job_id=each.job_id,
        state=each.state,
        tenant=record["tenant"],
        queue=record["queue"],
        provider=(named and named.provider) or record["provider"],
        model=(named and named.model) or record["model"],
        queued_at=_unix_ms(record["queued_at"]),
        cursor=EntryId.decode(each.entry_id),
        regenerated_from=record["regenerated_from"] or None,
        regenerated_as=each.regenerated_as,
        timing=None if ending is None else Timing.of(ending, settings, cancel_requested_at=cancel_requested_at),
        code=failed.code if failed else None,
        message=failed.message if failed else None,
        attempt=started.attempt if started else None,
        worker=started.worker if started else None,
        position=position,
        conversation=record["conversation"] or None,
        labels=decode_labels(each.labels),
    )


def _unix_ms(digits: str) -> int:
    """Return a time in Unix ms, or 0 if the text is not one."""
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _MS_DIGITS else 0
