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
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from tailrace.broker.client import Command, ms, text
from tailrace.protocol.keys import QUEUES_LIFE_SECONDS, Keys, arq_in_progress, arq_job, arq_result, arq_retry
from tailrace.protocol.scripts import Script
from tailrace_worker.queueing.claim import Claim

MARK_SECONDS: Final = 86_400.0
"""How long the mark that holds a token lives without being renewed: far longer than any lease."""
_MAX_SUSPECTS: Final = 64
"""How many expired leases of a queue are searched for workers that may have died."""
_LOSS_SECONDS: Final = 3_600.0
"""How long it is known that a worker was found lost, so that only one worker logs it."""

Release: TypeAlias = Literal["finish", "retry", "hand_back"]


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
    return Script.RENEW.command(
        tuple(keys.running(queue) for queue in queues),
        ms(lease_seconds),
        arq_in_progress(""),
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
    return Script.ASSERT_CLAIM.command(
        (
            *(keys.queue(queue), keys.running(queue)),
            *(arq_in_progress(job_id), arq_job(job_id), arq_retry(job_id)),
        ),
        *(job_id, claim.token, ms(lease_seconds), ms(MARK_SECONDS), claim.attempt, claim.body, ms(life_seconds)),
    )


def next_attempt_command(claim: Claim) -> Command:
    """Counts another try of a job that this worker goes on with; replies with its number, or 0: it is not ours."""
    return Script.NEXT_ATTEMPT.command((arq_in_progress(claim.job_id), arq_retry(claim.job_id)), claim.token)


def release_command(
    keys: Keys, claim: Claim, what: Release, *, life_seconds: float, delay_seconds: float = 0
) -> Command:
    """Ends a claim, if it is still ours: the job is over, is due again after a delay, or is handed back.

    A claim that Redis has lost is still ours unless another worker has the job; what of the job was lost with it is put
    back. `life_seconds` is for how long a body lives that is put back.
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
