"""Asks a gateway with LiteLLM as a client library."""

import json
import os
from typing import Any

# Otherwise it asks a server on the internet for the prices of models.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
from asked import ASK, QUESTION, answer, look_up, run

PARAMETERS = {
    "type": "object",
    "properties": {"number": {"type": "integer"}, "words": {"type": "string"}, "sign": {"type": "string"}},
    "required": ["number", "words", "sign"],
}
TOOL = {"name": "look_up", "description": "Look something up.", "parameters": PARAMETERS}


async def ask_completions(**at: Any) -> dict[str, Any]:
    system = {"role": "system", "content": "Be brief."}
    chat = await litellm.acompletion(messages=[system, {"role": "user", "content": QUESTION}], **at)
    asked: list[Any] = [{"role": "user", "content": ASK}]
    tools = [{"type": "function", "function": TOOL}]
    call = await litellm.acompletion(messages=asked, tools=tools, **at)
    asked.append(call.choices[0].message)
    for each in call.choices[0].message.tool_calls:
        found = look_up(**json.loads(each.function.arguments))
        asked.append({"role": "tool", "tool_call_id": each.id, "content": found})
    last = await litellm.acompletion(messages=asked, tools=tools, **at)
    streaming = await litellm.acompletion(
        messages=[{"role": "user", "content": QUESTION}], stream=True, stream_options={"include_usage": True}, **at
    )
    chunks = [chunk async for chunk in streaming]
    stream = litellm.stream_chunk_builder(chunks)
    contents = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]

    def told(text: str, *completions: Any) -> dict[str, Any]:
        usages = [completion.usage for completion in completions]
        return answer(
            text, sum(usage.prompt_tokens for usage in usages), sum(usage.completion_tokens for usage in usages)
        )

    return {
        "chat": told(chat.choices[0].message.content, chat),
        "loop": told(last.choices[0].message.content, call, last),
        "stream": told("".join(contents), stream),
    }


async def ask_responses(**at: Any) -> dict[str, Any]:
    chat = await litellm.aresponses(input=QUESTION, instructions="Be brief.", **at)
    asked: list[Any] = [{"role": "user", "content": ASK}]
    tools = [{"type": "function", **TOOL}]
    call = await litellm.aresponses(input=asked, tools=tools, **at)
    for item in call.output:
        asked.append(item.model_dump(exclude_none=True))
        if item.type == "function_call":
            found = look_up(**json.loads(item.arguments))
            asked.append({"type": "function_call_output", "call_id": item.call_id, "output": found})
    last = await litellm.aresponses(input=asked, tools=tools, **at)
    events = [event async for event in await litellm.aresponses(input=QUESTION, stream=True, **at)]
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]

    def told(text: str, *responses: Any) -> dict[str, Any]:
        usages = [response.usage for response in responses]
        return answer(text, sum(usage.input_tokens for usage in usages), sum(usage.output_tokens for usage in usages))

    return {
        "chat": told(chat.output_text, chat),
        "loop": told(last.output_text, call, last),
        "stream": told("".join(deltas), events[-1].response),
    }


async def ask(api: str, name: str, url: str) -> dict[str, Any]:
    if api == "responses":
        return await ask_responses(model=f"openai/{name}", api_base=f"{url}/v1", api_key="k")
    if api == "chat":
        return await ask_completions(model=f"openai/{name}", api_base=f"{url}/v1", api_key="k")
    return await ask_completions(model=f"anthropic/{name}", api_base=url, api_key="k")


run(ask)
