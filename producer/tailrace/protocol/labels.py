"""The labels of a job: short texts by name, which statuses and endings give back to the service."""

import json
import re
from collections.abc import Mapping
from typing import Final

from tailrace.errors import InvalidRequest

_MAX_LABELS: Final = 16
_MAX_CHARS: Final = 256
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


def encode_labels(labels: Mapping[str, str]) -> str:
    """Check labels, and encode them for the record of a job.

    Args:
        labels: The labels.

    Returns:
        The labels as JSON; `""` if there are none.

    Raises:
        InvalidRequest: There are more than 16, a name is not one, or a value is longer than 256 characters or is not
            valid Unicode.
    """
    if len(labels) > _MAX_LABELS:
        raise InvalidRequest(f"labels: {len(labels):,} are too many. Give at most {_MAX_LABELS}.")
    for name, value in labels.items():
        if not _NAME.fullmatch(name):
            raise InvalidRequest(f"labels: {name!r} is not a name. Use 1 to 64 characters of A-Z a-z 0-9 _ . -")
        if not is_short_text(value):
            raise InvalidRequest(f"labels.{name}: the value is not a text of at most {_MAX_CHARS} characters.")
    return json.dumps(dict(labels), ensure_ascii=False) if labels else ""


def decode_labels(stored: bytes | None) -> dict[str, str]:
    """Decode the labels in a record.

    Args:
        stored: The field of the record, if it has one.

    Returns:
        The labels; none if the field is missing.
    """
    labels: dict[str, str] = json.loads(stored) if stored else {}
    return labels


def is_short_text(value: object) -> bool:
    """Return True if a value is a text of at most 256 characters that UTF-8 can encode."""
    if not isinstance(value, str) or len(value) > _MAX_CHARS:
        return False
    return not any("\ud800" <= char <= "\udfff" for char in value)
