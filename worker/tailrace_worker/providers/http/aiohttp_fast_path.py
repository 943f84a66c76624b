"""`Tap`: the bytes of an answer right off aiohttp's connection, which lies under the SDKs."""

import asyncio
from types import TracebackType
from typing import Any, Final, Self, cast

from aiohttp import ClientPayloadError, ClientResponse, StreamReader

from tailrace_worker.providers.http.wake_batcher import Coalescer

_MAX_WAITING_BYTES: Final = 131_072


class Tap:
    """Takes what aiohttp's reader is fed: to keep a piece and to give it back takes that longer than to parse it.

    It stands in the place of the one task that a reader knows to wait for it. What came before an error is read first.
    """

    __slots__ = (
        "_closed",
        "_coalescer",
        "_error",
        "_is_over",
        "_is_paused",
        "_reader",
        "_size",
        "_taken",
        "_waiter",
        "is_patient",
    )

    def __init__(self, response: ClientResponse, coalescer: Coalescer) -> None:
        self.is_patient = False
        self._coalescer = coalescer
        # The parser holds on to the reader that it has made: it can be changed, and not replaced.
        response.content.__class__ = _TappedReader
        self._reader = cast("_TappedReader", response.content)
        self._taken = self._reader.divert(self)
        self._size = sum(map(len, self._taken))
        self._is_over = self._reader.is_eof()
        self._error = self._reader.exception()
        self._waiter: asyncio.Future[None] | None = None
        # Whether it is paused is not known: what has come may have been too much for the reader.
        self._is_paused = True
        protocol = response.connection.protocol if response.connection else None
        self._closed = protocol.closed if protocol is not None else None

    @staticmethod
    def fits(response: object) -> bool:
        """Whether it is a response of aiohttp, and that as we know it."""
        reader: object = getattr(response, "content", None)
        return type(reader) is StreamReader and {"_buffer", "_protocol", "_waiter"}.issubset(StreamReader.__slots__)

    def __enter__(self) -> Self:
        if self._closed is not None:
            # An error that nobody asks for would be logged: who asks stays, one a connection.
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
        """What has come, as soon as there is anything; `b""` at the end. Raises aiohttp's errors."""
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
            # After its end the connection is somebody else's.
            if not self._is_over:
                self._reader.resume()
        return data

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._taken.append(data)
        self._size += len(data)
        if self._size > _MAX_WAITING_BYTES and not self._is_paused:
            self._is_paused = True
            self._reader.pause()
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if self.is_patient:
            self._coalescer.wake(waiter)
        else:
            waiter.set_result(None)

    def done(self) -> bool:
        """A reader tells its end and its error to who still waits."""
        return False

    def set_result(self, result: None) -> None:  # noqa: ARG002
        """It was the end."""
        self._is_over = True
        self._wake()

    def set_exception(self, error: BaseException) -> None:
        """It broke off."""
        self._error = error
        self._wake()

    def _break(self, closed: asyncio.Future[None]) -> None:  # noqa: ARG002
        # Of chunks that are none aiohttp closes the connection, and tells nobody.
        if not self._is_over and self._error is None:
            self.set_exception(ClientPayloadError("The connection was closed before the end of the answer."))

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class _TappedReader(StreamReader):
    __slots__ = ()

    def divert(self, tap: Tap) -> list[bytes]:
        """From here on the tap gets everything; returns what was there before."""
        self._waiter = cast("Any", tap)
        return list(self._buffer)

    def pause(self) -> None:
        self._protocol.pause_reading()

    def resume(self) -> None:
        self._protocol.resume_reading()

    def feed_data(self, data: bytes, size: int = 0) -> bool:  # noqa: ARG002
        cast("Tap", self._waiter).feed(data)
        return False

    # Where the chunks of the transfer end is of no interest.
    def begin_http_chunk_receiving(self) -> None: ...
    def end_http_chunk_receiving(self) -> None: ...


def _ignore(closed: asyncio.Future[None]) -> None:
    if not closed.cancelled():
        closed.exception()
