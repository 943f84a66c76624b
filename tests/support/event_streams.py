"""Event streams to try decoders with, and what they say, read off the standard."""

import re
from itertools import pairwise

from hypothesis import strategies as st

_LINE_ENDS = re.compile("\r\n|\n|\r")

_MARK = b"\xef\xbb\xbf"
_FIELDS = [b"data: ", b"data:", b"data", b"event: ", b"event:", b"event", b"id: ", b": ", b" ", b"", _MARK]
_VALUES = [b"", b"a", b" b: c", "é🌊".encode(), "\u2028\x85".encode(), b"\xf0\x9f", b"\x0b\x0c\x1c\0", _MARK]
_ENDS = [b"\n\n", b"\n", b"\r\n", b"\r\n\r\n", b"\r", b"\r\r", b""]

_lines = st.tuples(*(st.sampled_from(parts) for parts in (_FIELDS, _VALUES, _ENDS))).map(b"".join)
chunks = st.lists(_lines | st.binary(max_size=4), max_size=4).map(b"".join)
"""What is one event with luck, or looks like a piece of a stream from near by."""


def cut(stream: bytes) -> st.SearchStrategy[list[bytes]]:
    """The chunks that a stream may arrive in; some are empty."""
    cuts = st.lists(st.integers(0, len(stream)), max_size=12).map(sorted)
    return cuts.map(lambda inner: [stream[start:end] for start, end in pairwise([0, *inner, len(stream)])])


def lines_of(stream: bytes) -> list[str]:
    """The lines of a stream without its byte order mark; the last one has not ended."""
    return _LINE_ENDS.split(stream.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))


def events_of(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Names and data, step by step as in section 9.2.6 of the standard, but that no name stays none."""
    events: list[tuple[bytes, bytes]] = []
    event_type = data = ""
    for line in lines_of(stream)[:-1]:
        if line == "":
            if data:
                events.append((_raw(event_type), _raw(data[:-1])))
            event_type = data = ""
            continue
        if line.startswith(":"):
            continue
        field, value = line.split(":", 1) if ":" in line else (line, "")
        value = value.removeprefix(" ")
        if field == "event":
            event_type = value
        elif field == "data":
            data += value + "\n"
    return events


def largest_event_bytes(stream: bytes) -> int:
    """The most bytes between two blank lines, with one for each line end."""
    largest = event_bytes = 0
    *ended, unfinished = lines_of(stream)
    for line in ended:
        event_bytes = event_bytes + len(_raw(line)) + 1 if line else 0
        largest = max(largest, event_bytes)
    return max(largest, event_bytes + len(_raw(unfinished)))


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
