"""`Journal`: the requests that the simulator received, and how their answers ended."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal[
    "open",  # the answer is being sent
    "stalled",  # nothing more is sent, and the client is still connected
    "complete",  # the whole answer was sent
    "refused",  # the answer was an error status
    "failed",  # the answer ended with the provider's error event
    "cut",  # the simulator reset the connection
    "closed",  # the simulator ended the body early
    "client_closed",  # the client disconnected before the end
    "shut_down",  # the simulator stopped before the end
]

_KEPT: Final = 100_000


@dataclass(slots=True, kw_only=True, eq=False)
class JournalEntry:
    """One request. Each time is given in Unix ms, and by `time.monotonic()` in ms for differences."""

    api: str
    model: str
    """The model string of the client, with its options; empty if the body could not be read."""
    attempt: int
    """The number of this request among those to this API with the same model string, from 1."""
    status: int = 200
    pieces_sent: int = 0
    outcome: Outcome = "open"
    opened_at: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    opened_monotonic_ms: float = field(default_factory=lambda: time.monotonic() * 1000)
    closed_at: int | None = None
    closed_monotonic_ms: float | None = None


class Journal:
    """The entries of the last 100,000 requests, oldest first, and the number of requests for each model string."""

    def __init__(self) -> None:
        self.entries: deque[JournalEntry] = deque(maxlen=_KEPT)
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._changed = asyncio.Event()

    def open(self, *, api: str, model: str) -> JournalEntry:
        """Record a request.

        Args:
            api: The name of the API.
            model: The model string of the request.

        Returns:
            Its entry.
        """
        self._attempts[api, model] += 1
        entry = JournalEntry(api=api, model=model, attempt=self._attempts[api, model])
        self.entries.append(entry)
        self._notify()
        return entry

    def stall(self, entry: JournalEntry) -> None:
        """Record that nothing more of an answer will be sent."""
        entry.outcome = "stalled"
        self._notify()

    def close(self, entry: JournalEntry, outcome: Outcome) -> None:
        """Record how an answer ended. Only the first outcome counts: after a reset, the client disconnects too.

        Args:
            entry: The entry of the request.
            outcome: How the answer ended.
        """
        if entry.closed_at is not None:
            return
        entry.outcome = outcome
        entry.closed_at = time.time_ns() // 1_000_000
        entry.closed_monotonic_ms = time.monotonic() * 1000
        self._notify()

    def shut_down(self) -> None:
        """Close all open entries, because the simulator stops."""
        for entry in self.entries:
            self.close(entry, "shut_down")

    def clear(self) -> None:
        """Forget all requests, and begin to count the model strings again."""
        self.entries.clear()
        self._attempts.clear()

    async def until(self, condition: Callable[[JournalEntry], bool]) -> JournalEntry:
        """Wait for an entry that meets a condition.

        Args:
            condition: Called with each entry, whenever an entry is opened or gets another outcome.

        Returns:
            The first such entry.
        """
        while True:
            for entry in self.entries:
                if condition(entry):
                    return entry
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
