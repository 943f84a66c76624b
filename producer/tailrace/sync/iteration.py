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
    """An iterator that blocks until its next item arrives. One thread at a time may ask for the next item.

    `with`, or `close` in any thread, leaves the iterator at once. If it is dropped in the middle, the garbage collector
    leaves it. Services get iterators from `Tailrace.parallel` and `Tailrace.endings`.

    Args:
        session: The client that the iterator belongs to, and its thread.
        source: The asynchronous iterator that yields the items.
    """

    def __init__(self, session: Session, source: Source[Item_co]) -> None:
        self._session = session
        self._source = source
        self._items: deque[Any] = deque()
        """The items that the source has yielded. The loop's thread adds them, so that an interrupt of the thread that
        waits loses none."""
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
                self._session.run(self._fill, cursor=self._cursor)
            if not self._items:
                raise StopIteration
            item: Item_co = self._items.popleft()
            return item
        finally:
            self._is_asked.release()

    @property
    def _cursor(self) -> str | None:
        """The `cursor` of the error if the client is closed."""
        return None

    def close(self) -> None:
        """Leave the iterator. In a thread that waits for the next item, the iteration ends."""
        self._is_over = True
        self._items.clear()
        if not self._session.is_inherited:
            # After the end of the client there is nothing left of it.
            with suppress(BrokerUnavailable):
                self._session.run(self._leave)

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
