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
from tailrace.tailing.batch_read import Found, find_gone, look
from tailrace.tailing.groups import FEW, Cohort, TailedStream
from tailrace.tailing.inbox import Inbox
from tailrace.tailing.notifications import Bells
from tailrace.tailing.orphans import Abandoned
from tailrace.tailing.schedule import Rota
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
        """By their bells."""
        self._cohorts: dict[Inbox, Cohort] = {}
        """Where each inbox is, or was before it was full or over."""
        self._rota = Rota()
        self._away_since: float | None = None
        self._reconnected_at = -math.inf
        self._bells: Bells
        self._abandoned: Abandoned
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
        self._admit(inbox, Cohort(stream, inbox, is_new=True))
        return inbox

    def resume(self, inbox: Inbox) -> None:
        """An inbox that was full is empty."""
        last = self._cohorts[inbox]
        if inbox in last.inboxes:
            # It was emptied while others were still handed what had filled it.
            return
        self._admit(inbox, Cohort(last.stream, inbox, is_new=False, like=last))

    async def leave(self, inbox: Inbox) -> None:
        """Forgets an inbox, and what nobody else needs. With the last one the connections go."""
        self._detach(inbox)
        stream = self._cohorts.pop(inbox).stream
        del stream.inboxes[inbox]
        if not stream.inboxes:
            del self._streams[stream.bell]
            if stream.is_subscribed:
                self._bells.unsubscribe(stream.bell)
        if not self._streams:
            await self._stop()

    async def aclose(self) -> None:
        """Ends all tails."""
        for inbox in list(self._cohorts):
            self._give_up(inbox, "The client was closed.")
        await self._stop()

    def _start(self) -> None:
        self._bells = Bells(self._broker.redis, self._ring)
        self._abandoned = Abandoned(self._broker, self._keys, keep_seconds=self._settings.keep_seconds)
        self._away_since = None
        for stream in self._streams.values():
            # Not all have left since the last run.
            stream.is_subscribed = False
        self._running = asyncio.create_task(self._run(Wire(self._broker.redis), self._bells, self._abandoned))

    async def _stop(self) -> None:
        # Another one may start before this one is at its end.
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.wait([running])

    async def _run(self, wire: Wire, bells: Bells, abandoned: Abandoned) -> None:
        try:
            async with wire, asyncio.TaskGroup() as beside:
                beside.create_task(bells.run())
                beside.create_task(abandoned.run())
                await self._read(wire)
        except Exception as defect:  # noqa: BLE001
            _logger.error("the reader of all tails broke down: %s", told_by_frames(defect))  # noqa: TRY400
            for inbox in list(self._cohorts):
                self._close(inbox, InfrastructureError(f"The reader of all tails broke down: {defect!r}"))

    def _ring(self, bell: bytes) -> None:
        stream = self._streams.get(bell)
        if stream is not None:
            for cohort in stream.cohorts:
                self._rota.call(cohort)

    async def _read(self, wire: Wire) -> None:
        while True:
            called, resting = await self._rota.turn()
            asked_at = time.monotonic()
            try:
                if not wire.is_connected:
                    await wire.connect()
                    if self._away_since is not None:
                        self._reconnected_at = time.monotonic()
                await wire.check_role()
                await self._look(wire, called, resting)
            except (BrokerUnavailable, CredentialsRefused) as error:
                # Also while a password is rotated: who makes connections may have the new one before Redis, or after.
                for cohort in (*called, *resting):
                    self._call(cohort)
                await self._wait_for_redis(error, asked_at)
            except BrokerRefused as error:
                for inbox in list(self._cohorts):
                    self._close(inbox, BrokerRefused(str(error)))
            else:
                self._away_since = None

    async def _look(self, wire: Wire, called: list[Cohort], resting: list[Cohort]) -> None:
        """Hands out what has come for those who have their turn."""
        unborn: list[Cohort] = []
        found = deque(await look(wire, [*called, *resting]))
        while found:
            # What is handed out need not be kept as it came.
            each = found.popleft()
            if each.cohort.is_new and each.refusal is None and not each.newest:
                unborn.append(each.cohort)
            await self._settle(each)
            if len(each.entries) > FEW or each.cohort.entry_bytes > _LARGE_ENTRY_BYTES:
                # Decoding much holds up everybody else.
                await asyncio.sleep(0)
        for cohort in chain(called, resting):
            if cohort.inboxes:
                self._rota.rest(cohort)
        if doubtful := list(dict.fromkeys([*unborn, *resting])):
            for cohort in await find_gone(wire, doubtful):
                if not self._may_be_restored:
                    self._lose(cohort.stream)
            self._suspect_silent(resting)

    def _suspect_silent(self, cohorts: list[Cohort]) -> None:
        now = time.monotonic()
        silent_since = now - _SILENCE_SECONDS
        for cohort in cohorts:
            if cohort.stream.heard_at < silent_since and cohort.inboxes:
                cohort.stream.heard_at = now
                self._abandoned.suspect(cohort.stream.job_id)

    def _call(self, cohort: Cohort) -> None:
        if cohort.inboxes:
            self._rota.call(cohort)

    async def _settle(self, found: Found) -> None:
        """What a cohort asked for has come."""
        cohort, entries, newest, refusal = found
        if not cohort.inboxes:
            # All have left, or moved on, while it was asked for.
            return
        is_behind = len(entries) == cohort.count
        if refusal is not None:
            self._close_all(cohort, refused(refusal, "XREAD", "STREAMS", cohort.stream.key, "0"))
        elif cohort.is_new:
            self._check_in(cohort, newest)
        if entries:
            cohort.stream.heard_at = time.monotonic()
            chunk = await cohort.hand_out(entries)
            if chunk.is_last:
                self._close_all(cohort, chunk.error)
            for inbox in list(cohort.inboxes):
                if inbox.is_full:
                    self._detach(inbox)
        else:
            cohort.find_nothing()
        if cohort.inboxes:
            self._go_on(cohort, is_behind=is_behind)

    def _check_in(self, cohort: Cohort, newest: list[Any]) -> None:
        """Does the stream reach as far as the cursor, if there is one?"""
        if not newest:
            return
        ((raw_id, flat),) = newest
        newest_id, is_over = EntryId.decode(raw_id), _is_ending(flat)
        cohort.is_new = newest_id < cohort.cursor
        for inbox in cohort.inboxes:
            inbox.newest = newest_id
        if cohort.is_new:
            self._wait_or_refuse(cohort, newest_id, is_over=is_over)
        elif is_over and newest_id == cohort.cursor:
            self._close_all(cohort)

    @property
    def _may_be_restored(self) -> bool:
        """Whether a stream that is gone may come back: what a restarted Redis has lost, its worker makes anew."""
        return time.monotonic() - self._reconnected_at < _RESTORE_SECONDS

    def _wait_or_refuse(self, cohort: Cohort, newest_id: EntryId, *, is_over: bool) -> None:
        """The cursor is ahead: it is a wrong one, or what it has seen is not there again yet."""
        now = time.monotonic()
        cohort.ahead_since = min(cohort.ahead_since, now)
        if is_over or now - cohort.ahead_since >= _GRACE_SECONDS:
            self._close_all(
                cohort,
                InvalidCursor(
                    f"The cursor '{cohort.cursor}' is ahead of job {cohort.stream.job_id!r}, "
                    f"whose last entry is '{newest_id}'."
                ),
            )

    def _go_on(self, cohort: Cohort, *, is_behind: bool) -> None:
        stream = cohort.stream
        if not is_behind and not stream.is_subscribed:
            # Only now that it has caught up; the confirmation lets it look once more.
            stream.is_subscribed = True
            self._bells.subscribe(stream.bell)
        other = stream.find_like(cohort)
        if other is not None:
            is_behind |= self._rota.remove(cohort)
            stream.cohorts.remove(cohort)
            self._cohorts |= dict.fromkeys(cohort.inboxes, other)
            other.inboxes |= cohort.inboxes
            cohort.inboxes = {}
            cohort = other
        if is_behind:
            self._rota.call(cohort)

    def _admit(self, inbox: Inbox, cohort: Cohort) -> None:
        """Puts an inbox into a cohort of its own, unless there is one like it."""
        other = cohort.stream.find_like(cohort)
        # Who is new needs a reply that was asked for after it came.
        if other is not None and (not cohort.is_new or self._rota.has_called(other)):
            other.inboxes[inbox] = None
            self._cohorts[inbox] = other
        else:
            cohort.stream.cohorts.append(cohort)
            self._cohorts[inbox] = cohort
            self._rota.call(cohort)

    def _lose(self, stream: TailedStream) -> None:
        for inbox in list(stream.inboxes):
            self._close(inbox, no_stream(stream.job_id))

    def _give_up(self, inbox: Inbox, why: str) -> None:
        self._close(inbox, BrokerUnavailable(why, cursor=str(inbox.cursor)))

    def _close_all(self, cohort: Cohort, error: Exception | None = None) -> None:
        for inbox in list(cohort.inboxes):
            self._close(inbox, error)

    def _close(self, inbox: Inbox, error: Exception | None = None) -> None:
        self._detach(inbox)
        inbox.close(error)

    def _detach(self, inbox: Inbox) -> None:
        """Nothing is read for it any more, or not for now."""
        cohort = self._cohorts[inbox]
        if cohort.inboxes.pop(inbox, inbox) is None and not cohort.inboxes:
            cohort.stream.cohorts.remove(cohort)
            self._rota.remove(cohort)

    async def _wait_for_redis(self, error: InfrastructureError, asked_at: float) -> None:
        if self._away_since is None:
            # A connection that was idle may have been closed on purpose: the first retry is at once.
            self._away_since = asked_at
            return
        for inbox in list(self._cohorts):
            waited_seconds = time.monotonic() - max(self._away_since, inbox.opened_at)
            if waited_seconds >= self._settings.reconnect_seconds:
                self._give_up(inbox, f"{str(error).rstrip('.')}, for {waited_seconds:.0f} s.")
        await asyncio.sleep(_RETRY_SECONDS)


def _is_ending(flat: list[bytes]) -> bool:
    return pairs(flat).get(b"type", b"").decode(errors="replace") in ENDINGS
