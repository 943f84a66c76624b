"""`ChatCompletionBody`: a request as OpenAI's clients send it."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tailrace.field_docs import describe_fields


class StreamOptions(BaseModel):
    """What else a stream has."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra=describe_fields
    )

    include_usage: bool | None = None
    """True for a last chunk with the usage."""
    include_obfuscation: bool | None = None
    """It changes nothing: there is no obfuscation."""


class ChatCompletionBody(BaseModel):
    """A chat completion. Further fields of OpenAI's API are accepted, passed to the provider, or refused by name."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", hide_input_in_errors=True, json_schema_extra=describe_fields
    )

    model: str = Field(min_length=1)
    """A name in `TAILRACE_MODELS`, or `provider/model`."""
    messages: list[dict[str, Any]] = Field(min_length=1)
    """The messages, oldest first."""
    stream: bool | None = None
    """True for a stream of chunks."""
    stream_options: StreamOptions | None = None
    """What else the stream has."""
    max_completion_tokens: int | None = None
    """How many tokens the answer may have at most."""
    max_tokens: int | None = None
    """The former name of `max_completion_tokens`."""
    temperature: float | None = None
    """The sampling temperature."""
    top_p: float | None = None
    """The total probability of the tokens that are sampled from."""
    stop: str | list[str] | None = None
    """Up to 4 texts at which the model stops."""
    tools: list[dict[str, Any]] | None = None
    """The functions that the model may call."""
    tool_choice: str | dict[str, Any] | None = None
    """Which function the model calls."""
    response_format: dict[str, Any] | None = None
    """The form of the text: `text`, or `json_schema`; `json_object` if the provider is one of OpenAI's kind."""
