"""`Endpoint`: sends requests through a provider's SDK, and reads the raw bytes of the answers."""

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext, suppress
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeAlias

import httpx2
from msgspec.json import Encoder

from tailrace.request.messages import Document, Image
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace_worker.providers.base import Alive, Piece, TokenCounts
from tailrace_worker.providers.error_body import is_error
from tailrace_worker.providers.errors import ErrorEvent, Failures
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.body import Inflow, open_inflow
from tailrace_worker.providers.http.frames import AnswerFrames
from tailrace_worker.providers.http.large import LargeAnswer, LargeAnswers
from tailrace_worker.providers.http.sse import EventStreamDecoder, ServerSentEvent
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.providers.json_decoder import loaded

_MAX_BLANK_BYTES: Final = 1024
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
"""White space and the byte order mark, with which any body may begin."""
_OPENING: Final = _BLANK + b"["

Body: TypeAlias = dict[str, Any]
"""A request as the provider takes it."""
Post: TypeAlias = Callable[[bytes, Mapping[str, str]], Awaitable[httpx2.Response]]
"""Sends the JSON of a request through the SDK, with these headers beside the SDK's own, and returns once the headers of
the answer have arrived. Raises the SDK's errors."""

_encode: Final = Encoder().encode
"""The SDKs' own encoder takes ten times as long, 30 ms for 60,000 values, in which the event loop does nothing else."""


class BodyTooLarge(ValueError):
    """An answer that is not streamed has more bytes than the limit allows."""


class NoEventStream(ValueError):
    """The body is not the event stream that was requested, but for example a web page."""


class NoWholeBody(ValueError):
    """The body is an event stream, although none was requested."""


class AnswerDecoder(Protocol):
    """A decoder of one answer, by the provider's protocol."""

    is_whole: bool
    """True once the provider has said that the answer is complete. It may still send more."""
    is_over: bool
    """True once the protocol's last event was read. Everything after it is ignored."""
    finished: bool
    """True once all pieces of the answer were yielded."""

    def pieces(self, data: bytes, name: bytes) -> Iterable[Piece]:
        """Yield the pieces of an event.

        Args:
            data: The data of the event.
            name: The name that the stream gives the event; `b""` if it gives none.
        """
        ...

    def done(self) -> None:
        """Note that the stream has sent `[DONE]`."""
        ...

    def whole(self, body: bytes) -> Iterable[Piece]:
        """Yield the pieces of an answer that was not streamed.

        Args:
            body: The whole body.
        """
        ...

    def end(self) -> Iterable[Piece]:
        """Yield the last pieces of a complete answer after its stream has ended. The `Finish` is the last one."""
        ...


class Endpoint:
    """The endpoint that an adapter calls. Each failure is raised as a `ProviderError`."""

    def __init__(
        self, failures: Failures, post: Post, wake_batcher: WakeBatcher, *, limits: AnswerLimits | None = None
    ) -> None:
        self._failures = failures
        self._post = post
        self._wake_batcher = wake_batcher
        self._limits = limits or AnswerLimits()
        self._large = LargeAnswers(self._limits)

    def call_verbatim(self, request: VerbatimRequest, answer: AnswerDecoder) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider.stream_verbatim` describes it.

        Args:
            request: The request.
            answer: Decodes the answer.

        Returns:
            The pieces of the answer with its frames, and signs of life between them.
        """
        body = {**request.body, "stream": request.stream}
        return self.call(body, answer, headers=request.headers, frames=AnswerFrames())

    async def call(
        self,
        body: Body,
        answer: AnswerDecoder,
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        frames: AnswerFrames | None = None,
    ) -> AsyncGenerator[Piece | Alive, None]:
        """Make one call, as `Provider.stream` describes it.

        Args:
            body: The request. Its `stream` says whether the answer is to be streamed.
            answer: Decodes the answer.
            headers: Headers beside those of the SDK.
            frames: Keeps the frames of the answer; `None` for an answer without them.

        Yields:
            The pieces of the answer, and signs of life between them.

        Raises:
            ProviderError: The call failed.
        """
        with self._failures.calling():
            response = await self._post(_encode(body), headers)
        async with open_inflow(response, self._wake_batcher) as inflow, self._large.open() as large:
            failing = nullcontext() if frames is None else frames.failing(self._failures.redacted)
            with failing, self._failures.reading(answer, response.headers):
                chunk = await _beginning(inflow)
                if _is_whole(response, chunk, streams=body["stream"], is_verbatim=frames is not None):
                    expected = not body["stream"]
                    async for heard in _whole(chunk, inflow, answer, frames, large, self._limits, expected=expected):
                        yield heard
                else:
                    stream = _Stream(inflow, answer, frames, self._limits)
                    try:
                        while chunk:
                            for heard in stream.pieces(chunk):
                                yield heard
                            if not large.hold(stream.held_bytes):
                                yield Alive(is_held=True)
                                await large.room(stream.held_bytes)
                                yield Alive(is_whole=answer.is_whole)
                            chunk = await stream.next()
                        for piece in stream.last_pieces():
                            yield piece
                    except Exception as error:
                        await stream.keep_rest(error)
                        if not stream.is_settled:
                            raise
                    if not stream.is_one:
                        _look_at(response)
                if answer.is_whole:
                    for piece in answer.end() if frames is None else frames.finishing(answer.end()):
                        yield piece
            await _drain(inflow, self._limits)


class _Stream:
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
        async for chunk in _rest(self._inflow, self._limits):
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


def with_extra(body: Body, extra: Mapping[str, Any]) -> Body:
    """Return a body with the members of `extra` added. An object that is in both gets the members of both.

    Args:
        body: The request.
        extra: The additional members, which replace those of the body.
    """
    both = [name for name, value in extra.items() if isinstance(value, dict) and isinstance(body.get(name), dict)]
    return {**body, **extra, **{name: {**body[name], **extra[name]} for name in both}}


def data_url(source: Image | Document) -> str:
    """Return the URL of an image or a document, or a `data:` URL with its bytes (RFC 2397)."""
    return source["url"] if "url" in source else f"data:{source.get('media_type')};base64,{source.get('data')}"


async def _beginning(inflow: Inflow) -> bytes:
    """Read as much of the body as is needed to tell an event stream from JSON."""
    beginning = chunk = await inflow.read()
    while chunk and not beginning.strip(_OPENING) and len(beginning) < _MAX_BLANK_BYTES:
        chunk = await inflow.read()
        beginning += chunk
    return beginning


def _is_whole(response: httpx2.Response, beginning: bytes, *, streams: bool, is_verbatim: bool) -> bool:
    # Some servers never stream, some always do, and some send an error as JSON with a status of success. An event
    # stream never begins with a brace. Google puts its errors into a list.
    if streams:
        return beginning.lstrip(_OPENING).startswith(b"{")
    is_stream = response.headers.get("content-type", "").lower().startswith("text/event-stream")
    if is_stream and is_verbatim:
        # A client that reads a whole body cannot read events.
        raise NoWholeBody("an event stream, which was not requested")
    return not is_stream


def _look_at(response: httpx2.Response) -> None:
    """Raise `NoEventStream` if the headers of a body without events name another type of content."""
    content_type = response.headers.get("content-type", "")
    if content_type and not content_type.lower().startswith("text/event-stream"):
        raise NoEventStream(f"{content_type.partition(';')[0]} instead of an event stream")


async def _whole(
    beginning: bytes,
    inflow: Inflow,
    answer: AnswerDecoder,
    frames: AnswerFrames | None,
    large: LargeAnswer,
    limits: AnswerLimits,
    *,
    expected: bool,
) -> AsyncGenerator[Piece | Alive, None]:
    """Read a body that is not a stream. Its chunks are no sign of life: `Alive` comes only if it waits for memory."""
    body = bytearray(beginning)
    while chunk := await inflow.read():
        body += chunk
        if not large.hold(len(body)):
            yield Alive(is_held=True)
            await large.room(len(body))
            yield Alive()
        if len(body) > limits.max_body_bytes:
            raise BodyTooLarge(f"The answer has more than {limits.max_body_bytes:,} bytes.")
    if frames is not None and expected:
        frames.add(b"", bytes(body))
    whole = bytes(body.lstrip(_BLANK))
    if whole.startswith(b"[") and is_error(errors := loaded(whole)):
        raise ErrorEvent(errors)
    if frames is not None and not expected:
        # A client that reads the events of a stream cannot read this body, not even if it is an error.
        for _ in answer.whole(whole):
            pass
        raise NoEventStream("a whole answer instead of an event stream")
    for piece in answer.whole(whole) if frames is None else frames.carried(answer.whole(whole)):
        yield piece


async def _drain(inflow: Inflow, limits: AnswerLimits) -> None:
    """Read to the end of the body, within the limits, because otherwise the connection cannot be used again."""
    async for _ in _rest(inflow, limits):
        pass


async def _rest(inflow: Inflow, limits: AnswerLimits) -> AsyncGenerator[bytes, None]:
    """Yield the chunks up to the end of the body, within the limits. A failure ends them too."""
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
