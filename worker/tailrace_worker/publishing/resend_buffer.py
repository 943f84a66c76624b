"""`ResendBuffer`: what Redis has, and may lose again in a crash."""

from collections import deque
from collections.abc import Iterable

from tailrace_worker.publishing.entry_fields import ENTRY_BYTES
from tailrace_worker.publishing.stream_writer import Entry


class ResendBuffer:
    """Keeps the entries of all writers that have landed, in the order in which they did, to be sent again."""

    def __init__(self, *, keep_seconds: float, max_bytes: int) -> None:
        """Start empty.

        Args:
            keep_seconds: For how long an entry is kept: after that time it is on the disk of Redis.
            max_bytes: How much memory the entries may take; beyond it the oldest are dropped earlier.
        """
        self.used_bytes = 0
        self._keep_seconds = keep_seconds
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, landed: Iterable[Entry], at: float) -> None:
        """Keep entries that Redis is known to have since `at` (`time.monotonic`)."""
        append, kept_bytes = self._entries.append, 0
        for entry in landed:
            entry.landed_at = at
            append(entry)
            kept_bytes += ENTRY_BYTES + len(entry.command)
        self.used_bytes += kept_bytes

    def drop(self, heard_at: float) -> None:
        """Drop what Redis has had for long enough, and what is too much.

        Args:
            heard_at: When Redis replied last (`time.monotonic`): while it is away, time does not count.
        """
        entries, safe = self._entries, heard_at - self._keep_seconds
        while entries and (entries[0].landed_at < safe or self.used_bytes > self._max_bytes):
            entry = entries.popleft()
            self.used_bytes -= ENTRY_BYTES + len(entry.command)
            # Not so if a reconciliation took it back: it lands, and is kept, once more.
            entry.writer.forget(entry)
