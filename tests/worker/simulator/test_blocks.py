"""All that an answer can consist of: the SDKs' own accumulators have in the end what the scenario says."""

import json
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tailrace_worker.simulator import Scenario, Simulator
from tailrace_worker.simulator.script import signature
from tests.support.simulator_clients import anthropic_client, openai_client

MODEL = "demo?reasoning=3&search=old+mills&pieces=9&blocks=2&tools=3&cached_tokens=7&interval_ms=0"
SCENARIO = Scenario.parse(MODEL)
FIRST, SECOND = "1. Water leaves the", " mill wheel and runs down"
ARGUMENTS = [json.loads(arguments.text) for arguments in SCENARIO.arguments]
NAMES = ["look", "listen"]
"""Two tools for three calls."""
USER: Any = [{"role": "user", "content": "Hi"}]
every_way = pytest.mark.parametrize("stream", [True, False])


async def chat(simulator: Simulator, model: str, *, stream: bool) -> ChatCompletion:
    tools: Any = [{"type": "function", "function": {"name": name}} for name in NAMES]
    async with openai_client(simulator) as client:
        if not stream:
            return await client.chat.completions.create(model=model, messages=USER, tools=tools)
        usage: Any = {"include_usage": True}
        async with client.chat.completions.stream(
            model=model, messages=USER, tools=tools, stream_options=usage
        ) as events:
            return await events.get_final_completion()


async def responses(simulator: Simulator, model: str, *, stream: bool) -> Response:
    tools: Any = [{"type": "web_search"}, *({"type": "function", "name": name} for name in NAMES)]
    async with openai_client(simulator) as client:
        if not stream:
            return await client.responses.create(model=model, input="Hi", tools=tools)
        async with client.responses.stream(model=model, input="Hi", tools=tools) as events:
            return await events.get_final_response()


async def messages(simulator: Simulator, model: str, *, stream: bool) -> Message:
    search = {"type": "web_search_20250305", "name": "web_search"}
    tools: Any = [search, *({"name": name, "input_schema": {"type": "object"}} for name in NAMES)]
    async with anthropic_client(simulator) as client:
        if not stream:
            return await client.messages.create(model=model, messages=USER, tools=tools, max_tokens=64)
        async with client.messages.stream(model=model, messages=USER, tools=tools, max_tokens=64) as events:
            return await events.get_final_message()


@every_way
@pytest.mark.parametrize("options", ["", "&unknown=1", "&split=7&crlf=1"])
@pytest.mark.slow
async def test_a_chat_completion_holds_all_that_was_said(simulator: Simulator, stream: bool, options: str) -> None:
    completion = await chat(simulator, MODEL + options, stream=stream)
    (choice,) = completion.choices
    message = choice.message
    assert message.model_extra is not None
    assert message.model_extra["reasoning_content"] == SCENARIO.reasoning_sent == "Thought 1. Thought 2. Thought 3."
    assert message.content == SCENARIO.text_sent == FIRST + SECOND
    assert message.refusal is None
    calls = [call.function for call in message.tool_calls or [] if call.type == "function"]
    assert [call.name for call in calls] == ["look", "listen", "look"]
    assert [json.loads(call.arguments) for call in calls] == ARGUMENTS
    assert len({call.id for call in message.tool_calls or []}) == 3
    assert message.annotations
    assert {annotation.type for annotation in message.annotations} == {"url_citation"}
    assert choice.finish_reason == "tool_calls"
    usage = completion.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.prompt_tokens_details.cached_tokens == 7 < usage.prompt_tokens
    assert usage.completion_tokens_details is not None
    assert usage.completion_tokens_details.reasoning_tokens == 3
    assert usage.completion_tokens == 3 + 9 + sum(map(len, SCENARIO.arguments))


# The SDK's copy of an item that it does not know.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@every_way
@pytest.mark.parametrize("options", ["", "&unknown=1", "&split=7&crlf=1"])
@pytest.mark.slow
async def test_a_response_holds_all_that_was_said(simulator: Simulator, stream: bool, options: str) -> None:
    response = await responses(simulator, MODEL + options, stream=stream)
    known = [item for item in response.output if str(item.type) != "surprise"]
    assert len(response.output) - len(known) == (8 if "unknown" in options else 0)
    assert [item.type for item in known] == ["reasoning", "web_search_call", *2 * ["message"], *3 * ["function_call"]]
    assert response.status == "completed"
    texts: list[str] = []
    calls: list[tuple[str, object]] = []
    for item in known:
        assert getattr(item, "status", None) in {None, "completed"}
        match item.type:
            case "reasoning":
                assert [part.text for part in item.summary] == [SCENARIO.reasoning_sent]
            case "web_search_call":
                assert item.action.type == "search"
                assert item.action.query == "old mills"
            case "message":
                (part,) = item.content
                assert part.type == "output_text"
                assert [annotation.type for annotation in part.annotations] == ["url_citation"]
                texts.append(part.text)
            case "function_call":
                calls.append((item.name, json.loads(item.arguments)))
            case other:
                pytest.fail(other)
    assert texts == [FIRST, SECOND]
    assert calls == list(zip(["look", "listen", "look"], ARGUMENTS, strict=True))
    assert response.usage is not None
    assert response.usage.input_tokens_details.cached_tokens == 7 < response.usage.input_tokens
    assert response.usage.output_tokens_details.reasoning_tokens == 3
    assert response.usage.output_tokens == 3 + 9 + sum(map(len, SCENARIO.arguments))


@every_way
@pytest.mark.parametrize("options", ["", "&unknown=1", "&split=7&crlf=1"])
async def test_a_message_holds_all_that_was_said(simulator: Simulator, stream: bool, options: str) -> None:
    message = await messages(simulator, MODEL + options, stream=stream)
    known = [block for block in message.content if str(block.type) != "surprise"]
    assert len(message.content) - len(known) == (8 if "unknown" in options else 0)
    thinking, search, found, first, second, *tools = known
    assert thinking.type == "thinking"
    assert thinking.thinking == SCENARIO.reasoning_sent
    assert thinking.signature == signature(SCENARIO.reasoning_sent)
    assert search.type == "server_tool_use"
    assert search.input == {"query": "old mills"}
    assert found.type == "web_search_tool_result"
    assert found.tool_use_id == search.id
    assert first.type == "text"
    assert second.type == "text"
    assert (first.text, second.text) == (FIRST, SECOND)
    assert first.citations
    assert second.citations
    assert [(tool.name, tool.input) for tool in tools if tool.type == "tool_use"] == list(
        zip(["look", "listen", "look"], ARGUMENTS, strict=True)
    )
    assert message.stop_reason == "tool_use"
    assert message.usage.cache_read_input_tokens == 7
    assert message.usage.output_tokens_details is not None
    assert message.usage.output_tokens_details.thinking_tokens == 3
    assert message.usage.output_tokens == 3 + 9 + sum(map(len, SCENARIO.arguments))
    assert message.usage.server_tool_use is not None
    assert message.usage.server_tool_use.web_search_requests == 1


@every_way
@pytest.mark.slow
async def test_a_refusal_is_said_in_each_protocol_s_own_way(simulator: Simulator, stream: bool) -> None:
    model = "demo?refusal=1&text=I+can+not&interval_ms=0"
    (choice,) = (await chat(simulator, model, stream=stream)).choices
    assert (choice.message.refusal, choice.finish_reason) == ("I can not", "stop")
    assert not choice.message.content
    response = await responses(simulator, model, stream=stream)
    (item,) = response.output
    assert item.type == "message"
    assert [(part.type, part.refusal) for part in item.content if part.type == "refusal"] == [("refusal", "I can not")]
    assert response.status == "completed"
    message = await messages(simulator, model, stream=stream)
    assert (message.content, message.stop_reason) == ([], "refusal")
    assert message.stop_details is not None


@every_way
async def test_tools_may_be_all_that_an_answer_holds(simulator: Simulator, stream: bool) -> None:
    model = "demo?pieces=0&tools=1&interval_ms=0"
    (choice,) = (await chat(simulator, model, stream=stream)).choices
    assert choice.message.content is None
    assert len(choice.message.tool_calls or []) == 1
    assert [item.type for item in (await responses(simulator, model, stream=stream)).output] == ["function_call"]
    assert [block.type for block in (await messages(simulator, model, stream=stream)).content] == ["tool_use"]


@every_way
async def test_reasoning_tokens_may_be_told_without_any_reasoning(simulator: Simulator, stream: bool) -> None:
    completion = await chat(simulator, "demo?pieces=2&reasoning_tokens=640&interval_ms=0", stream=stream)
    assert completion.usage is not None
    assert completion.usage.completion_tokens_details is not None
    assert completion.usage.completion_tokens_details.reasoning_tokens == 640
    assert completion.usage.completion_tokens == 642


@pytest.mark.parametrize(
    ("usage", "order"), [("after", "finish usage"), ("before", "usage finish"), ("with", "finish+usage")]
)
async def test_chat_tells_usage_before_after_or_with_the_last_chunk(
    simulator: Simulator, usage: str, order: str
) -> None:
    async with openai_client(simulator) as client:
        stream = await client.chat.completions.create(
            model=f"demo?pieces=2&interval_ms=0&usage={usage}",
            messages=USER,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    told = [
        "+".join(
            (["finish"] if chunk.choices and chunk.choices[0].finish_reason else [])
            + (["usage"] if chunk.usage else [])
        )
        for chunk in chunks
    ]
    assert " ".join(filter(None, told)) == order
