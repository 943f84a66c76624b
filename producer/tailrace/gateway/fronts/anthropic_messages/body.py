"""The bodies of requests as Anthropic's clients send them."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from tailrace.field_docs import describe_fields


class CountTokensBody(BaseModel):
    """Messages whose tokens are to be counted. Further fields of Anthropic's API are not counted."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", hide_input_in_errors=True, json_schema_extra=describe_fields
    )

    model: str = Field(min_length=1)
    """A name in `TAILRACE_MODELS`, or `provider/model`."""
    messages: list[dict[str, Any]] = Field(min_length=1)
    """The messages, oldest first."""
    system: str | list[dict[str, Any]] | None = None
    """Instructions for the model: text, or blocks of text."""
    tools: list[dict[str, Any]] | None = None
    """The tools of the caller that the model may call."""
    tool_choice: dict[str, Any] | None = None
    """Which tool the model calls."""


class MessageBody(CountTokensBody):
    """A message. Further fields of Anthropic's API are accepted, passed to the provider, or refused by name."""

    max_tokens: int
    """How many tokens the answer may have at most."""
    stream: bool | None = None
    """True for a stream of events."""
    stop_sequences: list[str] | None = None
    """Up to 4 texts at which the model stops."""
    temperature: float | None = None
    """The sampling temperature."""
    top_p: float | None = None
    """The total probability of the tokens that are sampled from."""
    output_config: dict[str, Any] | None = None
    """The `format` of the text, a `json_schema`, and the `effort`, which every provider gets in its own form. Other
    members are passed to Anthropic."""
