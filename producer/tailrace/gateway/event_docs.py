"""How OpenAPI describes streams of server-sent events."""

from typing import Any, Final

from tailrace.gateway.errors import JOB_HEADER

_HEADERS: Final = {
    JOB_HEADER: {"description": "The id of the job.", "schema": {"type": "string"}},
    "Cache-Control": {"schema": {"const": "no-cache, no-transform"}},
    "X-Accel-Buffering": {"schema": {"const": "no"}},
}
_ONE: Final = """\
retry: 1000
id: 1-2
event: started
data: {"type": "started", "id": "1-2", "at": 1790000000000, "attempt": 1, "provider": "openai", "model": "gpt-5.6", \
"worker": "5d41402abc4b2a76", "continues": false}

id: 1-3
event: delta
data: {"type": "delta", "id": "1-3", "text": "Because "}

: keep-alive
id: 1-4
event: completed
data: {"type": "completed", "id": "1-4", "at": 1790000001000, "finish_reason": "stop"}

"""
_SEVERAL: Final = """\
retry: 1000
id: 3c59dc04:1-3,0-1
event: delta
data: {"job": "hX3vJ0c2TqK9bWm5yRzA1g", "type": "delta", "id": "1-3", "text": "Because "}

"""
_UI: Final = """\
data: {"type":"start","messageId":"hX3vJ0c2TqK9bWm5yRzA1g","messageMetadata":{"jobId":"hX3vJ0c2TqK9bWm5yRzA1g"}}

data: {"type":"start-step"}

data: {"type":"text-start","id":"1"}

data: {"type":"text-delta","id":"1","delta":"Because "}

data: {"type":"text-end","id":"1"}

data: {"type":"finish-step"}

data: {"type":"finish","finishReason":"stop"}

data: [DONE]

"""


def _stream(description: str, example: str, data: dict[str, Any], **more: Any) -> dict[int | str, dict[str, Any]]:
    """Describe a stream by the schema of its events."""
    event = {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string"},
            "retry": {"type": "integer"},
            "data": {"type": "string", **data},
        },
    }
    content = {"text/event-stream": {"itemSchema": event, "example": example}}
    return {200: {"description": description, "headers": {**_HEADERS, **more}, "content": content}}


def frames(description: str, example: str) -> dict[int | str, dict[str, Any]]:
    """Describe an answer in the form of another API: one object, or a stream.

    Args:
        description: What the answer is.
        example: Frames of the stream.

    Returns:
        The responses, as FastAPI takes them.
    """
    described = _stream(description, example, {"description": "JSON in the form of the API."})
    described[200]["content"]["application/json"] = {"schema": {"type": "object"}}
    return described


_JSON: Final = {"contentMediaType": "application/json"}
_SEEN: Final[dict[int | str, dict[str, Any]]] = {
    204: {"description": "The cursor is at the ending, so no event will come."}
}

EVENTS: Final = {
    **_stream(
        "The events of the job. `id` is the cursor of an event, and `event` its type. The last event is the ending.",
        _ONE,
        {**_JSON, "contentSchema": {"$ref": "#/components/schemas/Event"}},
    ),
    **_SEEN,
}
"""The responses of a stream of one job."""

JOBS_EVENTS: Final = {
    **_stream(
        "The events of the jobs. `id` is one cursor for all jobs. The stream ends when all of them have ended.",
        _SEVERAL,
        {
            **_JSON,
            "contentSchema": {
                "allOf": [
                    {"type": "object", "properties": {"job": {"type": "string"}}, "required": ["job"]},
                    {"$ref": "#/components/schemas/Event"},
                ]
            },
        },
    ),
    **_SEEN,
}
"""The responses of a stream of several jobs."""

CHAT: Final = _stream(
    "The answer as a UI message stream, version 1; the last frame is `data: [DONE]`.",
    _UI,
    {"description": "A part of a UI message stream as JSON, or `[DONE]`."},
    **{"x-vercel-ai-ui-message-stream": {"schema": {"const": "v1"}}},
)
"""The response of a chat's stream."""
