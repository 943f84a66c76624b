"""JSON of a known shape, as leniently as the providers' SDKs read it: they use Python's `json`."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

from msgspec import DecodeError, Raw, ValidationError
from msgspec.json import Decoder

_T = TypeVar("_T")


def decoder(kind: type[_T]) -> Callable[[bytes | Raw], _T]:
    """What decodes things of this kind. Raises `ValueError`: it is no JSON, not even mended, or of another shape."""
    decode = Decoder(kind).decode

    def decode_leniently(data: bytes | Raw) -> _T:
        try:
            return decode(data)
        except ValidationError:
            raise
        except DecodeError:
            return decode(mended(data))

    return decode_leniently


def mended(data: bytes | Raw) -> bytes:
    """What `msgspec` takes, too: half of a surrogate pair becomes a question mark, `NaN` and `Infinity` are null.

    A gateway leaves halves where it cuts a text inside of an emoji. Raises `ValueError` for what Python does not read.
    """
    value = json.loads(bytes(data).decode(), parse_constant=_null)
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")


def _null(_constant: str) -> Any:
    return None
