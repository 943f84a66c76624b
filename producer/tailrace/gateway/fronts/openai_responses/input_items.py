"""The input of a response as items: what `GET /v1/responses/{id}/input_items` lists."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from tailrace import InvalidRequest, Message


def items_of(messages: Sequence[Message], job_id: str) -> list[dict[str, Any]]:
    """Return the messages of a request as items, the oldest first.

    Args:
        messages: The messages, without the instructions.
        job_id: The job, from which the items have their ids.
    """
    items = [item for message in messages for item in _items(message)]
    return [{"id": f"in_{job_id}_{place}", "status": "completed", **item} for place, item in enumerate(items)]


def page_of(
    items: Sequence[Mapping[str, Any]], *, order: Literal["asc", "desc"], after: str | None, limit: int
) -> dict[str, Any]:
    """Return a page of items.

    Args:
        items: All items, the oldest first.
        order: `desc` for the newest first.
        after: The id of the last item of the page before.
        limit: How many items it has at most.

    Raises:
        InvalidRequest: There is no item `after`.
    """
    ordered = list(items if order == "asc" else reversed(items))
    if after is not None:
        place = next((place for place, item in enumerate(ordered) if item["id"] == after), None)
        if place is None:
            raise InvalidRequest(f"after: the input has no item {after[:128]!r}.")
        ordered = ordered[place + 1 :]
    page = ordered[:limit]
    ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {"first_id": None, "last_id": None}
    return {"object": "list", "data": page, **ends, "has_more": len(ordered) > limit}


def _items(message: Message) -> Iterator[dict[str, Any]]:
    match message["role"]:
        case "assistant":
            for block in message.get("reasoning", ()):
                summary = [{"type": "summary_text", "text": block["text"]}] if block["text"] else []
                yield {"type": "reasoning", "summary": summary, "encrypted_content": block.get("signature")}
            if text := message.get("content"):
                said: dict[str, Any] = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
                yield {"type": "message", "role": "assistant", "content": [said]}
            for call in message.get("tool_calls", ()):
                called = {"call_id": call["id"], "name": call["name"], "arguments": call["arguments"]}
                yield {"type": "function_call", **called}
        case "tool":
            given = message["content"]
            output = given if isinstance(given, str) else list(map(_part, given))
            yield {"type": "function_call_output", "call_id": message["tool_call_id"], "output": output}
        case role:
            yield {"type": "message", "role": role, "content": list(map(_part, _parts(message["content"])))}


def _parts(content: str | Sequence[Any]) -> Sequence[Any]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "input_text", "text": part["text"]}
    data = f"data:{part['media_type']};base64,{part['data']}" if "data" in part else None
    if part["type"] == "image":
        return {"type": "input_image", "detail": "auto", "image_url": data or part["url"], "file_id": None}
    given = {"file_data": data, "file_url": part.get("url"), "filename": part.get("name")}
    return {"type": "input_file", **{name: value for name, value in given.items() if value is not None}}
