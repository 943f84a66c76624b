"""The stream of all endings: one capped stream, for services that store answers without a tail."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Final

from tailrace.broker.client import Broker, Command, ms, text
from tailrace.events import Ending, EndingType
from tailrace.protocol.entries import decode, encode
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script

CAPACITY = 100_000
"""How many endings are kept, approximately: about 20 MB."""
KEEP_SECONDS = 7 * 86_400.0
"""How long the endings are kept after the newest one, in seconds: a week."""

_UNANNOUNCED: Final = frozenset({"type", "message", "reason"})
"""Fields that are only in the job's stream: announcements outlive the stream, and a deleted job has one too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnding:
    """A job that ended, with its ending."""

    job_id: str
    """The id of the job."""
    tenant: str
    """On whose behalf the job ran."""
    ending: EndingType
    """How the job ended: `completed`, `failed` or `cancelled`."""
    outcome: Ending | None = field(default=None, compare=False)
    """The ending, with code, usage and timing. After the job's stream has expired, its `message` or `reason` is empty.
    `None` if an older version announced the ending."""
    is_readable: bool = field(default=False, compare=False)
    """True if the answer could be read when this was yielded: it is kept for `keep_seconds` after the ending."""
    conversation: str | None = field(default=None, compare=False)
    """The conversation of the job. Like the labels it is kept for as long as the answer."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str], compare=False)
    """The labels of the job; none if the job has expired."""


def announcement(keys: Keys, ended: JobEnding) -> tuple[Command, Command]:
    """Return the commands that announce an ending. Send them after the ending and before the release of the job.

    A process that finds an ending on a job that was not released announces it again, so a crash in between loses no
    announcement.

    Args:
        keys: The keys under the prefix.
        ended: The job and its ending.

    Returns:
        The commands, both to be sent.
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
    """Announce the ending of a job, and let the keys of the job expire, in one round trip.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        ended: The job and its ending. Without an `outcome`, the ending is read from the stream first.
        keep_seconds: How long the job stays readable, in seconds.

    Raises:
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused.
    """
    if ended.outcome is None:
        newest = await broker.call(*newest_entry(keys, ended.job_id))
        ended = replace(ended, outcome=read_outcome(newest))
    (idempotency, tenant, conversation), *_ = await broker.pipeline(
        ("HMGET", keys.record(ended.job_id), "idempotency", "tenant", "conversation"),
        *(("PEXPIRE", key, ms(keep_seconds)) for key in keys.of_job(ended.job_id)),
        *announcement(keys, ended),
    )
    if idempotency is not None:
        # It expires 1 s before the job: a key that outlived its job would start the job again, under its old id.
        await broker.call("PEXPIRE", idempotency, max(1, ms(keep_seconds) - 1_000))
    if tenant is not None and conversation is not None:
        turns = keys.conversation(text(tenant), text(conversation))
        await broker.call(*Script.END_TURN.command((turns,), ended.job_id, ms(keep_seconds)))


def newest_entry(keys: Keys, job_id: str) -> Command:
    """Return the command that reads the last entry of a job's stream.

    Args:
        keys: The keys under the prefix.
        job_id: The job.
    """
    return ("XREVRANGE", keys.events(job_id), "+", "-", "COUNT", 1)


def read_outcome(newest: list[tuple[bytes, Mapping[bytes, bytes]]]) -> Ending | None:
    """Decode the reply to `newest_entry`.

    Args:
        newest: The reply: at most one entry.

    Returns:
        The ending of the job; `None` if the last entry is not an ending.
    """
    return decode_ending(newest[0][1], newest[0][0]) if newest else None


def decode_ending(fields: Mapping[bytes, bytes], entry_id: bytes = b"0-0") -> Ending | None:
    """Decode an entry of a job's stream, or an announcement.

    Args:
        fields: The fields of the entry.
        entry_id: The id of the entry.

    Returns:
        The ending; `None` if the entry is not an ending that this version can read.
    """
    with suppress(ValueError):
        event = decode(entry_id, fields)
        if isinstance(event, Ending):
            return event
    return None
