"""Claims on the queue's side: taken, renewed and released by scripts that act only where the token is still ours."""

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from tailrace.broker import Command, ms, script
from tailrace.enqueue import RING
from tailrace.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry
from tailrace_worker.interruption import AttemptLost

MARK_SECONDS: Final = 86_400.0
"""How long the mark that holds a token lives without being renewed: far longer than any lease."""

Release: TypeAlias = Literal["finish", "retry", "hand_back"]


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


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one look at the queues brought."""

    claims: list[Claim]
    next_due_seconds: float | None
    """How long until the next job is due, or the next lease runs out; `None` where nothing is to come."""
    at: int
    """The server's time, Unix ms."""


def claim_command(
    keys: Keys, queues: Sequence[str], token: str, *, places: int, lease_seconds: float, takes_over_until: int
) -> Command:
    """Claims as many jobs as there are places: expired leases first, then what is due, queue by queue.

    Later than `takes_over_until` (the server's time, ms) the only leases that count as expired are those of jobs that
    were handed back.
    """
    names = (name for queue in queues for name in (keys.queue(queue), keys.running(queue), keys.doorbell(queue)))
    return script(_CLAIM, tuple(names), places, ms(lease_seconds), token, ms(MARK_SECONDS), takes_over_until)


def read_claimed(reply: Any, queues: Sequence[str], token: str) -> Claimed:
    """The reply to a `claim_command`."""
    claims: list[tuple[bytes, int, int, bytes, int]]
    claims, next_due, at = reply
    return Claimed(
        [
            Claim(
                job_id=job_id.decode(),
                queue=queues[index],
                token=token,
                due=due,
                reason=reason.decode(),
                attempt=attempt,
            )
            for job_id, index, due, reason, attempt in claims
            # Nobody can hold a stream of such a name; it stays where it is, and whoever put it there may see it.
            if job_id.isascii()
        ],
        None if next_due < 0 else next_due / 1000,
        at,
    )


def new_token(worker: str) -> str:
    """A token for the claims of one look: nobody else ever has it."""
    return f"{worker}:{secrets.token_hex(8)}"


def renew_command(keys: Keys, claims: Iterable[Claim], *, lease_seconds: float) -> Command:
    """Renews leases, all in one command; replies with the jobs whose token is not ours any more."""
    held = list(claims)
    queues = sorted({claim.queue for claim in held})
    places = {queue: place for place, queue in enumerate(queues)}
    return script(
        _RENEW,
        tuple(keys.running(queue) for queue in queues),
        ms(lease_seconds),
        *(part for claim in held for part in (places[claim.queue] + 1, claim.job_id, claim.token)),
    )


def next_attempt_command(claim: Claim) -> Command:
    """Counts another try of a job that this worker goes on with; replies with its number, or 0: it is not ours."""
    return script(_NEXT_ATTEMPT, (arq_in_progress(claim.job_id), arq_retry(claim.job_id)), claim.token)


def release_command(keys: Keys, claim: Claim, what: Release, *, due: int = 0) -> Command:
    """Ends a claim, if it is still ours: the job is over, waits again from `due` on (Unix ms), or is handed back."""
    job_id, queue = claim.job_id, claim.queue
    return script(
        _RELEASE,
        (
            *(keys.queue(queue), keys.running(queue), keys.doorbell(queue)),
            *(arq_in_progress(job_id), arq_job(job_id), arq_retry(job_id), arq_result(job_id)),
        ),
        *(job_id, claim.token, what, due),
    )


# KEYS: for each queue, in the order of precedence: queue, running, bell.
# ARGV: free places, lease in ms, token, life of the token in ms, until when leases that ran out are taken over: later,
# those of jobs that were handed back alone.
_CLAIM = (
    RING
    + """
local left = tonumber(ARGV[1])
local takes_over = now <= tonumber(ARGV[5])
local expired_until = takes_over and now or 0
local claimed, next_due = {}, -1
local function claim(at, job, due, reason)
  redis.call('ZADD', KEYS[at + 1], now + ARGV[2], job)
  redis.call('SET', 'arq:in-progress:' .. job, ARGV[3], 'PX', ARGV[4])
  local tries = tonumber(redis.call('GET', 'arq:retry:' .. job) or 0) or 0
  table.insert(claimed, {job, math.floor((at - 1) / 3), due, reason, tries + 1})
  left = left - 1
end
local function members(key, until_)
  if left <= 0 then return {} end
  return redis.call('ZRANGEBYSCORE', key, '-inf', until_, 'WITHSCORES', 'LIMIT', 0, left)
end
local function look_ahead(at, key, until_)
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  if not first[2] then return end
  -- Who leaves jobs behind rings again: the ring that brought us here may have been theirs.
  if tonumber(first[2]) <= until_ then ring(KEYS[at + 2]) end
  local wait = math.max(0, tonumber(first[2]) - now)
  if next_due < 0 or wait < next_due then next_due = wait end
end
for at = 1, #KEYS, 3 do
  local expired = members(KEYS[at + 1], expired_until)
  for i = 1, #expired, 2 do
    claim(at, expired[i], now, expired[i + 1] == '0' and 'worker_shutdown' or 'worker_lost')
  end
end
for at = 1, #KEYS, 3 do
  local due = members(KEYS[at], now)
  for i = 1, #due, 2 do
    redis.call('ZREM', KEYS[at], due[i])
    claim(at, due[i], tonumber(due[i + 1]), 'retry')
  end
  look_ahead(at, KEYS[at], now)
  if takes_over or left <= 0 then look_ahead(at, KEYS[at + 1], expired_until) end
end
return {claimed, next_due, now}
"""
)

# KEYS: running sets. ARGV: lease in ms, then for each claim: the place of its running set, job, token.
# One MGET and one ZADD a thousand jobs: what costs Redis is the number of commands.
_RENEW = """
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local lost = {}
for first = 2, #ARGV, 3000 do
  local marks, renewed = {}, {}
  local last = math.min(first + 2999, #ARGV)
  for i = first, last, 3 do table.insert(marks, 'arq:in-progress:' .. ARGV[i + 1]) end
  local tokens = redis.call('MGET', unpack(marks))
  for i = first, last, 3 do
    if tokens[(i - first) / 3 + 1] == ARGV[i + 2] then
      local running = KEYS[tonumber(ARGV[i])]
      renewed[running] = renewed[running] or {}
      table.insert(renewed[running], deadline)
      table.insert(renewed[running], ARGV[i + 1])
    else
      table.insert(lost, ARGV[i + 1])
    end
  end
  for running, members in pairs(renewed) do redis.call('ZADD', running, 'XX', unpack(members)) end
end
return lost
"""

# KEYS: mark, tries. ARGV: token.
# Only the holder counts on: a worker that was suspended would fence its successor by the number that it gets.
_NEXT_ATTEMPT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('INCR', KEYS[2])
"""

# KEYS: queue, running, bell, mark, body, tries, result. ARGV: job, token, what, due in Unix ms.
_RELEASE = (
    RING
    + """
if redis.call('GET', KEYS[4]) ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[4])
if ARGV[3] == 'hand_back' then
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
  ring(KEYS[3])
  return 1
end
redis.call('ZREM', KEYS[2], ARGV[1])
if ARGV[3] == 'retry' then
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
  if tonumber(ARGV[4]) <= now then ring(KEYS[3]) end
else
  redis.call('DEL', KEYS[5], KEYS[6], KEYS[7])
end
return 1
"""
)
