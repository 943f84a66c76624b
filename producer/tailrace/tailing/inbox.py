"""`Inbox`: the events that a tail was given and has not taken yet."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from tailrace.cursor import EntryId
from tailrace.events import Event

_MAX_EVENTS: Final = 1_000
_MAX_BYTES: Final = 262_144


class EventSource(Protocol):
    """What puts events into inboxes."""

    def resume(self, inbox: "Inbox") -> None:
        """Fill an inbox again: it was full, and has been emptied."""

    async def leave(self, inbox: "Inbox") -> None:
        """Forget an inbox: nobody takes events from it any more. Return once nothing of it is left."""


class Inbox:
    """A bounded buffer. While it is full, new events stay in the stream, and other tails go on."""

    __slots__ = (
        "_bytes",
        "_error",
        "_events",
        "_is_over",
        "_source",
        "_waiter",
        "cursor",
        "newest",
        "opened_at",
        "taken_bytes",
    )

    def __init__(self, source: EventSource, cursor: EntryId, *, opened_at: float) -> None:
        """Open an empty inbox.

        Args:
            source: What fills the inbox.
            cursor: The position after which the events begin.
            opened_at: The time now (monotonic clock, in seconds).
        """
        self.cursor: EntryId = cursor
        """The last entry that was put in, or skipped."""
        self.newest: EntryId = cursor
        """The last entry that was in the stream when the tail began."""
        self.opened_at: float = opened_at
        self.taken_bytes: int = 0
        """The bytes of the entries whose events were taken so far."""
        self._source = source
        self._events: list[Event] = []
        self._bytes = 0
        self._is_over = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._source.leave(self)

    @property
    def is_full(self) -> bool:
        """True while the buffer is full: nothing more is to be put in until it was emptied."""
        return len(self._events) >= _MAX_EVENTS or self._bytes >= _MAX_BYTES

    def put(self, events: Sequence[Event], size: int, cursor: EntryId) -> None:
        """Add events, and wake the tail.

        Args:
            events: The events; none if the entries had no meaning.
            size: The bytes of their entries.
            cursor: The position of the last entry.
        """
        self.cursor = cursor
        self._events += events
        self._bytes += size
        self._wake()

    def close(self, error: Exception | None = None) -> None:
        """End the tail once it has taken what is there.

        Args:
            error: What the tail then raises; `None` for an end without an error.
        """
        if not self._is_over:
            self._is_over = True
            self._error = error
            self._wake()

    async def take(self) -> list[Event] | None:
        """Wait for the next events.

        Returns:
            The events; an empty list if the entries that came had no meaning; `None` after the last event.

        Raises:
            Exception: The error that the inbox was closed with.
        """
        if not (self._events or self._is_over):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        events, was_full = self._events, self.is_full
        if self._is_over and not events:
            if self._error is not None:
                raise self._error
            return None
        self.taken_bytes += self._bytes
        self._events, self._bytes = [], 0
        if was_full and not self._is_over:
            self._source.resume(self)
        return events

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
