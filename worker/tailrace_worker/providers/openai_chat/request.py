"""Writes a request for OpenAI's Chat Completions."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import AssistantMessage, Document, Image, Message, Text
from tailrace_worker.providers.http.call import Body, data_url, with_extra
from tailrace_worker.providers.openai_chat.reasoning import members_of
from tailrace_worker.providers.turns import answered_calls, fitting_id, sent_calls

_OPENAI_ID: Final = re.compile(".{1,40}", re.DOTALL)
"""The ids that OpenAI accepts. LiteLLM's ids for Gemini's calls are longer, because they contain a signature."""


def body(request: GenerationRequest, *, limit: str, is_openais: bool) -> Body:
    """Return the body of a request. The members of `extra` replace others.

    Args:
        request: The generation request.
        limit: The name of the field for the most output tokens.
        is_openais: True if the server is OpenAI's own, which rejects unknown members of a message and gets no reasoning
            back.
    """
    said: Body = {
        "model": request.model,
        "messages": list(_turns(request.messages, is_openais=is_openais)),
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


def _turns(messages: Sequence[Message], *, is_openais: bool) -> Iterator[Body]:
    for message, answered in zip(messages, answered_calls(messages), strict=True):
        match message["role"]:
            case "assistant":
                if turn := _said(message, answered, is_openais=is_openais):
                    yield turn
            case "tool":
                call_id = _id(message["tool_call_id"], is_openais=is_openais)
                yield {"role": "tool", "tool_call_id": call_id, "content": _content(message["content"])}
            case role:
                yield {"role": role, "content": _content(message["content"])}


def _said(message: AssistantMessage, answered: AbstractSet[str], *, is_openais: bool) -> Body | None:
    """Return an assistant turn; `None` if it has only reasoning."""
    given, of_calls = members_of(() if is_openais else message.get("reasoning", ()))
    said: Body = {"role": "assistant", "content": message.get("content") or None, **given}
    if calls := sent_calls(message, answered):
        said["tool_calls"] = [
            {
                "id": _id(call.id, is_openais=is_openais),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
                **of_calls.get(call.number, {}),
            }
            for call in calls
        ]
    return said if calls or said["content"] else None


def _id(call_id: str, *, is_openais: bool) -> str:
    return fitting_id(call_id, _OPENAI_ID) if is_openais else call_id


def _content(content: Any) -> Any:
    match content:
        case (str() as text) | [{"type": "text", "text": text}]:
            return text
        case parts:
            return [_part(part) for part in parts]


def _part(part: Text | Image | Document) -> Body:
    match part["type"]:
        case "text":
            return {"type": "text", "text": part["text"]}
        case "image":
            return {"type": "image_url", "image_url": {"url": data_url(part)}}
        case "document":
            name = part.get("name", "document.pdf")
            return {"type": "file", "file": {"filename": name, "file_data": data_url(part)}}
