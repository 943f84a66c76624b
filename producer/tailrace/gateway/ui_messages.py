"""The AI SDK's UI messages as the messages of a generation request."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from tailrace import (
    AssistantMessage,
    Document,
    Image,
    InvalidRequest,
    Message,
    PastReasoning,
    PastToolCall,
    SystemMessage,
    Text,
    ToolMessage,
    UserMessage,
)
from tailrace.gateway.ui_message import UiMessage, UiPart

_PDF: Final = "application/pdf"


def to_messages(ui_messages: Sequence[UiMessage]) -> list[Message]:
    """Translate the messages of a chat.

    Parts that only the page shows (`source-*`, `data-*`) are left out, and so are tool calls that have no output yet.

    Args:
        ui_messages: The messages, oldest first.

    Returns:
        The messages of the request; an assistant's message of several steps becomes several.

    Raises:
        InvalidRequest: A part cannot be sent to a model; the message names it.
    """
    messages: list[Message] = []
    for index, ui_message in enumerate(ui_messages):
        parts = ui_message.parts
        match ui_message.role:
            case "system":
                if text := "".join(part.text or "" for part in parts if part.type == "text"):
                    messages.append(SystemMessage(role="system", content=text))
            case "user":
                content = [
                    sent
                    for place, part in enumerate(parts)
                    if (sent := _user_part(part, f"messages.{index}.parts.{place}"))
                ]
                if not content:
                    raise InvalidRequest(
                        f"messages.{index}.parts: there is no text and no file. Give the model at least one."
                    )
                messages.append(UserMessage(role="user", content=content))
            case "assistant":
                for step in _steps(parts):
                    messages += _of_step(step)
    return messages


def _user_part(part: UiPart, path: str) -> Text | Image | Document | None:
    if part.type == "text" and part.text:
        return Text(type="text", text=part.text)
    if part.type != "file":
        return None
    media_type, url = part.media_type or "", part.url or ""
    if url.startswith("data:"):
        header, _, data = url.removeprefix("data:").partition(",")
        declared, _, encoding = header.rpartition(";")
        if encoding != "base64":
            raise InvalidRequest(f"{path}.url: the data URL is not in base64. Encode it: data:TYPE;base64,DATA.")
        source: dict[str, str] = {"data": data, "media_type": declared or media_type}
    else:
        source = {"url": url}
    # The request validates what it gets: the kinds of images, base64, and URLs.
    if media_type.startswith("image/"):
        return cast("Image", {"type": "image", **source})
    if media_type == _PDF:
        named = {"name": part.filename} if part.filename else {}
        return cast("Document", {"type": "document", **source, **named})
    raise InvalidRequest(f"{path}.mediaType: a file has to be an image or a PDF ({_PDF}).")


def _steps(parts: Iterable[UiPart]) -> Iterable[list[UiPart]]:
    """Divide an assistant's message: the results of a step's tools come before the next step."""
    step: list[UiPart] = []
    for part in parts:
        if part.type == "step-start" and step:
            yield step
            step = []
        step.append(part)
    yield step


def _of_step(parts: Sequence[UiPart]) -> Iterable[Message]:
    text, thought, thought_after = "", "", (0, 0)
    calls: list[PastToolCall] = []
    results: list[ToolMessage] = []
    reasoning: list[PastReasoning] = []
    for part in parts:
        if part.type == "text":
            text += part.text or ""
        elif part.type == "reasoning":
            if not thought:
                thought_after = len(text), len(calls)
            thought += part.text or ""
            if signature := _signature(part.provider_metadata):
                chars, called = thought_after
                reasoning.append(
                    PastReasoning(text=thought, signature=signature, after_chars=chars, after_calls=called)
                )
                thought = ""
        elif part.is_tool and part.tool_call_id and part.state in {"output-available", "output-error"}:
            calls.append(PastToolCall(id=part.tool_call_id, name=part.name, arguments=_arguments(part)))
            results.append(_result(part, part.tool_call_id))
    message = AssistantMessage(role="assistant", content=text)
    if calls:
        message["tool_calls"] = calls
    if reasoning:
        message["reasoning"] = reasoning
    return [message, *results] if text or calls or reasoning else []


def _signature(metadata: Mapping[str, Any] | None) -> str | None:
    """Return the signature that the gateway's stream gave the reasoning, if it has one."""
    own = (metadata or {}).get("tailrace")
    signature = cast("dict[str, Any]", own).get("signature") if isinstance(own, dict) else None
    return signature if isinstance(signature, str) else None


def _arguments(part: UiPart) -> str:
    given = part.raw_input if part.input is None else part.input
    return given if isinstance(given, str) else json.dumps({} if given is None else given)


def _result(part: UiPart, call_id: str) -> ToolMessage:
    if part.state == "output-error":
        return ToolMessage(role="tool", tool_call_id=call_id, content=part.error_text or "", is_error=True)
    output = part.output if isinstance(part.output, str) else json.dumps(part.output)
    return ToolMessage(role="tool", tool_call_id=call_id, content=output)
