"""The fields of an entry as they are sent to Redis, and the division of a long event into several entries."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tailrace.broker.wire import bulk
from tailrace.events import Delta, Reasoning, Refusal, StreamEvent, ToolCall
from tailrace.protocol.entries import encode

ENTRY_BYTES: Final = 256
"""The memory that an entry takes in addition to its fields or its command: 140 to 350 bytes were measured."""
MAX_ENTRY_BYTES: Final = 65_536
MAX_PART_CHARS: Final = MAX_ENTRY_BYTES // 4
"""A longer text becomes several entries. In UTF-8 a character has at most four bytes."""

_GROWING: Final = frozenset({("delta", "text"), ("reasoning", "text"), ("refusal", "text"), ("tool_call", "arguments")})
"""Types of events, and their last fields. Two events may become one entry if they differ only in that field."""


class Head(NamedTuple):
    """All fields of an entry except its last value, as they are sent to Redis."""

    size: bytes
    """The number of parts of the whole command, as they are sent to Redis."""
    wire: bytes
    entry_bytes: int
    """The memory that an entry with this head takes while its last value is empty."""
    grows: bool
    """True if the last value can be joined with that of the next event."""


def _head(fields: Sequence[bytes], *, grows: bool) -> Head:
    wire = b"".join(map(bulk, fields))
    return Head(b"*%d\r\n" % (len(fields) + 5), wire, ENTRY_BYTES + len(wire), grows)


DELTA: Final = _head((b"type", b"delta", b"text"), grows=True)
"""The head of a `delta`. Nearly all entries are of this type."""
NO_HEAD: Final = _head((), grows=False)
"""The head of an entry that has its command already."""


def head_and_text(event: StreamEvent) -> tuple[Head, str]:
    """Return the head of an event's entry, and the event's last value.

    Args:
        event: The event.
    """
    *fields, text = encode(event)
    names = [field.encode("utf-8", "replace") for field in fields]
    return _head(names, grows=(event.type, fields[-1]) in _GROWING), text


def parts(event: StreamEvent) -> Iterable[StreamEvent]:
    """Yield an event, or several that say the same, each short enough for one entry.

    Args:
        event: The event, of any length.
    """
    match event:
        case Delta(text=text) | Reasoning(text=text) | Refusal(text=text) if len(text) > MAX_PART_CHARS:
            kind = type(event)
            yield from (kind(text=part) for part in _cut(text))
            if isinstance(event, Reasoning) and event.signature is not None:
                yield Reasoning(text="", signature=event.signature)
        case ToolCall(arguments=arguments) if len(arguments) > MAX_PART_CHARS:
            first, *rest = _cut(arguments)
            yield dataclasses.replace(event, arguments=first)
            yield from (ToolCall(index=event.index, arguments=part) for part in rest)
        case _:
            yield event


def _cut(text: str) -> Iterator[str]:
    return (text[place : place + MAX_PART_CHARS] for place in range(0, len(text), MAX_PART_CHARS))
