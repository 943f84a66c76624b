"""`Encoder`: the interface of all encoders, with which a web service streams a job over a protocol."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

from tailrace.events import Event

KEEP_ALIVE: Final = b": keep-alive\n"
"""A comment, which every client skips. It keeps a silent connection open, which proxies cut after 30 to 60 s."""


class ReplayFrom(StrEnum):
    """The position in the job's stream at which a response has to begin."""

    CURSOR = "cursor"
    """After the cursor that the client sent; at the beginning if it sent none."""
    BEGINNING = "beginning"
    """At the beginning, even if the client sent a cursor."""
    LAST_RESTART = "last_restart"
    """At the last entry with which the answer began again (see `Restarts`), in the stream as it is when the response
    begins; at the beginning if there is no such entry."""


class Encoder(Protocol):
    """Turns the events of one job into the frames of a protocol. Each response needs an encoder of its own."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that the protocol adds to those of every stream."""
        ...

    @property
    def replay_from(self) -> ReplayFrom:
        """The position at which the events of a response have to begin."""
        ...

    @property
    def opening(self) -> bytes:
        """The bytes before the first frame of each response, of a resumed one too."""
        ...

    @property
    def is_over(self) -> bool:
        """True once no frame may follow. The response then ends, even if the job goes on."""
        ...

    def encode(self, event: Event) -> bytes:
        """Encode the next event.

        Args:
            event: The next event of the tail.

        Returns:
            The frames of the event, one after the other; empty if it has none.
        """
        ...

    def broken_off(self) -> bytes:
        """Return the frames that tell the client that the stream cannot be read on, although the job may go on.

        Returns:
            The last frames of the response; empty if the protocol's clients reconnect by themselves.
        """
        ...
