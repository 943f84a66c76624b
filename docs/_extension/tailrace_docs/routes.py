"""The page of the gateway's routes: written from its OpenAPI document."""

from collections.abc import Iterable, Mapping
from typing import Any

from tailrace.gateway import create_app
from tailrace.gateway.errors import ErrorCode
from tailrace_docs.docstrings import attribute_docs, table


def markdown() -> str:
    """Each route with its parameters, its body, and its answers."""
    document = create_app().openapi()
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    return "\n".join(
        _section(f"{method.upper()} {path}", operation, schemas)
        for path, item in document["paths"].items()
        for method, operation in item.items()
    )


def errors_markdown() -> str:
    """The codes of errors."""
    docs = attribute_docs(ErrorCode)
    return table(("code", "meaning"), ((f"`{code}`", docs[code.name]) for code in ErrorCode))


def _section(route: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> str:
    parts = [f"### `{route}`\n", f"{operation['description']}\n"]
    parameters = [_parameter(each) for each in operation.get("parameters", ())]
    if parameters:
        parts.append(table(("parameter", "in", "meaning"), parameters))
    if "requestBody" in operation:
        (content,) = operation["requestBody"]["content"].values()
        if fields := _fields(content["schema"], schemas):
            parts.append(table(("field of the body", "meaning"), fields))
        elif described := content["schema"].get("description"):
            parts.append(f"The body: {described}\n")
    answers = ((f"`{status}`", each["description"]) for status, each in operation["responses"].items())
    parts.append(table(("status", "meaning"), answers))
    return "\n".join(parts)


def _parameter(parameter: Mapping[str, Any]) -> tuple[str, str, str]:
    return f"`{parameter['name']}`", parameter["in"], parameter.get("description", "")


def _fields(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [
        (f"`{name}`", field.get("description", ""))
        for each in _objects(schema, schemas)
        for name, field in each.get("properties", {}).items()
    ]


def _objects(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    """The object that a body has to be; it may be optional."""
    for each in schema.get("anyOf", [schema]):
        if "$ref" in each:
            yield schemas[each["$ref"].rpartition("/")[2]]
