"""The undoing of a claim: the job goes back to where it was, as if it had never been claimed."""

from typing import Final

from tailrace.broker.client import Command, ms, script
from tailrace.protocol.keys import Keys, arq_in_progress
from tailrace.protocol.queue import RING
from tailrace_worker.queueing.claims import Claim

# KEYS: queue, running, bell, mark. ARGV: job, token, why it was claimed, its score in the queue, deferral in ms.
# A lease that has run out is given back as one: whether a worker was lost is for the next claim to tell.
_UNCLAIM: Final = (
    RING
    + """
if redis.call('GET', KEYS[4]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[4])
local deferral = tonumber(ARGV[5])
if ARGV[3] == 'retry' then
  redis.call('ZREM', KEYS[2], ARGV[1])
  redis.call('ZADD', KEYS[1], deferral > 0 and now + deferral or ARGV[4], ARGV[1])
else
  redis.call('ZADD', KEYS[2], ARGV[3] == 'worker_lost' and 1 or 0, ARGV[1])
end
if deferral == 0 then ring(KEYS[3]) end
return 1
"""
)


def unclaim_command(keys: Keys, claim: Claim, *, defer_seconds: float = 0) -> Command:
    """Undoes a claim that is still ours. No attempt is counted, and a lost job keeps the reason of its attempt.

    Args:
        keys: The keys of the queue's side.
        claim: What was claimed.
        defer_seconds: For how long a job that waited is put off; with 0 it keeps its place, and another worker is rung.
    """
    queue = claim.queue
    return script(
        _UNCLAIM,
        (keys.queue(queue), keys.running(queue), keys.doorbell(queue), arq_in_progress(claim.job_id)),
        *(claim.job_id, claim.token, claim.reason, claim.score, ms(defer_seconds)),
    )
