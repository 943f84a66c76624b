"""Writes a request for Anthropic's Messages."""

import re
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import groupby
from typing import Any, Final

import msgspec
from msgspec import Struct

from tailrace.request.generation_request import GenerationRequest
from tailrace.request.messages import AssistantMessage, Document, Image, Message, PastReasoning, Text
from tailrace.request.tools import Tool
from tailrace_worker.providers.http.call import Body, with_extra
from tailrace_worker.providers.turns import answered_calls, fitting_id, in_order

DEFAULT_MAX_TOKENS: Final = 4_096
"""The limit of output tokens for requests without one, because Messages requires a limit."""

# These are stored instead of a signature. Signatures are base64, so none of them has a colon.
REDACTED: Final = "redacted_thinking:"
"""The prefix of the data of an encrypted block of thinking."""
UNSIGNED: Final = "thinking:"
"""The mark of a block of thinking that ended without a signature. Kimi, DeepSeek and GLM expect those back too."""
PAUSED: Final = "turn:"
"""The prefix of the blocks, as JSON, of a turn that the provider paused. It continues only from the same blocks."""

_ID: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_THINKING: Final = frozenset({"thinking", "redacted_thinking"})


class _PastBlock(Struct):
    type: str
    text: str = ""


_decode_blocks: Final = msgspec.json.Decoder(list[_PastBlock]).decode


def body(request: GenerationRequest) -> Body:
    """Return the body of a request. The members of `extra` replace others.

    System messages are sent first, wherever they are among the messages.

    Args:
        request: The generation request.
    """
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


def _turns(messages: Sequence[Message]) -> list[Body]:
    """Merge the messages of each turn, because Messages expects the results of all tools first, in one message."""
    turns: list[Body] = []
    spoken = [each for each in zip(messages, answered_calls(messages), strict=True) if each[0]["role"] != "system"]
    for role, together in groupby(spoken, lambda each: "assistant" if each[0]["role"] == "assistant" else "user"):
        blocks = [block for message, answered in together for block in _blocks(message, answered)]
        blocks.sort(key=lambda block: block["type"] != "tool_result")
        turns.append({"role": role, "content": blocks})
    if turns and turns[-1]["role"] == "assistant":
        _end_without_thinking(turns[-1]["content"])
    return [{**turn, "content": _plain(turn["content"])} for turn in turns if turn["content"]]


def _end_without_thinking(blocks: list[Body]) -> None:
    # A conversation may end with an assistant turn that the model continues, but not with thinking.
    while blocks and blocks[-1]["type"] in _THINKING:
        blocks.pop()


def _plain(blocks: list[Body]) -> list[Body] | str:
    match blocks:
        case [{"type": "text", "text": str() as text, **other}] if not other:
            return text
        case _:
            return blocks


def _blocks(message: Message, answered: AbstractSet[str]) -> Iterator[Body]:
    match message["role"]:
        case "assistant":
            yield from _paused(message) or _said(message, answered)
        case "tool":
            result: Body = {"type": "tool_result", "tool_use_id": fitting_id(message["tool_call_id"], _ID)}
            if message["content"]:
                result["content"] = _content(message["content"])
            yield {**result, "is_error": True} if message.get("is_error") else result
        case _:
            content = message["content"]
            yield from [{"type": "text", "text": content}] if isinstance(content, str) else map(_part, content)


def _paused(message: AssistantMessage) -> list[Body]:
    """Return the blocks of a paused turn; none if its text was changed after it was recorded."""
    for block in message.get("reasoning", ()):
        signature = block.get("signature", "")
        if signature.startswith(PAUSED):
            said = signature.removeprefix(PAUSED)
            try:
                text = "".join(each.text for each in _decode_blocks(said) if each.type == "text")
            except (msgspec.DecodeError, RecursionError):
                break
            if text == message.get("content", ""):
                blocks: list[Body] = msgspec.json.decode(said)
                return blocks
    return []


def _said(message: AssistantMessage, answered: AbstractSet[str]) -> Iterator[Body]:
    for part in in_order(message, answered, _thought):
        match part:
            case "reasoning", block:
                yield block
            case "text", text:
                # Anthropic rejects a text block that is only white space.
                if not text.isspace():
                    yield {"type": "text", "text": text}
            case "call", call:
                yield {"type": "tool_use", "id": fitting_id(call.id, _ID), "name": call.name, "input": call.as_object}


def _thought(block: PastReasoning) -> Body | None:
    signature = block.get("signature", "")
    if signature.startswith(REDACTED):
        return {"type": "redacted_thinking", "data": signature.removeprefix(REDACTED)}
    if signature == UNSIGNED:
        return {"type": "thinking", "thinking": block["text"], "signature": ""}
    if signature and ":" not in signature:
        return {"type": "thinking", "thinking": block["text"], "signature": signature}
    return None


def _content(content: Any) -> Any:
    match content:
        case (str() as text) | [{"type": "text", "text": text}]:
            return text
        case parts:
            return [_part(part) for part in parts]


def _part(part: Text | Image | Document) -> Body:
    if part["type"] == "text":
        return {"type": "text", "text": part["text"]}
    source = {"type": "url", "url": part["url"]} if "url" in part else {"type": "base64", **_data(part)}
    said: Body = {"type": part["type"], "source": source}
    return {**said, "title": part["name"]} if part["type"] == "document" and "name" in part else said


def _data(part: Image | Document) -> Body:
    return {"media_type": part.get("media_type"), "data": part.get("data")}
