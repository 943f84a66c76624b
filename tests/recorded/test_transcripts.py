"""Every recorded stream, against what the official SDKs themselves make of it and what the index says."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, LengthFinishReasonError
from openai.types.chat import ChatCompletion

from tailrace.events import FinishReason
from tailrace_worker.provider import Finish, Provider
from tests.recorded.folded import Call, asking, folded
from tests.recorded.replay import Transcript, needed, transcripts

needed()

CHAT_REASONS: dict[str, FinishReason] = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}
MESSAGES_REASONS: dict[str, FinishReason] = {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls"}
WAYS = ["", "?crlf=1", "?split=7", "?stall=2&stall_s=0.05&keepalive=10"]


def named(transcript: Transcript) -> str:
    return transcript.name


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("transcript", transcripts("chat"), ids=named)
async def test_a_chat_completion_reads_as_the_sdk_accumulates_it(
    transcript: Transcript, way: str, providers: Mapping[str, Provider]
) -> None:
    ours = await folded(providers["openai"].stream(asking("openai", transcript.name + way)))

    theirs = await accumulated_by_openai(transcript.name)
    message = theirs.choices[0].message
    assert ours.text == (message.content or "")
    assert ours.refusal == (message.refusal or "")
    assert list(ours.calls.values()) == [
        Call(call_id=call.id, name=call.function.name, arguments=call.function.arguments)
        for call in message.tool_calls or ()
        if call.type == "function"
    ]
    reason = "refusal" if message.refusal else CHAT_REASONS[transcript.finish]
    assert ours.finishes == [Finish(reason=reason, provider_reason=transcript.finish)]
    assert (ours.input_tokens, ours.output_tokens) == (transcript.input_tokens, transcript.output_tokens)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("transcript", transcripts("messages"), ids=named)
async def test_a_message_reads_as_the_sdk_accumulates_it(
    transcript: Transcript, way: str, providers: Mapping[str, Provider]
) -> None:
    ours = await folded(providers["anthropic"].stream(asking("anthropic", transcript.name + way)))

    async with (
        AsyncAnthropic() as client,
        client.messages.stream(
            model=transcript.name, max_tokens=1, messages=[{"role": "user", "content": "Hi"}]
        ) as stream,
    ):
        theirs = await stream.get_final_message()
    assert ours.text == "".join(block.text for block in theirs.content if block.type == "text")
    assert ours.reasoning == "".join(block.thinking for block in theirs.content if block.type == "thinking")
    assert [(call.call_id, call.name, parsed(call.arguments)) for call in ours.calls.values()] == [
        (block.id, block.name, block.input) for block in theirs.content if block.type == "tool_use"
    ]
    assert ours.finishes == [Finish(reason=MESSAGES_REASONS[transcript.finish], provider_reason=transcript.finish)]
    assert (ours.input_tokens, ours.output_tokens) == (transcript.input_tokens, transcript.output_tokens)


@pytest.mark.parametrize("name", ["openai-chat-text-short", "openai-chat-refusal", "openai-chat-tool-parallel"])
async def test_a_chat_completion_survives_bytes_that_come_one_by_one(
    name: str, providers: Mapping[str, Provider]
) -> None:
    whole = await folded(providers["openai"].stream(asking("openai", name)))

    assert await folded(providers["openai"].stream(asking("openai", f"{name}?split=1"))) == whole


@pytest.mark.parametrize("name", ["anthropic-messages-text-short", "anthropic-messages-thinking-tool"])
async def test_a_message_survives_bytes_that_come_one_by_one(name: str, providers: Mapping[str, Provider]) -> None:
    whole = await folded(providers["anthropic"].stream(asking("anthropic", name)))

    assert await folded(providers["anthropic"].stream(asking("anthropic", f"{name}?split=1"))) == whole


async def accumulated_by_openai(model: str) -> ChatCompletion:
    async with (
        AsyncOpenAI() as client,
        client.chat.completions.stream(
            model=model,
            messages=[{"role": "user", "content": "Hi"}],
            stream_options={"include_usage": True},
        ) as stream,
    ):
        try:
            return await stream.get_final_completion()
        except LengthFinishReasonError as error:
            return error.completion


def parsed(arguments: str) -> Any:
    """A tool call without arguments sends no text for them."""
    return json.loads(arguments or "{}")
