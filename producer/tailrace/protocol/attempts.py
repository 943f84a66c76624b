"""Begins attempts, and restores jobs that Redis has lost: scripts on the job's own keys.

The id of an entry is the fence, so Redis decides about ids, in one step: does the stream have an ending, is the attempt
above the last one, and which `SEQ` is next.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tailrace.broker.client import Broker, Command, ms, text
from tailrace.cursor import EntryId
from tailrace.events import ENDINGS
from tailrace.protocol.entries import pairs
from tailrace.protocol.job_end import Gone, Over
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script

_MAX_PASSED_OVER: Final = 2**24
"""In another history the next attempt gets a random number from this many, so that no two lost starts share one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The attempt began: its `started` is the last entry of the stream."""

    started: EntryId
    """The id of `started`."""
    fields: tuple[bytes, ...]
    """The fields of `started` as they were appended, to be sent again if Redis loses them."""
    token: bytes
    """A random name for this start, so that two starts with one number differ if Redis has lost one of them."""
    record: tuple[bytes, ...]
    """The fields of the job's record, to be written again if Redis loses the job."""
    at: int
    """When the attempt began, by the Redis server's clock, in Unix ms."""

    @property
    def tenant(self) -> str:
        """On whose behalf the job runs."""
        return text(self._stored.get(b"tenant", b""))

    @property
    def request(self) -> bytes:
        """The request, as JSON."""
        return self._stored.get(b"request", b"")

    @property
    def queued_at(self) -> int:
        """When the job was enqueued, by the Redis server's clock, in Unix ms."""
        queued_at = self._stored.get(b"queued_at", b"")
        return int(queued_at) if queued_at.isdigit() else self.at

    @property
    def _stored(self) -> dict[bytes, bytes]:
        return pairs(self.record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The number of the attempt is not above the last one, because Redis lost arq's counter."""

    last_attempt: int
    """The number of the last attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokeOff:
    """Nothing has begun: an earlier attempt may have text, and the request asks to continue it. Read it, and begin."""

    request: bytes
    """The request, as JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """How a worker goes on after an attempt that broke off: one of its own, or that of a worker that was lost."""

    provider: str
    """The provider to call."""
    model: str
    """The model of that provider."""
    continues: bool
    """True if the answer so far is continued."""
    last_seq: int
    """The `SEQ` of the last entry of that attempt. If the stream ends below it, Redis has lost entries. If it ends
    above it, that attempt still writes. In both cases the answer is not continued."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The request in the body of a job that a stock arq client enqueued."""

    request: str
    """The request, as JSON."""
    provider: str
    """The provider of the request."""
    model: str
    """The model of the request."""
    queue: str
    """The queue in which the job was enqueued."""


async def begin(
    broker: Broker,
    keys: Keys,
    job_id: str,
    *,
    attempt: int,
    worker: str,
    reason: str,
    max_lost: int,
    life_seconds: float,
    keep_seconds: float,
    resumed: Resumed | None = None,
    may_continue: bool = False,
    carried: Carried | None = None,
) -> Began | BrokeOff | Over | Behind | Gone:
    """Begin an attempt, unless the job has ended, expired, was cancelled or deleted, or has a higher attempt.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        job_id: The job.
        attempt: The number of the attempt, 1 or more.
        worker: The worker that runs it, as `host:pid`.
        reason: Why there is another attempt: `worker_lost`, `worker_shutdown` or `retry`.
        max_lost: The job fails when `reason` is `worker_lost` for this many times.
        life_seconds: How long the keys of the job live from now on, in seconds.
        keep_seconds: How long the job is kept if this call ends it, in seconds.
        resumed: How the worker goes on after an attempt that broke off. Without it the answer begins again.
        may_continue: True to begin nothing if there may be an answer to continue. `resumed` has to be `None`.
        carried: The request of a stock arq client. Only with it a missing stream is created.

    Returns:
        `Began`; or `Over` if the job has ended now, `Behind` if the number is too low or the stream does not end where
        `resumed` says, `Gone` if there is no stream, `BrokeOff` only with `may_continue`.

    Raises:
        BrokerUnavailable: Redis cannot be reached; the attempt may have begun nevertheless.
        BrokerRefused: Redis refused.
    """
    token = secrets.token_hex(8).encode()
    reply = await broker.call(
        *Script.BEGIN.command(
            keys.of_job(job_id),
            attempt,
            ms(life_seconds),
            ms(keep_seconds),
            worker,
            reason,
            max_lost,
            *_resumed(resumed, may_continue=may_continue),
            token,
            1 + secrets.randbelow(_MAX_PASSED_OVER),
            *((carried.request, carried.provider, carried.model, carried.queue) if carried else ()),
        )
    )
    match reply:
        case [b"began", started, fields, at, record]:
            return Began(
                started=EntryId.decode(started), fields=tuple(fields), token=token, record=tuple(record), at=at
            )
        case [b"ended", ending, tenant]:
            return Over(ending=ENDINGS[ending.decode()], tenant=text(tenant))
        case [b"behind", last_attempt]:
            return Behind(last_attempt=last_attempt)
        case [b"broke_off", request]:
            return BrokeOff(request=request)
        case _:
            return Gone()


def restore_command(keys: Keys, job_id: str, record: Sequence[bytes], *, life_seconds: float) -> Command:
    """Return the command that restores a job which Redis has lost: its record, and its stream up to `queued`.

    Args:
        keys: The keys under the prefix.
        job_id: The job.
        record: The fields of the record, names and values in turn, which are restored byte for byte.
        life_seconds: How long the keys live, in seconds.
    """
    stored = pairs(record)
    return Script.RESTORE.command(
        (keys.events(job_id), keys.record(job_id)),
        ms(life_seconds),
        stored.get(b"queued_at", b""),
        stored.get(b"queue", b""),
        *record,
    )


def _resumed(resumed: Resumed | None, *, may_continue: bool) -> tuple[str | int, ...]:
    if resumed is None:
        return "ask" if may_continue else "", "", "", 0
    return "1" if resumed.continues else "", resumed.provider, resumed.model, resumed.last_seq
