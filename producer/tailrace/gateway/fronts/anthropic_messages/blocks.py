"""The content of Anthropic's messages: blocks become the messages of a job."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeAlias, cast

from tailrace import InvalidRequest

_Block: TypeAlias = Mapping[str, Any]
_Message: TypeAlias = dict[str, Any]

_EVERYWHERE: Final = frozenset({"type", "cache_control"})
"""Fields that any block may have. What a provider caches changes no answer."""


def to_messages(messages: list[dict[str, Any]]) -> Iterator[_Message]:
    """Translate messages.

    Args:
        messages: The messages in Anthropic's form.

    Yields:
        The messages of a generation request. The results of tools are messages of their own.

    Raises:
        InvalidRequest: A message has content that a job cannot carry. The error names it.
    """
    for index, message in enumerate(messages):
        path = f"messages.{index}"
        _check(message, path, "role", "content")
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant", "system"):
            _refuse(f"{path}.role", "Input should be 'user', 'assistant' or 'system'.")
        if not isinstance(content, list):
            yield {"role": role, "content": content}
            continue
        blocks = list(_blocks(cast("list[object]", content), f"{path}.content"))
        if role == "assistant":
            yield _answer(blocks)
        else:
            yield from _turn(role, blocks)


def to_texts(blocks: list[dict[str, Any]], path: str) -> list[dict[str, str]]:
    """Translate blocks that can only be text.

    Args:
        blocks: The blocks in Anthropic's form.
        path: Their path, for messages.

    Raises:
        InvalidRequest: A block is no text.
    """
    return [_text(block, where) for where, block in _blocks(blocks, path)]


def _turn(role: str, blocks: list[tuple[str, _Block]]) -> Iterator[_Message]:
    parts: list[_Message] = []
    for path, block in blocks:
        if block.get("type") != "tool_result":
            parts.append(_part(block, path))
            continue
        if parts:
            yield {"role": role, "content": parts}
            parts = []
        yield _result(block, path)
    if parts:
        yield {"role": role, "content": parts}


def _answer(blocks: list[tuple[str, _Block]]) -> _Message:
    text = ""
    calls: list[_Message] = []
    thoughts: list[_Message] = []
    for path, block in blocks:
        match block.get("type"):
            case "text":
                # The citations of an answer are not sent back.
                _check(block, path, "text", "citations")
                text += str(block.get("text", ""))
            case "thinking":
                _check(block, path, "thinking", "signature")
                thought = {"text": block.get("thinking", ""), "after_chars": len(text), "after_calls": len(calls)}
                thoughts.append({**thought, "signature": block["signature"]} if block.get("signature") else thought)
            case "tool_use":
                if block.get("caller") == {"type": "direct"}:
                    # The model called it, and not code that Anthropic runs.
                    block = {**block, "caller": None}  # noqa: PLW2901
                _check(block, path, "id", "name", "input")
                arguments = json.dumps(block.get("input"), ensure_ascii=False)
                calls.append({"id": block.get("id"), "name": block.get("name"), "arguments": arguments})
            case kind:
                _refuse_kind(path, kind)
    fields = {"content": text, "tool_calls": calls, "reasoning": thoughts}
    return {"role": "assistant", **{name: value for name, value in fields.items() if value}}


def _part(block: _Block, path: str) -> _Message:
    match block.get("type"):
        case "image":
            _check(block, path, "source")
            return {"type": "image", **_source(block, path)}
        case "document":
            return _document(block, path)
        case _:
            return _text(block, path)


def _text(block: _Block, path: str) -> _Message:
    if block.get("type") != "text":
        _refuse_kind(path, block.get("type"))
    _check(block, path, "text")
    return {"type": "text", "text": block.get("text")}


def _document(block: _Block, path: str) -> _Message:
    if block.get("citations") == {"enabled": False}:
        block = {**block, "citations": None}
    _check(block, path, "source", "title")
    title = block.get("title")
    return {"type": "document", **_source(block, path), **({} if title is None else {"name": title})}


def _source(block: _Block, path: str) -> _Message:
    match block.get("source"):
        case {"type": "base64", "data": data, "media_type": media_type}:
            return {"data": data, "media_type": media_type}
        case {"type": "url", "url": url}:
            return {"url": url}
        case _:
            raise InvalidRequest(f"{path}.source: a job can carry the sources base64 and url.")


def _result(block: _Block, path: str) -> _Message:
    _check(block, path, "tool_use_id", "content", "is_error")
    content = block.get("content")
    if isinstance(content, list):
        blocks = _blocks(cast("list[object]", content), f"{path}.content")
        content = [_part(each, where) for where, each in blocks]
    result = {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content or ""}
    return {**result, "is_error": True} if block.get("is_error") else result


def _blocks(content: Sequence[object], path: str) -> Iterator[tuple[str, _Block]]:
    for index, block in enumerate(content):
        if not isinstance(block, dict):
            _refuse(f"{path}.{index}", "Input should be a block.")
        yield f"{path}.{index}", cast("_Block", block)


def _check(block: _Block, path: str, *known: str) -> None:
    """Refuse fields that a job cannot carry."""
    for name, value in block.items():
        if value is not None and name not in known and name not in _EVERYWHERE:
            _refuse(f"{path}.{name}", "a job cannot carry it. Omit it.")


def _refuse_kind(path: str, kind: object) -> NoReturn:
    _refuse(f"{path}.type", f"a job cannot carry a block of the type {str(kind)[:64]!r} here.")


def _refuse(path: str, why: str) -> NoReturn:
    raise InvalidRequest(f"{path}: {why}")
