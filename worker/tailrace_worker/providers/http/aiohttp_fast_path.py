"""`FastPath`: reads the bytes of an answer directly from aiohttp's connection, below the SDKs."""

import asyncio
from types import TracebackType
from typing import Any, Final, Self, cast

from aiohttp import ClientPayloadError, ClientResponse, StreamReader

from tailrace_worker.providers.http.wake_batcher import WakeBatcher

_MAX_WAITING_BYTES: Final = 131_072


class FastPath:
    """A reader of one answer, which gets the chunks in place of aiohttp's own reader.

    aiohttp's reader needs more time to store and return a chunk than the worker needs to parse it. A fast path takes
    the place of the one future that aiohttp's reader resolves when there is data. Chunks that arrived before an error
    are read before the error is raised.
    """

    __slots__ = (
        "_closed",
        "_error",
        "_is_over",
        "_is_paused",
        "_reader",
        "_size",
        "_taken",
        "_waiter",
        "_wake_batcher",
        "is_patient",
    )

    def __init__(self, response: ClientResponse, wake_batcher: WakeBatcher) -> None:
        self.is_patient = False
        self._wake_batcher = wake_batcher
        # The parser keeps a reference to the reader that it has made, so the reader cannot be replaced, only changed.
        response.content.__class__ = _TappedReader
        self._reader = cast("_TappedReader", response.content)
        self._taken = self._reader.divert(self)
        self._size = sum(map(len, self._taken))
        self._is_over = self._reader.is_eof()
        self._error = self._reader.exception()
        self._waiter: asyncio.Future[None] | None = None
        # It is not known whether reading is paused: the chunks so far may have filled the reader. So assume that it is.
        self._is_paused = True
        protocol = response.connection.protocol if response.connection else None
        self._closed = protocol.closed if protocol is not None else None

    @staticmethod
    def fits(response: object) -> bool:
        """Return whether an object is a response of aiohttp whose reader has the attributes that a fast path needs.

        Args:
            response: Any object.
        """
        reader: object = getattr(response, "content", None)
        return type(reader) is StreamReader and {"_buffer", "_protocol", "_waiter"}.issubset(StreamReader.__slots__)

    def __enter__(self) -> Self:
        if self._closed is not None:
            # asyncio logs an exception that nobody retrieves. `_ignore` retrieves it, and stays, once per connection.
            self._closed.remove_done_callback(_ignore)
            self._closed.add_done_callback(_ignore)
            self._closed.add_done_callback(self._break)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._closed is not None:
            self._closed.remove_done_callback(self._break)

    async def read(self) -> bytes:
        """Wait for a chunk, and return all bytes that have arrived.

        Returns:
            The bytes; `b""` at the end of the answer.

        Raises:
            aiohttp.ClientError: The connection broke.
        """
        while not self._taken:
            if self._error is not None:
                raise self._error
            if self._is_over:
                return b""
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        data = self._taken[0] if len(self._taken) == 1 else b"".join(self._taken)
        self._taken.clear()
        self._size = 0
        if self._is_paused:
            self._is_paused = False
            # After the end of the answer, another call may use the connection.
            if not self._is_over:
                self._reader.resume()
        return data

    def feed(self, data: bytes) -> None:
        """Take a chunk from the reader, and wake the task that waits for it.

        Args:
            data: The chunk.
        """
        self._taken.append(data)
        self._size += len(data)
        if self._size > _MAX_WAITING_BYTES and not self._is_paused:
            self._is_paused = True
            self._reader.pause()
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if self.is_patient:
            self._wake_batcher.wake(waiter)
        else:
            waiter.set_result(None)

    def done(self) -> bool:
        """Return False, as a waiting future does, so that the reader reports its end or its error to the fast path."""
        return False

    def set_result(self, result: None) -> None:  # noqa: ARG002
        """Take the end of the answer from the reader."""
        self._is_over = True
        self._wake()

    def set_exception(self, error: BaseException) -> None:
        """Take an error from the reader."""
        self._error = error
        self._wake()

    def _break(self, closed: asyncio.Future[None]) -> None:  # noqa: ARG002
        # If the chunked encoding is broken, aiohttp closes the connection without telling the reader.
        if not self._is_over and self._error is None:
            self.set_exception(ClientPayloadError("The connection was closed before the end of the answer."))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class _TappedReader(StreamReader):
    __slots__ = ()

    def divert(self, fast_path: FastPath) -> list[bytes]:
        """Send all further chunks to the fast path, and return those that have arrived before."""
        self._waiter = cast("Any", fast_path)
        return list(self._buffer)

    def pause(self) -> None:
        self._protocol.pause_reading()

    def resume(self) -> None:
        self._protocol.resume_reading()

    def feed_data(self, data: bytes, size: int = 0) -> bool:  # noqa: ARG002
        cast("FastPath", self._waiter).feed(data)
        return False

    # The ends of HTTP's transfer chunks do not matter here.
    def begin_http_chunk_receiving(self) -> None: ...
    def end_http_chunk_receiving(self) -> None: ...


def _ignore(closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()
