"""`Group`: the tails of one stream that have the same cursor. One read serves all of them."""

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from tailrace.cursor import EntryId
from tailrace.errors import InfrastructureError, InvalidCursor
from tailrace.events import ENDINGS, Event, Gap, StreamEvent
from tailrace.protocol.entries import decode, pairs
from tailrace.protocol.keys import Keys
from tailrace.tailing.inbox import Inbox

_logger = logging.getLogger(__name__)

SMALL_READ: Final = 32
"""How many entries a group asks for once it has caught up: it finds fewer."""
_FIRST_READ: Final = 4
"""How many entries a group asks for while the size of an entry is unknown."""
_LARGE_READ: Final = 1_000
_LARGE_READ_BYTES: Final = 262_144
_LARGE_ENTRY_BYTES: Final = 65_536
"""As large as a worker makes an entry. Entries of an unknown size are taken to be as large."""
_SMALL_ENTRY_BYTES: Final = 512
_MAX_WORKER_ENTRY_BYTES: Final = 1_048_576
"""No worker writes a larger entry."""
_ISOLATED_READ_BYTES: Final = 16_777_216
"""What a read of one entry of any size counts as: with it, a batch is full."""
_CLOCK_ATTEMPT: Final = 10**11
"""From here on an attempt is a time in ms: Redis made the id for another program, and `SEQ` means nothing."""
_ENDINGS: Final = frozenset(name.encode() for name in ENDINGS)


@dataclass(slots=True, eq=False)
class TailedStream:
    """A stream with at least one tail."""

    job_id: str
    channel: bytes
    """The pub/sub channel on which publishers send notifications of new entries."""
    key: bytes
    active_at: float
    """When its last entry came, or the job was last checked for being an orphan (monotonic clock, in seconds)."""
    groups: list["Group"]
    inboxes: dict[Inbox, None]
    """All inboxes, including those that are full and therefore in no group."""
    is_subscribed: bool = False
    has_foreign_entries: bool = False
    has_oversized_entries: bool = False
    """True once an entry was larger than any that a worker writes. From then on its groups stay isolated."""

    @classmethod
    def of(cls, keys: Keys, job_id: str, *, now: float) -> "TailedStream":
        """Describe the stream of a job."""
        return cls(job_id, keys.bell(job_id).encode(), keys.events(job_id).encode(), now, [], {})

    def find_match(self, group: "Group") -> "Group | None":
        """Find another group at the same cursor, if any: one read serves both."""
        if self.groups == [group]:
            return None
        return next((other for other in self.groups if other is not group and other.matches(group)), None)


class ReadBatch(NamedTuple):
    """Entries of one read, decoded."""

    events: list[Event]
    size: int
    """The bytes of all fields."""
    largest_entry_bytes: int
    """The bytes of the fields of the largest entry."""
    cursor: EntryId
    is_last: bool = False
    """True if the ending is among them."""
    error: InfrastructureError | None = None
    """Why the ending cannot be read."""


class Group:
    """Inboxes of one stream that have the same cursor."""

    __slots__ = ("ahead_since", "count", "cursor", "entry_bytes", "inboxes", "is_new", "read_at", "stream")

    def __init__(self, stream: TailedStream, inbox: Inbox, *, is_new: bool, like: "Group | None" = None) -> None:
        """Start a group with one inbox.

        Args:
            stream: The stream to read.
            inbox: The first inbox; the group reads on from its cursor.
            is_new: True until a read has shown that the stream exists and reaches the cursor.
            like: A group that has read the stream up to the cursor. It knows the size of the entries.
        """
        self.stream: TailedStream = stream
        self.cursor: EntryId = inbox.cursor
        self.inboxes: dict[Inbox, None] = {inbox: None}
        self.is_new: bool = is_new
        self.ahead_since: float = math.inf
        """When the cursor was first found to be ahead of the stream."""
        self.count: int = like.count if like else _FIRST_READ
        """How many entries the next read asks for."""
        self.entry_bytes: int = like.entry_bytes if like else 0
        """The expected size of an entry; 0 while it is unknown."""
        self.read_at: float = 0.0
        if stream.has_oversized_entries:
            self.isolate()

    @property
    def is_isolated(self) -> bool:
        """True if the next read is for this group only, and asks for one entry."""
        return self.entry_bytes == _ISOLATED_READ_BYTES

    def isolate(self) -> None:
        """Read one entry next, and read no other group with it: the entry may have any size."""
        self.count, self.entry_bytes = 1, _ISOLATED_READ_BYTES

    @property
    def can_share_read(self) -> bool:
        """True if one command may read this group together with others."""
        stream = self.stream
        return self.count == SMALL_READ and not self.is_new and stream.is_subscribed and len(stream.groups) == 1

    def matches(self, other: "Group") -> bool:
        """Return whether one read serves both groups."""
        return self.cursor == other.cursor and self.is_new == other.is_new

    @property
    def read_bytes(self) -> int:
        """How many bytes the next read is expected to bring."""
        return self.count * (self.entry_bytes or _LARGE_ENTRY_BYTES)

    def note_empty_read(self) -> None:
        """Expect small entries from now on: the group has caught up, and new entries come one by one."""
        if not self.entry_bytes or (self.is_isolated and not self.stream.has_oversized_entries):
            self.count, self.entry_bytes = SMALL_READ, _SMALL_ENTRY_BYTES

    def confirm(self) -> None:
        """Tell the tails that their job was found."""
        for inbox in self.inboxes:
            inbox.confirm()

    def check_cursor(self, newest_id: bytes, flat: list[bytes], *, grace_seconds: float) -> bool:
        """Compare the cursor of a new group with the last entry of its stream.

        The group stays new while the stream does not reach its cursor.

        Args:
            newest_id: The id of the last entry.
            flat: The fields of the last entry.
            grace_seconds: For how long the cursor may be ahead: what it has seen may still come back.

        Returns:
            True if the stream ended at the cursor, and no event follows.

        Raises:
            InvalidCursor: The cursor is ahead of the stream, and nothing more will come.
        """
        newest, is_over = EntryId.decode(newest_id), pairs(flat).get(b"type") in _ENDINGS
        self.is_new = newest < self.cursor
        for inbox in self.inboxes:
            inbox.newest = newest
        if self.is_new:
            now = time.monotonic()
            self.ahead_since = min(self.ahead_since, now)
            if is_over or now - self.ahead_since >= grace_seconds:
                raise InvalidCursor(
                    f"The cursor '{self.cursor}' is ahead of job {self.stream.job_id!r}, "
                    f"whose last entry is '{newest}'."
                )
        else:
            self.confirm()
        return is_over and newest == self.cursor

    async def deliver(self, entries: list[Any], *, woken_at_once: int) -> ReadBatch:
        """Decode entries once, and put their events into every inbox.

        Args:
            entries: The entries as Redis sent them; at least one.
            woken_at_once: After how many inboxes other tasks of the event loop may run.

        Returns:
            The decoded entries.
        """
        batch = self._decode(entries)
        self.cursor = batch.cursor
        for number, inbox in enumerate(list(self.inboxes), 1):
            # An inbox that leaves meanwhile takes nothing. One that joins the group meanwhile begins at its new cursor.
            inbox.put(batch.events, batch.size, batch.cursor)
            if number % woken_at_once == 0:
                await asyncio.sleep(0)
        if batch.largest_entry_bytes > _MAX_WORKER_ENTRY_BYTES:
            self.stream.has_oversized_entries = True
        if self.stream.has_oversized_entries:
            self.isolate()
            return batch
        self.entry_bytes = 1 + batch.size // len(entries)
        # Slow start: a group that is far behind catches up in few large reads, as long as they stay small in bytes.
        most = min(4 * self.count, _LARGE_READ) if len(entries) == self.count else SMALL_READ
        self.count = max(1, min(most, _LARGE_READ_BYTES // self.entry_bytes))
        return batch

    def _decode(self, entries: list[Any]) -> ReadBatch:
        events: list[Event] = []
        size = largest = 0
        cursor = self.cursor
        for raw_id, flat in entries:
            entry_bytes = sum(map(len, flat))
            size += entry_bytes
            largest = max(largest, entry_bytes)
            entry = pairs(flat)
            is_last = entry.get(b"type") in _ENDINGS
            event, problem = _event_of(raw_id, entry)
            entry_id = event.id if event else EntryId.decode(raw_id)
            if entry_id.seq > cursor.seq + 1 and entry_id.attempt < _CLOCK_ATTEMPT:
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
                return ReadBatch(events, size, largest, cursor, is_last, None if event else error)
        return ReadBatch(events, size, largest, cursor)

    def _warn(self, entry_id: EntryId, problem: str) -> None:
        if not self.stream.has_foreign_entries:
            self.stream.has_foreign_entries = True
            _logger.warning(
                "skipped entry %s of job %s, which tailrace did not write (%s); others like it are skipped silently",
                entry_id,
                self.stream.job_id,
                problem,
            )


def _event_of(raw_id: bytes, entry: dict[bytes, bytes]) -> tuple[StreamEvent | None, str]:
    """Return the event of an entry, or what is wrong with the entry.

    An entry of an unknown type has no event and no problem: a newer version wrote it.
    """
    try:
        event = decode(raw_id, entry)
    except ValueError as error:
        return None, str(error)
    if event is None:
        return None, "" if b"type" in entry else "it has no type"
    if event.id.attempt >= _CLOCK_ATTEMPT and event.type not in ENDINGS:
        return None, "its id was made by a clock"
    return event, ""
