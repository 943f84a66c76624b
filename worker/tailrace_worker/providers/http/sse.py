"""Server-sent events, out of bytes as they come (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_CARRIAGE_RETURN: Final = 0x0D


class EventTooLarge(ValueError):
    """An event has more bytes than one may have. The rest of its stream cannot be read."""


class ServerSentEvent(NamedTuple):
    """One event.

    `event` is its name, `b""` where it was given none (to a browser, that is a `message`). `data` is as it was sent,
    its lines joined by LF; whether it is UTF-8 is found out by who decodes it.
    """

    event: bytes
    data: bytes


_made: Final[Callable[[tuple[bytes, bytes]], ServerSentEvent]] = partial(tuple.__new__, ServerSentEvent)  # pyright: ignore[reportUnknownMemberType]
"""Calling the class takes three times as long."""


class EventStreamDecoder:
    """Decodes one stream, whose chunks may be cut anywhere, in time linear in its bytes.

    A browser drops an event that no blank line ended; here `end` returns it. `id` and `retry` are skipped: a generation
    cannot be reconnected to. `max_event_bytes` counts all that stands between two blank lines, names and comments too,
    and each line end as one byte: whether a stream can be read does not depend on how it was cut.
    """

    __slots__ = ("_data", "_event", "_event_bytes", "_line", "_max_event_bytes", "_optional", "_room")

    def __init__(self, *, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max_event_bytes = max_event_bytes
        self._optional = _BYTE_ORDER_MARK
        """What is skipped if the stream goes on with it: nothing, but where a line begins."""
        self._line = bytearray()
        """The line that has not ended yet."""
        self._event = b""
        self._data = bytearray()
        """The data of the event that has not ended yet, an LF behind each line."""
        self._event_bytes = 0
        """How many bytes the ended lines of that event had."""
        self._room = 0
        """How large a chunk may be that is one whole event: 0 while anything has begun and not ended."""

    @property
    def buffered_bytes(self) -> int:
        """How much is held of what has not ended yet: never more than `max_event_bytes`."""
        return len(self._line) + len(self._event) + len(self._data)

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that this chunk ends.

        Raises:
            EventTooLarge: the decoder is of no use any more; events that ended in the same chunk are lost.
        """
        # Nearly every chunk is one whole event with one line of data. Any other is left to `_feed_lines`, which says
        # the same of that one, in more than twice the time.
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
        """The last event, if no blank line ended it. It may have been cut."""
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
                    # Gateways that fail in mid-stream write the body of their error into the stream.
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
        begun = self._event_bytes or self._line or self._optional
        self._room = 0 if begun else self._max_event_bytes
        return events

    def _lines(self, chunk: bytes) -> list[bytes]:
        """The lines that the chunk ends, and then what it has of the next one."""
        if self._optional:
            chunk = self._without_optional(chunk)
        # Lines of bytes end where those of an event stream do: at CR LF, LF and CR, and nowhere else.
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
        return EventTooLarge(
            f"An event has more than {self._max_event_bytes:,} bytes: that is hardly a stream of events."
        )
