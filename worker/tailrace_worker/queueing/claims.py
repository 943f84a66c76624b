"""The commands that take, renew and release claims. Their scripts act only if the worker's token is still in Redis.

A restart or a failover of Redis may lose a claim that Redis had acknowledged. Then the job is in the queue again, or
its lease has an old deadline, although the worker that holds the job is well. After each restart or failover the data
has a new history (`history.py`), and for one lease no worker claims a job that may have been claimed before. During
that time each living worker asserts its claims: it renews its leases three times per lease, learns of the new history
from the reply, and puts back the claims that are missing. A job that was enqueued after the restart was never claimed,
and does not wait.

A worker that cannot reach Redis for longer than a lease loses its claims, as in any other outage. Then the job's side
(`attempts.py`) makes sure that only one worker starts the next attempt.

The job of a lost worker begins elsewhere, counted from the last renewal of its lease:

- within one lease and 1 s, if a worker with a free place has seen Redis answer for one lease. That worker claims when
  the lease runs out, two round trips early. Lost jobs are claimed before new ones, so that a worker whose place becomes
  free takes them first;
- as soon as the next worker is ready, if it runs on the machine of the lost one, because that process is known to be
  gone;
- within one lease and 1 s after the first worker has connected, on another machine, because leases may have run out
  during an outage;
- within one lease and 1 s after the end of an outage: a restart, a failover, refused writes, or a silence of Redis of
  more than 0.6 leases. A shorter silence delays the job by the length of the silence.
"""

import secrets
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from tailrace.broker.client import Command, ms, text
from tailrace.protocol.keys import QUEUES_LIFE_SECONDS, Keys, arq_in_progress, arq_job, arq_result, arq_retry
from tailrace.protocol.scripts import Script
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.job_body import listed_by

MARK_SECONDS: Final = 86_400.0
"""How long the key with a claim's token lives if it is not renewed: far longer than any lease."""
_MAX_SUSPECTS: Final = 64
"""How many expired leases of a queue one claim searches for workers that may have died."""
_LOSS_SECONDS: Final = 3_600.0
"""How long Redis remembers that a worker was found lost, so that only one worker logs it."""

Release: TypeAlias = Literal["finish", "retry", "hand_back"]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The result of one claim."""

    claims: list[Claim]
    next_due_seconds: float | None
    """Seconds until the next job is due or the next lease runs out; `None` if no job waits and no lease runs."""
    at: int
    """The server's time in Unix ms."""
    suspects: list[str]
    """Workers of this machine whose leases have run out while no job may be taken over yet."""
    lost: dict[str, int]
    """Workers that this claim found lost, and no earlier one; each with the number of jobs it held on these queues."""


@dataclass(frozen=True, slots=True)
class Renewed:
    """The result of one renewal."""

    taken: frozenset[str]
    """The jobs that another worker holds."""
    missing: frozenset[str]
    """The jobs that no worker holds."""
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
    """Return the command that claims jobs: first those with expired leases, then those that are due, queue by queue.

    During the first lease of a history, the script claims only jobs that have become due since the history began.

    Args:
        keys: The keys of the queue's side.
        queues: The names of the queues, the most important first.
        token: The token of the claims.
        places: How many jobs to claim at most; 0 only rings for waiting jobs.
        lease_seconds: The length of a lease.
        takes_over_until: The server's time in Unix ms until which jobs may be taken over. Later, a lease counts as
            expired only if its job was handed back or its worker is in `dead`. 0: no lease counts otherwise.
        dead: The names of workers that are known to be dead.
        leaving: The ids of jobs that are left where they are. The script claims the jobs after them.
    """
    names = (name for queue in queues for name in (keys.queue(queue), keys.running(queue), keys.doorbell(queue)))
    loss_begins, _, loss_ends = keys.loss("*").rpartition("*")
    return Script.CLAIM.command(
        (keys.history, *names),
        *(places, ms(lease_seconds), token, ms(MARK_SECONDS), takes_over_until, machine_of(token)),
        *(_MAX_SUSPECTS, ms(QUEUES_LIFE_SECONDS), arq_in_progress(""), arq_retry(""), arq_job("")),
        *(loss_begins, loss_ends, ms(_LOSS_SECONDS), len(dead)),
        *dead,
        *leaving,
    )


def read_claimed(reply: Any, queues: Sequence[str], token: str) -> Claimed:
    """Read the reply to a `claim_command`.

    Args:
        reply: The reply.
        queues: The queues of the command, in the same order.
        token: The token of the command.
    """
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
            # A stream's name can only be ASCII. Any other job stays in the queue, so that its producer can find it.
            if job_id.isascii()
        ],
        None if next_due < 0 else next_due / 1000,
        at,
        [text(name) for name in suspects],
        {text(name): count for name, count in lost},
    )


def machine_of(token: str) -> str:
    """Return the machine on which the worker of a token runs: the beginning of all worker names of that machine."""
    return token.rpartition(":")[0].rpartition(":")[0] + ":"


def new_token(worker: str, *, run: str = "") -> str:
    """Return a new token for the claims of one command. No other claim ever has it.

    Args:
        worker: The name of the worker.
        run: 8 hexadecimal digits by which two processes of the same name differ. A container that is started again has
            the same host name and process id.
    """
    return f"{worker}:{run}{secrets.token_hex(8)}"


def renew_command(keys: Keys, claims: Iterable[Claim], *, lease_seconds: float) -> Command:
    """Return the command that renews the leases of many claims; `read_renewed` reads its reply.

    Args:
        keys: The keys of the queue's side.
        claims: The claims to renew.
        lease_seconds: The length of a lease.
    """
    held = list(claims)
    queues = sorted({claim.queue for claim in held})
    places = {queue: place for place, queue in enumerate(queues)}
    return Script.RENEW.command(
        tuple(keys.running(queue) for queue in queues),
        ms(lease_seconds),
        arq_in_progress(""),
        *(part for claim in held for part in (places[claim.queue] + 1, claim.job_id, claim.token)),
    )


def read_renewed(reply: Any) -> Renewed:
    """Read the reply to a `renew_command`."""
    taken, missing, history = reply
    return Renewed(
        frozenset(job_id.decode() for job_id in taken),
        frozenset(job_id.decode() for job_id in missing),
        history.decode(),
    )


def assert_command(keys: Keys, claim: Claim, *, lease_seconds: float, life_seconds: float) -> Command:
    """Return the command that puts back a claim that Redis has lost, with all that belongs to it: its body, and its
    places in the index of its tenant and in its conversation.

    Redis replies 0 if another worker holds the job.

    Args:
        keys: The keys of the queue's side.
        claim: The lost claim.
        lease_seconds: The length of a lease.
        life_seconds: How long the job's body lives if it has to be put back.
    """
    job_id, queue = claim.job_id, claim.queue
    listed = listed_by(claim.body)
    indexes: list[str] = []
    if listed is not None:
        indexes.append(keys.jobs(listed.tenant))
        if listed.conversation is not None:
            indexes.append(keys.conversation(listed.tenant, listed.conversation))
    return Script.ASSERT_CLAIM.command(
        (
            *(keys.queue(queue), keys.running(queue)),
            *(arq_in_progress(job_id), arq_job(job_id), arq_retry(job_id)),
            *indexes,
        ),
        *(job_id, claim.token, ms(lease_seconds), ms(MARK_SECONDS), claim.attempt, claim.body, ms(life_seconds)),
        0 if listed is None else listed.enqueued_at,
    )


def next_attempt_command(claim: Claim) -> Command:
    """Return the command that counts another attempt at a job by the same worker.

    Redis replies with the number of the attempt, or with 0 if this worker no longer holds the job.
    """
    return Script.NEXT_ATTEMPT.command((arq_in_progress(claim.job_id), arq_retry(claim.job_id)), claim.token)


def release_command(
    keys: Keys, claim: Claim, what: Release, *, life_seconds: float, delay_seconds: float = 0
) -> Command:
    """Return the command that ends a claim if this worker still holds the job.

    If Redis has lost the claim, this worker still holds the job unless another worker has claimed it. What Redis has
    lost of the job is then put back.

    Args:
        keys: The keys of the queue's side.
        claim: The claim.
        what: `finish` if the job is over, `retry` to make it due again after the delay, `hand_back` to free it at once.
        life_seconds: How long the job's body lives if it has to be put back.
        delay_seconds: The delay of a `retry`.
    """
    job_id, queue = claim.job_id, claim.queue
    return Script.RELEASE.command(
        (
            *(keys.queue(queue), keys.running(queue), keys.doorbell(queue)),
            *(arq_in_progress(job_id), arq_job(job_id), arq_retry(job_id), arq_result(job_id)),
        ),
        *(job_id, claim.token, what, ms(delay_seconds)),
        *(claim.history, claim.attempt, claim.body, ms(life_seconds)),
    )
