"""The adapters without a network: an SDK's client that hands over bytes, and what is made of them."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, suppress
from types import SimpleNamespace
from typing import Any

import httpx2

from tailrace.api_kinds import ApiKind
from tailrace.errors import ProviderError
from tailrace.request.generation_request import GenerationRequest
from tailrace_worker.providers.anthropic.adapter import AnthropicMessages
from tailrace_worker.providers.base import Alive, Piece, Provider
from tailrace_worker.providers.errors import Failures
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.wake_batcher import WakeBatcher
from tailrace_worker.providers.openai_chat.adapter import OpenAIChat
from tailrace_worker.providers.openai_responses.adapter import OpenAIResponses

EVENT_STREAM = "text/event-stream; charset=utf-8"
ADAPTERS: dict[ApiKind, Any] = {
    "openai": OpenAIChat,
    "openai-responses": OpenAIResponses,
    "anthropic": AnthropicMessages,
}


class Client:
    """Stands in for an SDK's client: answers with these chunks, and then with this error."""

    def __init__(
        self, chunks: Sequence[bytes], *, content_type: str = EVENT_STREAM, error: Exception | None = None
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.chunks = Chunks(chunks, error)
        headers = {"content-type": content_type} if content_type else {}
        self.response = httpx2.Response(200, headers=headers, stream=self.chunks)

    async def post(self, _path: str, *, content: bytes, **_: object) -> Any:
        self.bodies.append(json.loads(content))
        return SimpleNamespace(response=self.response)


class Chunks(httpx2.AsyncByteStream):
    """A body as it arrives; `taken` counts what was read of it."""

    def __init__(self, chunks: Sequence[bytes], error: Exception | None) -> None:
        self.taken = 0
        self._chunks = chunks
        self._error = error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            self.taken += 1
            yield chunk
        if self._error is not None:
            raise self._error


def adapter(kind: ApiKind, client: Client, *, limits: AnswerLimits | None = None) -> Provider:
    """The adapter of a kind, on such a client."""
    failures = Failures("Acme", key_variables=("ACME_KEY",), url="ACME_URL")
    provider: Provider = ADAPTERS[kind](client, failures, WakeBatcher(interval_ms=0), limits=limits)
    return provider


async def pieces_of(provider: Provider, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
    """What readers get of an answer."""
    async with aclosing(provider.stream(request)) as pieces:
        async for piece in pieces:
            if not isinstance(piece, Alive):
                yield piece


def skipped(provider: Provider) -> dict[str, int]:
    """What it skipped, by kind."""
    adapter: Any = provider
    return dict(adapter.skipped.counts)


def asking(kind: str, **fields: object) -> GenerationRequest:
    """The simplest request, but for these fields."""
    simplest = {"provider": kind, "model": "a-model", "messages": [{"role": "user", "content": "Hi"}]}
    return GenerationRequest.model_validate({**simplest, **fields})


async def read(kind: ApiKind, *chunks: bytes, stream: bool = True) -> list[Piece]:
    """What an adapter reads from these bytes."""
    client = Client(chunks, content_type=EVENT_STREAM if stream else "application/json")
    return [piece async for piece in pieces_of(adapter(kind, client), asking(kind, stream=stream))]


async def sent(kind: ApiKind, **fields: object) -> dict[str, Any]:
    """The body that an adapter makes of a request."""
    client = Client(())
    pieces = adapter(kind, client).stream(asking(kind, **fields))
    with suppress(ProviderError):
        await anext(pieces)
    (body,) = client.bodies
    return body


def sse(*events: object) -> bytes:
    """An event stream; what has a `type` gets its name."""

    def lines(event: object) -> str:
        name = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        return f"{name}data: {json.dumps(event)}\n\n"

    return "".join(map(lines, events)).encode()
