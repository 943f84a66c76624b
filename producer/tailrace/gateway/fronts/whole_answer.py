"""`WholeAnswer`: the answer of the last attempt, for calls that are not streamed."""

from collections.abc import Callable
from typing import Generic, TypeVar

from tailrace import Cancelled, Completed, Event, Failed, Gap, Queued
from tailrace.encoders import Encoder
from tailrace.encoders.restarts import Restarts

_Encoder = TypeVar("_Encoder", bound=Encoder)


class WholeAnswer(Generic[_Encoder]):
    """Folds the events of a job. What an attempt said before a restart is dropped, so that no call sees one.

    Args:
        make: Makes an encoder, which has the answer after the events of one attempt, and of those that continue it.
    """

    def __init__(self, make: Callable[[], _Encoder]) -> None:
        self.encoder: _Encoder = make()
        """The encoder of the last attempt."""
        self.ending: Completed | Failed | Cancelled | None = None
        """The ending of the job, once it was added."""
        self.is_complete: bool = True
        """False if Redis has lost a part of the answer."""
        self._make = make
        self._restarts = Restarts()
        self._queued: Queued | None = None

    def add(self, event: Event) -> None:
        """Add the next event.

        Args:
            event: The next event of the tail.
        """
        match event:
            case Queued():
                self._queued = event
            case Gap():
                self.is_complete = False
            case Completed() | Failed() | Cancelled():
                self.ending = event
            case _ if self._restarts.is_restart(event):
                self.encoder, self.is_complete = self._make(), True
                if self._queued is not None:
                    # The time of the answer is that of its job.
                    self.encoder.encode(self._queued)
            case _:
                pass
        self.encoder.encode(event)
