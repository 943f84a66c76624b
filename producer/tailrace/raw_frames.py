"""Frames: what a provider sent as one server-sent event, and how the field `raw` of an entry holds them.

A frame is one line: the name of the event, a colon, the data, LF. A long line goes on in the `raw` of the next entry.
Every byte of the data comes back, whether or not it is UTF-8.
"""

from typing import Final, NamedTuple

_IN_NAMES: Final = {b"%": b"%25", b":": b"%3A", b"\r": b"%0D", b"\n": b"%0A"}


class Frame(NamedTuple):
    """One server-sent event, or the whole body of a plain call."""

    name: bytes
    """The name of the event; `b""` if it has none."""
    data: bytes
    """The data as the provider sent it, its lines joined by LF."""


def encode_frame(name: bytes, data: bytes) -> bytes:
    """Encode a frame as one line.

    Args:
        name: The name of the event; `b""` if it has none.
        data: The data.

    Returns:
        The line, with the LF that ends it and no other. In the data, LF is written as CR `0`, and CR as CR `1`.
    """
    if name:
        for byte, code in _IN_NAMES.items():
            name = name.replace(byte, code)
    if b"\r" in data:
        data = data.replace(b"\r", b"\r1")
    if b"\n" in data:
        data = data.replace(b"\n", b"\r0")
    return b"%b:%b\n" % (name, data)


class FrameDecoder:
    """A decoder of the frames of one attempt, in time linear in their bytes."""

    def __init__(self) -> None:
        self._line = bytearray()

    @property
    def is_within(self) -> bool:
        """True if a frame has begun, and goes on in the next `raw`."""
        return bool(self._line)

    def feed(self, raw: bytes) -> list[Frame]:
        """Take the `raw` of the attempt's next event.

        Args:
            raw: The bytes, which may begin and end within a line.

        Returns:
            The frames that end in it.
        """
        *lines, rest = raw.split(b"\n")
        if lines and self._line:
            lines[0] = bytes(self._line) + lines[0]
            self._line.clear()
        self._line += rest
        return [_decoded(line) for line in lines]


def _decoded(line: bytes) -> Frame:
    name, _, data = line.partition(b":")
    if b"%" in name:
        for byte, code in reversed(_IN_NAMES.items()):
            name = name.replace(code, byte)
    if b"\r" in data:
        data = data.replace(b"\r0", b"\n").replace(b"\r1", b"\r")
    return Frame(name, data)
