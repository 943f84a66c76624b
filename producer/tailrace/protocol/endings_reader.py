"""Reads the stream of all endings, by the readers of a consumer group."""

import os
import secrets
import socket
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias

from tailrace.broker.client import Broker, Command, ms, patiently, text
from tailrace.errors import BrokerRefused, InfrastructureError
from tailrace.events import ENDINGS
from tailrace.protocol.endings import KEEP_SECONDS, JobEnding, decode_ending, newest_entry, read_outcome
from tailrace.protocol.keys import Keys
from tailrace.protocol.labels import decode_labels
from tailrace.protocol.scripts import Script
from tailrace.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class EndingsLimits:
    """How long a reader of endings waits. The defaults suit every deployment; tests pass others."""

    block_seconds: float = 1.0
    """For how long one read waits for an ending, in seconds."""
    claim_seconds: float = 1.0
    """How often a reader claims endings that other readers got and did not acknowledge, in seconds."""


async def read_endings(
    broker: Broker,
    settings: Settings,
    group: str,
    *,
    redeliver_seconds: float,
    limits: EndingsLimits | None = None,
) -> AsyncGenerator[JobEnding, None]:
    """Read the endings of all jobs, each at least once by one of the group's readers.

    An ending is acknowledged when its reader asks for the next. A new group begins with the oldest ending that is kept.

    Args:
        broker: The connections to Redis.
        settings: The key prefix, and for how long Redis may be unavailable (`reconnect_seconds`).
        group: The name of the group.
        redeliver_seconds: After how many seconds an ending that was not acknowledged goes to another reader.
        limits: How long the reader waits.

    Yields:
        The endings, in the order of their announcements unless one is delivered again.

    Raises:
        BrokerUnavailable: Redis was unavailable for `reconnect_seconds`.
        BrokerRefused: Redis refused all writes for as long, or the user lacks a permission.
    """
    member = _Member(broker, settings, group, redeliver_seconds=redeliver_seconds, limits=limits or EndingsLimits())
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
    """One reader of a group. It holds one ending at a time, so that the other readers get the rest."""

    def __init__(
        self, broker: Broker, settings: Settings, group: str, *, redeliver_seconds: float, limits: EndingsLimits
    ) -> None:
        self._broker = broker
        self._block_ms = ms(limits.block_seconds)
        self._claim_seconds = limits.claim_seconds
        self._limit_seconds = settings.reconnect_seconds
        self._keys = Keys(settings.prefix)
        self._group = (self._keys.endings, group)
        self._redeliver_ms = ms(redeliver_seconds)
        self._name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._held: bytes | None = None
        self._acknowledgement: tuple[Command, ...] = ()
        """Sent together with the next command."""
        self._claims_at = 0.0

    async def next(self) -> JobEnding | None:
        """Wait for the next ending; return `None` after `block_seconds`, or for an entry that is not an ending."""
        entry = await self._claim() or await self._read()
        if entry is None:
            return None
        self._held, fields = entry
        return await self._read_ending(fields) if fields is not None and b"job" in fields else None

    def acknowledge(self) -> None:
        """Note that the ending it holds has been processed."""
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
        # An ending that it did not acknowledge stays under its name until another reader claims it.
        pending = await self._broker.call("XPENDING", *self._group)
        if self._name.encode() not in {each["name"] for each in pending["consumers"]}:
            await self._broker.call("XGROUP", "DELCONSUMER", *self._group, self._name)

    async def _claim(self) -> _Entry | None:
        """Claim an ending that another reader did not acknowledge, and remove idle readers that hold none."""
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
        self._claims_at = time.monotonic() + self._claim_seconds
        stream, group = self._group
        idle_ms = max(2 * self._block_ms, self._redeliver_ms)
        await self._ask(Script.REMOVE_IDLE_CONSUMERS.command((stream,), group, idle_ms))
        return None

    async def _read(self) -> _Entry | None:
        stream, group = self._group
        command = (
            "XREADGROUP",
            "GROUP",
            group,
            self._name,
            "COUNT",
            1,
            "BLOCK",
            self._block_ms,
            "STREAMS",
            stream,
            ">",
        )
        reply = await self._ask(command)
        return reply[0][1][0] if reply else None

    async def _read_ending(self, fields: Mapping[bytes, bytes]) -> JobEnding | None:
        ending = ENDINGS.get(text(fields.get(b"ending", b"")))
        if ending is None:
            return None
        job_id = text(fields[b"job"])
        conversation: bytes | None = None
        labels: bytes | None = None
        try:
            newest, (conversation, labels) = await self._ask(
                newest_entry(self._keys, job_id), ("HMGET", self._keys.record(job_id), "conversation", "labels")
            )
            outcome = read_outcome(newest)
        except BrokerRefused as error:
            # Another program's key has the name of the stream. The reader must still go on to the next ending.
            if "WRONGTYPE" not in str(error):
                raise
            outcome = None
        return JobEnding(
            job_id=job_id,
            tenant=text(fields.get(b"tenant", b"")),
            ending=ending,
            outcome=outcome or decode_ending({b"message": b"", **fields, b"type": ending.encode()}),
            is_readable=outcome is not None,
            conversation=None if conversation is None else text(conversation),
            labels=decode_labels(labels),
        )

    async def _ask(self, command: Command, *more: Command) -> Any:
        """Send commands, and return the reply to the one, or the list of the replies to several."""
        commands = (*self._acknowledgement, command, *more)
        # Reading in a group is writing: a Redis that is out of memory refuses it for a while.
        replies = await patiently(
            lambda: self._broker.pipeline(*commands), limit_seconds=self._limit_seconds, while_refused=True
        )
        replies = replies[len(self._acknowledgement) :]
        self._acknowledgement = ()
        return replies if more else replies[0]
