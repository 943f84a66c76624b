"""One reader for all tails of a process: one connection hears which streams have grown, one reads them.

While one read is under way the rings for the next one gather: load makes reads larger, and not slower. What has not
rung for a second is looked at all the same, because a ring may get lost.
"""

import asyncio
import logging
import math
import time
from collections import deque
from itertools import chain
from typing import Any

from tailrace.broker.client import Broker, refused
from tailrace.broker.wire import Wire
from tailrace.cursor import EntryId
from tailrace.errors import BrokerRefused, BrokerUnavailable, CredentialsRefused, InfrastructureError, InvalidCursor
from tailrace.events import ENDINGS
from tailrace.protocol.entries import pairs
from tailrace.protocol.job_scripts import no_stream
from tailrace.protocol.keys import Keys
from tailrace.settings import Settings
from tailrace.tailing.batch_read import BatchResult, find_gone, read_batch
from tailrace.tailing.groups import FEW, Group, TailedStream
from tailrace.tailing.inbox import Inbox
from tailrace.tailing.notifications import Notifications
from tailrace.tailing.orphans import Orphans
from tailrace.tailing.schedule import Schedule
from tailrace.tracebacks import told_by_frames

_logger = logging.getLogger(__name__)

_SILENCE_SECONDS = 30.0
_LARGE_ENTRY_BYTES = 4_096
_RETRY_SECONDS = 0.2
_RESTORE_SECONDS = 5.0
"""How long after an outage a stream that is gone is waited for."""
_GRACE_SECONDS = 1.0
"""A Redis that was killed comes back without its last second, which publishers send again once they are connected."""


class Reader:
    """Hands what streams say to the inboxes of those who tail them. It runs, and is connected, while there are any."""

    def __init__(self, broker: Broker, settings: Settings) -> None:
        self._broker = broker
        self._settings = settings
        self._keys = Keys(settings.prefix)
        self._streams: dict[bytes, TailedStream] = {}
        """By their notification channels."""
        self._groups: dict[Inbox, Group] = {}
        """Where each inbox is, or was before it was full or over."""
        self._schedule = Schedule()
        self._away_since: float | None = None
        self._reconnected_at = -math.inf
        self._notifications: Notifications
        self._orphans: Orphans
        self._running: asyncio.Task[None] | None = None

    def open(self, job_id: str, after: EntryId) -> Inbox:
        """An inbox, to be entered at once, for what a job's stream says from behind a cursor.

        It is closed with `JobNotFound`, `InvalidCursor`, `BrokerUnavailable` or `BrokerRefused` where reading fails.
        """
        now = time.monotonic()
        if self._running is None or self._running.done():
            self._start()
        inbox = Inbox(self, after, opened_at=now)
        stream = TailedStream.of(self._keys, job_id, now=now)
        stream = self._streams.setdefault(stream.bell, stream)
        stream.inboxes[inbox] = None
        self._admit(inbox, Group(stream, inbox, is_new=True))
        return inbox

    def resume(self, inbox: Inbox) -> None:
        """An inbox that was full is empty."""
        last = self._groups[inbox]
        if inbox in last.inboxes:
            # It was emptied while others were still handed what had filled it.
            return
        self._admit(inbox, Group(last.stream, inbox, is_new=False, like=last))

    async def leave(self, inbox: Inbox) -> None:
        """Forgets an inbox, and what nobody else needs. With the last one the connections go."""
        self._detach(inbox)
        stream = self._groups.pop(inbox).stream
        del stream.inboxes[inbox]
        if not stream.inboxes:
            del self._streams[stream.bell]
            if stream.is_subscribed:
                self._notifications.unsubscribe(stream.bell)
        if not self._streams:
            await self._stop()

    async def aclose(self) -> None:
        """Ends all tails."""
        for inbox in list(self._groups):
            self._give_up(inbox, "The client was closed.")
        await self._stop()

    def _start(self) -> None:
        self._notifications = Notifications(self._broker.redis, self._ring)
        self._orphans = Orphans(self._broker, self._keys, keep_seconds=self._settings.keep_seconds)
        self._away_since = None
        for stream in self._streams.values():
            # Not all have left since the last run.
            stream.is_subscribed = False
        self._running = asyncio.create_task(self._run(Wire(self._broker.redis), self._notifications, self._orphans))

    async def _stop(self) -> None:
        # Another one may start before this one is at its end.
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _run(self, wire: Wire, notifications: Notifications, orphans: Orphans) -> None:
        try:
            async with wire, asyncio.TaskGroup() as beside:
                beside.create_task(notifications.run())
                beside.create_task(orphans.run())
                await self._read(wire)
        except Exception as defect:  # noqa: BLE001
            _logger.error("the reader of all tails broke down: %s", told_by_frames(defect))  # noqa: TRY400
            for inbox in list(self._groups):
                self._close(inbox, InfrastructureError(f"The reader of all tails broke down: {defect!r}"))

    def _ring(self, bell: bytes) -> None:
        stream = self._streams.get(bell)
        if stream is not None:
            for group in stream.groups:
                self._schedule.call(group)

    async def _read(self, wire: Wire) -> None:
        while True:
            called, resting = await self._schedule.turn()
            asked_at = time.monotonic()
            try:
                if not wire.is_connected:
                    await wire.connect()
                    if self._away_since is not None:
                        self._reconnected_at = time.monotonic()
                await wire.check_role()
                await self._read_batch(wire, called, resting)
            except (BrokerUnavailable, CredentialsRefused) as error:
                # Also while a password is rotated: who makes connections may have the new one before Redis, or after.
                for group in (*called, *resting):
                    self._call(group)
                await self._wait_for_redis(error, asked_at)
            except BrokerRefused as error:
                for inbox in list(self._groups):
                    self._close(inbox, BrokerRefused(str(error)))
            else:
                self._away_since = None

    async def _read_batch(self, wire: Wire, called: list[Group], resting: list[Group]) -> None:
        """Hands out what has come for those who have their turn."""
        unborn: list[Group] = []
        found = deque(await read_batch(wire, [*called, *resting]))
        while found:
            # What is handed out need not be kept as it came.
            each = found.popleft()
            if each.group.is_new and each.refusal is None and not each.newest:
                unborn.append(each.group)
            await self._settle(each)
            if len(each.entries) > FEW or each.group.entry_bytes > _LARGE_ENTRY_BYTES:
                # Decoding much holds up everybody else.
                await asyncio.sleep(0)
        for group in chain(called, resting):
            if group.inboxes:
                self._schedule.rest(group)
        if doubtful := list(dict.fromkeys([*unborn, *resting])):
            for group in await find_gone(wire, doubtful):
                if not self._may_be_restored:
                    self._lose(group.stream)
            self._suspect_silent(resting)

    def _suspect_silent(self, groups: list[Group]) -> None:
        now = time.monotonic()
        silent_since = now - _SILENCE_SECONDS
        for group in groups:
            if group.stream.heard_at < silent_since and group.inboxes:
                group.stream.heard_at = now
                self._orphans.suspect(group.stream.job_id)

    def _call(self, group: Group) -> None:
        if group.inboxes:
            self._schedule.call(group)

    async def _settle(self, found: BatchResult) -> None:
        """What a group asked for has come."""
        group, entries, newest, refusal = found
        if not group.inboxes:
            # All have left, or moved on, while it was asked for.
            return
        is_behind = len(entries) == group.count
        if refusal is not None:
            self._close_all(group, refused(refusal, "XREAD", "STREAMS", group.stream.key, "0"))
        elif group.is_new:
            self._check_in(group, newest)
        if entries:
            group.stream.heard_at = time.monotonic()
            chunk = await group.hand_out(entries)
            if chunk.is_last:
                self._close_all(group, chunk.error)
            for inbox in list(group.inboxes):
                if inbox.is_full:
                    self._detach(inbox)
        else:
            group.find_nothing()
        if group.inboxes:
            self._go_on(group, is_behind=is_behind)

    def _check_in(self, group: Group, newest: list[Any]) -> None:
        """Does the stream reach as far as the cursor, if there is one?"""
        if not newest:
            return
        ((raw_id, flat),) = newest
        newest_id, is_over = EntryId.decode(raw_id), _is_ending(flat)
        group.is_new = newest_id < group.cursor
        for inbox in group.inboxes:
            inbox.newest = newest_id
        if group.is_new:
            self._wait_or_refuse(group, newest_id, is_over=is_over)
        elif is_over and newest_id == group.cursor:
            self._close_all(group)

    @property
    def _may_be_restored(self) -> bool:
        """Whether a stream that is gone may come back: what a restarted Redis has lost, its worker makes anew."""
        return time.monotonic() - self._reconnected_at < _RESTORE_SECONDS

    def _wait_or_refuse(self, group: Group, newest_id: EntryId, *, is_over: bool) -> None:
        """The cursor is ahead: it is a wrong one, or what it has seen is not there again yet."""
        now = time.monotonic()
        group.ahead_since = min(group.ahead_since, now)
        if is_over or now - group.ahead_since >= _GRACE_SECONDS:
            self._close_all(
                group,
                InvalidCursor(
                    f"The cursor '{group.cursor}' is ahead of job {group.stream.job_id!r}, "
                    f"whose last entry is '{newest_id}'."
                ),
            )

    def _go_on(self, group: Group, *, is_behind: bool) -> None:
        stream = group.stream
        if not is_behind and not stream.is_subscribed:
            # Only now that it has caught up; the confirmation lets it look once more.
            stream.is_subscribed = True
            self._notifications.subscribe(stream.bell)
        other = stream.find_like(group)
        if other is not None:
            is_behind |= self._schedule.remove(group)
            stream.groups.remove(group)
            self._groups |= dict.fromkeys(group.inboxes, other)
            other.inboxes |= group.inboxes
            group.inboxes = {}
            group = other
        if is_behind:
            self._schedule.call(group)

    def _admit(self, inbox: Inbox, group: Group) -> None:
        """Puts an inbox into a group of its own, unless there is one like it."""
        other = group.stream.find_like(group)
        # Who is new needs a reply that was asked for after it came.
        if other is not None and (not group.is_new or self._schedule.has_called(other)):
            other.inboxes[inbox] = None
            self._groups[inbox] = other
        else:
            group.stream.groups.append(group)
            self._groups[inbox] = group
            self._schedule.call(group)

    def _lose(self, stream: TailedStream) -> None:
        for inbox in list(stream.inboxes):
            self._close(inbox, no_stream(stream.job_id))

    def _give_up(self, inbox: Inbox, why: str) -> None:
        self._close(inbox, BrokerUnavailable(why, cursor=str(inbox.cursor)))

    def _close_all(self, group: Group, error: Exception | None = None) -> None:
        for inbox in list(group.inboxes):
            self._close(inbox, error)

    def _close(self, inbox: Inbox, error: Exception | None = None) -> None:
        self._detach(inbox)
        inbox.close(error)

    def _detach(self, inbox: Inbox) -> None:
        """Nothing is read for it any more, or not for now."""
        group = self._groups[inbox]
        if group.inboxes.pop(inbox, inbox) is None and not group.inboxes:
            group.stream.groups.remove(group)
            self._schedule.remove(group)

    async def _wait_for_redis(self, error: InfrastructureError, asked_at: float) -> None:
        if self._away_since is None:
            # A connection that was idle may have been closed on purpose: the first retry is at once.
            self._away_since = asked_at
            return
        for inbox in list(self._groups):
            waited_seconds = time.monotonic() - max(self._away_since, inbox.opened_at)
            if waited_seconds >= self._settings.reconnect_seconds:
                self._give_up(inbox, f"{str(error).rstrip('.')}, for {waited_seconds:.0f} s.")
        await asyncio.sleep(_RETRY_SECONDS)


def _is_ending(flat: list[bytes]) -> bool:
    return pairs(flat).get(b"type", b"").decode(errors="replace") in ENDINGS
