"""JSON that a request passes on as it is: JSON schemas, and `extra`."""

import math
from typing import Annotated, Any, Final, TypeAlias, cast

from pydantic import BeforeValidator

from tailrace.request.validation import Path, Problem, refusal

MAX_DEPTH: Final = 64
"""How deep values may be nested. Readers of JSON give up somewhere above 100, Python's own with a `RecursionError`."""
MAX_VALUES: Final = 100_000
"""How many values there may be in one object, so that one which holds itself is not walked for ever."""


def _checked(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refusal([Problem((), "Input should be a JSON object")])
    copied: dict[str, Any] = _Copy().of(cast("dict[object, object]", value), ())
    return copied


class _Copy:
    """A copy that is JSON alone: what the caller changes later is not the request's."""

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
                    [Problem(path, "is no number that JSON readers agree on: it is to be finite, of 64 bits")]
                )
            case list() | tuple() | dict():
                if len(path) >= MAX_DEPTH:
                    raise refusal([Problem(path[:1], f"is nested deeper than {MAX_DEPTH} levels")])
                return self._inside(cast("list[object] | tuple[object] | dict[object, object]", value), path)
            case _:
                raise refusal([Problem(path, f"is of the type {type(value).__name__}, which JSON does not know")])

    def _inside(self, values: list[object] | tuple[object] | dict[object, object], path: Path) -> Any:
        if not isinstance(values, dict):
            return [self.of(value, (*path, index)) for index, value in enumerate(values)]
        copied: dict[str, Any] = {}
        for key, value in values.items():
            if not isinstance(key, str):
                raise refusal([Problem(path, f"has a key of the type {type(key).__name__}, and JSON's are strings")])
            copied[_unicode(key, path)] = self.of(value, (*path, key))
        return copied


def _unicode(text: str, path: Path) -> str:
    # What cannot be written as UTF-8 becomes a question mark where pydantic writes a key.
    try:
        text.encode()
    except UnicodeEncodeError:
        raise refusal([Problem(path, "is no Unicode: it holds a lone surrogate")]) from None
    return text


JsonObject: TypeAlias = Annotated[dict[str, Any], BeforeValidator(_checked)]
"""A JSON object of at most `MAX_VALUES` values, nested at most `MAX_DEPTH` levels deep, with finite numbers alone."""
