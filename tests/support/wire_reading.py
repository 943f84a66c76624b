"""What an adapter reads from the bytes of a case, without a network."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tailrace.api_kinds import ApiKind
from tailrace.errors import ProviderError
from tailrace_worker.providers.base import Alive, Piece
from tests.recorded.folded import Folded
from tests.support.wire import EVENT_STREAM, Client, adapter, asking, pieces_of
from tests.support.wire_case import WireCase, called


async def reading(case: WireCase, chunks: Sequence[bytes]) -> tuple[Folded, ProviderError | None]:
    """Read an answer that comes in these chunks: what was read of it, and how it failed."""
    is_json = b"application/json" in case.answers[0].partition(b"\r\n\r\n")[0]
    client = Client(chunks, content_type="application/json" if is_json else EVENT_STREAM)
    answer = Folded()
    try:
        async for piece in pieces_of(adapter(case.kind, client), case.asking()):
            answer.add(piece)
    except ProviderError as error:
        return answer, error
    return answer, None


def check_cut(case: WireCase, places: Sequence[int], *, crlf: bool) -> None:
    """Check that an answer means the same if it is cut at these places, with line ends of either kind."""
    body = case.body()
    chunks = cut(body.replace(b"\n", b"\r\n") if crlf else body, places)

    answer, error = asyncio.run(reading(case, chunks))
    right, failed = asyncio.run(reading(case, [body]))

    assert (answer, error and error.code) == (right, failed and failed.code)


async def heard(case: WireCase, chunks: Sequence[bytes]) -> Mapping[str, Any]:
    """Return what was read of an answer that comes in these chunks, by the names of a case's `right`."""
    answer, failure = await reading(case, chunks)
    finish = answer.finishes[-1] if answer.finishes else None
    return {
        "text": answer.text,
        "reasoning": answer.reasoning,
        "refusal": answer.refusal,
        "blocks": [[block["text"], block.get("signature")] for block in answer.blocks],
        "signed": [block.get("signature") for block in answer.blocks],
        "notices": answer.notices,
        "tools": called(answer.calls.values()),
        "finish": finish.reason if finish and not failure else "BROKEN",
        "word": finish.provider_reason if finish else None,
        "ending": "failed" if failure else "completed",
        "code": str(failure.code) if failure else None,
        "retryable": failure.retryable if failure else None,
        "says": str(failure) if failure else "",
        "usage": [answer.usage.input_tokens, answer.usage.output_tokens],
        "cached": [answer.usage.cached_input_tokens, answer.usage.cache_write_input_tokens],
    }


async def signs(kind: ApiKind, event: bytes) -> list[Piece | Alive]:
    """Return what an adapter says of this one event, which is no end."""
    pieces = adapter(kind, Client([event])).stream(asking(kind))
    return [await anext(pieces)]


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    """Return a body in chunks that end at these places."""
    ends = sorted({place % (len(body) + 1) for place in places})
    return [chunk for begin, end in zip([0, *ends], [*ends, len(body)], strict=True) if (chunk := body[begin:end])]
