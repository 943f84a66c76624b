"""One provider's API: a request goes out through its SDK, the bytes of the answer come back raw."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, suppress
from typing import Any, Final, Protocol, TypeAlias, cast

import httpx2

from tailrace.messages import Document, Image
from tailrace_worker.provider import Piece
from tailrace_worker.providers.event_stream import EventStreamDecoder, ServerSentEvent
from tailrace_worker.providers.failures import ErrorEvent, Failures
from tailrace_worker.providers.vocabulary import Skipped

MAX_BODY_BYTES: Final = 64 * 1024 * 1024
"""How large an answer may be that is not streamed."""

_REST_SECONDS: Final = 2.0
_MAX_REST_BYTES: Final = 1024 * 1024

Body: TypeAlias = dict[str, Any]
"""A request as the provider takes it."""
Post: TypeAlias = Callable[[Body], Awaitable[httpx2.Response]]
"""Sends a request through the SDK; returns once the head of the answer is there, and raises the SDK's errors."""


class BodyTooLarge(ValueError):
    """An answer that is not streamed has more bytes than one may have."""


class Answer(Protocol):
    """Reads an answer of the provider's protocol; `finished` once that says that it is whole."""

    finished: bool

    def pieces(self, event: ServerSentEvent) -> Iterable[Piece]:
        """What an event of the stream says."""
        ...

    def whole(self, body: bytes) -> Iterable[Piece]:
        """What an answer says that was not streamed."""
        ...


class Endpoint:
    """Makes the calls of an adapter, and tells what goes wrong with them."""

    def __init__(self, failures: Failures, post: Post) -> None:
        self.skipped = Skipped(failures.name)
        self._failures = failures
        self._post = post

    async def call(self, body: Body, answer: Answer) -> AsyncGenerator[Piece, None]:
        """Makes one call, streaming where the body asks for it, as `Provider.stream` says."""
        with self._failures.calling():
            response = await self._post(body)
        try:
            with self._failures.reading(answer):
                async with aclosing(_chunks(response)) as chunks:
                    chunk = await anext(chunks, b"")
                    if _is_whole(response, chunk, streams=body["stream"]):
                        for piece in answer.whole(await _joined(chunk, chunks)):
                            yield piece
                        return
                    decode = EventStreamDecoder().feed
                    while chunk:
                        events = decode(chunk)
                        for event in events:
                            for piece in _pieces(answer, event):
                                yield piece
                        if len(events) > 1:
                            # There may be more where that came from: who has fallen behind must not starve the others.
                            await asyncio.sleep(0)
                        chunk = b"" if answer.finished else await anext(chunks, b"")
                    for piece in await _rest(chunks, decode, answer):
                        yield piece
        finally:
            with suppress(Exception):
                await response.aclose()


def data_url(source: Image | Document) -> str:
    """The address of an image or a document, or its bytes in the form of one (RFC 2397)."""
    return source["url"] if "url" in source else f"data:{source.get('media_type')};base64,{source.get('data')}"


def _chunks(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    """The bytes of a body as they come, never none: by the shortest way where nothing has to be decoded."""
    if "content-encoding" in response.headers:
        return response.aiter_bytes()
    return cast("AsyncGenerator[bytes, None]", aiter(cast("httpx2.AsyncByteStream", response.stream)))


def _is_whole(response: httpx2.Response, beginning: bytes, *, streams: bool) -> bool:
    # There are servers that stream nothing, some that stream whatever is asked, and such as tell an error as JSON with
    # the status of success: no event stream begins with a brace.
    if streams:
        return beginning.lstrip().startswith(b"{")
    return not response.headers.get("content-type", "").lower().startswith("text/event-stream")


def _pieces(answer: Answer, event: ServerSentEvent) -> Iterable[Piece]:
    if event.event == b"error":
        raise ErrorEvent.of(event.data)
    return answer.pieces(event) if event.data else ()


async def _joined(beginning: bytes, chunks: AsyncIterator[bytes]) -> bytes:
    body = bytearray(beginning)
    async for chunk in chunks:
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise BodyTooLarge(f"The answer has more than {MAX_BODY_BYTES:,} bytes.")
    return bytes(body)


async def _rest(
    chunks: AsyncIterator[bytes], decode: Callable[[bytes], list[ServerSentEvent]], answer: Answer
) -> list[Piece]:
    """What comes after the finish: usage, and the end of the body, without which the connection cannot be used again.

    An answer that is finished does not fail any more, and waits for no server that keeps its stream open.
    """
    pieces: list[Piece] = []
    rest_bytes = 0
    with suppress(Exception):
        async with asyncio.timeout(_REST_SECONDS):
            async for chunk in chunks:
                rest_bytes += len(chunk)
                if rest_bytes > _MAX_REST_BYTES:
                    break
                for event in decode(chunk):
                    pieces += _pieces(answer, event)
    return pieces
