"""`NewResponse`: the body of `POST /v1/responses`."""

from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from tailrace.field_docs import describe_fields

_MAX_PAIRS: Final = 16

Metadata: TypeAlias = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=64)],
        Annotated[str, StringConstraints(max_length=512)],
    ],
    Field(max_length=_MAX_PAIRS),
]
_OPEN: Final = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True, json_schema_extra=describe_fields)


class TextOptions(BaseModel):
    """How the text of the answer is written."""

    model_config: ClassVar[ConfigDict] = _OPEN

    format: dict[str, Any] | None = None
    """`text`, `json_schema` with a schema, or `json_object`."""
    verbosity: Literal["low", "medium", "high"] | None = None
    """How long answers are."""


class NewResponse(BaseModel):
    """A new response, as OpenAI's clients ask for it. Fields that cannot be carried are refused by name."""

    model_config: ClassVar[ConfigDict] = _OPEN

    model: str = Field(min_length=1, max_length=256)
    """A name in `TAILRACE_MODELS`, or `provider/model`."""
    input: str | list[dict[str, Any]] = Field(min_length=1)
    """A text of the user, or items: messages, function calls and their outputs, and reasoning."""
    instructions: str | None = None
    """A system message before the conversation. A later response does not take it over."""
    previous_response_id: Annotated[str, StringConstraints(max_length=80)] | None = None
    """The response whose conversation goes on: it has to have ended, and to be kept still."""
    stream: bool | None = None
    """True for the events of the response; otherwise the response is returned when it has ended."""
    background: bool | None = None
    """True to return at once: the response goes on, whoever leaves."""
    tools: list[dict[str, Any]] | None = None
    """Functions of the caller that the model may call."""
    tool_choice: str | dict[str, Any] | None = None
    """Which tools the model calls."""
    parallel_tool_calls: bool | None = None
    """False if the model may call only one tool at a time."""
    text: TextOptions | None = None
    """How the text of the answer is written."""
    reasoning: dict[str, Any] | None = None
    """How the model reasons: `effort`, and `summary`."""
    max_output_tokens: int | None = None
    """The number of tokens after which the answer is cut, its reasoning included."""
    temperature: float | None = None
    """The sampling temperature."""
    top_p: float | None = None
    """The model samples only from the likeliest tokens with this total probability."""
    include: list[str] | None = None
    """What else the response has: `reasoning.encrypted_content`, which is always there."""
    metadata: Metadata | None = None
    """Up to 16 texts by name, which the response repeats."""
    store: bool | None = None
    """False if no later response may go on with this one. It is kept for the usual time nevertheless."""
