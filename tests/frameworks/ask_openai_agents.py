"""Asks a gateway with the OpenAI Agents SDK."""

from typing import Any

from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    Usage,
    function_tool,
    set_tracing_disabled,
)
from asked import ASK, QUESTION, answer, look_up, run
from openai import AsyncOpenAI


def model_of(api: str, name: str, client: AsyncOpenAI) -> Model:
    kind = OpenAIResponsesModel if api == "responses" else OpenAIChatCompletionsModel
    return kind(model=name, openai_client=client)


def told(text: str, usage: Usage) -> dict[str, Any]:
    return answer(text, usage.input_tokens, usage.output_tokens)


async def ask(api: str, name: str, url: str) -> dict[str, Any]:
    async with AsyncOpenAI(base_url=f"{url}/v1", api_key="k") as client:
        model = model_of(api, name, client)
        brief = Agent(
            name="brief", instructions="Be brief.", model=model, model_settings=ModelSettings(include_usage=True)
        )
        chat = await Runner.run(brief, QUESTION)
        loop = await Runner.run(Agent(name="looks up", model=model, tools=[function_tool(look_up)]), ASK)
        stream = Runner.run_streamed(brief, QUESTION)
        pieces = [
            event.data.delta
            async for event in stream.stream_events()
            if event.type == "raw_response_event" and event.data.type == "response.output_text.delta"
        ]
    return {
        "chat": told(chat.final_output, chat.context_wrapper.usage),
        "loop": told(loop.final_output, loop.context_wrapper.usage),
        "stream": told("".join(pieces), stream.context_wrapper.usage),
    }


set_tracing_disabled(True)
run(ask)
