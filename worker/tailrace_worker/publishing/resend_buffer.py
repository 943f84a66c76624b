"""`ResendBuffer`: entries that Redis has, and may lose again in a crash."""

from collections import deque
from collections.abc import Iterable

from tailrace_worker.publishing.entry_fields import ENTRY_BYTES
from tailrace_worker.publishing.stream_writer import Entry


class ResendBuffer:
    """The entries that landed a short time ago, of all writers and in the order in which they landed."""

    def __init__(self, *, keep_seconds: float, max_bytes: int) -> None:
        """Start empty.

        Args:
            keep_seconds: How long an entry is kept. After that time Redis has it on disk.
            max_bytes: How much memory the entries may take. If they take more, the oldest are dropped earlier.
        """
        self.used_bytes = 0
        self._keep_seconds = keep_seconds
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def keep(self, landed: Iterable[Entry], at: float) -> None:
        """Keep entries that have landed.

        Args:
            landed: The entries.
            at: When Redis was known to have them (`time.monotonic`).
        """
        append, kept_bytes = self._entries.append, 0
        for entry in landed:
            entry.landed_at = at
            append(entry)
            kept_bytes += ENTRY_BYTES + len(entry.command)
        self.used_bytes += kept_bytes

    def drop(self, heard_at: float) -> None:
        """Drop the entries that Redis has had for long enough, and the oldest if they take too much memory.

        Args:
            heard_at: When Redis last replied (`time.monotonic`). Time in which Redis is away does not count.
        """
        entries, safe = self._entries, heard_at - self._keep_seconds
        while entries and (entries[0].landed_at < safe or self.used_bytes > self._max_bytes):
            entry = entries.popleft()
            self.used_bytes -= ENTRY_BYTES + len(entry.command)
            # If a reconciliation has made the entry unsettled again, `forget` leaves it: it lands and is kept again.
            entry.writer.forget(entry)
