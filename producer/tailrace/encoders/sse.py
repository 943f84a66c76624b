"""The native protocol: server-sent events, one for each event of the job."""

from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as quoted
from types import MappingProxyType
from typing import Final

from tailrace.encoders.base import ReplayFrom
from tailrace.events import Delta, Event

_RETRY_MS: Final = 1_000
"""How long a browser waits before it reconnects, in ms. The default of browsers is 3 to 5 s."""


def retry_line(milliseconds: int) -> bytes:
    """Return the line that tells clients how long to wait before they reconnect.

    Args:
        milliseconds: The time to wait, in ms.

    Returns:
        The line. No empty line follows it, because some clients show an event without data as an empty message.
    """
    return b"retry: %d\n" % milliseconds


class SseEncoder:
    """Encodes events as server-sent events: `id:` is the cursor, `event:` the type, `data:` the public form as JSON.

    It has no state, so a client that reconnects with its last id gets exactly the frames that it missed.
    """

    headers: Mapping[str, str] = MappingProxyType({})
    """Empty: the headers of every stream are enough."""
    replay_from: ReplayFrom = ReplayFrom.CURSOR
    """The client's cursor: the `Last-Event-ID` that a browser sends, or `?after=`."""
    opening: bytes = retry_line(_RETRY_MS)
    """Tells browsers to reconnect after 1 s."""
    is_over: bool = False
    """Never true: the stream ends with the job's ending."""

    def encode(self, event: Event) -> bytes:
        """Encode the next event.

        Args:
            event: The next event of the tail.

        Returns:
            One frame.
        """
        if type(event) is Delta and event.raw is None:
            # Nearly all events of a long answer are such deltas, and this takes a twelfth of the time.
            cursor = str(event.id)
            data = f'{{"type": "delta", "id": "{cursor}", "text": {quoted(event.text)}}}'
            return f"id: {cursor}\nevent: delta\ndata: {data}\n\n".encode()
        # The JSON is one line of ASCII, and neither ids nor types have line ends.
        return f"id: {event.id}\nevent: {event.type}\ndata: {event.to_json()}\n\n".encode()

    def broken_off(self) -> bytes:
        """Return no frame: the client reconnects with its last id, and then gets an HTTP status."""
        return b""
