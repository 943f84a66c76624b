"""What an HTTP front keeps with a job: the parts of its own request that the generation request does not have."""

import json
from collections.abc import Mapping
from typing import Any, Final

from tailrace.errors import InvalidRequest

_MAX_BYTES: Final = 65_536
"""More than OpenAI's `metadata` can take: 16 names of 64 characters with values of 512, each escaped in 6 bytes."""


def encode_front(front: Mapping[str, Any]) -> str:
    """Encode what a front keeps, for the record of a job.

    Args:
        front: The fields. The same fields in the same order give the same bytes.

    Returns:
        The fields as JSON; `""` if there are none.

    Raises:
        InvalidRequest: It is no JSON, or has more than 65,536 bytes.
    """
    if not front:
        return ""
    try:
        encoded = json.dumps(dict(front), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(encoded.encode())
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"front: it cannot be written as JSON in UTF-8: {error}.") from None
    if size > _MAX_BYTES:
        raise InvalidRequest(f"front: it has {size:,} bytes as JSON, and the limit is {_MAX_BYTES:,}.")
    return encoded


def decode_front(stored: bytes | None) -> dict[str, Any]:
    """Decode what a front keeps.

    Args:
        stored: The field of the record, if it has one.

    Returns:
        The fields; none if the field is missing.
    """
    front: dict[str, Any] = json.loads(stored) if stored else {}
    return front
