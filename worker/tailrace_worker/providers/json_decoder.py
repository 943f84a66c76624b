"""Decodes JSON as leniently as the providers' SDKs, which use Python's `json`."""

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

import msgspec
from msgspec import DecodeError, ValidationError, convert, to_builtins
from msgspec.json import Decoder

_T = TypeVar("_T")


def decoder(kind: type[_T]) -> Callable[[bytes], _T]:
    """Return a decoder for the values of a type.

    Args:
        kind: The type.

    Returns:
        A function that decodes JSON. It raises `ValueError` if the bytes are not JSON or have another shape.
    """
    decode = Decoder(kind).decode

    def decode_leniently(data: bytes) -> _T:
        try:
            return decode(data)
        except DecodeError:
            return fitted(loaded(data), kind)

    return decode_leniently


def loaded(data: bytes) -> Any:
    """Decode JSON as Python's `json` does, but read `NaN` and `Infinity` as null. Half of a surrogate pair is allowed.

    Args:
        data: The JSON.

    Raises:
        ValueError: Python cannot decode it either.
    """
    return json.loads(data.decode(), parse_constant=_null)


def fitted(value: object, kind: type[_T]) -> _T:
    """Convert a JSON value. An empty value of a wrong type counts as missing: PHP writes `[]` for `{}`, and Go `""`.

    Args:
        value: The decoded JSON.
        kind: The type to convert it to.

    Raises:
        ValidationError: The value has another shape.
    """
    try:
        return convert(value, kind)
    except ValidationError:
        return convert(_without_empty(value), kind)


def encoded(value: object) -> str:
    """Return a value as JSON. Half of a surrogate pair, which UTF-8 cannot encode, becomes a replacement character."""
    try:
        return msgspec.json.encode(value).decode()
    except UnicodeEncodeError:
        text = json.dumps(to_builtins(value), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def members(value: object) -> Mapping[str, Any]:
    """Return the members of a JSON object; none for any other value."""
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _without_empty(value: object) -> object:
    if isinstance(value, dict):
        members = cast("dict[str, object]", value).items()
        return {name: _without_empty(member) for name, member in members if member or type(member) in {int, float}}
    if isinstance(value, list):
        return [_without_empty(each) for each in cast("list[object]", value) if each is not None]
    return value


def _null(_constant: str) -> Any:
    return None
