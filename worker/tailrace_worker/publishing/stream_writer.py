"""`StreamWriter`: writes one attempt to its job's stream. Entries wait, get their ids, are sent, and land."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from msgspec import Struct

from tailrace.broker.wire import bulk, packed
from tailrace.cursor import EntryId
from tailrace.events import Delta, Ending, StreamEvent
from tailrace.protocol.attempts import Began
from tailrace.protocol.endings import JobEnding
from tailrace.protocol.keys import Keys
from tailrace_worker.publishing.byte_budget import ByteBudget
from tailrace_worker.publishing.entry_fields import (
    DELTA,
    MAX_ENTRY_BYTES,
    MAX_PART_CHARS,
    MAX_PART_RAW_BYTES,
    NO_HEAD,
    Head,
    head_and_values,
    parts,
)
from tailrace_worker.publishing.losses import Fenced, StreamDeleted, StreamLost

_RAW: Final = bulk(b"raw")
_FIRST_SEQ: Final = 2
"""The `SEQ` of the first `started` of a stream, after `queued`."""


class Entry(Struct, eq=False, gc=False):
    """An entry, from its first piece until Redis has it for good. Once it has its id, its command never changes.

    The garbage collector skips entries (`gc=False`). Tens of thousands are kept, and all are dropped in time, so a
    search through them would only hold up the event loop.
    """

    writer: "StreamWriter"
    head: Head
    value: bytes
    """The last value. Once the entry has its command, the command has the head and the values, and they are empty."""
    raw: bytes
    """The frames that the entry carries; `b""` if it has no field `raw`."""
    waiting_bytes: int
    """The memory that the entry takes until it is known to be in the stream; 0 from then on."""
    seq: int = 0
    command: bytes = b""
    sent: bool = False
    """True if Redis may have the entry: bytes in the socket of an abandoned connection may still be read later."""
    landed_at: float = 0.0
    """When Redis was last known to have the entry (`time.monotonic`)."""


class Sender(Protocol):
    """The sender of the entries of all writers of a worker."""

    def ring(self, writer: "StreamWriter", *, urgent: bool) -> None:
        """Note that a writer with nothing to send has an entry now.

        Args:
            writer: The writer.
            urgent: True if the entry must not wait for the next batch.
        """

    def release(self, writer: "StreamWriter") -> None:
        """Note that a writer may be done: it is closed, or one of its entries was dropped.

        Args:
            writer: The writer.
        """

    def end_again(self, ended: JobEnding) -> None:
        """Note that an ending that Redis had lost is in its stream again.

        Args:
            ended: The ending and its job.
        """


class StreamWriter:
    """The writer of one attempt's events, after its `started`, to its job's stream. `Publisher.open` makes it."""

    def __init__(
        self,
        sender: Sender,
        budget: ByteBudget,
        keys: Keys,
        job_id: str,
        began: Began,
        on_lost: Callable[[StreamLost], None],
    ) -> None:
        """Continue after the `started` event, which the begin script has appended.

        Args:
            sender: Sends the entries.
            budget: Counts the memory of the waiting entries.
            keys: The keys of the jobs' side.
            job_id: The job's id.
            began: What the begin script returned.
            on_lost: Called when the attempt can no longer write to the stream, with the reason.
        """
        started = began.started
        self.job_id = job_id
        self.attempt = started.attempt
        self.token = began.token
        """The token of this attempt's start. If Redis lost that start, another worker may have started an attempt of
        the same number."""
        self.record: Sequence[bytes] | None = began.record if started.seq == _FIRST_SEQ else None
        """The job's record, from which the job can be restored while this worker has all entries of the stream."""
        self.stream = keys.events(job_id)
        self.ring = packed("PUBLISH", keys.bell(job_id), b"")
        """The packed command that tells readers that entries were appended."""
        self.closed = False
        self.ended: JobEnding | None = None
        """The ending, once it is handed over."""
        self.lost: StreamLost | None = None
        self.unsettled: deque[Entry] = deque()
        """The entries that have ids and are not known to be in the stream, in the order of their ids."""
        self.landed: deque[Entry] = deque()
        """The kept entries that are known to be in the stream. A restart of Redis may lose them."""
        self.history = ""
        """The history of Redis's data in which the stream was last seen."""
        self._sender = sender
        self._budget = budget
        self._tenant = began.tenant
        self._on_lost = on_lost
        self._seq = started.seq
        # Without NOMKSTREAM a worker would make the stream of a deleted job again.
        self._append = b"".join(map(bulk, (b"XADD", self.stream.encode(), b"NOMKSTREAM")))
        self._waiting: list[Entry] = []
        self._settled: asyncio.Future[None] | None = None
        """The future of the attempt that waits until all entries have landed."""
        self._has_spoken = False
        # The begin script has appended `started`. Redis may lose it like any other entry.
        command = packed("XADD", self.stream, "NOMKSTREAM", str(started), *began.fields)
        self._started = Entry(self, NO_HEAD, b"", b"", 0, seq=started.seq, command=command, sent=True)
        self.landed.append(self._started)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed = True
        self._sender.release(self)

    @property
    def last_seq(self) -> int:
        """The `SEQ` of the newest entry that has its id."""
        return self._seq

    @property
    def is_done(self) -> bool:
        """True if no entry of this writer can have to be sent any more."""
        return self.closed and not (self._waiting or self.unsettled or self.landed)

    def write(self, event: StreamEvent) -> None:
        """Hand over an event. If the budget is full, wait for its `room` before the next one.

        Args:
            event: The event, of any length.

        Raises:
            StreamLost: The attempt can no longer write to the stream.
        """
        if self.lost is not None:
            raise self.lost
        if (
            type(event) is Delta
            and len(event.text) <= MAX_PART_CHARS
            and (event.raw is None or len(event.raw) <= MAX_PART_RAW_BYTES)
        ):
            # Nearly all events. To cut and to encode them as all others would take several times as long.
            text = event.text.encode("utf-8", "replace")
            written: Iterable[tuple[Head, bytes, bytes]] = ((DELTA, text, event.raw or b""),)
        else:
            written = map(head_and_values, parts(event))
        for head, value, raw in written:
            size = len(value)
            if raw:
                size += len(raw)
            last = self._waiting[-1] if self._waiting else None
            if last is not None and head.grows and last.head == head and last.waiting_bytes + size <= MAX_ENTRY_BYTES:
                self._budget.spend(size)
                last.value += value
                if raw:
                    last.raw += raw
                last.waiting_bytes += size
                continue
            size += head.entry_bytes
            self._budget.spend(size)
            if last is None:
                self._sender.ring(self, urgent=not self._has_spoken)
                self._has_spoken = True
            self._waiting.append(Entry(self, head, value, raw, size))

    async def end(self, ending: Ending) -> None:
        """Hand over the ending, and wait until it has landed.

        Args:
            ending: The ending.

        Raises:
            StreamLost: The attempt can no longer write to the stream.
        """
        self.write(ending)
        self.ended = JobEnding(job_id=self.job_id, tenant=self._tenant, ending=ending.type, outcome=ending)
        await self.settled()

    async def settled(self) -> None:
        """Wait until all events that were handed over have landed.

        Raises:
            StreamLost: The attempt can no longer write to the stream.
        """
        while self.unsettled or self._waiting:
            self._settled = asyncio.get_running_loop().create_future()
            await self._settled
        if self.lost is not None:
            raise self.lost

    def form(self) -> None:
        """Give ids to the waiting entries. From now on their commands do not change."""
        for entry in self._waiting:
            self._seq += 1
            entry.seq = self._seq
            head, value, raw = entry.head, entry.value, entry.raw
            entry_id = b"%d-%d" % (self.attempt, self._seq)
            entry.command = b"%b%b$%d\r\n%b\r\n%b$%d\r\n%b\r\n" % (
                *(head.size_with_raw if raw else head.size, self._append, len(entry_id), entry_id),
                *(head.wire, len(value), value),
            )
            if raw:
                entry.command += _RAW + bulk(raw)
                entry.raw = b""
            entry.head, entry.value = NO_HEAD, b""
        self.unsettled += self._waiting
        self._waiting.clear()

    def land(self, entry: Entry) -> int:
        """Note that an entry is known to be in the stream.

        Args:
            entry: The oldest unsettled entry.

        Returns:
            How many bytes the budget gets back.
        """
        # An entry that a restart of Redis lost lands a second time, but the budget got its bytes back the first time.
        freed, entry.waiting_bytes = entry.waiting_bytes, 0
        if self.closed and self.ended is not None and entry.seq == self._seq:
            self._sender.end_again(self.ended)
        self.unsettled.popleft()
        self.landed.append(entry)
        if self._settled is not None and not self.unsettled and not self._waiting:
            self._wake()
        return freed

    def forget(self, entry: Entry) -> None:
        """Drop an entry that never has to be sent again.

        Args:
            entry: The oldest entry that is kept.
        """
        if self.landed and self.landed[0] is entry:
            self.landed.popleft()
            self.record = None
        if self.closed:
            self._sender.release(self)

    def lose(self, why: StreamLost) -> None:
        """Write nothing more, and tell the attempt.

        Args:
            why: The reason, which later calls raise.
        """
        if self.lost is not None:
            return
        self.lost = why
        self._budget.free(sum(each.waiting_bytes for each in (*self._waiting, *self.unsettled)))
        self._waiting.clear()
        self.unsettled.clear()
        self.landed.clear()
        self._wake()
        if self.closed:
            self._sender.release(self)
        else:
            self._on_lost(why)

    @property
    def can_be_restored(self) -> bool:
        """True if this writer has all entries of the stream, from its first `started` on."""
        first = self.landed[0] if self.landed else self.unsettled[0] if self.unsettled else None
        return self.record is not None and first is not None and first.seq == _FIRST_SEQ

    def reconcile(self, last: EntryId | None, token: bytes | None) -> list[Entry]:
        """Compare the entries with the last id in Redis. Those above it become unsettled, and are sent again in order.

        Args:
            last: The last id of the stream; `None` if there is no stream.
            token: The token of the start that the stream has under this attempt's number; `None` if it is not known.

        Returns:
            The entries that turned out to have landed.
        """
        if last is None:
            self.lose(StreamDeleted(f"The stream of job {self.job_id!r} was deleted, or expired."))
            return []
        if last.attempt > self.attempt:
            if self.closed and self.ended is None and not self._waiting:
                # This worker has begun the later attempt itself. Redis may still lose both, and then needs both again.
                landed = list(self.unsettled)
                for entry in landed:
                    self._budget.free(self.land(entry))
                return landed
            self.lose(Fenced(f"Attempt {last.attempt} of job {self.job_id!r} has begun."))
            return []
        if token not in {None, self.token}:
            self.lose(Fenced(f"Attempt {self.attempt} of job {self.job_id!r} was also started by another worker."))
            return []
        reached = last.seq if last.attempt == self.attempt else 0
        found: list[Entry] = []
        while self.unsettled and self.unsettled[0].seq <= reached:
            found.append(self.unsettled[0])
            self._budget.free(self.land(self.unsettled[0]))
        while self.landed and self.landed[-1].seq > reached:
            self.unsettled.appendleft(self.landed.pop())
        is_first = bool(self.unsettled) and self.unsettled[0] is self._started
        if reached < self._started.seq and not is_first:
            # `started` is kept for longer than the other entries, because an attempt without it has no beginning.
            self.unsettled.appendleft(self._started)
        return found

    def _wake(self) -> None:
        settled, self._settled = self._settled, None
        if settled is not None and not settled.done():
            settled.set_result(None)
