"""The JSON schema of the public form of events, made from their dataclasses."""

import dataclasses
import inspect
import types
import typing
from typing import Any, Final

from tailrace.cursor import EntryId
from tailrace.events import Event
from tailrace.field_docs import describe_fields

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_PLAIN: Final[dict[object, dict[str, str]]] = {
    str: {"type": "string"},
    bytes: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    EntryId: {"type": "string", "pattern": "^[0-9]+-[0-9]+$"},
}


def event_json_schema() -> dict[str, Any]:
    """Return the JSON schema of events in their public form, as `to_dict`, `to_json` and `--json` give them.

    The docstrings of the classes and of their fields are the descriptions. Later versions may add types and fields: a
    client skips those that it does not know.

    Returns:
        A new schema of the dialect 2020-12: one definition for each type of event, told apart by `type`.
    """
    events: tuple[type[Any], ...] = _flat(Event)
    references = {event.type: f"#/$defs/{event.__name__}" for event in events}
    return {
        "$schema": _DIALECT,
        "title": "Event",
        "description": "An event of a job. Skip types and fields that you do not know.",
        "oneOf": [{"$ref": reference} for reference in references.values()],
        "discriminator": {"propertyName": "type", "mapping": references},
        "$defs": {event.__name__: _object(event) for event in events},
    }


def _flat(union: Any) -> tuple[Any, ...]:
    """Return the members of a union and of the unions in it."""
    return tuple(inner for part in typing.get_args(union) for inner in (_flat(part) or (part,)))


def _object(event: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(event)
    fields = {field.name: hints[field.name] for field in dataclasses.fields(event)}
    schema: dict[str, Any] = {
        "title": event.__name__,
        "description": inspect.getdoc(event),
        "type": "object",
        "properties": {
            "type": {"const": event.type, "type": "string", "description": "The kind of event."},
            **{name: _value(hint) for name, hint in fields.items()},
        },
        "required": ["type", *(name for name, hint in fields.items() if not _may_be_none(hint))],
    }
    describe_fields(schema, event)
    return schema


def _may_be_none(hint: object) -> bool:
    return types.NoneType in typing.get_args(hint)


def _value(hint: object) -> dict[str, Any]:
    if _may_be_none(hint):
        # A field that is `None` is omitted from the public form.
        (hint,) = (part for part in typing.get_args(hint) if part is not types.NoneType)
    if typing.get_origin(hint) is typing.Literal:
        return {"type": "string", "enum": list(typing.get_args(hint))}
    return dict(_PLAIN[hint])
