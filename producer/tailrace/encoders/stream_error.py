"""`StreamError`: an error in the form of OpenAI's APIs, inside a stream that has begun."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from tailrace.events import Cancelled, Failed

ERROR_TYPES: Final[Mapping[str, str]] = {
    "invalid_request": "invalid_request_error",
    "provider_rejected": "invalid_request_error",
    "model_not_found": "invalid_request_error",
    "content_blocked": "invalid_request_error",
    "provider_authentication": "authentication_error",
    "provider_rate_limited": "rate_limit_error",
    "provider_quota_exceeded": "insufficient_quota",
}
"""The `type` of the errors that a client acts on. All others are `server_error`."""


@dataclass(frozen=True, slots=True)
class StreamError:
    """An error that ends a stream."""

    code: str
    """The code, for programs: that of a failure, or one of this module's."""
    message: str
    """What happened, for a person."""

    @classmethod
    def of(cls, ending: Failed | Cancelled) -> Self:
        """Return the error for a job that did not complete.

        Args:
            ending: The ending of the job.
        """
        if isinstance(ending, Failed):
            return cls(ending.code, ending.message)
        reason = f": {ending.reason}" if ending.reason else "."
        return cls("cancelled", f"The job was cancelled{reason}")

    @classmethod
    def broken_off(cls) -> Self:
        """Return the error for a job that cannot be read to its ending."""
        return cls("stream_interrupted", "The answer cannot be read at the moment. The job may go on.")

    @property
    def body(self) -> dict[str, Any]:
        """The error as clients read it."""
        kind = ERROR_TYPES.get(self.code, "server_error")
        return {"message": self.message, "type": kind, "param": None, "code": self.code}


STARTED_AGAIN: Final = StreamError(
    "answer_restarted",
    "The answer broke off and was started again, and this protocol cannot take back what was sent. Ask again.",
)
"""The error after a restart that follows text."""
GAP: Final = StreamError("answer_incomplete", "A part of the answer was lost.")
"""The error where Redis lost entries of the stream."""
