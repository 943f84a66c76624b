"""JSON that a request passes on unchanged: JSON schemas, and `extra`."""

import math
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import BeforeValidator

from tailrace.request.validation import Path, Problem, refusal

MAX_DEPTH: Final = 64
"""How deep values may be nested. JSON parsers fail somewhere above 100 levels, Python's with a `RecursionError`."""
MAX_VALUES: Final = 100_000
"""How many values one object may have, so that the walk of an object that contains itself ends."""


def _checked(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal([Problem((), "Input should be a JSON object")])
    copied: dict[str, Any] = _Copy().of(cast("dict[object, object]", value), ())
    return copied


class _Copy:
    """Copies a value, and checks that it is JSON. Later changes by the caller then do not reach the request."""

    def __init__(self) -> None:
        self._left = MAX_VALUES

    def of(self, value: object, path: Path) -> Any:
        self._left -= 1
        if self._left < 0:
            raise refusal([Problem((), f"has more than {MAX_VALUES:,} values")])
        match value:
            case None | bool():
                return value
            case str():
                return _unicode(value, path)
            case int() if -(2**63) <= value < 2**64:
                return value
            case float() if math.isfinite(value):
                return value
            case int() | float():
                raise refusal(
                    [
                        Problem(
                            path, "is not a number that all JSON parsers accept: it must be finite and fit into 64 bits"
                        )
                    ]
                )
            case list() | tuple() | dict():
                if len(path) >= MAX_DEPTH:
                    raise refusal([Problem(path[:1], f"is nested deeper than {MAX_DEPTH} levels")])
                return self._inside(cast("list[object] | tuple[object] | dict[object, object]", value), path)
            case _:
                raise refusal([Problem(path, f"is of the type {type(value).__name__}, which JSON does not have")])

    def _inside(self, values: list[object] | tuple[object] | dict[object, object], path: Path) -> Any:
        if not isinstance(values, dict):
            return [self.of(value, (*path, index)) for index, value in enumerate(values)]
        copied: dict[str, Any] = {}
        for key, value in values.items():
            if not isinstance(key, str):
                raise refusal([Problem(path, f"has a key of the type {type(key).__name__}: keys in JSON are strings")])
            copied[_unicode(key, path)] = self.of(value, (*path, key))
        return copied


def _unicode(text: str, path: Path) -> str:
    # Pydantic would write a question mark in a key for what UTF-8 cannot encode.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusal([Problem(path, "is not valid Unicode: it has a lone surrogate")]) from None
    return text


JsonObject: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_checked)]
"""A JSON object of at most `MAX_VALUES` values, nested at most `MAX_DEPTH` levels deep, with finite numbers."""
