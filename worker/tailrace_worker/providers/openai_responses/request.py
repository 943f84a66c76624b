"""Writes a request for OpenAI's Responses."""

from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import Any

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import AssistantMessage, Document, Image, Message, PastReasoning, Text
from tailrace.request.tools import Tool
from tailrace_worker.providers.http.call import Body, data_url, with_extra
from tailrace_worker.providers.openai_responses.reasoning import item_of
from tailrace_worker.providers.turns import answered_calls, in_order


def body(request: GenerationRequest) -> Body:
    """Return the body of a request. The members of `extra` replace others.

    The body does not ask for encrypted reasoning, because models that do not reason would reject the whole request.

    Args:
        request: The generation request.
    """
    # OpenAI finds reasoning by its id only if the response was stored.
    is_stored = request.extra.get("store") is not False
    turns = zip(request.messages, answered_calls(request.messages), strict=True)
    said: Body = {
        "model": request.model,
        "input": [item for message, answered in turns for item in _items(message, answered, is_stored=is_stored)],
        "stream": request.stream,
    }
    if request.max_output_tokens is not None:
        said["max_output_tokens"] = request.max_output_tokens
    if request.temperature is not None:
        said["temperature"] = request.temperature
    if request.top_p is not None:
        said["top_p"] = request.top_p
    if request.tools:
        said["tools"] = [_tool(tool) for tool in request.tools]
    match request.tool_choice:
        case None:
            pass
        case str() as word:
            said["tool_choice"] = word
        case tool:
            said["tool_choice"] = {"type": "function", **tool}
    if request.output_schema:
        said["text"] = {"format": {"type": "json_schema", "strict": True, **request.output_schema}}
    return with_extra(said, request.extra)


def _tool(tool: Tool) -> Body:
    return {"type": "function", "parameters": {"type": "object", "properties": {}}, **tool}


def _items(message: Message, answered: AbstractSet[str], *, is_stored: bool) -> Iterator[Body]:
    match message["role"]:
        case "assistant":
            yield from _said(message, answered, is_stored=is_stored)
        case "tool":
            output = _content(message["content"])
            yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}
        case role:
            yield {"role": role, "content": _content(message["content"])}


def _said(message: AssistantMessage, answered: AbstractSet[str], *, is_stored: bool) -> Iterator[Body]:
    def given_back(block: PastReasoning) -> Body | None:
        item = item_of(block)
        return item if item and (is_stored or "encrypted_content" in item) else None

    for part in in_order(message, answered, given_back):
        match part:
            case "reasoning", item:
                yield item
            case "text", text:
                # llama.cpp recognises an assistant message only by its type.
                yield {"type": "message", "role": "assistant", "content": text}
            case "call", call:
                yield {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}


def _content(content: Any) -> Any:
    match content:
        case (str() as text) | [{"type": "text", "text": text}]:
            return text
        case parts:
            return [_part(part) for part in parts]


def _part(part: Text | Image | Document) -> Body:
    match part["type"]:
        case "text":
            return {"type": "input_text", "text": part["text"]}
        case "image":
            return {"type": "input_image", "detail": "auto", "image_url": data_url(part)}
        case "document":
            if "url" in part:
                return {"type": "input_file", "file_url": part["url"]}
            name = part.get("name", "document.pdf")
            return {"type": "input_file", "filename": name, "file_data": data_url(part)}
