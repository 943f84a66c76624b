"""Decodes server-sent events from chunks (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CARRIAGE_RETURN: Final = 0x0D


class EventTooLarge(ValueError):
    """An event has more bytes than the limit allows. The rest of its stream cannot be read."""


class ServerSentEvent(NamedTuple):
    """One event of the stream."""

    event: bytes
    """The name; `b""` if the event has none. A browser calls such an event `message`."""
    data: bytes
    """The data as it was sent, its lines joined by LF. It may not be valid UTF-8."""


_made: Final[Callable[[tuple[bytes, bytes]], ServerSentEvent]] = partial(tuple.__new__, ServerSentEvent)  # pyright: ignore[reportUnknownMemberType]
"""Makes an event from its name and data. To call the class takes three times as long."""


class EventStreamDecoder:
    """A decoder of one stream, whose chunks may be cut anywhere, in time linear in its bytes.

    A browser drops a last event that no blank line ended; here `end` returns it. `id` and `retry` are skipped, because
    no client can reconnect to a generation.
    """

    __slots__ = ("_data", "_event", "_event_bytes", "_line", "_max_event_bytes", "_optional", "_room", "buffered_bytes")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        """Start at the beginning of a stream.

        Args:
            max_event_bytes: The largest event. All bytes between two blank lines count, with names and comments, and
                each line end counts as one byte, so that the chunks' ends do not decide whether a stream can be read.
        """
        self.buffered_bytes = 0
        """How many bytes of the unfinished event are held; never more than `max_event_bytes`."""
        self._max_event_bytes = max_event_bytes
        self._optional = _BYTE_ORDER_MARK
        """Bytes that are skipped if the stream continues with them. Empty, except at the beginning of some lines."""
        self._line = bytearray()
        """The line that has not ended yet."""
        self._event = b""
        self._data = bytearray()
        """The data of the event that has not ended yet, with an LF after each line."""
        self._event_bytes = 0
        """How many bytes the finished lines of that event had."""
        self._room = 0
        """The largest chunk that may be one whole event; 0 while a line or an event is unfinished."""

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Decode a chunk.

        Args:
            chunk: The next bytes of the stream.

        Returns:
            The events that end in this chunk.

        Raises:
            EventTooLarge: An event is too large. The decoder cannot be used any more, and the events that end in this
                chunk are lost.
        """
        # Nearly every chunk is one whole event with one line of data. `_feed_lines` would decode it to the same event
        # in more than twice the time, and decodes all other chunks.
        if len(chunk) <= self._room and _CARRIAGE_RETURN not in chunk:
            event = b""
            line, _, rest = chunk.partition(b"\n")
            name, _, value = line.partition(b": ")
            if name == b"event":
                event = value
                line, _, rest = rest.partition(b"\n")
                name, _, value = line.partition(b": ")
            if name == b"data" and rest == b"\n":
                return [_made((event, value))]
        return self._feed_lines(chunk)

    def end(self) -> list[ServerSentEvent]:
        """Return the last event if no blank line ended it. It may have been cut."""
        return self._feed_lines(b"\n\n")

    def _feed_lines(self, chunk: bytes) -> list[ServerSentEvent]:
        events: list[ServerSentEvent] = []
        lines = self._lines(chunk)
        unfinished = lines.pop()
        for line in lines:
            if line:
                self._event_bytes += len(line) + 1
                if self._event_bytes > self._max_event_bytes:
                    raise self._too_large()
                name, _, value = line.partition(b":")
                if name == b"data":
                    self._data += value.removeprefix(b" ")
                    self._data += b"\n"
                elif name == b"event":
                    self._event = value.removeprefix(b" ")
                elif name == b"error":
                    # llama.cpp sends an error in a field named `error` instead of an event.
                    self._event = name
                    self._data += value.removeprefix(b" ") + b"\n"
                elif name == b'{"error"':
                    # A gateway that fails in the middle of a stream writes the body of its error into the stream.
                    self._event = b"error"
                    self._data += line + b"\n"
            else:
                if self._data:
                    del self._data[-1]
                    events.append(_made((self._event, bytes(self._data))))
                    self._data.clear()
                self._event = b""
                self._event_bytes = 0
        if self._event_bytes + len(self._line) + len(unfinished) > self._max_event_bytes:
            raise self._too_large()
        self._line += unfinished
        self.buffered_bytes = len(self._line) + len(self._event) + len(self._data)
        begun = self._event_bytes or self._line or self._optional
        self._room = 0 if begun else self._max_event_bytes
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Return the lines that end in the chunk, and then the beginning of the next line."""
        if self._optional:
            chunk = self._without_optional(chunk)
        # `bytes.splitlines` splits at CR LF, LF and CR only, as an event stream does.
        lines = chunk.splitlines()
        if not lines or chunk.endswith((b"\n", b"\r")):
            lines.append(b"")
        if chunk.endswith(b"\r"):
            self._optional = b"\n"
        if self._line and len(lines) > 1:
            self._line += lines[0]
            lines[0] = bytes(self._line)
            self._line.clear()
        return lines

    def _without_optional(self, chunk: bytes) -> bytes:
        beginning = bytes(self._line) + chunk
        self._line.clear()
        if len(beginning) < len(self._optional) and self._optional.startswith(beginning):
            self._line += beginning
            return b""
        rest = beginning.removeprefix(self._optional)
        self._optional = b""
        return rest

    def _too_large(self) -> EventTooLarge:
        return EventTooLarge(f"An event has more than {self._max_event_bytes:,} bytes, which is the limit.")
