"""How an attempt begins, and how a job that Redis has lost is made anew: scripts on the job's own keys.

The id of an entry is the fence, so what decides about ids is decided in Redis, in one step: is there an ending, is the
attempt above the last one, and which `SEQ` comes next.
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
class Behind:
    """The attempt is not above the last one's: arq's counter was lost."""

    last_attempt: int


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
            keys.of_job(job_id),
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


def _resumed(resumed: Resumed | None) -> tuple[str | int, ...]:
    if resumed is None:
        return "", "", "", 0
    return "1" if resumed.continues else "", resumed.provider, resumed.model, resumed.last_seq
