"""The fields of an entry as they are sent to Redis, and the division of a long event into several entries."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from tailrace.broker.wire import bulk
from tailrace.events import Box, Delta, Frames, Queued, Reasoning, Refusal, Started, StreamEvent, ToolCall
from tailrace.protocol.entries import encode

ENTRY_BYTES: Final = 256
"""The memory that an entry takes in addition to its fields or its command: 140 to 350 bytes were measured."""
MAX_ENTRY_BYTES: Final = 65_536
MAX_PART_CHARS: Final = MAX_ENTRY_BYTES // 4
"""A longer text becomes several entries. In UTF-8 a character has at most four bytes."""

MAX_PART_RAW_BYTES: Final = MAX_ENTRY_BYTES // 2
"""Longer frames become several entries."""

_FRAMELESS: Final = (Queued, Started, Box)
"""Events that have no `raw`."""
_GROWING: Final = frozenset(
    {(b"delta", b"text"), (b"reasoning", b"text"), (b"refusal", b"text"), (b"tool_call", b"arguments")}
)
"""Types of events, and their last fields. Two events may become one entry if they differ only in that field and in
`raw`."""


class Head(NamedTuple):
    """All fields of an entry except its last value, as they are sent to Redis."""

    size: bytes
    """The number of parts of the whole command, as they are sent to Redis."""
    size_with_raw: bytes
    """The same for a command that has `raw` too."""
    wire: bytes
    entry_bytes: int
    """The memory that an entry with this head takes while its last value is empty."""
    grows: bool
    """True if the last value can be joined with that of the next event."""


def _head(fields: Sequence[bytes], *, grows: bool) -> Head:
    wire = b"".join(map(bulk, fields))
    parts_count = len(fields) + 5
    sizes = (b"*%d\r\n" % parts_count, b"*%d\r\n" % (parts_count + 2))
    return Head(*sizes, wire, ENTRY_BYTES + len(wire), grows)


DELTA: Final = _head((b"type", b"delta", b"text"), grows=True)
"""The head of a `delta`. Nearly all entries are of this type."""
FRAMES: Final = _head((b"type", b"frames", b"raw"), grows=True)
NO_HEAD: Final = _head((), grows=False)
"""The head of an entry that has its command already."""


def head_and_values(event: StreamEvent) -> tuple[Head, bytes, bytes]:
    """Return the head of an event's entry, its last value, and its frames, which are `b""` if it has none.

    Args:
        event: The event.
    """
    if isinstance(event, Frames):
        return FRAMES, event.raw, b""
    # UTF-8 cannot encode a lone surrogate, which becomes a question mark.
    *fields, last = (field.encode("utf-8", "replace") for field in encode(event))
    head = _head(fields, grows=(event.type.encode(), fields[-1]) in _GROWING)
    return head, last, b"" if isinstance(event, _FRAMELESS) else event.raw or b""


def parts(event: StreamEvent) -> Iterable[StreamEvent]:
    """Yield an event, or several that say the same, each short enough for one entry.

    If frames are cut, the event has their last part, because nothing may follow an ending.

    Args:
        event: The event, of any length.
    """
    if not isinstance(event, _FRAMELESS) and event.raw is not None and len(event.raw) > MAX_PART_RAW_BYTES:
        places = range(0, len(event.raw), MAX_PART_RAW_BYTES)
        *first_frames, last_frames = (event.raw[place : place + MAX_PART_RAW_BYTES] for place in places)
        yield from (Frames(raw=frames) for frames in first_frames)
        event = dataclasses.replace(event, raw=last_frames)
    match event:
        case Delta(text=text) | Reasoning(text=text) | Refusal(text=text) if len(text) > MAX_PART_CHARS:
            kind = type(event)
            *first_texts, last_text = _cut(text)
            yield from (kind(text=part) for part in first_texts)
            if isinstance(event, Reasoning) and event.signature is not None:
                yield Reasoning(text=last_text)
                last_text = ""
            yield dataclasses.replace(event, text=last_text)
        case ToolCall(arguments=arguments) if len(arguments) > MAX_PART_CHARS:
            beginning, *middle, end = _cut(arguments)
            yield dataclasses.replace(event, arguments=beginning, raw=None)
            yield from (ToolCall(index=event.index, arguments=part) for part in middle)
            yield ToolCall(index=event.index, arguments=end, raw=event.raw)
        case _:
            yield event


def _cut(text: str) -> Iterator[str]:
    return (text[place : place + MAX_PART_CHARS] for place in range(0, len(text), MAX_PART_CHARS))
