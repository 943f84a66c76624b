"""`Encoder`: what a web service needs of a protocol in order to stream a job over it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, Protocol

from tailrace.events import Event

KEEP_ALIVE: Final = b": keep-alive\n"
"""A line of comment, which every client skips. It keeps a silent connection open: proxies cut one after 30 to 60 s."""


class ReplayFrom(StrEnum):
    """From where in the job's stream a response has to begin."""

    CURSOR = "cursor"
    """After the cursor that the client sent; at the beginning if it sent none."""
    BEGINNING = "beginning"
    """At the beginning, whatever the client has."""
    LAST_RESTART = "last_restart"
    """At the last entry with which the answer began again (see `Restarts`), as the stream is when the response begins;
    at the beginning if there is none."""


class Encoder(Protocol):
    """Turns the events of one job into the frames of a protocol. Each response needs an encoder of its own."""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers that the protocol adds to those of every stream."""
        ...

    @property
    def replay_from(self) -> ReplayFrom:
        """From where in the stream the events have to come."""
        ...

    @property
    def opening(self) -> bytes:
        """The bytes at the beginning of each response. They are no part of what a resumed response goes on with."""
        ...

    @property
    def is_over(self) -> bool:
        """True once nothing may follow. The response then ends, even if the job goes on."""
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
        """Tell the client that the stream cannot be read on, although the job may go on.

        Returns:
            The last frames of the response; empty if the protocol's clients come back by themselves.
        """
        ...
