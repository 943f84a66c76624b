"""A new response as the fields of a job, and as what the job has to remember of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tailrace import InvalidRequest
from tailrace.gateway.fronts.fields import Target
from tailrace.gateway.fronts.openai_responses.new_response import NewResponse
from tailrace.gateway.fronts.openai_responses.provider_fields import provider_fields

_REPEATED: Final = (
    *("background", "max_tool_calls", "metadata", "model", "parallel_tool_calls", "previous_response_id"),
    *("prompt_cache_key", "reasoning", "safety_identifier", "service_tier", "store", "tool_choice", "truncation"),
    "user",
)
"""The fields that a response repeats and that its generation request does not have in this form."""


def request_fields(new: NewResponse, messages: Sequence[Any], target: Target) -> dict[str, Any]:
    """Return the fields of a generation request, but for those that the name of the model decides.

    Args:
        new: The body.
        messages: The conversation, without the instructions.
        target: The provider that is called.

    Returns:
        The fields.

    Raises:
        InvalidRequest: A field cannot be carried. The message names it.
    """
    instructions = [{"role": "system", "content": new.instructions}] if new.instructions else []
    fields: dict[str, Any] = {
        "messages": [*instructions, *messages],
        "temperature": new.temperature,
        "top_p": new.top_p,
        "tools": [_tool(tool, place) for place, tool in enumerate(new.tools or ())],
        "tool_choice": new.tool_choice if new.tools or new.tool_choice not in ("auto", "none") else None,
        "output_schema": _output_schema(new),
        "extra": provider_fields(new, target),
    }
    return {name: value for name, value in fields.items() if value not in (None, [], {})}


def remembered(new: NewResponse) -> dict[str, Any]:
    """Return what the job has to remember, so that each gateway can repeat the request of its response.

    Args:
        new: The body.
    """
    given = new.model_dump(include={*_REPEATED, "text"}, exclude_none=True)
    if new.text is not None and _schema_format(new) is not None:
        # The request has the schema.
        given["text"] = {name: value for name, value in given["text"].items() if name != "format"}
    return {"instructions": bool(new.instructions), "said": dict(sorted(given.items()))}


def _tool(tool: Mapping[str, Any], place: int) -> dict[str, Any]:
    if tool.get("type") != "function":
        raise InvalidRequest(
            f"tools.{place}.type: {str(tool.get('type'))[:64]!r} cannot be carried. Only functions of the caller can."
        )
    return dict(tool)


def _schema_format(new: NewResponse) -> Mapping[str, Any] | None:
    form = new.text.format if new.text else None
    return form if form is not None and form.get("type") == "json_schema" else None


def _output_schema(new: NewResponse) -> dict[str, Any] | None:
    form = new.text.format if new.text else None
    match form and form.get("type"):
        case None | "text" | "json_object":
            return None
        case "json_schema":
            # OpenAI's default differs from that of a job.
            fields = {"strict": False, **{name: value for name, value in (form or {}).items() if value is not None}}
        case other:
            raise InvalidRequest(f"text.format.type: {str(other)[:64]!r} cannot be carried.")
    del fields["type"]
    description, schema = fields.pop("description", None), fields.get("schema")
    if description is not None and isinstance(schema, dict):
        fields["schema"] = {"description": description, **schema}
    return fields
