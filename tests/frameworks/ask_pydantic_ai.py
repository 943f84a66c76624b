"""Asks a gateway with Pydantic AI."""

from typing import Any

from asked import ASK, QUESTION, answer, look_up, run
from pydantic_ai import Agent
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.openai import OpenAIProvider


def model_of(api: str, name: str, url: str) -> Model:
    match api:
        case "chat":
            return OpenAIChatModel(name, provider=OpenAIProvider(base_url=f"{url}/v1", api_key="k"))
        case "responses":
            return OpenAIResponsesModel(name, provider=OpenAIProvider(base_url=f"{url}/v1", api_key="k"))
        case _:
            return AnthropicModel(name, provider=AnthropicProvider(base_url=url, api_key="k"))


async def ask(api: str, name: str, url: str) -> dict[str, Any]:
    model = model_of(api, name, url)
    chatting = Agent(model, instructions="Be brief.")
    chat = await chatting.run(QUESTION)
    loop = await Agent(model, tools=[look_up]).run(ASK)
    async with chatting.run_stream(QUESTION) as stream:
        pieces = [piece async for piece in stream.stream_text(delta=True, debounce_by=None)]
    return {
        "chat": answer(chat.output, chat.usage.input_tokens, chat.usage.output_tokens),
        "loop": answer(loop.output, loop.usage.input_tokens, loop.usage.output_tokens),
        "stream": answer("".join(pieces), stream.usage.input_tokens, stream.usage.output_tokens),
    }


run(ask)
