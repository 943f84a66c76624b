"""`JobFrames`: the frames of a job in some protocol, as they become ready."""

from typing import Final, Protocol

from tailrace import KeepAlive, TailraceError
from tailrace.encoders import KEEP_ALIVE, Encoder
from tailrace.gateway.lasting_tail import LastingTail

SEND_BYTES: Final = 65_536
"""After how many bytes frames are sent, although more are ready."""


class Frames(Protocol):
    """What the body of a response is made of."""

    @property
    def opening(self) -> bytes:
        """The bytes before the first frames."""
        ...

    async def ready(self) -> bytes:
        """Wait for the next frames.

        Returns:
            All frames that are ready, up to some size, or a comment after a silence; empty after the last one.
        """
        ...

    async def aclose(self) -> None:
        """Leave the tails. `ready` then returns nothing more, also where another task waits in it."""
        ...


class JobFrames:
    """The frames of one job.

    Args:
        tail: Its tail.
        encoder: The encoder of the response.
        has_started: True if the cursor of the tail is in an attempt.
    """

    def __init__(self, tail: LastingTail, encoder: Encoder, *, has_started: bool) -> None:
        self.has_started: bool = has_started
        """True once an attempt has started. An ending without one is written in an attempt of its own."""
        self.error: TailraceError | None = None
        """Why the job cannot be read to its ending."""
        self._tail = tail
        self._encoder = encoder
        self._is_over = False

    @property
    def opening(self) -> bytes:
        """The bytes before the first frames."""
        return self._encoder.opening

    async def ready(self) -> bytes:
        """Wait for the next frames.

        Returns:
            All frames that are ready, up to some size, or a comment after a silence; empty after the last one.
        """
        parts: list[bytes] = []
        size = 0
        while not self._is_over and size < SEND_BYTES and (not parts or self._tail.is_ready):
            if part := await self._next():
                parts.append(part)
                size += len(part)
        return b"".join(parts)

    async def aclose(self) -> None:
        """Leave the tail."""
        self._is_over = True
        await self._tail.aclose()

    async def _next(self) -> bytes:
        try:
            event = await self._tail.next()
        except TailraceError as error:
            self._is_over, self.error = True, error
            return self._encoder.broken_off()
        if event is None:
            self._is_over = True
            return b""
        if isinstance(event, KeepAlive):
            return KEEP_ALIVE
        if not self.has_started:
            self.has_started = event.id.attempt > 0
        part = self._encoder.encode(event)
        if self._encoder.is_over:
            self._is_over = True
        return part
