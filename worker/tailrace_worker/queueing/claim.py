"""`Claim`: a job that this worker holds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tailrace_worker.cancel_scope import AttemptLost


class ClaimLost(AttemptLost):
    """The lease ran out and another worker has claimed the job, or the job was deleted."""


@dataclass(slots=True, kw_only=True, eq=False)
class Claim:
    """A job that this worker holds by a token."""

    job_id: str
    queue: str
    token: str
    due: int
    """When the job was due, in Unix ms."""
    reason: str
    """The reason of the coming attempt if it is not the job's first: `worker_lost`, `worker_shutdown` or `retry`."""
    attempt: int
    """The next value of arq's counter of tries. If the counter is higher, another worker has run the job since."""
    body: bytes
    """arq's body of the job. It is put back if Redis loses it."""
    history: str
    """The history of the queue's data in which the claim was last confirmed."""
    score: float = 0
    """`due` as the queue stores it, with a fraction that keeps jobs of the same millisecond in their order."""
    is_over: bool = False
    """True once the claim is lost or released. The task that runs the job then ends without using the token again."""
    _on_lost: Callable[[ClaimLost], None] | None = field(default=None, repr=False)

    def watch(self, on_lost: Callable[[ClaimLost], None]) -> None:
        """Call `on_lost` if the claim is lost.

        If the claim is lost before this call, no callback is needed: the begin script lets only one worker start the
        attempt.

        Args:
            on_lost: A callback that takes the reason.
        """
        self._on_lost = on_lost

    def lose(self) -> None:
        """Mark the claim as lost, and tell the task that runs the job."""
        self.is_over = True
        if self._on_lost is not None:
            self._on_lost(ClaimLost(f"Another worker has claimed job {self.job_id!r}, or it was deleted."))
