"""Claims on the queue's side: taken, renewed and released by scripts that act only where the token is still ours.

A restart or a failover of Redis may take back a claim that it had acknowledged: the job waits in the queue again, or
the deadline of its lease is an old one, while the worker that holds it is well. After each of them the history of the
data is another one (`history.py`), and for one lease from then on nobody claims what may have been claimed before. In
that time each worker that lives asserts its claims: it renews its leases three times a lease, learns of the new history
by the reply, and puts back what is missing. What was enqueued since then was never claimed, and does not wait.

A worker that cannot reach Redis for longer than a lease loses its claims, as in any other outage. What then keeps two
starts of a job apart is on the job's side (`attempts.py`).

A lost worker's job begins elsewhere, counted from its last renewal:

- within a lease and 1 s if a worker with a free place has seen Redis be well for a lease; it looks when the lease runs
  out, less the time of two round trips. A lost job goes before new ones, so that a full worker takes it first;
- when the next worker is ready, on the machine on which the lost one ran: its process is known to be gone;
- within a lease and 1 s from the connect of the first worker, on another machine: leases may have run out in an outage;
- within a lease and 1 s from the end of an outage, that is a restart, a failover, refused writes, or a silence of Redis
  of more than 0.6 leases. A shorter silence delays it by its own length.
"""

import secrets
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from tailrace.broker.client import Command, ms, script, text
from tailrace.protocol.history import HISTORY
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry
from tailrace.protocol.queue import RING
from tailrace_worker.cancel_scope import AttemptLost

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


@dataclass(frozen=True, slots=True)
class Claimed:
    """What one look at the queues brought."""

    claims: list[Claim]
    next_due_seconds: float | None
    """How long until the next job is due, or the next lease runs out; `None` where nothing is to come."""
    at: int
    """The server's time, Unix ms."""
    suspects: list[str]
    """Workers of this machine that let leases run out, while nothing may be taken over yet."""
    lost: dict[str, int]
    """Workers that no claim has found lost before, each with the number of jobs that it held on these queues."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """What a renewal brought."""

    taken: frozenset[str]
    """The jobs that somebody else holds."""
    missing: frozenset[str]
    """The jobs that nobody holds."""
    history: str
    """The history of the queue's data."""


def claim_command(
    keys: Keys,
    queues: Sequence[str],
    token: str,
    *,
    places: int,
    lease_seconds: float,
    takes_over_until: int,
    dead: Collection[str] = (),
    leaving: Sequence[str] = (),
) -> Command:
    """Claims as many jobs as there are places: expired leases first, then what is due, queue by queue.

    Later than `takes_over_until` (the server's time, ms) the only leases that count as expired are those of jobs that
    were handed back, and those of workers that are known to be `dead`. For one lease from the beginning of a history
    on, only what was due since then is claimed. The jobs of `leaving` stay where they are, and others get past them.
    """
    names = (name for queue in queues for name in (keys.queue(queue), keys.running(queue), keys.doorbell(queue)))
    return script(
        _CLAIM,
        (keys.history, *names),
        *(places, ms(lease_seconds), token, ms(MARK_SECONDS), takes_over_until, machine_of(token)),
        *(keys.worker(""), len(dead)),
        *dead,
        *leaving,
    )


def read_claimed(reply: Any, queues: Sequence[str], token: str) -> Claimed:
    """The reply to a `claim_command`."""
    claims: list[tuple[bytes, int, int | bytes, bytes, int, bytes]]
    claims, next_due, at, history, suspects, lost = reply
    return Claimed(
        [
            Claim(
                job_id=job_id.decode(),
                queue=queues[index],
                token=token,
                due=int(float(due)),
                reason=reason.decode(),
                attempt=attempt,
                body=body,
                history=history.decode(),
                score=float(due),
            )
            for job_id, index, due, reason, attempt, body in claims
            # Nobody can hold a stream of such a name; it stays where it is, and whoever put it there may see it.
            if job_id.isascii()
        ],
        None if next_due < 0 else next_due / 1000,
        at,
        [text(name) for name in suspects],
        {text(name): count for name, count in lost},
    )


def machine_of(token: str) -> str:
    """Where the worker of a token runs, as the names of all workers there begin."""
    return token.rpartition(":")[0].rpartition(":")[0] + ":"


def new_token(worker: str, *, run: str = "") -> str:
    """A token for the claims of one look: nobody else ever has it.

    Args:
        worker: The name of the worker.
        run: 8 hexadecimal digits by which two processes of one name differ: where a container starts again, it has the
            same host name and process id.
    """
    return f"{worker}:{run}{secrets.token_hex(8)}"


def renew_command(keys: Keys, claims: Iterable[Claim], *, lease_seconds: float) -> Command:
    """Renews leases, all in one command; `read_renewed` reads the reply."""
    held = list(claims)
    queues = sorted({claim.queue for claim in held})
    places = {queue: place for place, queue in enumerate(queues)}
    return script(
        _RENEW,
        tuple(keys.running(queue) for queue in queues),
        ms(lease_seconds),
        *(part for claim in held for part in (places[claim.queue] + 1, claim.job_id, claim.token)),
    )


def read_renewed(reply: Any) -> Renewed:
    """The reply to a `renew_command`."""
    taken, missing, history = reply
    return Renewed(
        frozenset(job_id.decode() for job_id in taken),
        frozenset(job_id.decode() for job_id in missing),
        history.decode(),
    )


def assert_command(keys: Keys, claim: Claim, *, lease_seconds: float, life_seconds: float) -> Command:
    """Puts back a claim that Redis has lost, with all that belongs to it; replies 0 if somebody else holds the job."""
    job_id, queue = claim.job_id, claim.queue
    return script(
        _ASSERT,
        (
            *(keys.queue(queue), keys.running(queue)),
            *(arq_in_progress(job_id), arq_job(job_id), arq_retry(job_id)),
        ),
        *(job_id, claim.token, ms(lease_seconds), ms(MARK_SECONDS), claim.attempt, claim.body, ms(life_seconds)),
    )


def next_attempt_command(claim: Claim) -> Command:
    """Counts another try of a job that this worker goes on with; replies with its number, or 0: it is not ours."""
    return script(_NEXT_ATTEMPT, (arq_in_progress(claim.job_id), arq_retry(claim.job_id)), claim.token)


def release_command(
    keys: Keys, claim: Claim, what: Release, *, life_seconds: float, delay_seconds: float = 0
) -> Command:
    """Ends a claim, if it is still ours: the job is over, is due again after a delay, or is handed back.

    A claim that Redis has lost is still ours unless another worker has the job; what of the job was lost with it is put
    back. `life_seconds` is for how long a body lives that is put back.
    """
    job_id, queue = claim.job_id, claim.queue
    return script(
        _RELEASE,
        (
            *(keys.queue(queue), keys.running(queue), keys.doorbell(queue)),
            *(arq_in_progress(job_id), arq_job(job_id), arq_retry(job_id), arq_result(job_id)),
        ),
        *(job_id, claim.token, what, ms(delay_seconds)),
        *(claim.history, claim.attempt, claim.body, ms(life_seconds)),
    )


# KEYS: history, then for each queue, in the order of precedence: queue, running, bell.
# ARGV: free places, lease in ms, token, life of the token in ms, until when leases that ran out are taken over: later,
# those of jobs that were handed back, and of dead workers, alone; how the names of this machine's workers begin; how
# the keys of workers begin; how many dead workers there are, and their names; then the jobs that are left where they
# are.
_CLAIM = (
    RING
    + HISTORY
    + """
local here, known = history(), redis.call('GET', KEYS[1])
local id, since = string.match(known or '', '^(.*) (%d+)$')
if id ~= here then
  -- If none is known nothing was claimed before: whatever is enqueued leaves the history in which it was.
  since = known and math.floor(now) or 0
  redis.call('SET', KEYS[1], string.format('%s %.0f', here, since), 'PX', 604800000)
end
local settled_at = since + ARGV[2]
local settles = now < settled_at
local left = tonumber(ARGV[1])
local takes_over = now <= tonumber(ARGV[5]) and not settles
local expired_until = takes_over and now or 0
local due_from = settles and since or '-inf'
local claimed, next_due = {}, -1
local dead, leaving, leaving_count = {}, {}, 0
for i = 9, 8 + ARGV[8] do dead[ARGV[i]] = true end
for i = 9 + ARGV[8], #ARGV do
  leaving[ARGV[i]] = true
  leaving_count = leaving_count + 1
end
-- Whoever takes over the first job of a worker tells of the loss. A worker that lives has renewed its other leases
-- within a third of a lease: it has only failed to release a job, when Redis was away.
local lost, looked_at = {}, {}
local function tell_lost(job)
  local name, random = string.match(redis.call('GET', 'arq:in-progress:' .. job) or '', '^(.*):(%x+)$')
  if not name then return end
  local run = name .. ':' .. string.sub(random, 1, 8)
  if looked_at[run] or string.sub(ARGV[3], 1, #run) == run then return end
  looked_at[run] = true
  local told = ARGV[7] .. name .. ':lost'
  if redis.call('GET', told) == run then return end
  local count = 0
  for at = 3, #KEYS, 3 do
    local held = redis.call('ZRANGE', KEYS[at], 0, -1, 'WITHSCORES')
    for first = 1, #held, 2000 do
      local marks = {}
      for i = first, math.min(first + 1999, #held), 2 do marks[#marks + 1] = 'arq:in-progress:' .. held[i] end
      for i, mark in ipairs(redis.call('MGET', unpack(marks))) do
        if mark and string.sub(mark, 1, #run) == run then
          if tonumber(held[first + 2 * i - 1]) > now + ARGV[2] / 2 then return end
          count = count + 1
        end
      end
    end
  end
  redis.call('SET', told, run, 'PX', 3600000)
  lost[#lost + 1] = {name, count}
end
local function claim(at, job, due, reason)
  if reason == 'worker_lost' then tell_lost(job) end
  redis.call('ZADD', KEYS[at + 1], now + ARGV[2], job)
  redis.call('SET', 'arq:in-progress:' .. job, ARGV[3], 'PX', ARGV[4])
  local tries = tonumber(redis.call('GET', 'arq:retry:' .. job) or 0) or 0
  if #claimed == 0 then redis.call('PEXPIRE', KEYS[1], 604800000) end
  local body = redis.call('GET', 'arq:job:' .. job) or ''
  table.insert(claimed, {job, math.floor((at - 2) / 3), due, reason, tries + 1, body})
  left = left - 1
end
local function each(at, key, from, until_, looks_ahead, take)
  -- One more than there are places: the first that is left says how long to wait.
  local found = redis.call('ZRANGEBYSCORE', key, from, '+inf', 'WITHSCORES', 'LIMIT', 0, left + 1 + leaving_count)
  for i = 1, #found, 2 do
    local score = tonumber(found[i + 1])
    if leaving[found[i]] then
      -- It stays where it is.
    elseif score > until_ or left <= 0 then
      -- Who leaves jobs behind rings again: the ring that brought us here may have been theirs.
      if score <= until_ then ring(KEYS[at + 2]) end
      if looks_ahead then
        local wait = math.max(0, score - now)
        if next_due < 0 or wait < next_due then next_due = wait end
      end
      return
    else
      take(found[i], score, found[i + 1])
    end
  end
end
if not settles then
  for at = 2, #KEYS, 3 do
    each(at, KEYS[at + 1], '-inf', expired_until, takes_over, function(job, score)
      claim(at, job, now, score == 0 and 'worker_shutdown' or 'worker_lost')
    end)
  end
end
-- What may not be taken over yet, because Redis may have been away, may be after all if its holder has died.
local suspects = {}
for at = 2, takes_over and 0 or #KEYS, 3 do
  for _, job in ipairs(redis.call('ZRANGEBYSCORE', KEYS[at + 1], '(0', now, 'LIMIT', 0, 64)) do
    local name = string.match(redis.call('GET', 'arq:in-progress:' .. job) or '', '^(.*):%x+$')
    if name and dead[name] and left > 0 and not leaving[job] then
      claim(at, job, now, 'worker_lost')
    elseif name and string.sub(name, 1, #ARGV[6]) == ARGV[6] then
      suspects[#suspects + 1] = name
    end
  end
end
for at = 2, #KEYS, 3 do
  each(at, KEYS[at], due_from, now, true, function(job, _, exact)
    redis.call('ZREM', KEYS[at], job)
    claim(at, job, exact, 'retry')
  end)
end
if settles and (next_due < 0 or settled_at - now < next_due) then next_due = settled_at - now end
return {claimed, next_due, now, here, suspects, lost}
"""
)

# KEYS: running sets. ARGV: lease in ms, then for each claim: the place of its running set, job, token.
# One MGET and one ZADD a thousand jobs: what costs Redis is the number of commands.
_RENEW = (
    HISTORY
    + """
local time = redis.call('TIME')
local deadline = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1]
local taken, missing = {}, {}
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
      table.insert(tokens[(i - first) / 3 + 1] and taken or missing, ARGV[i + 1])
    end
  end
  for running, members in pairs(renewed) do redis.call('ZADD', running, 'XX', unpack(members)) end
end
return {taken, missing, history()}
"""
)

# KEYS: queue, running, mark, body, tries. ARGV: job, token, lease in ms, life of the mark in ms, attempt, body, life of
# the body in ms.
_ASSERT = """
local holder = redis.call('GET', KEYS[3])
if holder and holder ~= ARGV[2] then return 0 end
local time = redis.call('TIME')
redis.call('SET', KEYS[3], ARGV[2], 'PX', ARGV[4])
redis.call('ZREM', KEYS[1], ARGV[1])
redis.call('ZADD', KEYS[2], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
if ARGV[6] ~= '' then redis.call('SET', KEYS[4], ARGV[6], 'NX', 'PX', ARGV[7]) end
local tries = tonumber(redis.call('GET', KEYS[5]) or 0) or 0
if tries < tonumber(ARGV[5]) then redis.call('SET', KEYS[5], ARGV[5], 'PX', ARGV[7]) end
return 1
"""

# KEYS: mark, tries. ARGV: token.
# Only the holder counts on: a worker that was suspended would fence its successor by the number that it gets.
_NEXT_ATTEMPT = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('INCR', KEYS[2])
"""

# KEYS: queue, running, bell, mark, body, tries, result. ARGV: job, token, what, delay in ms, history, attempt, body,
# life of the body in ms.
_RELEASE = (
    RING
    + HISTORY
    + """
local what, holder = ARGV[3], redis.call('GET', KEYS[4])
if holder ~= ARGV[2] then
  -- In the same history the job was deleted.
  if holder or history() == ARGV[5] then return 0 end
  redis.call('ZREM', KEYS[1], ARGV[1])
  if what ~= 'finish' then
    -- What is enqueued in this history need not wait until others have asserted their claims.
    what = 'retry'
    if ARGV[7] ~= '' then redis.call('SET', KEYS[5], ARGV[7], 'NX', 'PX', ARGV[8]) end
    local tries = tonumber(redis.call('GET', KEYS[6]) or 0) or 0
    if tries < tonumber(ARGV[6]) then redis.call('SET', KEYS[6], ARGV[6], 'PX', ARGV[8]) end
  end
end
redis.call('DEL', KEYS[4])
if what == 'hand_back' then
  redis.call('ZADD', KEYS[2], 0, ARGV[1])
  ring(KEYS[3])
  return 1
end
redis.call('ZREM', KEYS[2], ARGV[1])
if what == 'retry' then
  redis.call('ZADD', KEYS[1], now + ARGV[4], ARGV[1])
  if ARGV[4] == '0' then ring(KEYS[3]) end
else
  redis.call('DEL', KEYS[5], KEYS[6], KEYS[7])
end
return 1
"""
)
