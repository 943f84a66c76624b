"""Every recorded stream, through the encoders of the providers' own protocols, as the official SDKs read it."""

import json
from contextlib import suppress
from typing import Any

import httpx2
import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI, ContentFilterFinishReasonError, LengthFinishReasonError

from tailrace import Answer
from tailrace.encoders import AnthropicMessagesEncoder, OpenAIChatEncoder, OpenAIResponsesEncoder
from tailrace.events import Event
from tests.recorded.replay import Transcript, needed
from tests.recorded.test_encoders import events_of, whole_ones
from tests.support.job_streams import JOB

needed()

pytestmark = pytest.mark.slow


def answer_of(events: list[Event]) -> Answer:
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer


def server_of(stream: bytes) -> httpx2.AsyncClient:
    """Answers every request with this stream."""
    headers = {"content-type": "text/event-stream"}
    return httpx2.AsyncClient(
        transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, content=stream))
    )


@whole_ones
async def test_openais_client_reads_a_chat_completion(transcript: Transcript) -> None:
    events = await events_of(transcript)
    answer, encoder = answer_of(events), OpenAIChatEncoder(JOB, include_usage=True)
    server = server_of(b"".join(map(encoder.encode, events)))
    async with (
        AsyncOpenAI(api_key="k", base_url="http://gateway/v1", http_client=server) as client,
        client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        # The helper refuses to parse an answer that was cut.
        with suppress(LengthFinishReasonError, ContentFilterFinishReasonError):
            async for _ in stream:
                pass
        completion = stream.current_completion_snapshot
    message = completion.choices[0].message
    assert (message.content or "", message.refusal or "") == (answer.text, answer.refusal)
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or ()]
    assert calls == [(call.call_id, call.name, call.arguments) for call in answer.tool_calls]
    assert getattr(message, "reasoning_content", "") == answer.reasoning
    assert completion.id == f"chatcmpl-{JOB}"


@whole_ones
async def test_openais_client_reads_a_response(transcript: Transcript) -> None:
    events = await events_of(transcript)
    answer, encoder = answer_of(events), OpenAIResponsesEncoder(JOB)
    server = server_of(b"".join(map(encoder.encode, events)))
    events_read: list[Any] = []
    async with (
        AsyncOpenAI(api_key="k", base_url="http://gateway/v1", http_client=server) as client,
        client.responses.stream(model="m", input="Hi") as stream,
    ):
        events_read += [event async for event in stream]
    last = events_read[-1]
    response = last.response
    assert response.output_text == answer.text
    calls = [(item.call_id, item.name, item.arguments) for item in response.output if item.type == "function_call"]
    assert calls == [(call.call_id, call.name, call.arguments) for call in answer.tool_calls]
    thoughts = [part.text for item in response.output if item.type == "reasoning" for part in item.summary]
    assert "".join(thoughts) == answer.reasoning
    assert (response.id, response.status == "completed") == (f"resp_{JOB}", last.type == "response.completed")


@whole_ones
async def test_anthropics_client_reads_a_message(transcript: Transcript) -> None:
    events = await events_of(transcript)
    answer, encoder = answer_of(events), AnthropicMessagesEncoder(JOB)
    server = server_of(b"".join(map(encoder.encode, events)))
    async with (
        AsyncAnthropic(api_key="k", base_url="http://gateway", http_client=server) as client,
        client.messages.stream(model="m", max_tokens=9, messages=[{"role": "user", "content": "Hi"}]) as stream,
    ):
        message = await stream.get_final_message()
    texts = [block.text for block in message.content if block.type == "text"]
    assert "".join(texts) == answer.text + answer.refusal
    assert [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"] == [
        (call.call_id, call.name, json.loads(call.arguments or "{}")) for call in answer.tool_calls
    ]
    assert "".join(block.thinking for block in message.content if block.type == "thinking") == answer.reasoning
    assert [block["type"] for block in encoder.message["content"]] == [block.type for block in message.content]
