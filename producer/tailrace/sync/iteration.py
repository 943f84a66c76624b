"""`Iteration`: a blocking iterator over what an asynchronous one yields."""

import asyncio
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, TypeVar

from tailrace.errors import BrokerUnavailable
from tailrace.sync.session import Session, Source

Item_co = TypeVar("Item_co", covariant=True)


class Iteration(Iterator[Item_co]):
    """An iterator whose next item is waited for. One thread at a time may ask for it.

    `with`, or `close` in any thread, leaves it at once; one that is dropped in the middle is left by the garbage
    collector. Services get iterators from `Tailrace.parallel` and `Tailrace.endings`.

    Args:
        session: The client that the iterator belongs to, and its thread.
        source: What yields the items.
    """

    def __init__(self, session: Session, source: Source[Item_co]) -> None:
        self._session = session
        self._source = source
        self._items: deque[Any] = deque()
        """What the source has yielded. The loop's thread puts it here, so that no interrupt of this one loses it."""
        self._is_asked = threading.Lock()
        self._is_over = False
        self._waiting: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __next__(self) -> Item_co:
        if not self._is_asked.acquire(blocking=False):
            raise RuntimeError("Another thread waits for the next item of this iterator. Open one for each thread.")
        try:
            if not self._items and not self._is_over:
                self._session.run(self._fill(), cursor=self._cursor)
            if not self._items:
                raise StopIteration
            item: Item_co = self._items.popleft()
            return item
        finally:
            self._is_asked.release()

    @property
    def _cursor(self) -> str | None:
        """Where to go on if the client is closed."""
        return None

    def close(self) -> None:
        """Leave the iterator. A thread that waits for its next item finds that there is none."""
        self._is_over = True
        self._items.clear()
        if not self._session.is_inherited:
            # After the end of the client there is nothing left of it.
            with suppress(BrokerUnavailable):
                self._session.run(self._leave())

    async def _fill(self) -> None:
        """Wait for the next items of the source."""
        self._waiting = asyncio.current_task()
        self._session.sources.add(self._source)
        try:
            self._items.append(await anext(self._source))
        except StopAsyncIteration:
            self._is_over = True
        except asyncio.CancelledError:
            # By `close`: the thread that waits finds the iterator at its end.
            if not self._is_over:
                raise
        finally:
            self._waiting = None

    async def _leave(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            await asyncio.wait([self._waiting])
        self._items.clear()
        await self._source.aclose()
