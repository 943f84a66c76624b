"""`Inbox`: the events that a tail was given and has not taken yet."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from tailrace.cursor import EntryId
from tailrace.events import Event
from tailrace.tailing.keep_alive import KeepAliveTimer

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
        "_events",
        "_is_confirmed",
        "_source",
        "_waiter",
        "cursor",
        "error",
        "is_over",
        "keep_alive",
        "newest",
        "opened_at",
        "taken_bytes",
    )

    def __init__(
        self, source: EventSource, cursor: EntryId, *, opened_at: float, keep_alive_seconds: float | None = None
    ) -> None:
        """Open an empty inbox.

        Args:
            source: What fills the inbox.
            cursor: The position after which the events begin.
            opened_at: The time now (monotonic clock, in seconds).
            keep_alive_seconds: After how many seconds without an event `take` returns without one.
        """
        self.cursor: EntryId = cursor
        """The last entry that was put in, or skipped."""
        self.newest: EntryId = cursor
        """The last entry that was in the stream when the tail began."""
        self.opened_at: float = opened_at
        self.taken_bytes: int = 0
        """The bytes of the entries whose events were taken so far."""
        self.is_over: bool = False
        """True after `close`: nothing is put in any more."""
        self.error: Exception | None = None
        """What the tail raises after the last event; `None` for an end without an error."""
        self.keep_alive: KeepAliveTimer | None = None
        """Knows for how long nothing came; `None` if the tail does not want to know, and after `close`."""
        if keep_alive_seconds is not None:
            self.keep_alive = KeepAliveTimer(keep_alive_seconds, self._wake)
        self._source = source
        self._events: list[Event] = []
        self._bytes = 0
        self._is_confirmed = False
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

    @property
    def is_silent(self) -> bool:
        """True if nothing came for `keep_alive_seconds`."""
        return self.keep_alive is not None and self.keep_alive.is_due

    @property
    def is_empty(self) -> bool:
        """True if there is nothing to take now."""
        return not self._events

    def confirm(self) -> None:
        """Note that the first read found the job, and no fault with the cursor."""
        self._is_confirmed = True
        self._wake()

    def put(self, events: Sequence[Event], size: int, cursor: EntryId) -> None:
        """Add events, and wake the tail. An inbox that was closed takes nothing.

        Args:
            events: The events; none if the entries had no meaning.
            size: The bytes of their entries.
            cursor: The position of the last entry.
        """
        if self.is_over:
            return
        self.cursor = cursor
        self._events += events
        self._bytes += size
        self._wake()

    def close(self, error: Exception | None = None) -> None:
        """End the tail once it has taken what is there.

        Args:
            error: What the tail then raises; `None` for an end without an error.
        """
        if not self.is_over:
            self.is_over = True
            self.error = error
            if self.keep_alive is not None:
                self.keep_alive.cancel()
                self.keep_alive = None
            self._wake()

    def discard(self) -> None:
        """Drop the events, and end the tail: it was left."""
        self._events, self._bytes = [], 0
        self.close()

    async def opened(self) -> None:
        """Wait for the first read: until there are events, or the tail is over, or the stream ends at the cursor."""
        while not (self._is_confirmed or self._events or self.is_over):
            await self._arrival()

    async def take(self) -> list[Event] | None:
        """Wait for the next events. It may be cancelled, and then called again. Only one task may call it at a time.

        Returns:
            The events; an empty list if the entries that came had no meaning, or if nothing came for
            `keep_alive_seconds`; `None` after the last event.
        """
        if not (self._events or self.is_over or self.is_silent):
            await self._arrival()
        events, was_full = self._events, self.is_full
        if self.is_over and not events:
            return None
        self.taken_bytes += self._bytes
        self._events, self._bytes = [], 0
        if was_full and not self.is_over:
            self._source.resume(self)
        return events

    def _arrival(self) -> asyncio.Future[None]:
        """Return what is done as soon as there may be something to take. It is no coroutine, to save a frame a tail."""
        if self.keep_alive is not None:
            self.keep_alive.arm()
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
