"""Examples for the OpenAPI document."""

from typing import Any, Final

from tailrace.gateway.event_docs import frames

NEW_RESPONSE: Final[dict[str, Any]] = {
    "model": "openai/gpt-5-mini",
    "input": "Why do mills have tailraces?",
    "background": True,
    "metadata": {"user": "u-7"},
}
_EVENTS: Final = """\
event: response.output_text.delta
data: {"type":"response.output_text.delta","output_index":0,"item_id":"msg_hX3vJ0c2TqK9bWm5yRzA1g_1_0",\
"content_index":0,"delta":"Because ","logprobs":[],"sequence_number":5}

data: [DONE]

"""

OBJECT_OR_EVENTS: Final[dict[int | str, dict[str, Any]]] = frames(
    "The response object; with `stream` its events, and `[DONE]` after the last one.", _EVENTS
)
"""The responses of a route that gives the object, or its events."""
OBJECT: Final[dict[int | str, dict[str, Any]]] = {
    200: {"description": "The response object.", "content": {"application/json": {"schema": {"type": "object"}}}}
}
"""The responses of a route that gives the object."""
