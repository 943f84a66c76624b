"""What one attempt writes to its job's stream: entries wait, get their ids, are sent, and land."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Protocol, Self

from tailrace.events import Ending, Event, encode
from tailrace.keys import EntryId, Keys
from tailrace_worker.interruption import AttemptLost
from tailrace_worker.wire import packed

_MAX_ENTRY_BYTES = 65_536

_GROWING: Final = frozenset({"delta", "reasoning", "refusal", "tool_call"})
"""Events that may be joined in one entry where they differ in their last field alone, which is a piece of text."""


class StreamLost(AttemptLost):
    """The stream cannot be written any more."""


class Fenced(StreamLost):
    """A later attempt has begun."""


class StreamDeleted(StreamLost):
    """The stream is not there: the job was deleted, or has expired."""


@dataclass(slots=True)
class _Waiting:
    """An entry that has no id yet, and may still grow."""

    head: list[str]
    parts: list[bytes]
    size: int


@dataclass(slots=True, eq=False)
class Entry:
    """An entry that has its id: its command never changes."""

    seq: int
    command: bytes
    waiting_bytes: int
    sent: bool = False
    """Whether Redis may have it already: what stood in the socket of an abandoned connection is read late."""


class Sender(Protocol):
    """Who sends what the writers of a worker hand over."""

    def ring(self, writer: "StreamWriter", *, added_bytes: int, urgent: bool) -> None:
        """Something waits. Urgent is what should not wait for the next batch."""

    def drop(self, dropped_bytes: int) -> None:
        """Something that waited is settled, one way or the other."""

    async def room(self) -> None:
        """Returns once no more waits than may."""

    def release(self, writer: "StreamWriter") -> None:
        """Nobody hands anything over any more."""


class StreamWriter:
    """The stream of a job, as one attempt writes it, from behind its `started`. Made by `Publisher.open`."""

    def __init__(
        self,
        sender: Sender,
        keys: Keys,
        job_id: str,
        started: EntryId,
        fields: Sequence[bytes],
        on_lost: Callable[[StreamLost], None],
    ) -> None:
        self.job_id = job_id
        self.attempt = started.attempt
        self.stream = keys.events(job_id)
        self.bell = keys.bell(job_id)
        self.closed = False
        self.lost: StreamLost | None = None
        self.unsettled: deque[Entry] = deque()
        """What has its id and is not known to be in the stream, in the order of the ids."""
        self.landed: deque[Entry] = deque()
        """What is known to be in the stream, as far as it is kept: a restarted Redis may have lost it."""
        self._sender = sender
        self._on_lost = on_lost
        self._seq = started.seq
        self._waiting: deque[_Waiting] = deque()
        self._settled = asyncio.Event()
        self._settled.set()
        self._has_spoken = False
        # The begin script appended it, so Redis may lose it like any other.
        self.landed.append(Entry(started.seq, self._append(started.seq, fields), 0, sent=True))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.closed = True
        self._sender.release(self)

    @property
    def is_done(self) -> bool:
        """Whether nothing of it will ever have to be sent."""
        return self.closed and not (self._waiting or self.unsettled or self.landed)

    async def write(self, event: Event) -> None:
        """Hands an event over; waits only while too much waits to be sent. Raises `StreamLost`."""
        self._add(event)
        await self._sender.room()

    async def end(self, ending: Ending) -> None:
        """Hands the ending over, and waits until it has landed. Raises `StreamLost`."""
        self._add(ending)
        await self.settled()

    async def settled(self) -> None:
        """Waits until all that was handed over has landed. Raises `StreamLost`."""
        await self._settled.wait()
        if self.lost is not None:
            raise self.lost

    def form(self) -> None:
        """Gives ids to what waits: from here on it is sent as it is."""
        for waiting in self._waiting:
            self._seq += 1
            command = self._append(self._seq, [*waiting.head, b"".join(waiting.parts)])
            self.unsettled.append(Entry(self._seq, command, waiting.size))
        self._waiting.clear()

    def land(self, entry: Entry) -> None:
        """An entry, the oldest of the unsettled, is known to be in the stream."""
        self.unsettled.remove(entry)
        self.landed.append(entry)
        # What a restarted Redis lost lands again, but waits for nobody's room then.
        self._sender.drop(entry.waiting_bytes)
        entry.waiting_bytes = 0
        if not self.unsettled and not self._waiting:
            self._settled.set()

    def lose(self, why: StreamLost) -> None:
        """Nothing more is written, and whoever runs the attempt is told."""
        if self.lost is not None:
            return
        self.lost = why
        self._sender.drop(sum(each.size for each in self._waiting) + sum(each.waiting_bytes for each in self.unsettled))
        self._waiting.clear()
        self.unsettled.clear()
        self.landed.clear()
        self._settled.set()
        if not self.closed:
            self._on_lost(why)

    def reconcile(self, last: EntryId | None) -> list[Entry]:
        """Compares what was sent with the last id that Redis has: what is above it is to be sent again, in order.

        Returns the entries that turned out to have landed.
        """
        if last is None:
            self.lose(StreamDeleted(f"The stream of job {self.job_id!r} is gone."))
            return []
        if last.attempt > self.attempt:
            self.lose(Fenced(f"Attempt {last.attempt} of job {self.job_id!r} has begun."))
            return []
        reached = last.seq if last.attempt == self.attempt else 0
        found: list[Entry] = []
        while self.unsettled and self.unsettled[0].seq <= reached:
            found.append(self.unsettled[0])
            self.land(self.unsettled[0])
        while self.landed and self.landed[-1].seq > reached:
            self._settled.clear()
            self.unsettled.appendleft(self.landed.pop())
        return found

    def _append(self, seq: int, fields: Sequence[str | bytes]) -> bytes:
        # Without NOMKSTREAM a worker would raise a deleted job from the dead.
        return packed("XADD", self.stream, "NOMKSTREAM", f"{self.attempt}-{seq}", *fields)

    def _add(self, event: Event) -> None:
        if self.lost is not None:
            raise self.lost
        *head, text = encode(event)
        # A lone surrogate has no UTF-8: it becomes a question mark.
        part = text.encode("utf-8", "replace")
        last = self._waiting[-1] if self._waiting else None
        if last and event.type in _GROWING and last.head == head and last.size + len(part) <= _MAX_ENTRY_BYTES:
            last.parts.append(part)
            last.size += len(part)
        else:
            self._waiting.append(_Waiting(head, [part], len(part)))
        self._settled.clear()
        urgent, self._has_spoken = not self._has_spoken, True
        self._sender.ring(self, added_bytes=len(part), urgent=urgent)
