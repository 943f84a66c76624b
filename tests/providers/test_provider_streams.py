"""What the adapters read from streams that no recording shows."""

import json
import subprocess
import sys

import pytest

from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Delta, FinishReason, Refusal, ToolCall
from tailrace_worker.provider import Finish, Piece, Usage
from tests.providers.wire_server import asking, providers_at, saying


def chunk(delta: object = None, finish_reason: str | None = None, **fields: object) -> dict[str, object]:
    choice: dict[str, object] = {"index": 0, "delta": delta or {}, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice], **fields}


def sse(*events: object) -> str:
    def lines(event: object) -> str:
        kind = f"event: {event['type']}\n" if isinstance(event, dict) and "type" in event else ""
        return f"{kind}data: {json.dumps(event)}\n\n"

    return "".join(map(lines, events))


TEXT = chunk({"content": "Hi"})
STOP = chunk(finish_reason="stop")
USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}
HI = Delta(text="Hi")
STOPPED = Finish(reason="stop", provider_reason="stop")
USED = Usage(input_tokens=3, output_tokens=5)

START = {"type": "message_start", "message": {"usage": {"input_tokens": 3, "output_tokens": 1}}}
BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
SAID = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}
LAST = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
END = {"type": "message_stop"}


async def pieces(provider: str, body: str, monkeypatch: pytest.MonkeyPatch) -> list[Piece]:
    async with providers_at(saying(body), monkeypatch) as providers:
        return [piece async for piece in providers[provider].stream(asking(provider))]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([TEXT, STOP, {"choices": (), "usage": USAGE}], [HI, STOPPED, USED]),
        ([TEXT, {**STOP, "usage": USAGE}], [HI, STOPPED, USED]),
        ([chunk(usage=USAGE), TEXT, STOP], [USED, HI, STOPPED]),
        ([{"object": "a.new.kind", "news": 1}, 7, None, TEXT, STOP], [HI, STOPPED]),
        ([{"choices": None}, chunk({"role": "assistant", "content": ""}), TEXT, STOP], [HI, STOPPED]),
        ([TEXT, STOP, STOP, TEXT], [HI, STOPPED]),
        (
            [chunk({"refusal": "No."}), STOP],
            [Refusal(text="No."), Finish(reason="refusal", provider_reason="stop")],
        ),
        (
            [chunk({"tool_calls": [{"index": 1, "id": "c", "function": {"name": "f"}}]}), STOP],
            [ToolCall(index=1, call_id="c", name="f"), STOPPED],
        ),
    ],
)
async def test_a_chat_completion_is_read_whatever_else_comes(
    events: list[object], expected: list[Piece], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await pieces("openai", sse(*events), monkeypatch) == expected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"type": "ping"}, {"type": "a_new_event", "index": 0}, BLOCK, SAID, LAST, END], [HI]),
        ([BLOCK, {**SAID, "delta": {"type": "text_delta", "text": ""}}, SAID, LAST, END], [HI]),
        ([BLOCK, {**SAID, "delta": {"type": "thinking_delta", "thinking": ""}}, SAID, LAST, END], [HI]),
        (
            [
                {"type": "content_block_start", "index": 0, "content_block": {"type": "a_new_block"}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "a_new_delta", "text": "?"}},
                {"type": "content_block_delta", "index": 0, "delta": {"type": "input_json_delta", "partial_json": "{"}},
                {"type": "content_block_stop", "index": 0},
                {**BLOCK, "index": 1},
                {**SAID, "index": 1},
                LAST,
                END,
            ],
            [HI],
        ),
        ([{**BLOCK, "content_block": {"type": "text", "text": "Hi"}}, LAST, END], [HI]),
    ],
)
async def test_a_message_is_read_whatever_else_comes(
    events: list[object], expected: list[Piece], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await pieces("anthropic", sse(START, *events), monkeypatch) == [
        Usage(input_tokens=3),
        *expected,
        Usage(output_tokens=5),
        Finish(reason="stop", provider_reason="end_turn"),
    ]


@pytest.mark.parametrize(
    ("provider", "word", "reason"),
    [
        ("openai", "length", "length"),
        ("openai", "tool_calls", "tool_calls"),
        ("openai", "function_call", "tool_calls"),
        ("openai", "content_filter", "content_filter"),
        ("openai", "a_new_word", "stop"),
        ("anthropic", "max_tokens", "length"),
        ("anthropic", "model_context_window_exceeded", "length"),
        ("anthropic", "tool_use", "tool_calls"),
        ("anthropic", "refusal", "refusal"),
        ("anthropic", "pause_turn", "stop"),
        ("anthropic", "a_new_word", "stop"),
    ],
)
async def test_a_finish_reason_is_one_of_five_and_keeps_the_providers_word(
    provider: str, word: str, reason: FinishReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = {
        "openai": sse(TEXT, chunk(finish_reason=word)),
        "anthropic": sse(START, {**LAST, "delta": {"stop_reason": word}}, END),
    }[provider]

    assert (await pieces(provider, body, monkeypatch))[-1] == Finish(reason=reason, provider_reason=word)


@pytest.mark.parametrize(
    ("provider", "body"),
    [
        ("openai", sse(TEXT, {"choices": [7]})),
        ("openai", sse(TEXT, {"choices": 7})),
        ("openai", sse(TEXT, {"choices": [{"delta": None}]})),
        ("openai", "data: {\n\n"),
        ("anthropic", sse(START, {"type": "content_block_delta"})),
        ("anthropic", sse({"type": "message_start", "message": None})),
        ("anthropic", "event: message_start\ndata: {\n\n"),
    ],
)
async def test_an_event_of_a_wrong_shape_is_malformed(
    provider: str, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProviderError) as raised:
        await pieces(provider, body, monkeypatch)

    assert raised.value.code is FailureCode.PROVIDER_MALFORMED


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize("body", ["", "<html>Welcome</html>", '{"error": {"message": "no"}}'])
async def test_an_answer_without_a_single_event_is_interrupted(
    provider: str, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ProviderError) as raised:
        await pieces(provider, body, monkeypatch)

    assert raised.value.code is FailureCode.PROVIDER_INTERRUPTED


def test_the_sdks_are_loaded_when_providers_are_opened_and_not_before() -> None:
    script = "import sys, tailrace_worker.providers; print({'openai', 'anthropic'} & set(sys.modules))"

    loaded = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert loaded.stdout.strip() == "set()"
