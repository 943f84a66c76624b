"""Who ended: one capped stream of all endings, for services that save answers which nobody tails."""

import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from tailrace.broker.client import Broker, Command, ms, patiently, text
from tailrace.errors import BrokerRefused, InfrastructureError
from tailrace.events import ENDINGS, Ending, EndingType
from tailrace.protocol.entries import decode, encode
from tailrace.protocol.keys import Keys
from tailrace.protocol.scripts import Script
from tailrace.settings import Settings

CAPACITY = 100_000
"""About how many endings are kept (some 20 MB)."""
KEEP_SECONDS = 7 * 86_400.0
"""How long the endings are kept after the last one."""

_BLOCK_MS = 1_000
_CLAIM_SECONDS = 1.0
"""How often a reader looks for what others have left."""
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
        newest = await broker.call(*_newest(keys, ended.job_id))
        ended = replace(ended, outcome=_read_outcome(newest))
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
    member = _Member(broker, settings, group, redeliver_seconds=redeliver_seconds)
    await member.create_group()
    try:
        while True:
            try:
                ended = await member.next()
            except BrokerRefused as error:
                # The stream expired, and its groups with it: no job has ended for a week.
                if "NOGROUP" not in str(error):
                    raise
                await member.create_group()
                continue
            if ended is not None:
                yield ended
            member.acknowledge()
    finally:
        with suppress(InfrastructureError):
            await member.leave()


_Entry: TypeAlias = tuple[bytes, Mapping[bytes, bytes] | None]


class _Member:
    """A reader among those of a group. It holds one ending at a time: what it has not come to is for the others."""

    def __init__(self, broker: Broker, settings: Settings, group: str, *, redeliver_seconds: float) -> None:
        self._broker = broker
        self._limit_seconds = settings.reconnect_seconds
        self._keys = Keys(settings.prefix)
        self._group = (self._keys.endings, group)
        self._redeliver_ms = ms(redeliver_seconds)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._held: bytes | None = None
        self._acknowledgement: tuple[Command, ...] = ()
        """It goes out with the next question."""
        self._claims_at = 0.0

    async def next(self) -> JobEnding | None:
        """Waits for the next ending; `None` where nothing came in a while, or what came is none."""
        entry = await self._claim() or await self._read()
        if entry is None:
            return None
        self._held, fields = entry
        return await self._read_ending(fields) if fields is not None and b"job" in fields else None

    def acknowledge(self) -> None:
        """What it holds is done with."""
        if self._held is not None:
            self._acknowledgement = (("XACK", *self._group, self._held),)
            self._held = None

    async def create_group(self) -> None:
        try:
            await self._ask(("XGROUP", "CREATE", *self._group, "0", "MKSTREAM"))
            await self._ask(("PEXPIRE", self._keys.endings, ms(KEEP_SECONDS)))
        except BrokerRefused as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def leave(self) -> None:
        # What it was given and did not acknowledge stays under its name until another reader claims it.
        pending = await self._broker.call("XPENDING", *self._group)
        if self._name.encode() not in {each["name"] for each in pending["consumers"]}:
            await self._broker.call("XGROUP", "DELCONSUMER", *self._group, self._name)

    async def _claim(self) -> _Entry | None:
        """What another reader was given too long ago; readers that are gone are forgotten once they hold nothing."""
        if time.monotonic() < self._claims_at:
            return None
        after = b"0-0"
        while True:
            command = ("XAUTOCLAIM", *self._group, self._name, self._redeliver_ms, after, "COUNT", 1)
            after, entries, *_ = await self._ask(command)
            if entries:
                entry: _Entry = entries[0]
                return entry
            if after == b"0-0":
                break
        self._claims_at = time.monotonic() + _CLAIM_SECONDS
        stream, group = self._group
        idle_ms = max(2 * _BLOCK_MS, self._redeliver_ms)
        await self._ask(Script.REMOVE_IDLE_CONSUMERS.command((stream,), group, idle_ms))
        return None

    async def _read(self) -> _Entry | None:
        stream, group = self._group
        command = ("XREADGROUP", "GROUP", group, self._name, "COUNT", 1, "BLOCK", _BLOCK_MS, "STREAMS", stream, ">")
        reply = await self._ask(command)
        return reply[0][1][0] if reply else None

    async def _read_ending(self, fields: Mapping[bytes, bytes]) -> JobEnding | None:
        ending = ENDINGS.get(text(fields.get(b"ending", b"")))
        if ending is None:
            return None
        job_id = text(fields[b"job"])
        try:
            outcome = _read_outcome(await self._ask(_newest(self._keys, job_id)))
        except BrokerRefused as error:
            # Somebody else's key has the name of the stream: that is no reason to tell nobody anything any more.
            if "WRONGTYPE" not in str(error):
                raise
            outcome = None
        return JobEnding(
            job_id=job_id,
            tenant=text(fields.get(b"tenant", b"")),
            ending=ending,
            outcome=outcome or _decoded({b"message": b"", **fields, b"type": ending.encode()}),
            is_readable=outcome is not None,
        )

    async def _ask(self, command: Command) -> Any:
        commands = (*self._acknowledgement, command)
        *_, reply = await patiently(lambda: self._broker.pipeline(*commands), limit_seconds=self._limit_seconds)
        self._acknowledgement = ()
        return reply


def _newest(keys: Keys, job_id: str) -> Command:
    return ("XREVRANGE", keys.events(job_id), "+", "-", "COUNT", 1)


def _read_outcome(newest: list[tuple[bytes, Mapping[bytes, bytes]]]) -> Ending | None:
    """The ending that a job's stream has come to."""
    return _decoded(newest[0][1], newest[0][0]) if newest else None


def _decoded(fields: Mapping[bytes, bytes], entry_id: bytes = b"0-0") -> Ending | None:
    with suppress(ValueError):
        event = decode(entry_id, fields)
        if isinstance(event, Ending):
            return event
    return None
