"""The fields of requests as keyword arguments: what their constructors and `Job.regenerate` take.

A field that is a list in a request may be given as any sequence, and a part of a request as a dict, which is validated.
Messages and tools may be in OpenAI's own form.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

from tailrace.api_kinds import ApiKind
from tailrace.request.fallback import Fallback
from tailrace.request.guards import Guard
from tailrace.request.limits import Buffering, Timeouts
from tailrace.request.messages import Message
from tailrace.request.tools import OutputSchema, Tool, ToolName

_Part: TypeAlias = dict[str, Any]


class _OptionalFields(TypedDict, total=False):
    max_output_tokens: int | None
    temperature: float | None
    top_p: float | None
    stop: Sequence[str]
    tools: Sequence[Tool | _Part]
    tool_choice: Literal["auto", "required", "none"] | ToolName | _Part | None
    output_schema: OutputSchema | _Part | None
    stream: bool
    extra: Mapping[str, Any]
    on_interrupt: Literal["restart", "continue", "fail"]
    fallbacks: Sequence[Fallback | _Part]
    timeouts: Timeouts | _Part | None
    buffering: Buffering | _Part | None
    guards: Sequence[Guard | _Part]
    input_guards: Sequence[Guard | _Part]
    boxes: bool


class RequestFields(_OptionalFields):
    """The fields of a new request."""

    provider: str
    model: str
    messages: Sequence[Message | _Part]


class VerbatimFields(TypedDict):
    """The fields of a new verbatim request."""

    provider: str
    body: Mapping[str, Any]
    headers: NotRequired[Mapping[str, str]]
    api: NotRequired[ApiKind | None]
    stream: NotRequired[bool]
    on_interrupt: NotRequired[Literal["restart", "fail"]]
    fallbacks: NotRequired[Sequence[Fallback | _Part]]
    timeouts: NotRequired[Timeouts | _Part | None]
    guards: NotRequired[Sequence[Guard | _Part]]


class RequestChanges(_OptionalFields, total=False):
    """The fields to change in a stored request, each of them optional."""

    provider: str
    model: str
    messages: Sequence[Message | _Part]
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    api: ApiKind | None
