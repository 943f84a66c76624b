"""What the simulator saw: every request, and how its answer ended."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal[
    "open",  # the answer is on its way
    "stalled",  # nothing more is sent, and the client still holds on
    "complete",  # all was sent
    "refused",  # answered with an error status
    "failed",  # ended with the provider's error event
    "cut",  # the connection was reset by us
    "closed",  # the body was ended early by us
    "client_closed",  # the client left before the end
    "shut_down",  # the simulator ended first
]

_KEPT: Final = 100_000


@dataclass(slots=True, kw_only=True, eq=False)
class Entry:
    """One request. Times are Unix milliseconds, and those of `time.monotonic()` for what is to be subtracted."""

    api: str
    model: str
    """As the client wrote it, options included; empty where it could not be read."""
    attempt: int
    """How many requests had this model string from this API so far, with this one."""
    status: int = 200
    pieces_sent: int = 0
    outcome: Outcome = "open"
    opened_at: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    opened_monotonic_ms: float = field(default_factory=lambda: time.monotonic() * 1000)
    closed_at: int | None = None
    closed_monotonic_ms: float | None = None


class Journal:
    """The entries of the last 100,000 requests, oldest first, and how often each model string was asked for."""

    def __init__(self) -> None:
        self.entries: deque[Entry] = deque(maxlen=_KEPT)
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._changed = asyncio.Event()

    def open(self, *, api: str, model: str) -> Entry:
        """Writes down a request that came in."""
        self._attempts[api, model] += 1
        entry = Entry(api=api, model=model, attempt=self._attempts[api, model])
        self.entries.append(entry)
        self._notify()
        return entry

    def stall(self, entry: Entry) -> None:
        """Writes down that an answer fell silent for ever."""
        entry.outcome = "stalled"
        self._notify()

    def close(self, entry: Entry, outcome: Outcome) -> None:
        """Writes down how an answer ended. The first word stands: a reset of ours makes the client leave too."""
        if entry.closed_at is not None:
            return
        entry.outcome = outcome
        entry.closed_at = time.time_ns() // 1_000_000
        entry.closed_monotonic_ms = time.monotonic() * 1000
        self._notify()

    def shut_down(self) -> None:
        """Closes what is open: the simulator ends."""
        for entry in self.entries:
            self.close(entry, "shut_down")

    def clear(self) -> None:
        """Forgets all requests, and that any model was ever asked for."""
        self.entries.clear()
        self._attempts.clear()

    async def until(self, condition: Callable[[Entry], bool]) -> Entry:
        """Waits for an entry that meets a condition, which is asked whenever an entry opens or its outcome changes."""
        while True:
            for entry in self.entries:
                if condition(entry):
                    return entry
            await self._changed.wait()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
