"""`HttpProtocol`: uvicorn's protocol with limits on the size and the age of a request's head, which uvicorn lacks."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MAX_HEAD_BYTES: Final = 65_536
"""The size of the largest head, in bytes. A head is the request line and the headers."""
_HEAD_SECONDS: Final = 30.0
"""How long a head may take to arrive, in seconds: the first one from the opening of the connection."""
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class HttpProtocol(HttpToolsProtocol):
    """A connection of a client."""

    _head_bytes = 0
    _is_in_head = False
    _head_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to serve the connection."""
        super().connection_made(transport)
        # Its log has whole URLs, and with them tokens, whenever somebody has given it a handler.
        self.access_log = False
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        super().connection_lost(exc)
        self._end_head()

    def data_received(self, data: bytes) -> None:
        """Parse what has arrived, and close the connection if a head becomes too large or too old."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MAX_HEAD_BYTES:
                self.transport.write(_TOO_LARGE)
                self.transport.close()
        elif self._head_deadline is None and self.timeout_keep_alive_task is None and self.cycle.response_complete:
            # Empty lines after a request: uvicorn has stopped the timer of the idle connection.
            self._await_head()

    def on_message_begin(self) -> None:
        """Count the bytes of the head that begins."""
        self._head_bytes, self._is_in_head = 0, True
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stop counting."""
        self._is_in_head = False
        self._end_head()
        super().on_headers_complete()

    def _await_head(self) -> None:
        """Close the connection if a head is not complete in time. Its parts do not prolong the time."""
        if self._head_deadline is None:
            self._head_deadline = self.loop.call_later(_HEAD_SECONDS, self.timeout_keep_alive_handler)

    def _end_head(self) -> None:
        if self._head_deadline is not None:
            self._head_deadline.cancel()
            self._head_deadline = None
