"""`JobFrames`: the frames of a job in some protocol, as they become ready."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from tailrace import Cancelled, Completed, Ending, Event, Failed, KeepAlive, Started, TailraceError
from tailrace.encoders import KEEP_ALIVE, Encoder
from tailrace.gateway.lasting_tail import LastingTail


class ReadyFrames(Protocol):
    """The body of a response, as frames that become ready one after the other."""

    @property
    def opening(self) -> bytes:
        """The bytes before the first frames."""
        ...

    async def ready(self) -> bytes:
        """Wait for the next frames.

        Returns:
            All frames that are ready, or a comment after a silence; empty after the last one.
        """
        ...

    def broken_off(self) -> bytes:
        """Return the last frames of a response that ends before its jobs do: empty if its client comes back anyway."""
        ...

    async def aclose(self) -> None:
        """Leave the tails. `ready` then returns no more frames, even if another task is waiting in it."""
        ...


class JobFrames:
    """The frames of one job.

    Args:
        tail: Its tail.
        encoder: The encoder of the response.
        has_started: True if the cursor of the tail is in an attempt.
        before: Awaited before frames are returned.
    """

    def __init__(
        self,
        tail: LastingTail,
        encoder: Encoder,
        *,
        has_started: bool,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self.has_started: bool = has_started
        """True once an attempt has started. An ending without one is written in an attempt of its own."""
        self.ending: Ending | None = None
        """The ending of the job, once it was read."""
        self.has_begun: bool = False
        """True if what has started is an attempt, and not the ending of a job that never ran."""
        self.error: TailraceError | None = None
        """Why the job cannot be read to its ending."""
        self._tail = tail
        self._encoder = encoder
        self._before = before
        self._is_over = False

    @property
    def opening(self) -> bytes:
        """The bytes before the first frames."""
        return self._encoder.opening

    async def ready(self) -> bytes:
        """Wait for the next frames.

        Returns:
            All frames that are ready, or a comment after a silence; empty after the last one.
        """
        frames = b""
        while not (frames or self._is_over):
            try:
                events = await self._tail.take()
                frames = b"".join(map(self._encode, events))
                if self._before is not None:
                    await self._before()
            except TailraceError as error:
                frames = self.broken_off()
                self._is_over, self.error = True, error
                return frames
            if not events or self._encoder.is_over:
                self._is_over = True
        return frames

    def broken_off(self) -> bytes:
        """Return the last frames of a response that ends before the job does."""
        return b"" if self._encoder.is_over or self.error is not None else self._encoder.broken_off()

    async def aclose(self) -> None:
        """Leave the tail."""
        self._is_over = True
        await self._tail.aclose()

    def _encode(self, event: Event | KeepAlive) -> bytes:
        if self._encoder.is_over:
            return b""
        if isinstance(event, KeepAlive):
            return KEEP_ALIVE
        if isinstance(event, Completed | Failed | Cancelled):
            self.ending = event
        if not self.has_started:
            self.has_started = event.id.attempt > 0
            self.has_begun = isinstance(event, Started)
        return self._encoder.encode(event)
