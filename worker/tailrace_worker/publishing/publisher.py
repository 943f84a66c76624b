"""One batched writer for all the jobs of a worker.

Ids are given when a batch is formed. From then on an id is bound to its bytes: they are sent, and sent again, until
Redis is known to have them, or the stream to be somebody else's.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final

from redis.asyncio import Redis

from tailrace.broker.client import refused
from tailrace.broker.outage import Dependent
from tailrace.broker.wire import Wire, packed
from tailrace.cursor import EntryId
from tailrace.errors import InfrastructureError
from tailrace.protocol.attempts import Began, restore_command
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.entries import pairs
from tailrace.protocol.history import history_of
from tailrace.protocol.keys import Keys
from tailrace_worker.publishing.stream_writer import ENTRY_BYTES, Entry, Fenced, StreamDeleted, StreamLost, StreamWriter
from tailrace_worker.settings import WorkerSettings

_logger = logging.getLogger(__name__)

_MULTI: Final = packed("MULTI")
_EXEC: Final = packed("EXEC")
_PING: Final = packed("PING")
_INFO: Final = packed("INFO", "server", "replication")
_MAX_BATCH_BYTES = 1_048_576
_MIN_BATCH_BYTES = 16_384
_FIRST_BATCH_BYTES = 65_536
_TRANSACTION_BYTES = 65_536
"""A batch is sent as several transactions: of one that breaks off, the first have landed."""
_BATCH_SECONDS = 1.0
"""A batch that takes longer to be answered is too large for the link, and what comes after it is late."""
_RECONCILE_AT_ONCE = 500
_WATCH_SECONDS = 1.0
_FIRST_BACKOFF_SECONDS = 0.05
_LAST_BACKOFF_SECONDS = 1.0
_NOT_A_STREAM = "WRONGTYPE"
_NOT_ABOVE_THE_LAST = "equal or smaller than the target stream top item"


class Publisher:
    """Sends the appends of all writers together: at once when idle, else at most once every `batch_ms`."""

    def __init__(
        self, redis: Redis, keys: Keys, settings: WorkerSettings, on_ended_again: Callable[[JobEnding], None]
    ) -> None:
        """`on_ended_again` is told when an ending that Redis had lost is in its stream again."""
        self._wire = Wire(redis)
        self._on_ended_again = on_ended_again
        self._history = ""
        """The history of the data that the connection reaches."""
        self._keys = keys
        self._settings = settings
        self._max_waiting_bytes = settings.max_waiting_bytes
        self._writers: dict[StreamWriter, None] = {}
        self._rung: list[StreamWriter] = []
        self._pending: dict[StreamWriter, None] = {}
        self._kept: deque[Entry] = deque()
        """What has landed, in the order in which it did."""
        self._kept_bytes = 0
        self.is_full = False
        """Whether as much waits as may: who goes on reading from a provider waits for `room` then."""
        self._waiting_bytes = 0
        self._batch_bytes = _FIRST_BATCH_BYTES
        """How much is sent at once: as much as goes through in time."""
        self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        """Grows until something was answered that is of use: a connection that was made is not."""
        self._heard_at = time.monotonic()
        self._bell = asyncio.Event()
        self._urgent = asyncio.Event()
        self._room = asyncio.Event()
        self._appending = Dependent("answers are held up")

    def open(self, job_id: str, began: Began, on_lost: Callable[[StreamLost], None]) -> StreamWriter:
        """A writer for an attempt that has begun; `on_lost` is told when the stream is no longer the attempt's."""
        writer = StreamWriter(self, self._keys, job_id, began, on_lost)
        writer.history = self._history
        self._writers[writer] = None
        self._keep(writer.landed, time.monotonic())
        # Who waits for a ring watches nothing: this `started` may be lost before the provider's first word.
        self._bell.set()
        return writer

    def ring(self, writer: StreamWriter, waiting_bytes: int, *, urgent: bool) -> None:
        """A writer has something that waits."""
        self._waiting_bytes += waiting_bytes
        if self._waiting_bytes >= self._max_waiting_bytes:
            self.is_full = True
        if not self._rung:
            self._bell.set()
        self._rung.append(writer)
        if urgent:
            self._urgent.set()

    def hurry(self) -> None:
        """All that may be expected now has come: what waits need not wait for more."""
        if self._rung:
            self._urgent.set()

    def add(self, waiting_bytes: int) -> None:
        """So much more waits than before, or less."""
        self._waiting_bytes += waiting_bytes
        if self.is_full != (self._waiting_bytes >= self._max_waiting_bytes):
            self.is_full = not self.is_full
            if not self.is_full:
                self._room.set()

    async def room(self) -> None:
        """Returns once no more waits than may: so reading from the providers waits when Redis does not keep up."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def release(self, writer: StreamWriter) -> None:
        """Forgets a writer of which nothing will have to be sent again."""
        if writer.is_done:
            self._writers.pop(writer, None)

    async def run(self) -> None:
        """Publishes until it is cancelled."""
        async with self._wire:
            loop = asyncio.get_running_loop()
            earliest = 0.0
            while True:
                if await self._anything(loop):
                    await self._pace(loop, earliest)
                    earliest = loop.time() + self._settings.batch_ms / 1000
                    self._form()
                await self._settle()
                self._forget()

    async def _anything(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Waits for a ring. Without one it comes back every second while something is kept to be sent again."""
        if self._bell.is_set():
            return True
        due = loop.call_later(_WATCH_SECONDS, self._bell.set) if self._kept else None
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
        """Notices a Redis that went away while nothing was sent: it may come back with less than it had."""
        with suppress(InfrastructureError):
            if self._wire.is_connected:
                await self._exchange(_PING, 1)
                self._backoff_seconds = _FIRST_BACKOFF_SECONDS

    async def _pace(self, loop: asyncio.AbstractEventLoop, earliest: float) -> None:
        """Waits until it is time for the next batch, or something urgent has come."""
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
        """Sends until nothing is unsettled, whatever it takes: ids that are given are never taken back."""
        while self._pending or not self._wire.is_connected:
            try:
                if not self._wire.is_connected:
                    # Before anything else is sent: what a restarted Redis lost can only be put back in order.
                    await self._wire.connect()
                    (info,) = await self._exchange(_INFO, 1)
                    self._history = history_of(info)
                    # A job may have two writers: what the earlier attempt lost goes before the later one.
                    self._pending.clear()
                    await self._reconcile(self._writers)
                elif batch := self._next_batch():
                    doubtful = await self._send(batch)
                    self._backoff_seconds = _FIRST_BACKOFF_SECONDS
                    await self._reconcile(doubtful)
                    if self._pending:
                        # What has come since does not wait until a backlog has gone.
                        self._form()
            except InfrastructureError as error:
                backoff = self._backoff_seconds
                self._backoff_seconds = min(2 * backoff, _LAST_BACKOFF_SECONDS)
                self._appending.fails(error)
                await asyncio.sleep(backoff)

        self._appending.works()

    def _next_batch(self) -> list[list[Entry]]:
        """What is sent next, in transactions.

        All entries of a stream are in the same one. If a transaction is refused and a later one is not, an entry of the
        later one would keep those of the refused one out of the stream for ever.
        """
        transactions: list[list[Entry]] = []
        by_stream: dict[str, list[Entry]] = {}
        cut: set[str] = set()
        batch_bytes = transaction_bytes = 0
        most = min(self._batch_bytes, _MAX_BATCH_BYTES)
        for writer in self._pending:
            if batch_bytes > most:
                break
            if not writer.unsettled or writer.stream in cut:
                continue
            transaction = by_stream.get(writer.stream)
            if transaction is None:
                if not transactions or transaction_bytes > _TRANSACTION_BYTES:
                    transactions.append([])
                    transaction_bytes = 0
                transaction = by_stream[writer.stream] = transactions[-1]
            stream_bytes = 0
            for entry in writer.unsettled:
                if batch_bytes > most or stream_bytes > _TRANSACTION_BYTES:
                    cut.add(writer.stream)
                    break
                transaction.append(entry)
                stream_bytes += len(entry.command)
                transaction_bytes += len(entry.command)
                batch_bytes += len(entry.command)
        if not transactions:
            # Some have lost their streams, and some were found to have landed already.
            self._pending.clear()
        elif cut:
            # The others have their turn first. Writers of one stream keep their order.
            for writer in [writer for writer in self._pending if writer.stream in cut]:
                del self._pending[writer]
                self._pending[writer] = None
        return transactions

    async def _send(self, batch: list[list[Entry]]) -> set[StreamWriter]:
        """Sends transactions in one round trip; returns the writers of which it is not certain what landed."""
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
                # Refused as a whole, for want of memory say: nothing of it has landed, and the same bytes go out again.
                refusal = next((reply for reply in queued if isinstance(reply, Exception)), executed)
            else:
                self._settle_transaction(transaction, executed, sent_before, doubtful)
        if refusal is not None:
            # To whoever answers then: a server that became a replica refuses for ever.
            await self._wire.disconnect()
            raise refused(refusal, "XADD", batch[0][0].writer.stream)
        return doubtful

    async def _exchange_batch(self, payload: bytes, replies: int) -> list[Any]:
        """Exchanges a batch, and learns how large the next one may be."""
        sent_at = time.monotonic()
        smaller = max(_MIN_BATCH_BYTES, min(self._batch_bytes, len(payload)) // 2)
        try:
            answered = await self._exchange(payload, replies)
        except InfrastructureError:
            self._batch_bytes = smaller
            raise
        took_seconds = self._heard_at - sent_at
        if took_seconds > _BATCH_SECONDS:
            self._batch_bytes = smaller
        elif took_seconds < _BATCH_SECONDS / 4:
            self._batch_bytes = min(2 * self._batch_bytes, _MAX_BATCH_BYTES)
        return answered

    def _settle_transaction(
        self, transaction: list[Entry], executed: list[Any], sent_before: set[Entry], doubtful: set[StreamWriter]
    ) -> None:
        """What an `EXEC` has replied for each entry."""
        landed: list[Entry] = []
        for entry, reply in zip(transaction, executed, strict=False):
            writer = entry.writer
            if writer.lost is not None or writer in doubtful:
                continue
            if isinstance(reply, bytes):
                landed.append(entry)
                writer.land(entry)
                if not writer.unsettled:
                    del self._pending[writer]
            elif reply is None:
                writer.lose(StreamDeleted(f"The stream of job {writer.job_id!r} is gone."))
            elif _NOT_ABOVE_THE_LAST not in str(reply):
                writer.lose(StreamLost(f"The stream of job {writer.job_id!r} cannot be written: {reply}"))
            elif entry in sent_before:
                doubtful.add(writer)
            else:
                writer.lose(Fenced(f"A later attempt of job {writer.job_id!r} has begun."))
        self._keep(landed, self._heard_at)

    async def _reconcile(self, writers: Iterable[StreamWriter]) -> None:
        """Asks for the last id of each stream, and puts in order what is to be sent again."""
        asked = [writer for writer in writers if writer.lost is None]
        for start in range(0, len(asked), _RECONCILE_AT_ONCE):
            some = asked[start : start + _RECONCILE_AT_ONCE]
            replies = await self._ask_where_streams_end(some)
            gone = [writer for writer, (last, _) in zip(some, replies, strict=True) if last == []]
            # In the same history a stream was deleted, or has expired.
            lost = [each for each in gone if each.history not in {"", self._history} and each.can_be_restored]
            if lost:
                await self._restore(lost)
                replies = await self._ask_where_streams_end(some)
            for writer, (last, first) in zip(some, replies, strict=True):
                if isinstance(last, Exception):
                    writer.lose(StreamLost(f"The stream of job {writer.job_id!r} is none any more."))
                    continue
                token = pairs(first[0][1]).get(b"token", b"") if first else None
                found = writer.reconcile(EntryId.decode(last[0][0]) if last else None, token)
                writer.history = self._history
                self._keep(found, self._heard_at)
                self._pending[writer] = None

    async def _ask_where_streams_end(self, writers: Sequence[StreamWriter]) -> list[tuple[Any, Any]]:
        """For each: its last entry, and the first one of its attempt; an error in place of both for another key."""
        commands = (
            command
            for each in writers
            for command in (
                packed("XREVRANGE", each.stream, "+", "-", "COUNT", 1),
                packed("XRANGE", each.stream, f"{each.attempt}-0", str(each.attempt), "COUNT", 1),
            )
        )
        replies = await self._exchange(b"".join(commands), 2 * len(writers))
        for at, reply in enumerate(replies):
            if isinstance(reply, Exception) and _NOT_A_STREAM not in str(reply):
                # What stays connected counts as reconciled.
                await self._wire.disconnect()
                raise refused(reply, ("XREVRANGE", "XRANGE")[at % 2], writers[at // 2].stream)
        return list(zip(replies[::2], replies[1::2], strict=True))

    async def _restore(self, writers: Sequence[StreamWriter]) -> None:
        """Makes jobs anew that Redis has lost whole, though it had acknowledged them; their entries are sent again."""
        _logger.warning("Redis has lost %d jobs that this worker runs or has run, and gets them back", len(writers))
        life_seconds = self._settings.running_seconds
        commands = (
            packed(*restore_command(self._keys, each.job_id, each.record or (), life_seconds=life_seconds))
            for each in writers
        )
        for reply in await self._exchange(b"".join(commands), len(writers)):
            if isinstance(reply, Exception):
                await self._wire.disconnect()
                raise refused(reply, "EVAL")

    async def _exchange(self, payload: bytes, replies: int) -> list[Any]:
        answered = await self._wire.exchange(payload, replies)
        self._heard_at = time.monotonic()
        return answered

    def _keep(self, landed: Iterable[Entry], now: float) -> None:
        freed = 0
        for entry in landed:
            entry.landed_at = now
            self._kept.append(entry)
            self._kept_bytes += ENTRY_BYTES + len(entry.command)
            # What a restarted Redis lost lands again, but waits for nobody's room then.
            freed += entry.waiting_bytes
            entry.waiting_bytes = 0
            writer = entry.writer
            if writer.closed and writer.ended is not None and entry.seq == writer.last_seq:
                self._on_ended_again(writer.ended)
        self.add(-freed)

    def _forget(self) -> None:
        """Drops what Redis has had for long enough to be on its disk: while it is away, time does not count."""
        safe = self._heard_at - self._settings.resend_seconds
        most = self._settings.max_resend_bytes
        while self._kept and (self._kept[0].landed_at < safe or self._kept_bytes > most):
            entry = self._kept.popleft()
            writer = entry.writer
            self._kept_bytes -= ENTRY_BYTES + len(entry.command)
            # Not so where a reconciliation took it back: it lands, and is kept, once more.
            writer.forget(entry)
            if writer.closed:
                self.release(writer)
