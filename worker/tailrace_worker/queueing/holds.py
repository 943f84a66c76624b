"""The two ways in which a worker holds a job that it runs: by a claim, or as stock arq does."""

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
        """The reason for this attempt: `worker_lost`, `worker_shutdown` or `retry`."""
        return self._claim.reason

    def on_lost(self, tell: Callable[[AttemptLost], None]) -> None:
        """Call `tell` once another worker holds the job, or no worker does."""
        self._claim.watch(tell)

    async def next_attempt(self) -> int:
        """Count another attempt if this worker still holds the claim.

        Returns:
            The number of the new attempt; 0, which is no attempt's number, if this worker has lost the claim.

        Raises:
            InfrastructureError: Redis failed.
        """
        attempt: int = await self._broker.call(*next_attempt_command(self._claim))
        self._claim.attempt = attempt
        return attempt

    def drop(self) -> None:
        """Give up the claim without releasing the job, because another worker has it."""
        self._claim.is_over = True


class UnclaimedHold:
    """The `Hold` on a job that a stock arq worker runs. It is never lost, and the reason of an attempt is not known."""

    reason: str = FailureCode.WORKER_LOST

    def __init__(self, broker: Broker, job_id: str) -> None:
        self._broker = broker
        self._job_id = job_id

    def on_lost(self, tell: Callable[[AttemptLost], None]) -> None:
        """Do nothing: a stock worker learns only from the job's stream that it has lost the job."""

    async def next_attempt(self) -> int:
        """Count another attempt, and return its number.

        Raises:
            InfrastructureError: Redis failed.
        """
        attempt: int = await self._broker.call("INCR", arq_retry(self._job_id))
        return attempt

    def drop(self) -> None:
        """Do nothing: with arq there is no claim to give up."""
