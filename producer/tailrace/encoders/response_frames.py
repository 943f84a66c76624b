"""The frames of OpenAI's Responses, and the errors in them."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tailrace.encoders.stream_error import StreamError
from tailrace.events import Ending, Failed

DONE: Final = "data: [DONE]\n\n"
"""The last frame of a stream."""
_ERROR_CODES: Final[Mapping[str, str]] = {
    "rate_limit_error": "rate_limit_exceeded",
    "invalid_request_error": "invalid_prompt",
}
"""OpenAI's codes for the types of errors. All others are `server_error`."""


def begun_frame(kind: str, fields: Mapping[str, Any]) -> str:
    """Return a frame up to its number, which `numbered` adds.

    Args:
        kind: The type of the event.
        fields: The fields of the event.
    """
    inside = json.dumps(fields, separators=(",", ":"))[1:-1]
    return f'event: {kind}\ndata: {{"type":"{kind}",{inside}'


def begun_error(error: StreamError) -> str:
    """Return the frame of an error up to its number, which `numbered` adds.

    Args:
        error: The error.
    """
    return begun_frame("error", {"code": error.code, "message": error.message, "param": None})


def numbered(begun: str, number: int) -> str:
    """Return a whole frame.

    Args:
        begun: The frame up to its number.
        number: Its `sequence_number`.
    """
    return f'{begun},"sequence_number":{number}}}\n\n'


def response_error(ending: Ending | None) -> dict[str, str] | None:
    """Return the `error` of a response.

    Args:
        ending: The ending of its job, if it has ended.
    """
    if not isinstance(ending, Failed):
        return None
    kind = StreamError.of(ending).body["type"]
    return {"code": _ERROR_CODES.get(kind, "server_error"), "message": ending.message}
