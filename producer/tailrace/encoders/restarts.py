"""`Restarts`: finds where in a stream an answer begins again."""

from tailrace.events import Cancelled, Completed, Event, Failed, Gap, Queued, Started


class Restarts:
    """Finds the events after which the text before them no longer counts. `Answer` follows the same rule."""

    def __init__(self) -> None:
        self.attempt: int = 0
        """The number of the current attempt; 0 before the first one."""

    def is_restart(self, event: Event) -> bool:
        """Return whether the answer begins, or begins again, with the next event of the stream.

        Args:
            event: The next event.

        Returns:
            True for a `Started` that does not continue the attempt before it, and for the first event of an attempt
            whose `Started` Redis has lost.
        """
        match event:
            case Started():
                self.attempt = event.attempt
                return not event.continues
            case Queued() | Gap() | Completed() | Failed() | Cancelled():
                return False
            case _:
                before, self.attempt = self.attempt, max(self.attempt, event.id.attempt)
                return before < self.attempt
