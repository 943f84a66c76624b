"""A request as OpenAI's Responses takes it."""

from collections.abc import Iterator
from typing import Any

from tailrace.messages import AssistantMessage, Document, Image, Message, Text
from tailrace.request import GenerationRequest
from tailrace.tools import Tool
from tailrace_worker.providers.endpoint import Body, data_url, with_extra
from tailrace_worker.providers.past_turn import in_order
from tailrace_worker.providers.responses_reasoning import item_of


def body(request: GenerationRequest) -> Body:
    """The request's body; `extra` comes last.

    Encrypted reasoning is not asked for: models that do not reason refuse the whole request then.
    """
    # What is stored nowhere cannot be told by its id alone.
    is_stored = request.extra.get("store") is not False
    said: Body = {
        "model": request.model,
        "input": [item for message in request.messages for item in _items(message, is_stored=is_stored)],
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


def _items(message: Message, *, is_stored: bool) -> Iterator[Body]:
    match message["role"]:
        case "assistant":
            yield from _said(message, is_stored=is_stored)
        case "tool":
            output = _content(message["content"])
            yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}
        case role:
            yield {"role": role, "content": _content(message["content"])}


def _said(message: AssistantMessage, *, is_stored: bool) -> Iterator[Body]:
    for part in in_order(message):
        match part:
            case "reasoning", block:
                if (item := item_of(block)) and (is_stored or "encrypted_content" in item):
                    yield item
            case "text", text:
                yield {"role": "assistant", "content": text}
            case "call", call:
                arguments = call["arguments"] or "{}"
                yield {"type": "function_call", "call_id": call["id"], "name": call["name"], "arguments": arguments}


def _content(content: Any) -> Any:
    return content if isinstance(content, str) else [_part(part) for part in content]


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
