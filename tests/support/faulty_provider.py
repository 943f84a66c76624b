"""`FaultyProvider`: a server that speaks the providers' protocols, and does what providers do wrong."""

import json
import socket
import struct
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from tailrace.api_kinds import ApiKind
from tests.support.raw_server import END, HEAD, Peer, chunk, raw_server
from tests.support.whole_answers import WholeAnswer, whole_answer
from tests.support.wire import sse

WORDS: Final = 6
"""How many words an answer has."""
_KINDS: Final[Mapping[str, ApiKind]] = {
    "/v1/chat/completions": "openai",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic",
}
_CHUNKED: Final = HEAD + b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n"
_RESET: Final = struct.pack("ii", 1, 0)
"""To linger for no time: the connection is reset when it is closed."""
_PASSES: Final[Mapping[ApiKind, object]] = {
    "openai": {"error": {"message": "We had an error.", "type": "server_error", "param": None, "code": None}},
    "openai-responses": {"type": "error", "code": "server_error", "message": "We had an error.", "param": None},
    "anthropic": {"type": "error", "error": {"type": "api_error", "message": "We had an error."}},
}
_STAYS: Final[Mapping[ApiKind, object]] = {
    "openai": {"error": {"message": "Not so.", "type": "invalid_request_error", "param": None, "code": None}},
    "openai-responses": {"type": "error", "code": "invalid_prompt", "message": "Not so.", "param": None},
    "anthropic": {"type": "error", "error": {"type": "invalid_request_error", "message": "Not so."}},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyCall:
    """One call of the provider."""

    peer: Peer
    kind: ApiKind
    answer: WholeAnswer
    heard: Callable[[], Awaitable[None]]
    """Returns once the job has some of the answer's text."""

    async def whole(self) -> None:
        """Answers as it should."""
        await self.peer.say(_CHUNKED, *map(chunk, self.answer.events), END)

    async def begin(self) -> None:
        """Says the first half of the answer's text."""
        await self.peer.say(_CHUNKED, *map(chunk, self._first))
        await self.heard()

    async def cut_inside(self) -> None:
        event = self.answer.texts[self._half]
        await self.begin()
        await self.peer.say(chunk(event)[: len(event) // 2])

    async def cut_between(self) -> None:
        await self.begin()

    async def reset(self) -> None:
        await self.begin()
        connection: socket.socket = self.peer.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.peer.writer.transport.abort()

    async def end_early(self) -> None:
        await self.begin()
        await self.peer.say(END)

    async def fall_silent(self) -> None:
        await self.begin()
        await self.peer.left()

    async def say_nothing(self) -> None:
        await self.peer.say(_CHUNKED)
        await self.peer.left()

    async def tell_passing_error(self) -> None:
        await self.begin()
        await self.peer.say(chunk(sse(_PASSES[self.kind])), END)

    async def tell_lasting_error(self) -> None:
        await self.begin()
        await self.peer.say(chunk(sse(_STAYS[self.kind])), END)

    async def cut_json(self) -> None:
        await self.begin()
        *_, before, event = self.answer.texts
        await self.peer.say(chunk(before.rstrip()[:-8] + b"\n\n"), chunk(event), *map(chunk, self.answer.closing), END)

    async def break_framing(self) -> None:
        await self.begin()
        await self.peer.say(b"so long\r\n", self.answer.texts[self._half], b"\r\n", END)

    async def repeat(self) -> None:
        twice = [event for event in self.answer.events for _ in range(2)]
        await self.peer.say(_CHUNKED, *map(chunk, twice), END)

    async def swap(self) -> None:
        texts = list(self.answer.texts)
        texts[2:4] = reversed(texts[2:4])
        await self.peer.say(_CHUNKED, *map(chunk, [*self.answer.opening, *texts, *self.answer.closing]), END)

    async def say_more(self) -> None:
        await self.peer.say(_CHUNKED, *map(chunk, [*self.answer.events, *self.answer.texts]), END)

    async def end_empty(self) -> None:
        await self.peer.say(_CHUNKED, END)

    async def send_error_body(self) -> None:
        await self._send("application/json", json.dumps(_PASSES[self.kind]).encode())

    async def send_page(self) -> None:
        await self._send("text/html", b"<!doctype html><title>Maintenance</title><p>We are back soon.</p>")

    async def _send(self, content_type: str, body: bytes) -> None:
        head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        await self.peer.say(head.encode(), b"connection: close\r\n\r\n", body)

    @property
    def _half(self) -> int:
        return len(self.answer.texts) // 2

    @property
    def _first(self) -> list[bytes]:
        return [*self.answer.opening, *self.answer.texts[: self._half]]


FAULTS: Final[Mapping[str, Callable[[FaultyCall], Awaitable[None]]]] = {
    "closes the connection inside an event, after text": FaultyCall.cut_inside,
    "closes the connection between events, after text": FaultyCall.cut_between,
    "resets the connection, after text": FaultyCall.reset,
    "ends the stream without its last event, after text": FaultyCall.end_early,
    "sends a chunk that breaks the framing of HTTP, after text": FaultyCall.break_framing,
    "sends an event whose JSON is cut, after text": FaultyCall.cut_json,
    "sends an error event that may pass, after text": FaultyCall.tell_passing_error,
    "sends an error event that will not pass, after text": FaultyCall.tell_lasting_error,
    "is silent, after text": FaultyCall.fall_silent,
    "is silent after the headers": FaultyCall.say_nothing,
    "ends a stream without any event": FaultyCall.end_empty,
    "sends an error as JSON, with status 200": FaultyCall.send_error_body,
    "sends a web page, with status 200": FaultyCall.send_page,
    "sends text after the last event": FaultyCall.say_more,
    "sends each event twice": FaultyCall.repeat,
    "swaps two events": FaultyCall.swap,
}
"""What a provider does wrong, in the words of the documentation."""

Heard: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Returns once the job with this model has some text of the call with this number."""


class FaultyProvider:
    """The server. A request's model names the fault: `FAULT/always/NAME`, or `FAULT/once/NAME` for the first call only.

    Each word that it says names its call and its place in the answer: `2.0 2.1`. If a request to Messages ends with the
    beginning of the answer, only the rest is said.
    """

    def __init__(self, heard: Heard) -> None:
        self.url = ""
        self.calls = Counter[str]()
        """How often it was called, by model."""
        self._heard = heard

    async def serve(self, peer: Peer) -> None:
        """Serves a connection."""
        path, sent = await peer.request()
        body = json.loads(sent)
        model: str = body["model"]
        self.calls[model] += 1
        number = self.calls[model]
        *_, fault, when, _ = model.split("/")
        said = len(_prefilled(body).split())
        words = [f"{' ' if place else ''}{number}.{place}" for place in range(said, WORDS)]
        kind = _KINDS[path]
        call = FaultyCall(
            peer=peer, kind=kind, answer=whole_answer(kind, words), heard=lambda: self._heard(model, number)
        )
        if when == "once" and number > 1:
            await call.whole()
        else:
            await FAULTS[fault](call)


def _prefilled(body: Mapping[str, Any]) -> str:
    """What a request to Messages says as the beginning of the answer."""
    messages: list[dict[str, Any]] = body.get("messages", [])
    if not messages or messages[-1]["role"] != "assistant":
        return ""
    content: Any = messages[-1]["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@asynccontextmanager
async def faulty_provider(heard: Heard) -> AsyncGenerator[FaultyProvider]:
    """Serves it."""
    provider = FaultyProvider(heard)
    async with raw_server(provider.serve) as provider.url:
        yield provider
