"""`Publisher`: the one writer for all jobs of a worker, which sends appends in batches.

Entries get their ids when a batch is formed. From then on an id is bound to its bytes: they are sent, and sent again if
need be, until Redis is known to have them, or the attempt is known to have lost the stream.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from redis.asyncio import Redis

from tailrace.broker.backoff import Backoff
from tailrace.broker.outage import Dependent
from tailrace.broker.wire import packed
from tailrace.errors import InfrastructureError
from tailrace.protocol.attempts import Began
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.keys import Keys
from tailrace_worker.publishing.batch import BatchLimits, BatchSize, next_batch
from tailrace_worker.publishing.byte_budget import ByteBudget
from tailrace_worker.publishing.link import Link
from tailrace_worker.publishing.losses import Fenced, StreamDeleted, StreamLost
from tailrace_worker.publishing.reconciliation import Reconciliation
from tailrace_worker.publishing.resend_buffer import ResendBuffer
from tailrace_worker.publishing.stream_writer import Entry, StreamWriter
from tailrace_worker.settings import WorkerSettings

_MULTI: Final = packed("MULTI")
_EXEC: Final = packed("EXEC")
_NOT_ABOVE_THE_LAST: Final = "equal or smaller than the target stream top item"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublisherLimits:
    """Timings of a publisher, and the sizes of its batches."""

    batch: BatchLimits = field(default_factory=BatchLimits)
    watch_seconds: float = 1.0
    """If nothing was sent for this time, the publisher checks that Redis still answers."""
    first_backoff_seconds: float = 0.05
    """The wait after the first failure. Each further failure doubles it."""
    last_backoff_seconds: float = 1.0
    """The longest wait after a failure."""


class Publisher:
    """The sender of all writers' appends. It sends at once after a pause, otherwise at most once every `batch_ms`."""

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        settings: WorkerSettings,
        *,
        on_ended_again: Callable[[JobEnding], None],
        limits: PublisherLimits | None = None,
    ) -> None:
        """Prepare the publisher. It connects and publishes in `run`.

        Args:
            redis: The client whose connection settings are used.
            keys: The keys of the jobs' side.
            settings: The settings of the worker.
            on_ended_again: Called when an ending that Redis had lost is in its stream again.
            limits: The timings and sizes; `None` for the defaults.
        """
        limits = limits or PublisherLimits()
        self.link = Link(redis)
        self.writers: dict[StreamWriter, None] = {}
        """The writers whose entries may have to be sent or sent again, in the order of their attempts."""
        self.budget = ByteBudget(settings.max_waiting_bytes)
        """The memory of the entries that wait. An attempt waits for its `room` before it reads from a provider."""
        self.resend_buffer = ResendBuffer(keep_seconds=settings.resend_seconds, max_bytes=settings.max_resend_bytes)
        self._on_ended_again = on_ended_again
        self._keys = keys
        self._settings = settings
        self._limits = limits
        self._reconciliation = Reconciliation(self.link, keys, life_seconds=settings.running_seconds)
        self._rung: list[StreamWriter] = []
        self._pending: dict[StreamWriter, None] = {}
        self._batch_size = BatchSize(limits.batch)
        self._backoff = Backoff(first_seconds=limits.first_backoff_seconds, last_seconds=limits.last_backoff_seconds)
        """Grows until Redis has answered a batch or a ping. A new connection does not reset it."""
        self._bell = asyncio.Event()
        self._urgent = asyncio.Event()
        self._appending = Dependent("answers are not written")

    def open(self, job_id: str, began: Began, on_lost: Callable[[StreamLost], None]) -> StreamWriter:
        """Return a writer for an attempt that has begun.

        Args:
            job_id: The job's id.
            began: What the begin script returned.
            on_lost: Called when the attempt can no longer write to the stream, with the reason.
        """
        writer = StreamWriter(self, self.budget, self._keys, job_id, began, on_lost)
        writer.history = self.link.history
        self.writers[writer] = None
        self.resend_buffer.keep(writer.landed, time.monotonic())
        # Wake `run`, so that it watches Redis: this `started` may get lost before the provider's first piece.
        self._bell.set()
        return writer

    def ring(self, writer: StreamWriter, *, urgent: bool) -> None:
        """Note that a writer has an entry to send.

        Args:
            writer: The writer.
            urgent: True if the entry must not wait for the next batch.
        """
        if not self._rung:
            self._bell.set()
        self._rung.append(writer)
        if urgent:
            self._urgent.set()

    def hurry(self) -> None:
        """Send what waits at once, because no more pieces are expected right now."""
        if self._rung:
            self._urgent.set()

    def release(self, writer: StreamWriter) -> None:
        """Forget a writer, if none of its entries can have to be sent again.

        Args:
            writer: The writer.
        """
        if writer.is_done:
            self.writers.pop(writer, None)

    def end_again(self, ended: JobEnding) -> None:
        """Report an ending that Redis had lost and that is in its stream again.

        Args:
            ended: The ending and its job.
        """
        self._on_ended_again(ended)

    async def run(self) -> None:
        """Publish until the task is cancelled."""
        async with self.link.wire:
            loop = asyncio.get_running_loop()
            earliest = 0.0
            while True:
                if await self._anything(loop):
                    await self._pace(loop, earliest)
                    earliest = loop.time() + self._settings.batch_ms / 1000
                    self._form()
                await self._settle()
                self.resend_buffer.drop(self.link.heard_at)

    async def _anything(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Wait for a ring, and return True after one.

        While the resend buffer has entries, check Redis after `watch_seconds` without a ring, and return False.
        """
        if self._bell.is_set():
            return True
        due = loop.call_later(self._limits.watch_seconds, self._bell.set) if self.resend_buffer else None
        try:
            await self._bell.wait()
        finally:
            if due is not None:
                due.cancel()
        if due is not None and not self._rung and loop.time() >= due.when():
            self._bell.clear()
            await self._watch()
            return False
        return True

    async def _watch(self) -> None:
        """Notice that Redis went away while nothing was sent: it may come back without the last entries."""
        with suppress(InfrastructureError):
            if self.link.wire.is_connected:
                await self.link.ping()
                self._backoff.reset()

    async def _pace(self, loop: asyncio.AbstractEventLoop, earliest: float) -> None:
        """Wait until the next batch is due, or an entry is urgent."""
        if loop.time() < earliest:
            due = loop.call_at(earliest, self._urgent.set)
            try:
                await self._urgent.wait()
            finally:
                due.cancel()
        self._urgent.clear()

    def _form(self) -> None:
        self._bell.clear()
        rung, self._rung = self._rung, []
        for writer in rung:
            writer.form()
            self._pending[writer] = None

    async def _settle(self) -> None:
        """Send until no entry is unsettled, through all failures: an entry that has its id is never given up."""
        link = self.link
        while self._pending or not link.wire.is_connected:
            try:
                if not link.wire.is_connected:
                    # Reconcile before anything else is sent: entries that a restarted Redis lost go back in order.
                    await link.connect()
                    # A job may have two writers. The lost entries of the earlier attempt go before the later one's.
                    self._pending.clear()
                    await self._reconcile(self.writers)
                elif transactions := self._next_transactions():
                    doubtful = await self._send(transactions)
                    self._backoff.reset()
                    if doubtful:
                        await self._reconcile(doubtful)
                    self.resend_buffer.drop(self.link.heard_at)
                    if self._pending:
                        # New entries do not wait until the whole backlog is sent.
                        self._form()
            except InfrastructureError as error:
                self._appending.fails(error)
                await asyncio.sleep(self._backoff.next_seconds())
        self._appending.works()

    async def _reconcile(self, writers: Iterable[StreamWriter]) -> None:
        async for writer, landed in self._reconciliation.reconcile(writers):
            self.resend_buffer.keep(landed, self.link.heard_at)
            self._pending[writer] = None

    def _next_transactions(self) -> list[list[Entry]]:
        """Return the transactions to send next. If there are none, no writer is pending any more."""
        batch = next_batch(self._pending, self._batch_size.bytes)
        if not batch.transactions:
            # These writers have lost their streams, or their entries were found to have landed already.
            self._pending.clear()
        for writer in batch.cut:
            # Other writers have their turn first. The writers of one stream keep their order.
            del self._pending[writer]
            self._pending[writer] = None
        return batch.transactions

    async def _send(self, batch: list[list[Entry]]) -> set[StreamWriter]:
        """Send transactions in one round trip.

        Returns:
            The writers for which it is uncertain which entries have landed.
        """
        commands: list[bytes] = []
        counts: list[int] = []
        sent_before: set[Entry] = set()
        for transaction in batch:
            commands.append(_MULTI)
            rings: dict[StreamWriter, bytes] = {}
            for entry in transaction:
                commands.append(entry.command)
                rings[entry.writer] = entry.writer.ring
                if entry.sent:
                    sent_before.add(entry)
                entry.sent = True
            commands += rings.values()
            commands.append(_EXEC)
            counts.append(len(transaction) + len(rings) + 2)
        replies = iter(await self._exchange_batch(b"".join(commands), sum(counts)))
        doubtful: set[StreamWriter] = set()
        refusal: Exception | None = None
        for transaction, count in zip(batch, counts, strict=True):
            *queued, executed = islice(replies, count)
            if isinstance(executed, Exception):
                # Redis refused the whole transaction, for example for lack of memory. None of its entries has landed,
                # and the same bytes are sent again.
                refusal = next((reply for reply in queued if isinstance(reply, Exception)), executed)
            else:
                self._settle_transaction(transaction, executed, sent_before, doubtful)
        if refusal is not None:
            # They are sent on a new connection, because a server that became a replica would always refuse them.
            await self.link.refuse(refusal, "XADD", batch[0][0].writer.stream)
        return doubtful

    async def _exchange_batch(self, payload: bytes, replies: int) -> list[Any]:
        """Send a batch and return its replies, and adapt the size of the next one."""
        sent_at = time.monotonic()
        try:
            answered = await self.link.exchange(payload, replies)
        except InfrastructureError:
            self._batch_size.shrink(len(payload))
            raise
        self._batch_size.answered(len(payload), self.link.heard_at - sent_at)
        return answered

    def _settle_transaction(
        self, transaction: list[Entry], executed: list[Any], sent_before: set[Entry], doubtful: set[StreamWriter]
    ) -> None:
        """Settle each entry of a transaction by the reply of its `EXEC`."""
        landed: list[Entry] = []
        freed = 0
        for entry, reply in zip(transaction, executed, strict=False):
            writer = entry.writer
            if writer.lost is not None or writer in doubtful:
                continue
            if isinstance(reply, bytes):
                landed.append(entry)
                freed += writer.land(entry)
                if not writer.unsettled:
                    del self._pending[writer]
            elif reply is None:
                writer.lose(StreamDeleted(f"The stream of job {writer.job_id!r} was deleted, or expired."))
            elif _NOT_ABOVE_THE_LAST not in str(reply):
                writer.lose(StreamLost(f"The stream of job {writer.job_id!r} cannot be written: {reply}"))
            elif entry in sent_before:
                doubtful.add(writer)
            else:
                writer.lose(Fenced(f"A later attempt of job {writer.job_id!r} has begun."))
        self.budget.free(freed)
        self.resend_buffer.keep(landed, self.link.heard_at)
