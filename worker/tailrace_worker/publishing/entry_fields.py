"""The fields of an entry, as they go over the wire."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tailrace.broker.wire import bulk
from tailrace.events import Delta, Reasoning, Refusal, StreamEvent, ToolCall
from tailrace.protocol.entries import encode

ENTRY_BYTES: Final = 256
"""What an entry takes in memory beside its fields or its command: measured 140 to 350."""
MAX_ENTRY_BYTES: Final = 65_536
MAX_PART_CHARS: Final = MAX_ENTRY_BYTES // 4
"""What is longer becomes several entries: in UTF-8 a character has four bytes at most."""

_GROWING: Final = frozenset({("delta", "text"), ("reasoning", "text"), ("refusal", "text"), ("tool_call", "arguments")})
"""Events, and their last fields: they may be joined in one entry where they differ in that field alone."""


class Head(NamedTuple):
    """All of an entry's fields but its last value, as they go over the wire."""

    size: bytes
    """How many parts the whole command has."""
    wire: bytes
    entry_bytes: int
    """What an entry of it takes in memory while its last value is empty."""
    grows: bool


def _head(fields: Sequence[bytes], *, grows: bool) -> Head:
    wire = b"".join(map(bulk, fields))
    return Head(b"*%d\r\n" % (len(fields) + 5), wire, ENTRY_BYTES + len(wire), grows)


DELTA: Final = _head((b"type", b"delta", b"text"), grows=True)
"""Of a `delta`, as nearly all entries are."""
NO_HEAD: Final = _head((), grows=False)
"""Of an entry that has its command."""


def head_and_text(event: StreamEvent) -> tuple[Head, str]:
    """Return all fields of an event but its last value, as they go over the wire, and that value."""
    *fields, text = encode(event)
    names = [field.encode("utf-8", "replace") for field in fields]
    return _head(names, grows=(event.type, fields[-1]) in _GROWING), text


def parts(event: StreamEvent) -> Iterable[StreamEvent]:
    """The event, or several that say the same, each short enough for one entry."""
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
