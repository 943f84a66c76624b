"""A request as OpenAI's Chat Completions takes it."""

from typing import Any

from tailrace.messages import AssistantMessage, Document, Image, Message, PastToolCall, Text
from tailrace.request import GenerationRequest
from tailrace_worker.providers.endpoint import Body, data_url, with_extra


def body(request: GenerationRequest, *, limit: str) -> Body:
    """The request's body; `extra` comes last. Reasoning is left out, and what is nothing without it.

    `limit` is the server's name for the most tokens that it may give.
    """
    said: Body = {
        "model": request.model,
        "messages": [turn for message in request.messages if (turn := _turn(message))],
        "stream": request.stream,
    }
    if request.stream:
        said["stream_options"] = {"include_usage": True}
    if request.max_output_tokens is not None:
        said[limit] = request.max_output_tokens
    if request.temperature is not None:
        said["temperature"] = request.temperature
    if request.top_p is not None:
        said["top_p"] = request.top_p
    if request.stop:
        said["stop"] = request.stop
    if request.tools:
        said["tools"] = [{"type": "function", "function": tool} for tool in request.tools]
    match request.tool_choice:
        case None:
            pass
        case str() as word:
            said["tool_choice"] = word
        case tool:
            said["tool_choice"] = {"type": "function", "function": tool}
    if request.output_schema:
        said["response_format"] = {"type": "json_schema", "json_schema": {"strict": True, **request.output_schema}}
    return with_extra(said, request.extra)


def _turn(message: Message) -> Body | None:
    match message["role"]:
        case "assistant":
            return _said(message)
        case "tool":
            return {"role": "tool", "tool_call_id": message["tool_call_id"], "content": _content(message["content"])}
        case role:
            return {"role": role, "content": _content(message["content"])}


def _said(message: AssistantMessage) -> Body | None:
    content = message.get("content") or None
    calls = [_call(call) for call in message.get("tool_calls", ())]
    if calls:
        return {"role": "assistant", "content": content, "tool_calls": calls}
    return {"role": "assistant", "content": content} if content else None


def _call(call: PastToolCall) -> Body:
    function = {"name": call["name"], "arguments": call["arguments"] or "{}"}
    return {"id": call["id"], "type": "function", "function": function}


def _content(content: Any) -> Any:
    return content if isinstance(content, str) else [_part(part) for part in content]


def _part(part: Text | Image | Document) -> Body:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "image":
            return {"type": "image_url", "image_url": {"url": data_url(part)}}
        case "document":
            name = part.get("name", "document.pdf")
            return {"type": "file", "file": {"filename": name, "file_data": data_url(part)}}
