"""`Endpoint`: sends requests through a provider's SDK, and reads the raw bytes of the answers."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import httpx2
from msgspec.json import Encoder

from tailrace.request.messages import Document, Image
from tailrace.request.verbatim_request import VerbatimRequest
from tailrace_worker.providers.base import Alive, Piece
from tailrace_worker.providers.error_body import is_error
from tailrace_worker.providers.errors import ErrorEvent, Failures
from tailrace_worker.providers.http.answer_decoder import AnswerDecoder
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.answer_stream import AnswerStream, rest_of
from tailrace_worker.providers.http.body import Inflow, open_inflow
from tailrace_worker.providers.http.frames import AnswerFrames
from tailrace_worker.providers.http.large import LargeAnswer, LargeAnswers
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
                    stream = AnswerStream(inflow, answer, frames, self._limits)
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
    async for _ in rest_of(inflow, limits):
        pass
