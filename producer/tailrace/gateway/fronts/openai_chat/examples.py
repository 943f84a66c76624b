"""Examples for the OpenAPI document."""

from typing import Any, Final

from tailrace.gateway.event_docs import frames

QUESTION: Final[dict[str, Any]] = {
    "model": "openai/gpt-5-mini",
    "messages": [{"role": "user", "content": "Why do mills have tailraces?"}],
    "stream": True,
}
_CHUNKS: Final = """\
data: {"id":"chatcmpl-hX3vJ0c2TqK9bWm5yRzA1g","object":"chat.completion.chunk","created":1790000000,\
"model":"openai/gpt-5-mini","choices":[{"index":0,"delta":{"content":"Because "},"logprobs":null,"finish_reason":null}]}

data: [DONE]

"""
ANSWER: Final[dict[int | str, dict[str, Any]]] = frames(
    "The completion; with `stream` as chunks, the last of which is `[DONE]`.", _CHUNKS
)
"""The responses of the route."""
