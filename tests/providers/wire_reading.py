"""What an adapter reads from the bytes of a case, without a network."""

import json
from collections.abc import Sequence
from typing import Any

from tailrace.errors import ProviderError
from tailrace.support import ApiKind
from tailrace_worker.provider import Alive, Piece
from tests.providers.wire import EVENT_STREAM, Client, adapter, asking, pieces_of
from tests.providers.wire_case import WireCase
from tests.recorded.folded import Folded, folded


async def reading(case: WireCase, chunks: Sequence[bytes]) -> tuple[Folded, ProviderError | None]:
    """Read an answer that comes in these chunks: what was told of it, and how it failed."""
    content_type = EVENT_STREAM if b"event-stream" in case.answers[0].partition(b"\r\n\r\n")[0] else "application/json"
    provider = adapter(case.kind, Client(chunks, content_type=content_type))
    pieces: list[Any] = []
    try:
        async for piece in pieces_of(provider, case.asking()):
            pieces.append(piece)  # noqa: PERF401 - what came before an error is kept
    except ProviderError as error:
        return folded(pieces), error
    return folded(pieces), None


async def signs(kind: ApiKind, event: bytes) -> list[Piece | Alive]:
    """Return what an adapter says of this one event, which is no end."""
    pieces = adapter(kind, Client([event])).stream(asking(kind))
    return [await anext(pieces)]


async def wrong(case: WireCase) -> list[str]:
    """Say what is not right with an answer that comes in one chunk."""
    answer, error = await reading(case, [case.body()])
    found = _found(answer, error)
    for (call_id, *_), call in zip(case.right.get("tools", ()), found["tools"], strict=False):
        # An id that the server does not give is whichever id the call gets.
        call[0] = call[0] and call_id
    return [
        f"{name}: read {found[name]!r}, right is {right!r}"
        for name, right in case.right.items()
        if found[name] != right
    ]


def _found(answer: Folded, error: ProviderError | None) -> dict[str, Any]:
    finish = answer.finishes[-1] if answer.finishes else None
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "refusal": answer.refusal,
        "blocks": [[block["text"], block.get("signature")] for block in answer.blocks],
        "notices": answer.notices,
        "tools": [[call.call_id, call.name, _parsed(call.arguments)] for call in answer.calls.values()],
        "finish": "BROKEN" if error or not finish else finish.reason,
        "word": finish.provider_reason if finish else None,
        "code": error.code if error else None,
        "usage": [answer.usage.input_tokens, answer.usage.output_tokens],
        "cached": [answer.usage.cached_input_tokens, answer.usage.cache_write_input_tokens],
    }


def _parsed(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """Return a body in chunks that end at these places."""
    ends = sorted({place % (len(body) + 1) for place in places})
    return [chunk for begin, end in zip([0, *ends], [*ends, len(body)], strict=True) if (chunk := body[begin:end])]
