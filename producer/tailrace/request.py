"""What a job asks for, validated at the door: what is accepted here, a worker can run."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, with_config
from typing_extensions import TypedDict

from tailrace.errors import InvalidRequest, RequestTooLarge

_Stop = Annotated[str, StringConstraints(min_length=1, max_length=256)]


@with_config(ConfigDict(extra="forbid"))
class Message(TypedDict):
    """One turn of the conversation."""

    role: Literal["system", "user", "assistant"]
    content: Annotated[str, StringConstraints(min_length=1)]


class GenerationRequest(BaseModel):
    """One generation: which model of which provider, and what it is told.

    Raises:
        pydantic.ValidationError: A `ValueError` that names each field at fault.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: Literal["openai", "anthropic"]
    """`openai` (Chat Completions) or `anthropic` (Messages)."""
    model: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    """The model, by the provider's own name."""
    messages: Annotated[list[Message], Field(min_length=1)]
    """The conversation so far, oldest first."""
    max_output_tokens: int | None = Field(default=None, ge=1)
    """Where the provider stops (finish reason `length`). Anthropic needs one: 4,096 where this is not given."""
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: Annotated[list[_Stop], Field(max_length=4)] = []
    """Texts at which the model stops (finish reason `stop`)."""

    def to_json(self, *, max_bytes: int) -> str:
        """What is stored: only what differs from the defaults, so that a later version reads it the same way.

        Raises:
            RequestTooLarge: It is longer than `max_bytes` in UTF-8.
            InvalidRequest: It holds text that is not Unicode (a lone surrogate).
        """
        try:
            encoded = self.model_dump_json(exclude_defaults=True)
            size = len(encoded.encode())
        except ValueError as error:
            raise InvalidRequest(f"The request cannot be written as UTF-8: {error}.") from None
        if size > max_bytes:
            raise RequestTooLarge(
                f"The request has {size:,} bytes as JSON and the limit is {max_bytes:,}: "
                "shorten the messages, or raise TAILRACE_MAX_REQUEST_BYTES."
            )
        return encoded

    @classmethod
    def from_json(cls, encoded: str | bytes) -> Self:
        """Reads what `to_json` wrote.

        Raises:
            InvalidRequest: It does not validate; the message names the fields.
        """
        try:
            return cls.model_validate_json(encoded)
        except ValidationError as error:
            raise InvalidRequest(described(error)) from None


def described(error: ValidationError) -> str:
    """The fields at fault, and their rules, on one line and without the values: those may be prompts."""
    return "; ".join(f"{'.'.join(map(str, part['loc'])) or 'request'}: {part['msg']}" for part in error.errors())
