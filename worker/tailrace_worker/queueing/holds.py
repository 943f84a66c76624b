"""How a worker holds the jobs that it runs: by a claim, or as stock arq does."""

from collections.abc import Callable

from tailrace.broker.client import Broker
from tailrace.errors import FailureCode
from tailrace.protocol.keys import arq_retry
from tailrace_worker.cancel_scope import AttemptLost
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claims import next_attempt_command


class ClaimedHold:
    """The `Hold` on a job that this worker has claimed."""

    def __init__(self, broker: Broker, claim: Claim) -> None:
        self._broker = broker
        self._claim = claim

    @property
    def reason(self) -> str:
        """Why there is another attempt: `worker_lost`, `worker_shutdown` or `retry`."""
        return self._claim.reason

    def on_lost(self, tell: Callable[[AttemptLost], None]) -> None:
        """Tell when another worker holds the job, or nobody does."""
        self._claim.watch(tell)

    async def next_attempt(self) -> int:
        """Count another attempt, if the claim is still ours; otherwise its number is that of no attempt.

        Raises:
            InfrastructureError: Redis could not be asked.
        """
        attempt: int = await self._broker.call(*next_attempt_command(self._claim))
        self._claim.attempt = attempt
        return attempt

    def drop(self) -> None:
        """Release nothing: the job is another worker's."""
        self._claim.is_over = True


class UnclaimedHold:
    """The `Hold` on a job that a stock arq worker runs: it cannot be lost, nor tell why there is another attempt."""

    reason: str = FailureCode.WORKER_LOST

    def __init__(self, broker: Broker, job_id: str) -> None:
        self._broker = broker
        self._job_id = job_id

    def on_lost(self, tell: Callable[[AttemptLost], None]) -> None:
        """Never tell anything: the job's stream tells it."""

    async def next_attempt(self) -> int:
        """Count another attempt. Raises `InfrastructureError`."""
        attempt: int = await self._broker.call("INCR", arq_retry(self._job_id))
        return attempt

    def drop(self) -> None:
        """Do nothing: arq has no claim that could be released."""
