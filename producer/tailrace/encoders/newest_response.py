"""`NewestResponse`: what the frames of OpenAI's Responses say of the response so far."""

import json
from collections.abc import Mapping
from typing import Any, Final, cast

from tailrace.encoders.response_frames import response_error
from tailrace.events import Cancelled, Ending, Failed

_ENDED: Final = frozenset({"cancelled", "completed", "failed", "incomplete"})

_MAX_NUMBER: Final = 2**53 - 1
"""The greatest integer that JavaScript can tell from the next one. The last event may need it."""


class NewestResponse:
    """The newest response object among a provider's own frames, and the number of its newest event."""

    def __init__(self) -> None:
        self.number: int = -1
        """The `sequence_number` of the newest event that has one; -1 before the first."""
        self._response: dict[str, Any] | None = None

    def add(self, data: bytes) -> int | None:
        """Take the next frame. Nothing is demanded of it: a provider may send anything.

        Args:
            data: The data of the frame: an event, or the body of a plain call, which is the response itself.

        Returns:
            The `sequence_number` of the event, if it has one.
        """
        event = _object(data)
        response = event if event.get("object") == "response" else event.get("response")
        if isinstance(response, dict):
            self._response = cast("dict[str, Any]", response)
        number = event.get("sequence_number")
        # True is an int in Python, but no number in JSON.
        if type(number) is not int or abs(number) >= _MAX_NUMBER:
            return None
        self.number = number
        return number

    @property
    def response_id(self) -> str | None:
        """The id of the response, once a frame has one."""
        response_id = None if self._response is None else self._response.get("id")
        return response_id if isinstance(response_id, str) else None

    def response(self, ending: Ending | None) -> dict[str, Any] | None:
        """Return the response object.

        Args:
            ending: The ending of the job, if it has ended. The provider's own object does not tell of a job that was
                cancelled, or that failed without a frame of the provider.

        Returns:
            The newest object, with the status of the ending; `None` if no frame has one.
        """
        response = self._response
        if response is None:
            return None
        match ending:
            case Cancelled():
                return {**response, "status": "cancelled"}
            case Failed() if response.get("status") not in _ENDED:
                return {**response, "status": "failed", "error": response_error(ending)}
            case _:
                return response


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
