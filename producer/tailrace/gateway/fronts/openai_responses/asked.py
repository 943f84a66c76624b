"""What a response repeats of its request, from what is stored with the job."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tailrace import GenerationRequest, Message

_TOOL: Final = {"type": "function", "description": None, "parameters": None, "strict": None}


def asked_of(request: GenerationRequest, front: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a response that repeat its request.

    They depend on the job's record only, so that every gateway returns the same bytes.

    Args:
        request: The request of the job.
        front: What the job remembers of the body; empty for a job that another API enqueued.
    """
    said: dict[str, Any] = dict(front.get("said", {}))
    fields: dict[str, Any] = {
        "model": request.model,
        "max_output_tokens": request.max_output_tokens,
        "instructions": request.messages[0].get("content") if front.get("instructions") else None,
        "tools": [{**_TOOL, **tool} for tool in request.tools],
        **said,
        "reasoning": {"effort": None, "summary": None, **said.get("reasoning", {})},
        "text": {"format": _format(request), **said.get("text", {})},
    }
    for name in ("temperature", "top_p"):
        if (value := getattr(request, name)) is not None:
            fields[name] = value
    return fields


def said_by(request: GenerationRequest, front: Mapping[str, Any]) -> Sequence[Message]:
    """Return the conversation of a response, without its instructions.

    Args:
        request: The request of the job.
        front: What the job remembers of the body.
    """
    return request.messages[1:] if front.get("instructions") else request.messages


def _format(request: GenerationRequest) -> dict[str, Any]:
    schema = request.output_schema
    return {"type": "text"} if schema is None else {"type": "json_schema", "strict": True, **schema}
