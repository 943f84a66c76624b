"""`Inbox`: what a tail was handed, and has not taken yet."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from tailrace.cursor import EntryId
from tailrace.events import Event

_MAX_EVENTS = 1_000
_MAX_BYTES = 262_144


class Supplier(Protocol):
    """Who hands events to inboxes."""

    def resume(self, inbox: "Inbox") -> None:
        """An inbox that was full is empty."""

    async def leave(self, inbox: "Inbox") -> None:
        """Nobody takes anything from it any more. Returns once nothing of it is left."""


class Inbox:
    """A bounded buffer. It is handed nothing while it is full: the stream keeps what comes, and it slows nobody."""

    __slots__ = ("_bytes", "_error", "_events", "_is_over", "_supplier", "_taker", "cursor", "newest", "opened_at")

    def __init__(self, supplier: Supplier, cursor: EntryId, *, opened_at: float) -> None:
        self.cursor = cursor
        """The last entry that was handed over, or skipped."""
        self.newest = cursor
        """The last entry that was there when the tail began."""
        self.opened_at = opened_at
        self._supplier = supplier
        self._events: list[Event] = []
        self._bytes = 0
        self._is_over = False
        self._error: Exception | None = None
        self._taker: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._supplier.leave(self)

    @property
    def is_full(self) -> bool:
        """Whether it is to be handed no more until it was emptied."""
        return len(self._events) >= _MAX_EVENTS or self._bytes >= _MAX_BYTES

    def put(self, events: Sequence[Event], size: int, cursor: EntryId) -> None:
        """Hands events over, of so many bytes together, up to a cursor."""
        self.cursor = cursor
        self._events += events
        self._bytes += size
        self._wake()

    def close(self, error: Exception | None = None) -> None:
        """Nothing more will come: the tail ends, or raises the error, when it has taken what is there."""
        if not self._is_over:
            self._is_over = True
            self._error = error
            self._wake()

    async def take(self) -> list[Event] | None:
        """Waits for what comes next; `None`: nothing more will. Raises what it was closed with.

        It is an empty list where what came were entries of no meaning.
        """
        if not (self._events or self._is_over):
            self._taker = asyncio.get_running_loop().create_future()
            try:
                await self._taker
            finally:
                self._taker = None
        events, was_full = self._events, self.is_full
        if self._is_over and not events:
            if self._error is not None:
                raise self._error
            return None
        self._events, self._bytes = [], 0
        if was_full and not self._is_over:
            self._supplier.resume(self)
        return events

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)
