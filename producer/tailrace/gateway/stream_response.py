"""`StreamResponse`: frames as the body of a response."""

import asyncio
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tailrace.asgi import STREAM_HEADERS
from tailrace.encoders import retry_line
from tailrace.gateway.draining import Draining
from tailrace.gateway.frames import ReadyFrames

_MOVE_MS: Final = (100, 2_000)
"""The range of the `retry:`, in ms, for clients that have to move. It is random, so that they do not all reconnect at
the same moment."""


class StreamResponse(Response):
    """Sends frames as they become ready, until the last one, or until the client leaves.

    A client that reads slowly delays only its own stream: the events that are not sent yet stay in Redis.

    Args:
        frames: The frames.
        draining: The open streams of the gateway.
        first: The frames that were ready before the status was known.
        headers: Headers beside those of every stream.
        can_move: True if the client reconnects by itself, after `retry:`, and reads on at another gateway.
        on_over: What is called once the response is over, with true if the gateway broke it off.
    """

    def __init__(
        self,
        frames: ReadyFrames,
        draining: Draining,
        *,
        first: bytes = b"",
        headers: Mapping[str, str],
        can_move: bool,
        on_over: Callable[[bool], None] | None = None,
    ) -> None:
        super().__init__(headers={**STREAM_HEADERS, **headers})
        # A stream has no length, and no body beside its frames.
        del self.headers["content-length"]
        self.can_move: bool = can_move
        """True if the client reads on at another gateway by itself."""
        self._frames = frames
        self._draining = draining
        self._first = first
        self._on_over = on_over
        self._ending: asyncio.Task[None] | None = None

    def end(self) -> None:
        """End the stream, because the gateway is about to end. It does not wait for the end."""
        self._ending = self._ending or asyncio.create_task(self._frames.aclose())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Send the response."""
        frames = self._frames
        watching = asyncio.create_task(self._watch(receive))
        self._draining.add(self)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            body = frames.opening + self._first
            self._first = b""
            if body:
                await send({"type": "http.response.body", "body": body, "more_body": True})
            while body := await frames.ready():
                await send({"type": "http.response.body", "body": body, "more_body": True})
            await send({"type": "http.response.body", "body": self._last() if self._ending else b""})
        finally:
            watching.cancel()
            self._draining.discard(self)
            if self._on_over is not None:
                self._on_over(self._ending is not None)
            await frames.aclose()

    def _last(self) -> bytes:
        """Return what tells the client that the gateway ended the response, and not the job."""
        return retry_line(random.randint(*_MOVE_MS)) if self.can_move else self._frames.broken_off()  # noqa: S311

    async def _watch(self, receive: Receive) -> None:
        """Wait until the client leaves."""
        # A body that is too large or too slow ends the stream, too: nobody has read the rest of it.
        with suppress(HTTPException):
            while (await receive())["type"] != "http.disconnect":
                pass
        await self._frames.aclose()
