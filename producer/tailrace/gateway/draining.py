"""`Draining`: ends the open streams before the gateway ends."""

from typing import Protocol


class OpenStream(Protocol):
    """A stream that can be told to end."""

    can_move: bool
    """True if its client reads on at another gateway by itself."""

    def end(self) -> None:
        """End the stream soon."""


class Draining:
    """Whether the gateway is about to end, and its open streams."""

    def __init__(self) -> None:
        self.has_begun: bool = False
        """True once the gateway is about to end."""
        self.streams: set[OpenStream] = set()
        """The streams that are open."""
        self._is_over = False

    def begin(self) -> None:
        """End the streams that can move, and those that are opened later too. The other streams go on."""
        self.has_begun = True
        for stream in [stream for stream in self.streams if stream.can_move]:
            stream.end()

    def finish(self) -> None:
        """End all streams, because the grace time is over."""
        self.has_begun = self._is_over = True
        for stream in list(self.streams):
            stream.end()

    def add(self, stream: OpenStream) -> None:
        """Note a stream that was opened.

        Args:
            stream: The stream.
        """
        self.streams.add(stream)
        if self._is_over or (self.has_begun and stream.can_move):
            stream.end()

    def discard(self, stream: OpenStream) -> None:
        """Forget a stream that has ended.

        Args:
            stream: The stream.
        """
        self.streams.discard(stream)
