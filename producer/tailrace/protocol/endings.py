"""The endings of all jobs: one capped stream, for services that save answers which nobody tails."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from tailrace.broker.client import Broker, Command, ms
from tailrace.events import Ending, EndingType
from tailrace.protocol.entries import decode, encode
from tailrace.protocol.keys import Keys

CAPACITY = 100_000
"""About how many endings are kept (some 20 MB)."""
KEEP_SECONDS = 7 * 86_400.0
"""How long the endings are kept after the last one."""

_UNANNOUNCED: Final = frozenset({"type", "message", "reason"})
"""Texts stay in the job's stream, and go with it: an announcement is kept for longer, and a deleted job has one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnding:
    """A job that ended, and how."""

    job_id: str
    tenant: str
    ending: EndingType
    outcome: Ending | None = field(default=None, compare=False)
    """The ending itself, with code, usage and timing. Once the job's stream has expired its `message` or `reason` is
    empty. `None`: an older version has announced it."""
    is_readable: bool = field(default=False, compare=False)
    """Whether the answer could be read when this was handed over: for `keep_seconds` after the ending it can."""


def announcement(keys: Keys, ended: JobEnding) -> tuple[Command, Command]:
    """The commands that tell of an ending. They follow the ending and go before the release of the job.

    Whoever finds an ending on a job that was not released announces it again: what died in between loses nothing.
    """
    fields = ["job", ended.job_id, "tenant", ended.tenant, "ending", ended.ending]
    if ended.outcome is not None:
        each = iter(encode(ended.outcome))
        for name, value in zip(each, each, strict=True):
            if name not in _UNANNOUNCED:
                fields += (name, value)
    return (
        ("XADD", keys.endings, "MAXLEN", "~", CAPACITY, "*", *fields),
        ("PEXPIRE", keys.endings, ms(KEEP_SECONDS)),
    )


async def close(broker: Broker, keys: Keys, ended: JobEnding, *, keep_seconds: float) -> None:
    """What follows an ending, in one round trip: the time to keep begins, and the ending is announced.

    Without an `outcome` it is read from the stream first.
    """
    if ended.outcome is None:
        newest = await broker.call(*newest_entry(keys, ended.job_id))
        ended = replace(ended, outcome=read_outcome(newest))
    idempotency, *_ = await broker.pipeline(
        ("HGET", keys.record(ended.job_id), "idempotency"),
        *(("PEXPIRE", key, ms(keep_seconds)) for key in keys.of_job(ended.job_id)),
        *announcement(keys, ended),
    )
    if idempotency is not None:
        # It goes a little before the job: a key that outlived it would start the job again, under its old id.
        await broker.call("PEXPIRE", idempotency, max(1, ms(keep_seconds) - 1_000))


def newest_entry(keys: Keys, job_id: str) -> Command:
    """Return the command that reads the last entry of a job's stream."""
    return ("XREVRANGE", keys.events(job_id), "+", "-", "COUNT", 1)


def read_outcome(newest: list[tuple[bytes, Mapping[bytes, bytes]]]) -> Ending | None:
    """Return the ending of a job from the reply to `newest_entry`, if the last entry is one."""
    return decode_ending(newest[0][1], newest[0][0]) if newest else None


def decode_ending(fields: Mapping[bytes, bytes], entry_id: bytes = b"0-0") -> Ending | None:
    """Return the ending that an entry or an announcement holds, if any."""
    with suppress(ValueError):
        event = decode(entry_id, fields)
        if isinstance(event, Ending):
            return event
    return None
