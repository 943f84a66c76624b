"""`FaultyProvider`: a server that speaks the providers' protocols, and does what providers do wrong."""

import json
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeAlias

from tailrace.api_kinds import ApiKind
from tests.support.faulty_bodies import BODY_FAULTS, FaultyBody
from tests.support.faulty_streams import STREAM_FAULTS, FaultyStream
from tests.support.raw_server import Peer, raw_server
from tests.support.whole_answers import whole_answer

WORDS: Final = 6
"""How many words an answer has."""
_KINDS: Final[Mapping[str, ApiKind]] = {
    "/v1/chat/completions": "openai",
    "/v1/responses": "openai-responses",
    "/v1/messages": "anthropic",
}

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
        is_right = when == "once" and number > 1
        answer = whole_answer(kind, words)
        if body.get("stream"):
            stream = FaultyStream(peer=peer, kind=kind, answer=answer, heard=lambda: self._heard(model, number))
            await (FaultyStream.whole if is_right else STREAM_FAULTS[fault])(stream)
        else:
            await (FaultyBody.whole if is_right else BODY_FAULTS[fault])(
                FaultyBody(peer=peer, kind=kind, answer=answer)
            )


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
