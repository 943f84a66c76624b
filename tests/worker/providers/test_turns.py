"""A stream that has much to say at once lets others have their turn."""

import asyncio

import pytest

from tailrace.api_kinds import API_KINDS, ApiKind
from tests.support.wire import read, sse

CHUNKS = 50


@pytest.mark.parametrize("kind", API_KINDS)
async def test_between_two_chunks_of_several_events_all_others_get_their_turn(kind: ApiKind) -> None:
    pieces = {
        "openai": [sse({"choices": [{"delta": {"content": "Hi"}}]}) * 2] * CHUNKS
        + [sse({"choices": [{"delta": None, "finish_reason": "stop"}]})],
        "openai-responses": [sse({"type": "response.output_text.delta", "delta": "Hi"}) * 2] * CHUNKS
        + [sse({"type": "response.completed", "response": {"status": "completed", "output": []}})],
        "anthropic": [
            sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}) * 2
        ]
        * CHUNKS
        + [sse({"type": "message_stop"})],
    }[kind]
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    said = await read(kind, *pieces)
    task.cancel()
    assert len(said) >= 2 * CHUNKS
    assert turns >= CHUNKS
