"""Examples for the OpenAPI document."""

from typing import Any, Final

from tailrace.gateway.event_docs import frames

COUNTED: Final[dict[str, Any]] = {
    "model": "anthropic/claude-opus-4-5",
    "messages": [{"role": "user", "content": "Why do mills have tailraces?"}],
}
QUESTION: Final[dict[str, Any]] = {**COUNTED, "max_tokens": 1_024, "stream": True}
_EVENTS: Final = """\
event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Because "}}

event: message_stop
data: {"type":"message_stop"}

"""
ANSWER: Final[dict[int | str, dict[str, Any]]] = frames(
    "The message; with `stream` as events, the last of which is `message_stop`.", _EVENTS
)
"""The responses of the route."""
