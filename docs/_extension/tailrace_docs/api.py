"""The page of the API: every name of `tailrace.__all__`, and of the packages that are imported by their own names."""

import inspect
import types
import typing
from collections.abc import Iterable
from enum import Enum
from functools import cache
from importlib import import_module
from pkgutil import walk_packages
from types import ModuleType
from typing import Annotated, Any, ClassVar, Final, NotRequired, Required

from pydantic import BaseModel
from typing_extensions import is_typeddict

import tailrace
from tailrace import asgi, encoders, gateway, render, sync
from tailrace_docs.docstrings import attribute_docs, defined_names, restructured

_SECTIONS: Final = (
    ("The client", ("client",)),
    ("Jobs", ("job", "status", "conversation", "tailing", "protocol")),
    ("Answers", ("answer", "attempt_content", "timing")),
    ("Requests", ("request",)),
    ("Events and cursors", ("events", "event_schema", "cursor")),
    ("Access to gateways", ("access",)),
    ("Settings", ("settings",)),
    ("Errors", ("errors",)),
)


def markdown() -> str:
    """A section for each group of names, in which autodoc writes."""
    modules = {name: _module_of(name, tailrace) for name in tailrace.__all__}
    parts: list[str] = []
    for title, prefixes in _SECTIONS:
        names = [name for prefix in prefixes for name, module in modules.items() if _is_in(module, prefix)]
        for name in names:
            del modules[name]
        parts.append(_section(title, tailrace, names))
    if modules:
        raise ValueError(f"no section of the API page is for {', '.join(modules)}")
    parts.append(_section("Without asyncio: `tailrace.sync`", sync, sync.__all__))
    parts.append(_section("Web services: `tailrace.asgi`", asgi, asgi.__all__))
    parts.append(_section("The gateway: `tailrace.gateway`", gateway, gateway.__all__))
    parts.append(_section("Encoders: `tailrace.encoders`", encoders, encoders.__all__))
    parts.append(_section("Markdown: `tailrace.render`", render, render.__all__))
    return "\n".join(parts)


def _is_in(module: str, prefix: str) -> bool:
    return f"{module}.".startswith(f"tailrace.{prefix}.")


def _module_of(name: str, package: ModuleType) -> str:
    """Where a name is defined: autodoc only knows where it can be imported from."""
    member = getattr(package, name)
    if inspect.isclass(member) or inspect.isfunction(member):
        return member.__module__
    return next(module.__name__ for module in _modules() if name in defined_names(module))


@cache
def _modules() -> list[ModuleType]:
    return [
        import_module(found.name)
        for found in walk_packages(tailrace.__path__, "tailrace.")
        if not found.name.startswith(("tailrace.cli", "tailrace.__main__"))
    ]


def _section(title: str, package: ModuleType, names: Iterable[str]) -> str:
    blocks = (f"```{{eval-rst}}\n{_directive(package, name)}\n```\n" for name in names)
    return f"## {title}\n\n" + "\n".join(blocks)


def _directive(package: ModuleType, name: str) -> str:
    member = getattr(package, name)
    path = f"{package.__name__}.{name}"
    if inspect.isclass(member):
        return _class(path, member)
    if inspect.isfunction(member):
        return f".. autofunction:: {path}"
    doc = attribute_docs(import_module(_module_of(name, package))).get(name, "")
    kind = "type" if typing.get_origin(member) else "data"
    return f".. py:{kind}:: {path}\n\n   {doc}"


def _class(path: str, member: type[Any]) -> str:
    lines = [f".. autoclass:: {path}"]
    if _is_checked(member):
        methods = [name for name, each in vars(member).items() if _is_method(name, each)]
        lines += [f"   :members: {', '.join(methods)}"] if methods else []
        return "\n".join([*lines, "", *_fields(member)])
    lines.append("   :members:")
    if issubclass(member, Enum):
        lines.append("   :undoc-members:")
    if issubclass(member, Exception):
        lines.append("   :show-inheritance:")
    return "\n".join(lines)


def _is_checked(member: type[Any]) -> bool:
    """Whether pydantic checks its values: autodoc would show the checks in place of the types."""
    return is_typeddict(member) or issubclass(member, BaseModel)


def _is_method(name: str, member: object) -> bool:
    return not name.startswith(("_", "model_")) and isinstance(member, classmethod | types.FunctionType)


def _fields(member: type[Any]) -> Iterable[str]:
    docs = attribute_docs(member)
    defaults = getattr(member, "model_fields", {})
    for name, hint in typing.get_type_hints(member, include_extras=True).items():
        if name.startswith("_") or typing.get_origin(hint) is ClassVar:
            continue
        optional = is_typeddict(member) and name in member.__optional_keys__
        yield f"   .. py:attribute:: {name}"
        yield f"      :type: {_type(hint)}{', optional' if optional else ''}"
        if name in defaults and not defaults[name].is_required():
            yield f"      :value: {defaults[name].default!r}"
        yield from ("", f"      {restructured(docs.get(name, ''))}", "")


def _type(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated or origin in (NotRequired, Required):
        return _type(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(map(_type, arguments)))
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_type, arguments))}]"
    return "None" if hint is types.NoneType else getattr(hint, "__name__", str(hint))


def shortened(
    _app: object, what: str, _name: str, member: Any, _options: object, signature: str | None, returns: str | None
) -> tuple[str | None, str | None] | None:
    """Leaves out the signature of what pydantic checks: its fields follow, with their types."""
    return ("", returns) if signature and what == "class" and _is_checked(member) else None
