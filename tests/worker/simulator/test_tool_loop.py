"""A loop of tools comes to its end: called once, and then answered with what they gave."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tailrace_worker.simulator import Simulator
from tests.support.simulator_clients import anthropic_client, openai_client

MODEL = "demo?text=Let+me+look&interval_ms=0&tools=2&tool_loop=1"
SCHEMA: Any = {"type": "object", "properties": {}}

Ask = Callable[[Simulator, Any, Any], Awaitable[tuple[str | None, int]]]


async def ask_chat(simulator: Simulator, messages: Any, tools: Any) -> tuple[str | None, int]:
    async with openai_client(simulator) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    message = answer.choices[0].message
    return message.content, len(message.tool_calls or ())


async def ask_responses(simulator: Simulator, given: Any, tools: Any) -> tuple[str | None, int]:
    async with openai_client(simulator) as client:
        answer = await client.responses.create(model=MODEL, input=given, tools=tools)
    return answer.output_text, sum(item.type == "function_call" for item in answer.output)


async def ask_messages(simulator: Simulator, messages: Any, tools: Any) -> tuple[str | None, int]:
    async with anthropic_client(simulator) as client:
        answer = await client.messages.create(model=MODEL, max_tokens=9, messages=messages, tools=tools)
    text = "".join(block.text for block in answer.content if block.type == "text")
    return text, sum(block.type == "tool_use" for block in answer.content)


HI = {"role": "user", "content": "Hi"}
PARTS = [{"type": "text", "text": "and"}, {"type": "text", "text": " wet"}]
CHAT_TOOL = {"type": "function", "function": {"name": "look_up", "parameters": SCHEMA}}
CHAT_RESULTS = [
    {"role": "tool", "tool_call_id": "a", "content": "Cold"},
    {"role": "tool", "tool_call_id": "b", "content": PARTS},
]
RESPONSES_TOOL = {"type": "function", "name": "look_up", "parameters": SCHEMA, "strict": None}
RESPONSES_RESULTS = [
    {"type": "function_call_output", "call_id": "a", "output": "Cold"},
    {"type": "function_call_output", "call_id": "b", "output": [{**part, "type": "input_text"} for part in PARTS]},
]
MESSAGES_TOOL = {"name": "look_up", "input_schema": SCHEMA}
MESSAGES_RESULTS = {
    "role": "user",
    "content": [
        {"type": "tool_result", "tool_use_id": "a", "content": "Cold"},
        {"type": "tool_result", "tool_use_id": "b", "content": PARTS},
    ],
}


@pytest.mark.parametrize(
    ("ask", "tool", "results"),
    [
        pytest.param(ask_chat, CHAT_TOOL, CHAT_RESULTS, id="chat"),
        pytest.param(ask_responses, RESPONSES_TOOL, RESPONSES_RESULTS, id="responses"),
        pytest.param(ask_messages, MESSAGES_TOOL, [MESSAGES_RESULTS], id="messages"),
    ],
)
async def test_tools_are_called_once_and_their_results_are_the_answer(
    simulator: Simulator, ask: Ask, tool: object, results: list[object]
) -> None:
    assert await ask(simulator, [HI], []) == ("Let me look", 0)
    assert await ask(simulator, [HI], [tool]) == ("Let me look", 2)
    assert await ask(simulator, [HI, *results], [tool]) == ("Cold and wet", 0)
    # Another question begins another loop.
    assert await ask(simulator, [HI, *results, HI], [tool]) == ("Let me look", 2)
