"""One reader for all tails of a process: one connection hears which streams have grown, another one reads them.

While one read is under way, the notifications for the next one gather: load makes reads larger, and not slower. A
stream without a notification for a second is read all the same, because a notification may get lost.
"""

import asyncio
import logging
import time
from collections import deque
from itertools import chain
from typing import Any, Final

from tailrace.broker.client import Broker, refused
from tailrace.broker.wire import TooMuch, Wire
from tailrace.cursor import EntryId
from tailrace.errors import BrokerRefused, BrokerUnavailable, CredentialsRefused, InfrastructureError, InvalidCursor
from tailrace.protocol.job_end import no_stream
from tailrace.protocol.keys import Keys
from tailrace.settings import Settings
from tailrace.tailing.availability import Availability
from tailrace.tailing.batch_read import BatchResult, find_gone, read_batch
from tailrace.tailing.groups import SMALL_READ, Group, TailedStream
from tailrace.tailing.inbox import Inbox
from tailrace.tailing.limits import ReaderLimits
from tailrace.tailing.notifications import Notifications
from tailrace.tailing.orphans import Orphans
from tailrace.tailing.registry import Registry
from tailrace.tailing.schedule import Schedule
from tailrace.tracebacks import told_by_frames

_logger = logging.getLogger(__name__)

_LARGE_ENTRY_BYTES: Final = 4_096


class Reader:
    """Puts the events of streams into the inboxes of their tails. It runs, and is connected, while there are any."""

    def __init__(self, broker: Broker, settings: Settings, *, limits: ReaderLimits | None = None) -> None:
        """Prepare a reader; the first tail starts it.

        Args:
            broker: The connections to Redis.
            settings: The key prefix, and for how long Redis may be away.
            limits: The times and sizes to keep to.
        """
        self._broker = broker
        self._settings = settings
        self.limits: ReaderLimits = limits or ReaderLimits()
        self._keys = Keys(settings.prefix)
        self.schedule: Schedule = Schedule(self.limits.schedule)
        self.registry: Registry = Registry(self._keys, self.schedule)
        self._availability = Availability(self.limits)
        self._notifications: Notifications
        self._orphans: Orphans
        self._loop: asyncio.AbstractEventLoop
        self._running: asyncio.Task[None] | None = None

    def open(self, job_id: str, after: EntryId, *, keep_alive_seconds: float | None = None) -> Inbox:
        """Open an inbox for the events of a job. It stays open until `leave` or `abandon`.

        Args:
            job_id: The job whose stream is read.
            after: The cursor after which the events begin.
            keep_alive_seconds: After how many seconds without an event the inbox says so.

        Returns:
            The inbox. If reading fails, it is closed with `JobNotFound`, `InvalidCursor`, `BrokerUnavailable` or
            `BrokerRefused`.
        """
        if self._running is None or self._running.done():
            self._start()
        inbox = Inbox(self, after, opened_at=time.monotonic(), keep_alive_seconds=keep_alive_seconds)
        self.registry.add(job_id, inbox)
        return inbox

    def resume(self, inbox: Inbox) -> None:
        """Fill an inbox again: it was full, and has been emptied."""
        self.registry.resume(inbox)

    async def leave(self, inbox: Inbox) -> None:
        """Forget an inbox, and whatever only this inbox needs. The last one to leave closes the connections."""
        running = self._forget(inbox)
        if running is not None:
            await asyncio.wait([running])

    def abandon(self, inbox: Inbox) -> None:
        """Forget an inbox that nobody holds any more. Any thread may call it, at any moment."""
        try:
            # Not now: the garbage collector may have interrupted a change of the registry.
            self._loop.call_soon_threadsafe(self._forget, inbox)
        except RuntimeError:
            # The loop was closed, and all its tasks have ended.
            self.registry.remove(inbox)

    async def aclose(self) -> None:
        """End all tails, and forget them."""
        for inbox in self.registry.inboxes:
            self._give_up(inbox, "The client was closed.")
            self.registry.remove(inbox)
        running = self._stop()
        if running is not None:
            await asyncio.wait([running])

    def _forget(self, inbox: Inbox) -> asyncio.Task[None] | None:
        """Forget an inbox, unless that was done before, and return the run that this stops."""
        inbox.discard()
        stream = self.registry.remove(inbox)
        if stream is not None and stream.is_subscribed:
            self._notifications.unsubscribe(stream.channel)
        return self._stop() if self.registry.is_empty else None

    def _start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._notifications = Notifications(self._broker.redis, self._on_notify, self.limits.notifications)
        self._orphans = Orphans(self._broker, self._keys, keep_seconds=self._settings.keep_seconds)
        self._availability.succeed()
        for stream in self.registry.streams:
            # Not all tails have left since the last run.
            stream.is_subscribed = False
        self._running = asyncio.create_task(self._run(Wire(self._broker.redis), self._notifications, self._orphans))

    def _stop(self) -> asyncio.Task[None] | None:
        """Cancel the run, and return it; `None` if there is none. Another one may start before it has ended."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
        return running

    async def _run(self, wire: Wire, notifications: Notifications, orphans: Orphans) -> None:
        try:
            async with wire, asyncio.TaskGroup() as tasks:
                tasks.create_task(notifications.run())
                tasks.create_task(orphans.run())
                await self._read(wire)
        except Exception as defect:  # noqa: BLE001
            _logger.error("the reader of all tails broke down: %s", told_by_frames(defect))  # noqa: TRY400
            for inbox in self.registry.inboxes:
                self._close(inbox, InfrastructureError(f"The reader of all tails broke down: {defect!r}"))

    def _on_notify(self, channel: bytes) -> None:
        for group in self.registry.groups_of(channel):
            self.schedule.mark_due(group)

    async def _read(self, wire: Wire) -> None:
        while True:
            due, swept = await self.schedule.next_batch()
            asked_at = time.monotonic()
            try:
                if not wire.is_connected:
                    await wire.connect()
                    self._availability.reconnect()
                await wire.check_role()
                await self._read_batches(wire, due, swept)
            except (BrokerUnavailable, CredentialsRefused) as error:
                # While a password is rotated, this process may have the new one before Redis has it, or after.
                self._retry(due, swept)
                await self._wait_for_redis(error, asked_at)
            except BrokerRefused as error:
                for inbox in self.registry.inboxes:
                    self._close(inbox, BrokerRefused(str(error)))
            else:
                self._availability.succeed()

    async def _read_batches(self, wire: Wire, due: list[Group], swept: list[Group]) -> None:
        """Read each isolated group in a batch of its own, and the others in one. Take groups off as they are read."""
        for group in [group for group in due if group.is_isolated]:
            await self._read_batch(wire, [group], [])
            due.remove(group)
        for group in [group for group in swept if group.is_isolated]:
            await self._read_batch(wire, [], [group])
            swept.remove(group)
        try:
            if due or swept:
                await self._read_batch(wire, due, swept)
        except TooMuch:
            # Another program wrote large entries, or many groups have large ones at once.
            for group in chain(due, swept):
                group.isolate()
            self._retry(due, swept)

    def _retry(self, due: list[Group], swept: list[Group]) -> None:
        for group in chain(due, swept):
            if group.inboxes:
                self.schedule.mark_due(group)

    async def _read_batch(self, wire: Wire, due: list[Group], swept: list[Group]) -> None:
        """Read the next entries of all groups whose turn it is, and deliver their events."""
        missing: list[Group] = []
        results = deque(await read_batch(wire, [*due, *swept], max_bytes=self.limits.read_bytes))
        while results:
            # Each result is dropped as soon as it is delivered.
            result = results.popleft()
            if result.group.is_new and result.refusal is None and not result.newest:
                missing.append(result.group)
            await self._deliver(result)
            if len(result.entries) > SMALL_READ or result.group.entry_bytes > _LARGE_ENTRY_BYTES:
                # Decoding many entries holds up everything else.
                await asyncio.sleep(0)
        for group in chain(due, swept):
            if group.inboxes:
                self.schedule.mark_idle(group)
        if doubtful := list(dict.fromkeys([*missing, *swept])):
            gone = set(await find_gone(wire, doubtful))
            for group in gone:
                if not self._availability.may_restore:
                    self._close_stream(group.stream)
            for group in missing:
                if group not in gone:
                    group.confirm()
            self._suspect_silent(swept)

    def _suspect_silent(self, groups: list[Group]) -> None:
        now = time.monotonic()
        silent_since = now - self.limits.silence_seconds
        for group in groups:
            if group.stream.active_at < silent_since and group.inboxes:
                group.stream.active_at = now
                self._orphans.suspect(group.stream.job_id)

    async def _deliver(self, result: BatchResult) -> None:
        group, entries, newest, refusal = result
        if not group.inboxes:
            # All its inboxes have left, or are in another group, since the read began.
            return
        has_more = len(entries) == group.count
        if refusal is not None:
            self._close_group(group, refused(refusal, "XREAD", "STREAMS", group.stream.key, "0"))
        elif group.is_new and newest:
            self._check_cursor(group, newest)
        if entries:
            group.stream.active_at = time.monotonic()
            batch = await group.deliver(entries, woken_at_once=self.limits.woken_at_once)
            if batch.is_last:
                self._close_group(group, batch.error)
            for inbox in list(group.inboxes):
                if inbox.is_full:
                    self.registry.detach(inbox)
        else:
            group.note_empty_read()
        if group.inboxes:
            self._read_on(group, has_more=has_more)

    def _check_cursor(self, group: Group, newest: list[Any]) -> None:
        try:
            if group.check_cursor(*newest[0], grace_seconds=self.limits.grace_seconds):
                self._close_group(group)
        except InvalidCursor as error:
            self._close_group(group, error)

    def _read_on(self, group: Group, *, has_more: bool) -> None:
        stream = group.stream
        if not has_more and not stream.is_subscribed:
            # Only a group that has caught up subscribes; the confirmation makes it due once more.
            stream.is_subscribed = True
            self._notifications.subscribe(stream.channel)
        group = self.registry.merge(group)
        if has_more:
            self.schedule.mark_due(group)

    def _close_stream(self, stream: TailedStream) -> None:
        for inbox in list(stream.inboxes):
            self._close(inbox, no_stream(stream.job_id))

    def _give_up(self, inbox: Inbox, why: str) -> None:
        self._close(inbox, BrokerUnavailable(why, cursor=str(inbox.cursor)))

    def _close_group(self, group: Group, error: Exception | None = None) -> None:
        for inbox in list(group.inboxes):
            self._close(inbox, error)

    def _close(self, inbox: Inbox, error: Exception | None = None) -> None:
        self.registry.detach(inbox)
        inbox.close(error)

    async def _wait_for_redis(self, error: InfrastructureError, asked_at: float) -> None:
        if not self._availability.is_away:
            # The server may have closed an idle connection on purpose: the first retry is at once.
            self._availability.begin_outage(asked_at=asked_at)
            return
        for inbox in self.registry.inboxes:
            waited_seconds = self._availability.away_seconds(since=inbox.opened_at)
            if waited_seconds >= self._settings.reconnect_seconds:
                self._give_up(inbox, f"{str(error).rstrip('.')}, for {waited_seconds:.0f} s.")
        await asyncio.sleep(self._availability.next_retry_seconds())
