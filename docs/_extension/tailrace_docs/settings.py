"""The page of settings: every variable with its default and its range."""

import typing
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo

from tailrace import Settings
from tailrace.gateway import GatewaySettings
from tailrace.settings import YEAR_SECONDS, variable_of
from tailrace_docs.docstrings import attribute_docs
from tailrace_worker.settings import WorkerSettings


def markdown() -> str:
    """What producers and workers share."""
    return _definitions(Settings, Settings.model_fields)


def worker_markdown() -> str:
    """What only workers read."""
    return _own(WorkerSettings)


def gateway_markdown() -> str:
    """What only the gateway reads."""
    return _own(GatewaySettings)


def _own(model: type[Settings]) -> str:
    own = {name: field for name, field in model.model_fields.items() if name not in Settings.model_fields}
    return _definitions(model, own)


def _definitions(model: type[Settings], fields: Mapping[str, FieldInfo]) -> str:
    docs = attribute_docs(model)
    return "\n".join(
        f"`{variable_of(name)}`\n: {docs[name]}\\\n  Default: {_default(field.default)}. Range: {_range(field)}.\n"
        for name, field in fields.items()
    )


def _default(value: object) -> str:
    match value:
        case None | ():
            return "none"
        case bool():
            return "`1`" if value else "`0`"
        case int() | float():
            return f"{value:,}"
        case tuple():
            return f"`{','.join(map(str, typing.cast('tuple[object, ...]', value)))}`"
        case {}:
            return "none"
        case _:
            return f"`{value}`"


def _range(field: FieldInfo) -> str:
    annotation, constraints = _required(field)
    origin: object = typing.get_origin(annotation)
    if annotation is bool:
        return "`1` or `0`"
    if origin is typing.Literal:
        return ", ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    if origin is tuple:
        return "texts, with commas between them"
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "JSON"
    bounds = [_bound(each) for each in constraints if isinstance(each, Ge | Gt | Le | Lt)]
    kinds: Mapping[object, str] = {int: "an integer", float: "a number", str: "text", Path: "the path of a file"}
    kind = kinds[annotation]
    pattern = next((each.pattern for each in constraints if getattr(each, "pattern", None)), None)
    length = next((each.max_length for each in constraints if getattr(each, "max_length", None)), None)
    said = [kind, *bounds]
    if pattern:
        said.append(f"`{pattern}`")
    if length:
        said.append(f"at most {length} characters")
    return ", ".join(said)


def _required(field: FieldInfo) -> tuple[object, list[Any]]:
    """The type of a field if it has a value, and the constraints of that value."""
    annotation: object = field.annotation
    constraints = list(field.metadata)
    parts = typing.get_args(annotation)
    if NoneType in parts:
        (annotation,) = (part for part in parts if part is not NoneType)
    if typing.get_origin(annotation) is Annotated:
        annotation, *more = typing.get_args(annotation)
        constraints += more
    return annotation, constraints


def _bound(bound: Ge | Gt | Le | Lt) -> str:
    match bound:
        case Ge(ge):
            return f"{_number(ge)} or more"
        case Gt(gt):
            return f"above {_number(gt)}"
        case Le(le):
            return "up to a year" if le == YEAR_SECONDS else f"up to {_number(le)}"
        case Lt(lt):
            return f"below {_number(lt)}"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
