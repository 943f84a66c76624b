"""Who ended: one capped stream of all endings, for services that save answers which nobody tails."""

import os
import secrets
import socket
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from tailrace.broker import Broker, Command, PatientBroker, ms, text
from tailrace.errors import BrokerRefused, InfrastructureError
from tailrace.keys import Keys
from tailrace.settings import Settings

CAPACITY = 100_000
"""About how many endings are kept (some 10 MB)."""
KEEP_SECONDS = 7 * 86_400.0
"""How long the endings are kept after the last one."""

_BLOCK_MS = 1_000
_COUNT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnding:
    """A job that ended, and how: `completed`, `failed` or `cancelled`."""

    job_id: str
    tenant: str
    ending: str


def announcement(keys: Keys, ended: JobEnding) -> tuple[Command, Command]:
    """The commands that tell of an ending. They follow the ending and go before the release of the job.

    Whoever finds an ending on a job that was not released announces it again: what died in between loses nothing.
    """
    fields = ("job", ended.job_id, "tenant", ended.tenant, "ending", ended.ending)
    return (
        ("XADD", keys.endings, "MAXLEN", "~", CAPACITY, "*", *fields),
        ("PEXPIRE", keys.endings, ms(KEEP_SECONDS)),
    )


async def close(broker: Broker, keys: Keys, ended: JobEnding, *, keep_seconds: float) -> None:
    """What follows an ending, in one round trip: the time to keep begins, and the ending is announced."""
    job_keys = [key(ended.job_id) for key in (keys.events, keys.record, keys.cancel, keys.regenerated)]
    idempotency, *_ = await broker.pipeline(
        ("HGET", keys.record(ended.job_id), "idempotency"),
        *(("PEXPIRE", key, ms(keep_seconds)) for key in job_keys),
        *announcement(keys, ended),
    )
    if idempotency is not None:
        # It goes a little before the job: a key that outlived it would start the job again, under its old id.
        await broker.call("PEXPIRE", idempotency, max(1, ms(keep_seconds) - 1_000))


async def read_endings(
    broker: Broker, settings: Settings, group: str, *, redeliver_seconds: float
) -> AsyncGenerator[JobEnding, None]:
    """Yields each ending to one of the group's readers, at least once.

    An ending is acknowledged when its reader asks for the next; one that was not within `redeliver_seconds` goes to
    another reader. A new group begins with the oldest ending that is kept.

    Raises:
        BrokerUnavailable: Redis was away for `reconnect_seconds`.
    """
    consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
    stream = Keys(settings.prefix).endings
    patient = PatientBroker(broker, limit_seconds=settings.reconnect_seconds)
    await _create_group(patient, stream, group)
    try:
        while True:
            try:
                entries = await _claim(patient, stream, group, consumer, redeliver_seconds)
                entries = entries or await _read(patient, stream, group, consumer)
            except BrokerRefused as error:
                # The stream expired, and its groups with it: no job has ended for a week.
                if "NOGROUP" not in str(error):
                    raise
                await _create_group(patient, stream, group)
                continue
            for entry_id, fields in entries:
                if fields is not None and b"job" in fields:
                    yield JobEnding(
                        job_id=text(fields[b"job"]),
                        tenant=text(fields.get(b"tenant", b"")),
                        ending=text(fields.get(b"ending", b"")),
                    )
                await patient.call("XACK", stream, group, entry_id)
    finally:
        with suppress(InfrastructureError):
            await _leave(broker, stream, group, consumer)


_Entries: TypeAlias = list[tuple[bytes, dict[bytes, bytes] | None]]


async def _claim(broker: PatientBroker, stream: str, group: str, consumer: str, redeliver_seconds: float) -> _Entries:
    reply = await broker.call("XAUTOCLAIM", stream, group, consumer, ms(redeliver_seconds), "0", "COUNT", _COUNT)
    entries: _Entries = reply[1]
    return entries


async def _read(broker: PatientBroker, stream: str, group: str, consumer: str) -> _Entries:
    reply = await broker.call(
        *("XREADGROUP", "GROUP", group, consumer, "COUNT", _COUNT, "BLOCK", _BLOCK_MS, "STREAMS", stream, ">")
    )
    return reply[0][1] if reply else []


async def _leave(broker: Broker, stream: str, group: str, consumer: str) -> None:
    # What it was given and did not acknowledge stays under its name until another reader claims it.
    pending = await broker.call("XPENDING", stream, group)
    if consumer.encode() not in {each["name"] for each in pending["consumers"]}:
        await broker.call("XGROUP", "DELCONSUMER", stream, group, consumer)


async def _create_group(broker: PatientBroker, stream: str, group: str) -> None:
    try:
        await broker.call("XGROUP", "CREATE", stream, group, "0", "MKSTREAM")
        await broker.call("PEXPIRE", stream, ms(KEEP_SECONDS))
    except BrokerRefused as error:
        if "BUSYGROUP" not in str(error):
            raise
