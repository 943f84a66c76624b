"""`Claim`: a job that this worker holds."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tailrace_worker.cancel_scope import AttemptLost


class ClaimLost(AttemptLost):
    """The lease ran out and another worker holds the job now, or the job was deleted."""


@dataclass(slots=True, kw_only=True, eq=False)
class Claim:
    """A job that this worker holds, by a token."""

    job_id: str
    queue: str
    token: str
    due: int
    """The time at which it was to run, Unix ms."""
    reason: str
    """Why there is another attempt, should this be one: `worker_lost`, `worker_shutdown` or `retry`."""
    attempt: int
    """What arq's counter of tries says next, if nobody else has run the job since: who finds more comes late."""
    body: bytes
    """arq's body of the job, to be put back should Redis lose it."""
    history: str
    """The history of the queue's data in which the claim was last confirmed."""
    score: float = 0
    """The same as the queue has it, with a fraction by which jobs of one millisecond keep their order."""
    is_over: bool = False
    """Lost, or released: who runs the job is on the way out, and does nothing more by its token."""
    _on_lost: Callable[[ClaimLost], None] | None = field(default=None, repr=False)

    def watch(self, on_lost: Callable[[ClaimLost], None]) -> None:
        """Who runs the job is told when the claim is lost. Before that, the begin script keeps apart who may run it."""
        self._on_lost = on_lost

    def lose(self) -> None:
        """The token is gone."""
        self.is_over = True
        if self._on_lost is not None:
            self._on_lost(ClaimLost(f"Another worker has claimed job {self.job_id!r}, or it was deleted."))
