"""The tools that a model may call, and the schema of its answer."""

from typing import Annotated, Literal, NotRequired, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, StringConstraints, Tag, with_config
from typing_extensions import TypedDict

from tailrace.request import openai_form
from tailrace.request.json_values import JsonObject
from tailrace.request.validation import CLOSED, Problem, refusal

_Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


@with_config(CLOSED)
class Tool(TypedDict):
    """A function of the caller. Tools that the provider runs, such as a web search, go into `extra` as its `tools`."""

    name: _Name
    """The name by which the model calls it: 1 to 64 letters, digits, `_` and `-`, unique among the tools."""
    description: NotRequired[str]
    """What the tool does and when to call it, for the model."""
    parameters: NotRequired[JsonObject]
    """The JSON schema of the arguments, which are an object; without it the function has no arguments."""
    strict: NotRequired[bool]
    """True if the arguments must conform to the schema; the provider may then accept only a part of JSON Schema. If it
    is not given, the provider's default applies."""


@with_config(CLOSED)
class ToolName(TypedDict):
    """The one tool that the model must call."""

    name: _Name
    """The `name` of one of the `tools`."""


@with_config(CLOSED)
class OutputSchema(TypedDict):
    """The JSON schema of the answer's text."""

    name: _Name
    """The name of the schema, for the model; Anthropic does not use it."""
    schema: JsonObject
    """The JSON schema. Each provider accepts a different part of JSON Schema."""
    strict: NotRequired[bool]
    """True (default) if the answer must conform, false if it should; with Anthropic it always must."""


def _named_once(tools: list[Tool]) -> list[Tool]:
    seen: set[str] = set()
    again: list[int] = []
    for index, tool in enumerate(tools):
        if tool["name"] in seen:
            again.append(index)
        seen.add(tool["name"])
    if again:
        raise refusal(Problem((index, "name"), "another tool in `tools` has this name") for index in again)
    return tools


def _form(choice: object) -> str | None:
    if isinstance(choice, str):
        return "word"
    return "tool" if isinstance(choice, dict) else None


Tools: TypeAlias = Annotated[list[Annotated[Tool, BeforeValidator(openai_form.tool)]], AfterValidator(_named_once)]
ToolChoice: TypeAlias = Annotated[
    Annotated[Literal["auto", "required", "none"], Tag("word")] | Annotated[ToolName, Tag("tool")],
    Discriminator(
        _form,
        custom_error_type="tool_choice",
        custom_error_message="Input should be 'auto', 'required', 'none' or {'name': …}",
    ),
    BeforeValidator(openai_form.tool_choice),
]
