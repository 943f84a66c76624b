"""`Group`: the tails that have come equally far in one stream. What is read for one of them is read for all."""

import asyncio
import logging
import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tailrace.cursor import EntryId
from tailrace.errors import InfrastructureError
from tailrace.events import ENDINGS, Event, Gap, StreamEvent
from tailrace.protocol.entries import decode, pairs
from tailrace.protocol.keys import Keys
from tailrace.tailing.inbox import Inbox

_logger = logging.getLogger(__name__)

FEW: Final = 32
"""How many entries are asked for at first: a tail that has come to the end of its stream finds less."""
_FIRST: Final = 4
"""How many are asked for where nothing is known of their size."""
_MANY = 1_000
_MANY_BYTES = 262_144
_LARGE_ENTRY_BYTES: Final = 65_536
"""As large as a worker makes entries; that of an unknown stream is taken to be so."""
_SMALL_ENTRY_BYTES: Final = 512
_WOKEN_AT_ONCE = 64
"""How many tails of one job run at a time: a thousand that wake together would set off the garbage collector."""
_BY_CLOCK = 10**11
"""From here on an attempt is a time in ms: the id was made by Redis for somebody else, and `SEQ` means nothing."""
_ENDINGS: Final = frozenset(name.encode() for name in ENDINGS)


@dataclass(slots=True, eq=False)
class TailedStream:
    """A stream that somebody tails."""

    job_id: str
    bell: bytes
    key: bytes
    heard_at: float
    """When it last grew, or was last asked whether somebody can make it grow."""
    groups: list["Group"]
    inboxes: dict[Inbox, None]
    """All of them, with those that are full, and so in no group."""
    is_subscribed: bool = False
    has_rubbish: bool = False

    @classmethod
    def of(cls, keys: Keys, job_id: str, *, now: float) -> "TailedStream":
        """The stream of a job."""
        return cls(job_id, keys.bell(job_id).encode(), keys.events(job_id).encode(), now, [], {})

    def find_like(self, group: "Group") -> "Group | None":
        """Another group for which is right what is read for this one."""
        if self.groups == [group]:
            return None
        return next((other for other in self.groups if other is not group and other.is_like(group)), None)


class Batch(NamedTuple):
    """Entries, read."""

    events: list[Event]
    size: int
    """The bytes of their fields."""
    cursor: EntryId
    is_last: bool = False
    """Whether the ending was among them."""
    error: InfrastructureError | None = None
    """An ending that cannot be read."""


class Group:
    """Inboxes of one stream that have the same cursor."""

    __slots__ = ("ahead_since", "count", "cursor", "entry_bytes", "inboxes", "is_new", "looked_at", "stream")

    def __init__(self, stream: TailedStream, inbox: Inbox, *, is_new: bool, like: "Group | None" = None) -> None:
        """`like` has read the stream up to where it goes on."""
        self.stream = stream
        self.cursor = inbox.cursor
        self.inboxes = {inbox: None}
        self.is_new = is_new
        """Whether it is yet to be seen that the stream is there and has come as far as the cursor."""
        self.ahead_since = math.inf
        """Since when it is known that the stream has not."""
        self.count: int = like.count if like else _FIRST
        """How many entries are asked for at once."""
        self.entry_bytes: int = like.entry_bytes if like else 0
        """How large an entry is expected to be; 0: nobody knows."""
        self.looked_at = 0.0

    @property
    def is_plain(self) -> bool:
        """Whether one command may read it together with others."""
        stream = self.stream
        return self.count == FEW and not self.is_new and stream.is_subscribed and len(stream.groups) == 1

    def is_like(self, other: "Group") -> bool:
        """Whether what is read for the one is right for the other."""
        return self.cursor == other.cursor and self.is_new == other.is_new

    @property
    def bytes_at_once(self) -> int:
        """How many bytes a read of it is expected to bring."""
        return self.count * (self.entry_bytes or _LARGE_ENTRY_BYTES)

    def find_nothing(self) -> None:
        """It has come to the end, and what comes next comes bit by bit."""
        if not self.entry_bytes:
            self.count, self.entry_bytes = FEW, _SMALL_ENTRY_BYTES

    async def hand_out(self, entries: list[Any]) -> Batch:
        """Decodes entries once, and hands the events to everybody."""
        chunk = self._read(entries)
        self.cursor = chunk.cursor
        for number, inbox in enumerate(list(self.inboxes), 1):
            # Who leaves meanwhile is handed them in vain, who comes stands behind them already.
            inbox.put(chunk.events, chunk.size, chunk.cursor)
            if number % _WOKEN_AT_ONCE == 0:
                await asyncio.sleep(0)
        self.entry_bytes = 1 + chunk.size // len(entries)
        # Slow start: what is far behind comes in few large steps, as long as these stay small in bytes.
        most = min(4 * self.count, _MANY) if len(entries) == self.count else FEW
        self.count = max(1, min(most, _MANY_BYTES // self.entry_bytes))
        return chunk

    def _read(self, entries: list[Any]) -> Batch:
        events: list[Event] = []
        size = 0
        cursor = self.cursor
        for raw_id, flat in entries:
            size += sum(map(len, flat))
            entry = pairs(flat)
            is_last = entry.get(b"type") in _ENDINGS
            event, problem = _decoded(raw_id, entry)
            entry_id = event.id if event else EntryId.decode(raw_id)
            if entry_id.seq > cursor.seq + 1 and entry_id.attempt < _BY_CLOCK:
                events.append(Gap(id=EntryId(entry_id.attempt, entry_id.seq - 1), after=cursor, before=entry_id))
            cursor = entry_id
            if event is not None:
                events.append(event)
            elif problem and not is_last:
                self._warn(entry_id, problem)
            if is_last:
                error = InfrastructureError(
                    f"The ending '{entry_id}' of job {self.stream.job_id!r} cannot be read: {problem}."
                )
                return Batch(events, size, cursor, is_last, None if event else error)
        return Batch(events, size, cursor)

    def _warn(self, entry_id: EntryId, problem: str) -> None:
        if not self.stream.has_rubbish:
            self.stream.has_rubbish = True
            _logger.warning(
                "skipped entry %s of job %s, which is none of ours (%s), and will skip others like it in silence",
                entry_id,
                self.stream.job_id,
                problem,
            )


def _decoded(raw_id: bytes, entry: dict[bytes, bytes]) -> tuple[StreamEvent | None, str]:
    """The event of an entry, or what is wrong with it; of a type that is not known nothing is: it is a newer one."""
    try:
        event = decode(raw_id, entry)
    except ValueError as error:
        return None, str(error)
    if event is None:
        return None, "" if b"type" in entry else "it has no type"
    if event.id.attempt >= _BY_CLOCK and event.type not in ENDINGS:
        return None, "its id was made by a clock"
    return event, ""
