"""Undoes a claim: the job goes back to its place, as if it had never been claimed."""

from tailrace.broker.client import Command, ms
from tailrace.protocol.keys import Keys, arq_in_progress
from tailrace.protocol.scripts import Script
from tailrace_worker.queueing.claim import Claim


def unclaim_command(keys: Keys, claim: Claim, *, defer_seconds: float = 0) -> Command:
    """Return the command that undoes a claim if this worker still holds it.

    No attempt is counted, and the next claim of a lost worker's job still has the reason `worker_lost`.

    Args:
        keys: The keys of the queue's side.
        claim: The claim.
        defer_seconds: How long a job that waited is put off; with 0 it keeps its place, and another worker is rung.
    """
    queue = claim.queue
    return Script.UNCLAIM.command(
        (keys.queue(queue), keys.running(queue), keys.doorbell(queue), arq_in_progress(claim.job_id)),
        *(claim.job_id, claim.token, claim.reason, claim.score, ms(defer_seconds)),
    )
