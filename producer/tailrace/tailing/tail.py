"""`Tail`: reading a job's stream from any position, in order, to its ending."""

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Final, NoReturn, Self, TypeVar

from tailrace.answer import Answer, Snapshot
from tailrace.cursor import BEGINNING, EntryId
from tailrace.errors import BrokerUnavailable, InvalidRequest
from tailrace.events import Ending, Event, KeepAlive
from tailrace.settings import Settings
from tailrace.tailing.inbox import Inbox
from tailrace.tailing.reader import Reader

_MAX_KEEP_ALIVE_SECONDS: Final = 86_400

Item_co = TypeVar("Item_co", bound=Event | Snapshot | KeepAlive, covariant=True)


class Tail(AsyncIterator[Item_co]):
    """The events of a job, from a cursor to the ending: an asynchronous iterator, and a context manager.

    `anext` may be cancelled or time out at any moment, and be called again: no event is lost, and none comes twice. One
    task at a time may wait for the next event. `async with`, or `aclose` in any task, leaves the tail at once. If a
    tail is dropped in the middle, the garbage collector leaves it. Services get tails from `Job.tail` and
    `Job.open_tail`.

    Args:
        reader: The reader that all tails share.
        job_id: The job to read.
        after: The cursor after which the events begin.
        snapshot: The settings by which the answer of the snapshot is judged; `None` for no snapshot.
        keep_alive_seconds: The silence after which a `KeepAlive` is yielded, in seconds: above 0, up to 86,400 (a day).

    Raises:
        InvalidRequest: `snapshot` and a cursor were given, or `keep_alive_seconds` is out of range.
    """

    __slots__ = (
        "__weakref__",
        "_after",
        "_answer",
        "_inbox",
        "_is_asked",
        "_is_closed",
        "_items",
        "_keep_alive_seconds",
        "_reader",
        "at_end",
        "job_id",
    )

    def __init__(
        self,
        reader: Reader,
        job_id: str,
        after: EntryId,
        *,
        snapshot: Settings | None = None,
        keep_alive_seconds: float | None = None,
    ) -> None:
        self._inbox: Inbox | None = None
        if snapshot is not None and after != BEGINNING:
            raise InvalidRequest(
                f"snapshot: a snapshot begins with the stream, so after={str(after)!r} cannot be given too. Omit one "
                "of the two."
            )
        if keep_alive_seconds is not None and not 0 < keep_alive_seconds <= _MAX_KEEP_ALIVE_SECONDS:
            raise InvalidRequest(
                f"keep_alive_seconds: {keep_alive_seconds!r} is out of range. Give more than 0 and up to "
                f"{_MAX_KEEP_ALIVE_SECONDS:,} seconds (a day), or omit it."
            )
        self.job_id: str = job_id
        """The id of the job."""
        self.at_end: bool = False
        """True if `Job.open_tail` found that the job has ended, and the cursor is at its ending: no event will come."""
        self._reader = reader
        self._after = after
        self._keep_alive_seconds = keep_alive_seconds
        self._answer = Answer(snapshot) if snapshot is not None else None
        """What the snapshot is made of, until it is yielded."""
        self._items: list[Any] = []
        """What is to be yielded, the next item last. An event may be large: after it was yielded, nothing holds it."""
        self._is_asked = False
        self._is_closed = False

    def __repr__(self) -> str:
        return f"Tail({self.job_id!r})"

    def __del__(self) -> None:
        if self._inbox is not None:
            self._reader.abandon(self._inbox)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Leave the tail. A task that waits for its next event, or asks for one later, finds that there is none."""
        self._is_closed = True
        self._items, self._answer = [], None
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            await self._reader.leave(inbox)

    async def open(self) -> Self:
        """Read the stream for the first time, as `Job.open_tail` does, so that errors come before the first event.

        Returns:
            The tail itself.

        Raises:
            JobNotFound: The job has no stream.
            InvalidCursor: The cursor is ahead of the stream.
            BrokerUnavailable: Redis was unavailable for the settings' `reconnect_seconds`.
            BrokerRefused: Redis refused to read the stream.
        """
        inbox = self._ask()
        try:
            await inbox.opened()
            if inbox.error is not None and inbox.is_empty:
                await self._end(inbox)
        except BaseException:
            await self.aclose()
            raise
        finally:
            self._is_asked = False
        self.at_end = inbox.is_over and inbox.is_empty
        return self

    async def __anext__(self) -> Item_co:
        if not self._items:
            inbox = self._ask()
            try:
                # Thousands of tails wait here, so each of them has few frames.
                while not self._items:
                    events = await inbox.take()
                    if events is not None:
                        self._accept(inbox, events)
                    elif self._answer is not None and isinstance(inbox.error, BrokerUnavailable):
                        # The cursor of the error is after the events that were read: without a snapshot the caller
                        # would never see them. The next turn raises the error.
                        self._items = [_snapshot_of(self._answer)] if self._answer.cursor > BEGINNING else []
                        self._answer = None
                    else:
                        await self._end(inbox)
            except BaseException:
                self._is_asked = False
                # The traceback of a loop that was cancelled holds this frame; the tail must be freed nevertheless.
                del self
                raise
            self._is_asked = False
        item: Item_co = self._items.pop()
        if self._inbox is not None and self._inbox.keep_alive is not None:
            self._inbox.keep_alive.restart()
        return item

    def take_ready(self) -> list[Item_co]:
        """Take the events that were read together with the last one, without waiting.

        Returns:
            The events that `anext` would return at once, in their order; it returns what comes after them.
        """
        ready = self._items
        self._items = []
        ready.reverse()
        return ready

    def _ask(self) -> Inbox:
        """Return the inbox to wait at, and let no other task wait until `_is_asked` is reset."""
        if self._is_closed:
            raise StopAsyncIteration
        if self._is_asked:
            raise RuntimeError(
                f"Another task waits for the next event of this tail of job {self.job_id!r}. Open a tail for each "
                "task: all tails of a client share two connections."
            )
        if self._inbox is None:
            self._inbox = self._reader.open(self.job_id, self._after, keep_alive_seconds=self._keep_alive_seconds)
        self._is_asked = True
        return self._inbox

    def _accept(self, inbox: Inbox, events: list[Event]) -> None:
        """Make items of the events that were taken, if there is anything to yield yet."""
        events.reverse()
        self._items = events
        if self._answer is not None:
            ending = _fold(events, self._answer)
            is_long = inbox.taken_bytes > self._reader.limits.snapshot_bytes
            if inbox.taken_bytes and (is_long or inbox.cursor >= inbox.newest):
                snapshot = _snapshot_of(self._answer)
                self._answer = None
                self._items = [snapshot] if ending is None else [ending, snapshot]
        if not self._items and inbox.is_silent:
            self._items = [KeepAlive(id=inbox.cursor if self._answer is None else BEGINNING)]

    async def _end(self, inbox: Inbox) -> NoReturn:
        """Leave the tail after the last event. If this is cancelled, the next call raises what this would have."""
        await self._reader.leave(inbox)
        error = None if self._is_closed else inbox.error
        self._is_closed = True
        self._inbox = None
        raise StopAsyncIteration if error is None else error


def _snapshot_of(answer: Answer) -> Snapshot:
    return Snapshot(id=answer.cursor, answer=answer)


def _fold(events: list[Event], answer: Answer) -> Ending | None:
    """Move events, the last one first, into an answer, and return the ending, which no snapshot holds."""
    while events:
        event = events.pop()
        if isinstance(event, Ending):
            return event
        answer.add(event)
    return None
