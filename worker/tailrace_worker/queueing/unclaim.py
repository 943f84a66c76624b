"""The undoing of a claim: the job goes back to where it was, as if it had never been claimed."""

from tailrace.broker.client import Command, ms
from tailrace.protocol.keys import Keys, arq_in_progress
from tailrace.protocol.scripts import Script
from tailrace_worker.queueing.claim import Claim


def unclaim_command(keys: Keys, claim: Claim, *, defer_seconds: float = 0) -> Command:
    """Undoes a claim that is still ours. No attempt is counted, and a lost job keeps the reason of its attempt.

    Args:
        keys: The keys of the queue's side.
        claim: What was claimed.
        defer_seconds: For how long a job that waited is put off; with 0 it keeps its place, and another worker is rung.
    """
    queue = claim.queue
    return Script.UNCLAIM.command(
        (keys.queue(queue), keys.running(queue), keys.doorbell(queue), arq_in_progress(claim.job_id)),
        *(claim.job_id, claim.token, claim.reason, claim.score, ms(defer_seconds)),
    )
