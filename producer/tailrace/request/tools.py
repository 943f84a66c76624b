"""What a model may call, and the form that it answers in."""

from typing import Annotated, Literal, NotRequired, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Discriminator, StringConstraints, Tag, with_config
from typing_extensions import TypedDict

from tailrace.request import openai_form
from tailrace.request.json_values import JsonObject
from tailrace.request.validation import CLOSED, Problem, refusal

_Name: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]


@with_config(CLOSED)
class Tool(TypedDict):
    """A function of the caller's. What a provider runs itself, a web search say, goes into `extra` as its `tools`."""

    name: _Name
    """What the model calls it by: 1 to 64 letters, digits, `_` and `-`; each name once."""
    description: NotRequired[str]
    """What it does, and when to call it, for the model."""
    parameters: NotRequired[JsonObject]
    """The JSON schema of the arguments, an object's; without it the function takes none."""
    strict: NotRequired[bool]
    """The arguments are to keep to the schema, of which the provider may then take a part alone. Without it the
    provider's own default holds."""


@with_config(CLOSED)
class ToolName(TypedDict):
    """The one tool that the model has to call."""

    name: _Name
    """The `name` of one of the `tools`."""


@with_config(CLOSED)
class OutputSchema(TypedDict):
    """The answer's text is to be JSON of this schema."""

    name: _Name
    """What the model is told that it is called; Anthropic has no place for it."""
    schema: JsonObject
    """The JSON schema, of which each provider takes a part."""
    strict: NotRequired[bool]
    """Whether the answer has to keep to it (default), or should; Anthropic's always has to."""


def _named_once(tools: list[Tool]) -> list[Tool]:
    seen: set[str] = set()
    again: list[int] = []
    for index, tool in enumerate(tools):
        if tool["name"] in seen:
            again.append(index)
        seen.add(tool["name"])
    if again:
        raise refusal(Problem((index, "name"), "another tool before it is called the same") for index in again)
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
