"""The page of events: each type with its fields."""

import dataclasses
import types
import typing
from collections.abc import Iterable
from typing import Any, Final

from tailrace import events
from tailrace_docs.docstrings import attribute_docs, description_of, table

_STREAMED: Final[tuple[type[Any], ...]] = typing.get_args(events.StreamEvent)
_ENDINGS: Final[tuple[type[Any], ...]] = typing.get_args(events.Ending)


def markdown() -> str:
    """All types of events that a stream holds, in the order of a job."""
    return "\n".join(map(_section, _STREAMED))


def endings_markdown() -> str:
    """The fields that every ending has."""
    return _fields(_ENDINGS[0], _shared())


def _shared() -> set[str]:
    first, *others = ({field.name for field in dataclasses.fields(each)} for each in _ENDINGS)
    return first.intersection(*others) - {"id"}


def _section(event: type[Any]) -> str:
    own = {field.name for field in dataclasses.fields(event)} - {"id"}
    more = ""
    if event in _ENDINGS:
        own -= _shared()
        more = "\nIt also has the [fields of every ending](#fields-of-every-ending).\n"
    return f"### `{event.type}`\n\n{description_of(event)}\n\n{_fields(event, own)}{more}"


def _fields(event: type[Any], names: set[str]) -> str:
    docs = attribute_docs(event)
    hints = typing.get_type_hints(event)
    rows: list[tuple[str, str, str]] = []
    for field in dataclasses.fields(event):
        if field.name in names:
            wire = str(field.metadata.get("wire", field.name))
            attribute = "" if wire == field.name else f"In Python: `{field.name}`. "
            rows.append(
                (
                    f"`{wire}`",
                    _type(hints[field.name]) + ("" if field.default is dataclasses.MISSING else ", optional"),
                    attribute + docs.get(field.name, ""),
                )
            )
    return table(("field", "type", "meaning"), rows)


def _type(hint: object) -> str:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return " or ".join(_each(typing.get_args(hint)))
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(hint))
    names: dict[object, str] = {int: "integer", float: "number", str: "string", bytes: "bytes", bool: "`1`"}
    return names.get(hint, str(hint))


def _each(hints: Iterable[object]) -> Iterable[str]:
    return (_type(hint) for hint in hints if hint is not types.NoneType)
