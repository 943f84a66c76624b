"""`AnswerDecoder`: what the decoders of all protocols have in common."""

from collections.abc import Iterable
from typing import Protocol

from tailrace_worker.providers.base import Piece


class AnswerDecoder(Protocol):
    """A decoder of one answer, by the provider's protocol."""

    is_whole: bool
    """True once the provider has said that the answer is complete. It may still send more."""
    is_over: bool
    """True once the protocol's last event was read. Everything after it is ignored."""
    finished: bool
    """True once all pieces of the answer were yielded."""

    def pieces(self, data: bytes, name: bytes) -> Iterable[Piece]:
        """Yield the pieces of an event.

        Args:
            data: The data of the event.
            name: The name that the stream gives the event; `b""` if it gives none.
        """
        ...

    def done(self) -> None:
        """Note that the stream has sent `[DONE]`."""
        ...

    def whole(self, body: bytes) -> Iterable[Piece]:
        """Yield the pieces of an answer that was not streamed.

        Args:
            body: The whole body.
        """
        ...

    def end(self) -> Iterable[Piece]:
        """Yield the last pieces of a complete answer after its stream has ended. The `Finish` is the last one."""
        ...
