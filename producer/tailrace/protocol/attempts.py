"""How an attempt begins, and how a job that nobody runs gets its ending: scripts on the job's own keys.

The id of an entry is the fence, so what decides about ids is decided in Redis, in one step: is there an ending, is the
attempt above the last one, and which `SEQ` comes next.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tailrace.broker.client import Broker, Command, ms, text
from tailrace.cursor import EntryId
from tailrace.errors import JobNotFound
from tailrace.events import ENDINGS, Ending, EndingType
from tailrace.protocol.entries import encode, pairs
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script

_MAX_PASSED_OVER: Final = 2**24
"""Among how many numbers the next attempt's is drawn in another history: two lost starts never have the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """The attempt is this worker's: `started` is the last entry of the stream."""

    started: EntryId
    fields: tuple[bytes, ...]
    """The fields of `started` as they were appended, to be sent again should Redis lose them."""
    token: bytes
    """Tells this start from another one of the same number, should Redis have lost either."""
    record: tuple[bytes, ...]
    """The fields of the job's record, to be written again should Redis lose the job."""
    at: int
    """The server's time of `started`, Unix ms."""

    @property
    def tenant(self) -> str:
        """Whose job it is."""
        return text(self._stored.get(b"tenant", b""))

    @property
    def request(self) -> bytes:
        """What is asked, as JSON."""
        return self._stored.get(b"request", b"")

    @property
    def queued_at(self) -> int:
        """The server's time of the enqueue, Unix ms."""
        queued_at = self._stored.get(b"queued_at", b"")
        return int(queued_at) if queued_at.isdigit() else self.at

    @property
    def _stored(self) -> dict[bytes, bytes]:
        return pairs(self.record)


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """There is an ending already: nothing is left but to release the job."""

    ending: EndingType
    tenant: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """The attempt is not above the last one's: arq's counter was lost."""

    last_attempt: int


class Gone:
    """There is no stream: the job was deleted, or has expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """How a worker goes on after an attempt of its own that broke off."""

    provider: str
    model: str
    continues: bool
    """Whether what was said so far stands."""
    last_seq: int
    """The `SEQ` of its last entry. Behind less nothing goes on: a restarted Redis has lost what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """The request that a job's body carries itself, as stock arq clients send it."""

    request: str
    provider: str
    model: str
    queue: str


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
    carried: Carried | None = None,
) -> Began | Over | Behind | Gone:
    """Begins an attempt, unless the job is over, gone, cancelled, too late, or further on already.

    `reason` says why there is another attempt; where it is `worker_lost` for the `max_lost`th time, the job fails.
    Only `carried` may create a stream that is not there.
    """
    token = secrets.token_hex(8).encode()
    reply = await broker.call(
        *Script.BEGIN.command(
            _keys(keys, job_id),
            attempt,
            ms(life_seconds),
            ms(keep_seconds),
            worker,
            reason,
            max_lost,
            *_resumed(resumed),
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
        case _:
            return Gone()


def restore_command(keys: Keys, job_id: str, record: Sequence[bytes], *, life_seconds: float) -> Command:
    """Make a job anew that Redis has lost whole: its record, and its stream up to `queued`, byte for byte."""
    stored = pairs(record)
    return Script.RESTORE.command(
        (keys.events(job_id), keys.record(job_id)),
        ms(life_seconds),
        stored.get(b"queued_at", b""),
        stored.get(b"queue", b""),
        *record,
    )


class CancelOutcome(StrEnum):
    """What a call of `cancel` did."""

    CANCELLED = "cancelled"
    """The job had not started; its ending is written."""
    REQUESTED = "requested"
    """The job runs; its worker stops it at its next poll, and writes the ending."""
    ENDED = "ended"
    """The job was over already; nothing has changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """What the job's side of a cancel found and did."""

    outcome: CancelOutcome
    ending: str
    tenant: str
    queue: str
    at: int
    """The server's time of the request, Unix ms."""


async def cancel(broker: Broker, keys: Keys, job_id: str, reason: str, *, keep_seconds: float) -> Cancellation:
    """Sets the cancel key and, where nothing has started, appends the ending.

    Raises:
        JobNotFound: There is no stream.
    """
    reply = await broker.call(*Script.CANCEL.command(_keys(keys, job_id), reason, ms(keep_seconds)))
    if reply[0] == b"gone":
        raise no_stream(job_id)
    outcome, ending, tenant, queue = map(text, reply[:4])
    return Cancellation(outcome=CancelOutcome(outcome), ending=ending, tenant=tenant, queue=queue, at=reply[4])


async def end(
    broker: Broker, keys: Keys, job_id: str, ending: Ending, *, keep_seconds: float, queue: str = ""
) -> Over | Gone:
    """Gives a job that its caller does not run its ending, unless it has one: in an attempt far above the last.

    With the queue in which a stock arq client has put it, a stream that is not there is made.
    """
    reply = await broker.call(*Script.END.command(_keys(keys, job_id), ms(keep_seconds), queue, *encode(ending)))
    if reply[0] == b"gone":
        return Gone()
    return Over(ending=ENDINGS[reply[1].decode()], tenant=text(reply[2]))


def no_stream(job_id: str) -> JobNotFound:
    """The error of every call that needs the job's stream."""
    return JobNotFound(f"Job {job_id!r} has no stream: it expired, was deleted, or was never enqueued.")


def _resumed(resumed: Resumed | None) -> tuple[str | int, ...]:
    if resumed is None:
        return "", "", "", 0
    return "1" if resumed.continues else "", resumed.provider, resumed.model, resumed.last_seq


def _keys(keys: Keys, job_id: str) -> tuple[str, ...]:
    return keys.events(job_id), keys.record(job_id), keys.cancel(job_id), keys.regenerated(job_id)
