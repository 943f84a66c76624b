"""A request as Anthropic's Messages takes it."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final

from pydantic_core import from_json

from tailrace.messages import AssistantMessage, Document, Image, Message, PastReasoning, Text
from tailrace.request import GenerationRequest
from tailrace.tools import Tool
from tailrace_worker.providers.endpoint import Body, with_extra
from tailrace_worker.providers.past_turn import in_order

DEFAULT_MAX_TOKENS: Final = 4_096
"""Messages needs a limit; this one holds where the request gives none."""
UNSIGNED: Final = "thinking:"
TURN: Final = "turn:"
REDACTED: Final = "redacted_thinking:"
"""Before the data of a block of thinking that is encrypted, where others have a signature: theirs are base64."""


def body(request: GenerationRequest) -> Body:
    """The request's body; `extra` comes last. System messages go first, wherever they stood."""
    said: Body = {
        "model": request.model,
        "messages": _turns(request.messages),
        "max_tokens": request.max_output_tokens or DEFAULT_MAX_TOKENS,
        "stream": request.stream,
    }
    if system := "\n\n".join(_system(request.messages)):
        said["system"] = system
    if request.temperature is not None:
        said["temperature"] = request.temperature
    if request.top_p is not None:
        said["top_p"] = request.top_p
    if request.stop:
        said["stop_sequences"] = request.stop
    if request.tools:
        said["tools"] = [_tool(tool) for tool in request.tools]
    match request.tool_choice:
        case None:
            pass
        case str() as word:
            said["tool_choice"] = {"type": "any" if word == "required" else word}
        case tool:
            said["tool_choice"] = {"type": "tool", **tool}
    if request.output_schema:
        said["output_config"] = {"format": {"type": "json_schema", "schema": request.output_schema["schema"]}}
    return with_extra(said, request.extra)


def _system(messages: list[Message]) -> Iterator[str]:
    for message in messages:
        if message["role"] == "system":
            content = message["content"]
            yield from [content] if isinstance(content, str) else [part["text"] for part in content]


def _tool(tool: Tool) -> Body:
    said: Body = {"name": tool["name"], "input_schema": tool.get("parameters", {"type": "object", "properties": {}})}
    if "description" in tool:
        said["description"] = tool["description"]
    if "strict" in tool:
        said["strict"] = tool["strict"]
    return said


def _turns(messages: list[Message]) -> list[Body]:
    """Messages that belong to one turn in one: the results of all tools have to come at once, before anything else."""
    spoken = [message for message in messages if message["role"] != "system"]
    turns: list[Body] = []
    for role, together in groupby(spoken, lambda message: "assistant" if message["role"] == "assistant" else "user"):
        blocks = [block for message in together for block in _blocks(message)]
        if blocks:
            turns.append({"role": role, "content": sorted(blocks, key=lambda block: block["type"] != "tool_result")})
    return turns


def _blocks(message: Message) -> Iterator[Body]:
    match message["role"]:
        case "assistant":
            yield from _said(message)
        case "tool":
            result: Body = {"type": "tool_result", "tool_use_id": message["tool_call_id"]}
            if message["content"]:
                result["content"] = _content(message["content"])
            yield {**result, "is_error": True} if message.get("is_error") else result
        case _:
            content = message["content"]
            yield from _content([{"type": "text", "text": content}] if isinstance(content, str) else content)


def _said(message: AssistantMessage) -> Iterator[Body]:
    for part in in_order(message):
        match part:
            case "reasoning", block:
                yield from _thought(block)
            case "text", text:
                # A block of white space alone is refused.
                if not text.isspace():
                    yield {"type": "text", "text": text}
            case "call", call:
                arguments = from_json(call["arguments"] or "{}")
                yield {"type": "tool_use", "id": call["id"], "name": call["name"], "input": arguments}


def _thought(block: PastReasoning) -> Iterator[Body]:
    signature = block.get("signature", "")
    if signature.startswith(REDACTED):
        yield {"type": "redacted_thinking", "data": signature.removeprefix(REDACTED)}
    elif signature and not signature.startswith("{"):  # JSON is what Responses gave.
        yield {"type": "thinking", "thinking": block["text"], "signature": signature}


def _content(content: Any) -> Any:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Text | Image | Document) -> Body:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    source = {"type": "url", "url": part["url"]} if "url" in part else {"type": "base64", **_data(part)}
    said: Body = {"type": part["type"], "source": source}
    return {**said, "title": part["name"]} if part["type"] == "document" and "name" in part else said


def _data(part: Image | Document) -> Body:
    return {"media_type": part.get("media_type"), "data": part.get("data")}
