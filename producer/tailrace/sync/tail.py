"""`Tail`: the events of a job, for a thread that waits for them."""

from typing import TypeVar

from tailrace.answer import Snapshot
from tailrace.events import Event, KeepAlive
from tailrace.sync.iteration import Iteration
from tailrace.sync.session import Session
from tailrace.tailing import tail as asynchronous

Item_co = TypeVar("Item_co", bound=Event | Snapshot | KeepAlive, covariant=True)


class Tail(Iteration[Item_co]):
    """The events of a job, from a cursor to the ending: an iterator, and a context manager.

    Services get tails from `Job.tail` and `Job.open_tail`.

    Args:
        session: The client that the tail belongs to, and its thread.
        tail: The asynchronous tail.
        after: The cursor after which the events begin.
    """

    def __init__(self, session: Session, tail: asynchronous.Tail[Item_co], after: str) -> None:
        super().__init__(session, tail)
        self._tail = tail
        self._last = after

    def __repr__(self) -> str:
        return repr(self._tail)

    @property
    def job_id(self) -> str:
        """The id of the job."""
        return self._tail.job_id

    @property
    def at_end(self) -> bool:
        """True if `Job.open_tail` found that the job has ended, and the cursor is at its ending: no event will come."""
        return self._tail.at_end

    @property
    def _cursor(self) -> str:
        return self._last

    async def _fill(self) -> None:
        await super()._fill()
        # Switching threads for each event would take longer than everything else.
        self._items.extend(self._tail.take_ready())
        if self._items:
            self._last = str(self._items[-1].id)
