"""One provider's API: a request goes out through its SDK, the bytes of the answer come back raw."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, Protocol, TypeAlias

import httpx2

from tailrace.messages import Document, Image
from tailrace_worker.coalescer import Coalescer
from tailrace_worker.provider import Piece, Usage
from tailrace_worker.providers.event_stream import EventStreamDecoder, ServerSentEvent
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.inflow import Inflow, open_inflow
from tailrace_worker.providers.vocabulary import Skipped

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""How large an answer may be that is not streamed."""

_REST_SECONDS: Final = 2.0
_MAX_REST_BYTES: Final = 1024 * 1024
_MAX_BLANK_BYTES: Final = 1024
_BLANK: Final = b" \t\r\n\xef\xbb\xbf"
"""White space, and the bytes of a byte order mark: neither tells what a body is."""

Body: TypeAlias = dict[str, Any]
"""A request as the provider takes it."""
Post: TypeAlias = Callable[[Body], Awaitable[httpx2.Response]]
"""Sends a request through the SDK; returns once the head of the answer is there, and raises the SDK's errors."""


class BodyTooLarge(ValueError):
    """An answer that is not streamed has more bytes than one may have."""


class NoEventStream(ValueError):
    """Something else than was asked for, such as a web page."""


class Answer(Protocol):
    """Reads an answer of the provider's protocol; `finished` once that says that it is whole."""

    finished: bool

    def pieces(self, data: bytes) -> Iterable[Piece]:
        """What an event of the stream says."""
        ...

    def whole(self, body: bytes) -> Iterable[Piece]:
        """What an answer says that was not streamed."""
        ...


class Endpoint:
    """Makes the calls of an adapter, and tells what goes wrong with them."""

    def __init__(self, failures: Failures, post: Post, coalescer: Coalescer) -> None:
        self.skipped = Skipped(failures.name, failures.redacted)
        self._failures = failures
        self._post = post
        self._coalescer = coalescer

    async def call(self, body: Body, answer: Answer) -> AsyncGenerator[Piece, None]:
        """Makes one call, streaming where the body asks for it, as `Provider.stream` says."""
        with self._failures.calling():
            response = await self._post(body)
        async with open_inflow(response, self._coalescer) as inflow:
            with self._failures.reading(answer):
                chunk = await _beginning(inflow)
                if _is_whole(response, chunk, streams=body["stream"]):
                    for piece in answer.whole(await _joined(chunk, inflow)):
                        yield piece
                    return
                decode = EventStreamDecoder().feed
                is_stream = False
                while chunk:
                    events = decode(chunk)
                    is_stream = is_stream or bool(events)
                    for name, data in events:
                        for piece in _pieces(answer, name, data):
                            yield piece
                            if not inflow.is_patient:
                                # Somebody who sees nothing yet waits for the first.
                                inflow.is_patient = not isinstance(piece, Usage)
                    if len(events) > 1:
                        # There may be more where that came from: who has fallen behind must not starve the others.
                        await asyncio.sleep(0)
                    chunk = b"" if answer.finished else await inflow.read()
                if not is_stream:
                    _look_at(response)
                for piece in await _rest(inflow, decode, answer):
                    yield piece


def with_extra(body: Body, extra: Mapping[str, Any]) -> Body:
    """The body with what is passed through; of an object that both have, with the members of both."""
    both = [name for name, value in extra.items() if isinstance(value, dict) and isinstance(body.get(name), dict)]
    return {**body, **extra, **{name: {**body[name], **extra[name]} for name in both}}


def data_url(source: Image | Document) -> str:
    """The address of an image or a document, or its bytes in the form of one (RFC 2397)."""
    return source["url"] if "url" in source else f"data:{source.get('media_type')};base64,{source.get('data')}"


async def _beginning(inflow: Inflow) -> bytes:
    """What the body begins with, as far as it tells what it is."""
    beginning = chunk = await inflow.read()
    while chunk and not beginning.strip(_BLANK) and len(beginning) < _MAX_BLANK_BYTES:
        chunk = await inflow.read()
        beginning += chunk
    return beginning


def _is_whole(response: httpx2.Response, beginning: bytes, *, streams: bool) -> bool:
    # There are servers that stream nothing, some that stream whatever is asked, and such as tell an error as JSON with
    # the status of success: no event stream begins with a brace.
    if streams:
        return beginning.lstrip(_BLANK).startswith(b"{")
    return not response.headers.get("content-type", "").lower().startswith("text/event-stream")


def _look_at(response: httpx2.Response) -> None:
    """Raises what it is in which there was no event."""
    content_type = response.headers.get("content-type", "")
    if content_type and not content_type.lower().startswith("text/event-stream"):
        raise NoEventStream(f"{content_type.partition(';')[0]} in place of an event stream")


def _pieces(answer: Answer, name: bytes, data: bytes) -> Iterable[Piece]:
    if name == b"error":
        raise ErrorEvent.of(data)
    return answer.pieces(data) if data else ()


async def _joined(beginning: bytes, inflow: Inflow) -> bytes:
    body = bytearray(beginning)
    while chunk := await inflow.read():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The answer has more than {MAX_BODY_BYTES:,} bytes.")
    return bytes(body.lstrip(_BLANK))


async def _rest(inflow: Inflow, decode: Callable[[bytes], list[ServerSentEvent]], answer: Answer) -> list[Piece]:
    """What comes after the finish: usage, and the end of the body, without which the connection cannot be used again.

    An answer that is finished does not fail any more, and waits for no server that keeps its stream open.
    """
    inflow.is_patient = False
    pieces: list[Piece] = []
    rest_bytes = 0
    with suppress(Exception):
        async with asyncio.timeout(_REST_SECONDS):
            while chunk := await inflow.read():
                rest_bytes += len(chunk)
                if rest_bytes > _MAX_REST_BYTES:
                    break
                for event in decode(chunk):
                    pieces += _pieces(answer, event.event, event.data)
    return pieces
