"""`StoredRequest`: how a request is kept in the record of its job."""

from typing import ClassVar, Final, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tailrace.errors import InvalidRequest, NewerRequest, RequestTooLarge
from tailrace.request.validation import CLOSED, described

_UNKNOWN: Final = frozenset({"extra_forbidden", "union_tag_invalid", "literal_error", "enum"})
"""Pydantic's error types for fields and values that are unknown."""


class StoredRequest(BaseModel):
    """What all kinds of request share: how they are validated, written and read."""

    # Services log unexpected errors, and prompts must not get into logs.
    model_config: ClassVar[ConfigDict] = CLOSED | ConfigDict(
        frozen=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    def to_json(self, *, max_bytes: int) -> str:
        """Write the request as JSON, for its record.

        Args:
            max_bytes: The most bytes of JSON in UTF-8.

        Returns:
            JSON with the fields that differ from their defaults.

        Raises:
            RequestTooLarge: The JSON is longer than `max_bytes`.
            InvalidRequest: A text is not valid Unicode, because it has a lone surrogate.
        """
        try:
            encoded = self.model_dump_json(exclude_defaults=True)
            size = len(encoded.encode())
        except ValueError as error:
            raise InvalidRequest(f"The request cannot be written as UTF-8: {error}.") from None
        if size > max_bytes:
            raise RequestTooLarge(
                f"The request has {size:,} bytes as JSON, and the limit is {max_bytes:,}: "
                "shorten the messages, or raise TAILRACE_MAX_REQUEST_BYTES."
            )
        return encoded

    @classmethod
    def from_json(cls, encoded: str | bytes) -> Self:
        """Read a request that `to_json` wrote.

        Args:
            encoded: The JSON.

        Returns:
            The request.

        Raises:
            NewerRequest: The request has fields or values that this version does not know.
            InvalidRequest: The request is not valid; the message names the fields.
        """
        try:
            return cls.model_validate_json(encoded)
        except ValidationError as error:
            is_newer = any(line["type"] in _UNKNOWN for line in error.errors())
            raise (NewerRequest if is_newer else InvalidRequest)(described(error)) from None
