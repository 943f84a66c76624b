"""`AnswerStream`: the event stream of one answer, up to the end of the answer or of the connection."""

import asyncio
import math
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import suppress

from tailrace_worker.providers.base import Alive, Piece, TokenCounts
from tailrace_worker.providers.errors import ErrorEvent
from tailrace_worker.providers.http.answer_decoder import AnswerDecoder
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.body import Inflow
from tailrace_worker.providers.http.frames import AnswerFrames
from tailrace_worker.providers.http.sse import EventStreamDecoder, ServerSentEvent


class AnswerStream:
    """The event stream of one answer."""

    def __init__(
        self, inflow: Inflow, answer: AnswerDecoder, frames: AnswerFrames | None, limits: AnswerLimits
    ) -> None:
        self.is_one = False
        """True once there was an event, so that the body is an event stream."""
        self.held_bytes = 0
        """How many bytes have arrived of an event that has not ended."""
        self._is_behind = False
        """True if the last chunk had several events."""
        self._unread: Iterator[ServerSentEvent] = iter(())
        """The events of the last chunk that were not read yet."""
        self._decoder = EventStreamDecoder()
        self._inflow = inflow
        self._answer = answer
        self._frames = frames
        self._limits = limits
        self._goes_on = False
        """True if content came after the finish reason. From then on, an error fails the answer again."""
        self._settled_at = math.inf
        """When to stop reading a complete answer whose stream is still open, in the time of the event loop."""
        self._rest_bytes = 0
        """How many bytes have arrived since the answer was complete."""

    @property
    def is_settled(self) -> bool:
        """True if the answer is complete and an error can no longer fail it."""
        return self._answer.is_whole and not self._goes_on

    def pieces(self, chunk: bytes) -> Iterator[Piece | Alive]:
        """Yield the pieces of a chunk, and then `Alive` if there were none or if the answer is complete."""
        is_heard = False
        answer, inflow = self._answer, self._inflow
        events = self._decoder.feed(chunk)
        self.held_bytes = self._decoder.buffered_bytes
        self.is_one = self.is_one or bool(events)
        self._is_behind = len(events) > 1
        self._unread = iter(events)
        for event in self._unread:
            was_whole = answer.is_whole
            for piece in self._read(event):
                yield piece
                is_heard = True
                if was_whole:
                    self._hear_more(piece)
                elif not inflow.is_patient:
                    # The first piece is delivered without delay; for those after it, wake-ups are batched.
                    inflow.is_patient = not isinstance(piece, TokenCounts)
        if self._frames is not None and not (answer.is_whole or answer.is_over):
            # No reader waits for frames without content. The last ones belong to the ending.
            for frames in self._frames.waiting():
                yield frames
                is_heard = True
        if answer.is_whole or not is_heard:
            yield Alive(is_whole=answer.is_whole)

    async def keep_rest(self, error: Exception) -> None:
        """Read to the end of the stream after an error that the provider has sent, and keep the frames.

        Some servers end the stream with another event, which says that the answer failed.
        """
        if self._frames is None or not isinstance(error, ErrorEvent):
            return
        for event in self._unread:
            self._frames.add(*event)
        async for chunk in rest_of(self._inflow, self._limits):
            with suppress(ValueError):
                for event in self._decoder.feed(chunk):
                    self._frames.add(*event)

    def last_pieces(self) -> Iterator[Piece]:
        """Yield the pieces of a last event that no blank line ended. If it was cut, it is not JSON, and is ignored."""
        for event in self._decoder.end():
            self.is_one = True
            with suppress(ValueError):
                yield from self._read(event)

    def _read(self, event: ServerSentEvent) -> Iterable[Piece]:
        if self._frames is None:
            return self._decoded(event)
        if self._answer.is_over and event.data.strip() != b"[DONE]":
            # It is no piece either, so that no guard would see its text.
            return ()
        self._frames.add(*event)
        return self._frames.carried(self._decoded(event))

    def _decoded(self, event: ServerSentEvent) -> Iterable[Piece]:
        name, data = event
        if self._answer.is_over:
            return ()
        if name == b"error":
            raise ErrorEvent.of(data)
        if not (said := data.strip()):
            return ()
        if said == b"[DONE]":
            self._answer.done()
            return ()
        return self._answer.pieces(data, name)

    def _hear_more(self, piece: Piece) -> None:
        """Note a piece that came after the finish reason."""
        if not isinstance(piece, TokenCounts):
            self._goes_on = True
            self._settled_at = math.inf
            self._rest_bytes = 0

    async def next(self) -> bytes:
        """Wait for the next chunk, and return it; `b""` at the end of the answer."""
        if self._is_behind:
            # A stream that always has data must not starve the other tasks.
            await asyncio.sleep(0)
        settle_seconds = self._limits.settle_seconds
        if self._answer.is_over:
            if self._frames is None or self._frames.are_done:
                return b""
            # Some servers send `[DONE]` after the last event of the protocol.
            settle_seconds = self._limits.rest_seconds
        elif not self._answer.is_whole:
            return await self._inflow.read()
        self._inflow.is_patient = False
        if self._rest_bytes > self._limits.max_rest_bytes:
            # While there is always more to read, `read` does not wait, and so the timeout below never comes.
            return b""
        self._settled_at = min(self._settled_at, asyncio.get_running_loop().time() + settle_seconds)
        settling = asyncio.timeout_at(self._settled_at)
        try:
            async with settling:
                chunk = await self._inflow.read()
                self._rest_bytes += len(chunk)
                return chunk
        except TimeoutError:
            if settling.expired():
                return b""
            raise


async def rest_of(inflow: Inflow, limits: AnswerLimits) -> AsyncGenerator[bytes, None]:
    """Read to the end of a body, whose content does not matter any more.

    Args:
        inflow: The body.
        limits: The limits to what is read.

    Yields:
        The chunks up to the end, to a limit, or to a failure.
    """
    inflow.is_patient = False
    until = asyncio.get_running_loop().time() + limits.rest_seconds
    rest_bytes = 0
    with suppress(Exception):
        while rest_bytes <= limits.max_rest_bytes:
            async with asyncio.timeout_at(until):
                chunk = await inflow.read()
            if not chunk:
                return
            rest_bytes += len(chunk)
            yield chunk
