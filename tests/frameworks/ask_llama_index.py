"""Asks a gateway with LlamaIndex."""

from typing import Any

from asked import ASK, QUESTION, answer, look_up, run
from llama_index.core.agent.workflow import AgentOutput, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.openai import OpenAI, OpenAIResponses


def model_of(api: str, name: str, url: str) -> FunctionCallingLLM:
    match api:
        case "chat":
            usage = {"stream_options": {"include_usage": True}}
            return OpenAI(name, api_base=f"{url}/v1", api_key="k", additional_kwargs=usage)
        case "responses":
            return OpenAIResponses(name, api_base=f"{url}/v1", api_key="k")
        case _:
            return Anthropic(name, base_url=url, api_key="k")


def usage_of(raw: Any) -> dict[str, int]:
    """Return the usage of an answer, which LlamaIndex gives as it came from each API."""
    said = raw if isinstance(raw, dict) else dict(raw)
    response = said.get("response", said)
    usage = (response if isinstance(response, dict) else dict(response))["usage"]
    return usage if isinstance(usage, dict) else usage.model_dump()


def told(text: str, *raw: Any) -> dict[str, Any]:
    usages = [usage_of(each) for each in raw]
    given = [usage.get("prompt_tokens", usage.get("input_tokens")) for usage in usages]
    made = [usage.get("completion_tokens", usage.get("output_tokens")) for usage in usages]
    return answer(text, sum(given), sum(made))


async def ask(api: str, name: str, url: str) -> dict[str, Any]:
    model = model_of(api, name, url)
    chat = await model.achat([ChatMessage(role="system", content="Be brief."), ChatMessage(QUESTION)])
    looping = FunctionAgent(tools=[look_up], llm=model).run(user_msg=ASK)
    steps = [event.raw async for event in looping.stream_events() if isinstance(event, AgentOutput)]
    loop = await looping
    pieces = [piece async for piece in await model.astream_chat([ChatMessage(QUESTION)])]
    return {
        "chat": told(chat.message.content, chat.raw),
        "loop": told(loop.response.content, *steps),
        "stream": told("".join(piece.delta or "" for piece in pieces), pieces[-1].raw),
    }


run(ask)
