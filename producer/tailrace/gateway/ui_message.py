"""`UiMessage`: a message as the AI SDK's `useChat` sends it."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from tailrace.field_docs import describe_fields


class _Lenient(BaseModel):
    # Clients send more fields than the gateway needs, and newer ones send more of them.
    model_config: ClassVar[ConfigDict] = ConfigDict(
        alias_generator=to_camel, extra="ignore", hide_input_in_errors=True, json_schema_extra=describe_fields
    )


class UiPart(_Lenient):
    """A part of a UI message. Parts of types that the gateway does not know are left out of the request."""

    type: str
    """`text`, `reasoning`, `file`, `step-start`, `tool-NAME` or `dynamic-tool`. Parts of other types are left out."""
    text: str | None = None
    """The text of a `text` or a `reasoning`."""
    provider_metadata: dict[str, Any] | None = None
    """The metadata of the part in the gateway's stream, such as the signature of a `reasoning`."""
    media_type: str | None = None
    """The media type of a `file`: an image or a PDF."""
    url: str | None = None
    """The URL of the `file`: `https://`, or a `data:` URL in base64."""
    filename: str | None = None
    """The name of the `file`."""
    tool_call_id: str | None = None
    """The id of a tool call."""
    tool_name: str | None = None
    """The name of the tool of a `dynamic-tool`."""
    state: str | None = None
    """The state of a tool call. Only calls in `output-available` or `output-error` are passed on."""
    input: Any = None
    """The arguments of a tool call."""
    raw_input: Any = None
    """The arguments of a tool call, if they were not valid."""
    output: Any = None
    """The output of a tool."""
    error_text: str | None = None
    """Why a tool failed."""

    @property
    def is_tool(self) -> bool:
        """True if the part is a tool call."""
        return self.type == "dynamic-tool" or self.type.startswith("tool-")

    @property
    def name(self) -> str:
        """The name of the tool."""
        return self.tool_name or self.type.removeprefix("tool-")


class UiMessage(_Lenient):
    """A message of a chat."""

    id: str = ""
    """The id of the message in the page."""
    role: Literal["system", "user", "assistant"]
    """Who wrote it."""
    parts: list[UiPart]
    """The parts of the message."""


class NewTurn(BaseModel):
    """The body that `useChat` sends.

    It can also have every field of the body of `POST /v1/jobs` except `conversation`.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="allow", hide_input_in_errors=True, json_schema_extra=describe_fields
    )

    id: str = Field(min_length=1)
    """The id of the chat, which is the id of its conversation."""
    messages: list[UiMessage] = Field(min_length=1)
    """The messages of the chat, oldest first."""
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    """Why the request is made. The gateway does the same for both: it runs the messages that are given."""
    message_id: str | None = Field(default=None, alias="messageId")
    """The id of the message that is submitted again or regenerated. The gateway does not use it."""
    provider: str | None = None
    """The provider; by default the gateway's `TAILRACE_CHAT_PROVIDER`."""
    model: str | None = None
    """The model; by default the gateway's `TAILRACE_CHAT_MODEL`."""
