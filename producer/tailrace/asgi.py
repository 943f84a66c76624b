"""`stream`: a job as the response of any ASGI web framework, without importing one."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import parse_qs

from tailrace.cursor import BEGINNING, EntryId
from tailrace.encoders.base import KEEP_ALIVE, Encoder, ReplayFrom
from tailrace.encoders.restarts import Restarts
from tailrace.encoders.sse import SseEncoder
from tailrace.errors import InfrastructureError, InvalidCursor, JobNotFound
from tailrace.events import Event, KeepAlive, Queued
from tailrace.job import Job

__all__ = ["EventStream", "Request", "stream"]

KEEP_ALIVE_SECONDS: Final = 10.0
"""The silence in seconds after which a stream sends a comment. Proxies cut silent connections after 30 to 60 s."""
STATUS_SECONDS: Final = 5.0
"""How long the status waits for an attempt to start, in seconds. Errors before that become an HTTP status."""
STREAM_HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/event-stream",
    "cache-control": "no-cache, no-transform",
    "x-accel-buffering": "no",
}
"""The headers of every stream, so that no proxy buffers, stores or compresses it."""
_UNAVAILABLE: Final = "The job cannot be read at the moment. Try again after Retry-After seconds."

# Each framework has types of its own for what ASGI passes as dicts.
_Receive: TypeAlias = Callable[[], Awaitable[Any]]
_Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Request(Protocol):
    """A request of any ASGI framework. Those of FastAPI, Starlette, Litestar and Django have a `scope`."""

    @property
    def scope(self) -> Any:
        """The scope of the connection: a mapping, as ASGI describes it."""
        ...


class EventStream:
    """A response that streams a job. `stream` returns it.

    It is an ASGI application, which Starlette and Litestar accept as a response. Other frameworks need the three parts
    of a streaming response: `status`, `headers`, and the object itself as the asynchronous iterable of the body.

    Args:
        status: The HTTP status.
        headers: The headers, with names in lower case.
        body: The parts of the body. It can be read only once.
    """

    def __init__(self, status: HTTPStatus, headers: Mapping[str, str], body: AsyncGenerator[bytes, None]) -> None:
        self.status: int = status.value
        """The HTTP status: 200, 204, 400, 404 or 503."""
        self.headers: Mapping[str, str] = headers
        """The headers, with names in lower case."""
        self._body = body

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._body

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:  # noqa: ARG002 - ASGI passes it
        """Send the response, until it ends or the client leaves. The job goes on in either case.

        Args:
            scope: The scope of the connection.
            receive: Returns a message when the client has left.
            send: Sends a part of the response. While the client is slow it waits, and the events wait in Redis.
        """
        connected = asyncio.timeout(None)
        try:
            async with connected, aclosing(self._body):
                watching = asyncio.create_task(_watch(receive, connected))
                try:
                    await self._send(send)
                finally:
                    watching.cancel()
        except TimeoutError:
            if not connected.expired():
                raise

    async def _send(self, send: _Send) -> None:
        headers = [(name.encode(), value.encode()) for name, value in self.headers.items()]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        async for chunk in self._body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


async def stream(job: Job, request: Request, encoder: Encoder | None = None) -> EventStream:
    """Stream a job to a client: its events so far, and then each new event, up to the ending.

    The status is decided before this returns: at once if an attempt has started, otherwise after up to 5 s. A silent
    stream has a comment every 10 s. A client that leaves or is slow does not affect the job or other clients.

    Args:
        job: The job.
        request: The web request. Its header `Last-Event-ID`, or else its query parameter `after`, is the cursor after
            which the events begin, if the protocol can resume at a cursor.
        encoder: The encoder of the protocol; by default `SseEncoder()`. Each response needs an encoder of its own.

    Returns:
        The response. Its status is 200; 204 if the cursor is at the ending, which stops the `EventSource` of a browser;
        400 if the cursor is malformed or ahead of the stream; 404 if the job has no stream; 503 if Redis cannot be
        read.
    """
    encoder = SseEncoder() if encoder is None else encoder
    named = {"x-tailrace-job": job.id}
    body = _frames(job, request.scope, encoder)
    try:
        # It yields once before the first bytes, as soon as the status is known.
        await anext(body)
    except StopAsyncIteration:
        return EventStream(HTTPStatus.NO_CONTENT, named, _chunks())
    except InvalidCursor as error:
        return _error(HTTPStatus.BAD_REQUEST, "invalid_cursor", str(error), named)
    except JobNotFound as error:
        return _error(HTTPStatus.NOT_FOUND, "job_not_found", str(error), named)
    except (InfrastructureError, TimeoutError):
        # The messages of these errors name hosts, which clients must not learn.
        return _error(HTTPStatus.SERVICE_UNAVAILABLE, "unavailable", _UNAVAILABLE, {**named, "retry-after": "1"})
    return EventStream(HTTPStatus.OK, {**STREAM_HEADERS, **encoder.headers, **named}, body)


async def _frames(job: Job, scope: Any, encoder: Encoder) -> AsyncGenerator[bytes, None]:
    """Yield nothing if no event will come. Otherwise yield empty bytes once the status is known, and then the body."""
    deadline = asyncio.get_running_loop().time() + STATUS_SECONDS
    async with asyncio.timeout_at(deadline):
        after = await _cursor(job, scope, encoder.replay_from)
        tail = await job.open_tail(after=after, keep_alive_seconds=KEEP_ALIVE_SECONDS)
    async with tail:
        if tail.at_end:
            return
        first = [encoder.opening]
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                async for event in tail:
                    first.append(_frame(encoder, event))
                    if not isinstance(event, Queued):
                        break
        yield b""
        if frames := b"".join(first):
            yield frames
        try:
            async for event in tail:
                if frames := _frames_of(encoder, [event, *tail.take_ready()]):
                    yield frames
                if encoder.is_over:
                    return
        except (JobNotFound, InfrastructureError):
            if frames := encoder.broken_off():
                yield frames


def _frames_of(encoder: Encoder, events: Iterable[Event | KeepAlive]) -> bytes:
    """Return the frames of events that are ready together, until the encoder is over."""
    frames: list[bytes] = []
    for event in events:
        frames.append(_frame(encoder, event))
        if encoder.is_over:
            break
    return b"".join(frames)


def _frame(encoder: Encoder, event: Event | KeepAlive) -> bytes:
    return KEEP_ALIVE if isinstance(event, KeepAlive) else encoder.encode(event)


async def _cursor(job: Job, scope: Any, replay_from: ReplayFrom) -> str | EntryId:
    """Return the cursor after which the events of a response begin."""
    match replay_from:
        case ReplayFrom.CURSOR:
            headers: dict[bytes, bytes] = dict(scope["headers"])
            given = headers.get(b"last-event-id") or parse_qs(scope["query_string"]).get(b"after", [b""])[-1]
            return given.decode("latin-1") or BEGINNING
        case ReplayFrom.BEGINNING:
            return BEGINNING
        case ReplayFrom.LAST_RESTART:
            return await last_restart(job)


async def last_restart(job: Job) -> EntryId:
    """Find the position at which a response begins that replays only the attempts that count.

    Args:
        job: The job.

    Returns:
        The position before the entry of the last restart.

    Raises:
        JobNotFound: The job has no stream.
        BrokerUnavailable: Redis cannot be reached.
        BrokerRefused: Redis refused to read the stream.
    """
    newest = (await job.status()).cursor
    cursor = BEGINNING
    if newest.attempt > 1:
        restarts = Restarts()
        async with job.tail() as tail:
            async for event in tail:
                if restarts.is_restart(event):
                    cursor = EntryId(event.id.attempt, event.id.seq - 1)
                if event.id >= newest:
                    break
    return cursor


async def _watch(receive: _Receive, connected: asyncio.Timeout) -> None:
    """Wait until the client leaves, and then end what `connected` surrounds."""
    while (await receive())["type"] != "http.disconnect":
        pass
    connected.reschedule(0)


def _error(status: HTTPStatus, code: str, message: str, headers: Mapping[str, str]) -> EventStream:
    body = json.dumps({"error": {"code": code, "message": message}}).encode()
    return EventStream(status, {"content-type": "application/json", **headers}, _chunks(body))


async def _chunks(*chunks: bytes) -> AsyncGenerator[bytes, None]:
    for chunk in chunks:
        yield chunk
