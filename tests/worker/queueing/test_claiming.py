"""Claims on the queue's side, and the worker that lives by them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from functools import partial
from signal import Signals
from typing import Any

import pytest
from redis import Redis

from tailrace import CancelOutcome, GenerationRequest, Job, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry
from tailrace_worker.generation import Generations
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claimer import Claimer
from tailrace_worker.queueing.claiming import StreamWorker
from tailrace_worker.queueing.claims import (
    Claimed,
    claim_command,
    new_token,
    read_claimed,
    read_renewed,
    release_command,
    renew_command,
)
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.queueing.takeover_gate import TakeoverGate
from tests.support.eventually import eventually
from tests.support.streams import events_of, read
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

FOR_EVER = 10**15
"""Later than any time of a server, in ms."""


def leases_of(worker: StreamWorker) -> Leases:
    leases: Leases = worker.ctx["leases"]
    return leases


class Side:
    """The queue's side, as one worker sees it."""

    def __init__(self, broker: Broker, keys: Keys) -> None:
        self.broker = broker
        self.keys = keys
        self.lost: list[tuple[str, int]] = []

    async def claim(
        self,
        *queues: str,
        places: int = 10,
        lease_seconds: float = 60,
        takes_over: bool = True,
        worker: str = "host:0",
        run: str = "",
    ) -> list[Claim]:
        """Claims jobs; `lost` adds up the workers that the claims have found lost, with their jobs."""
        names, token = queues or ("default",), new_token(worker, run=run)
        command = claim_command(
            self.keys,
            names,
            token,
            places=places,
            lease_seconds=lease_seconds,
            takes_over_until=FOR_EVER if takes_over else 0,
        )
        claimed = read_claimed(await self.broker.call(*command), names, token)
        self.lost += claimed.lost.items()
        return claimed.claims

    async def renew(self, *claims: Claim, lease_seconds: float = 60) -> list[str]:
        """Renews leases; returns the jobs that are not this worker's any more."""
        renewed = read_renewed(await self.broker.call(*renew_command(self.keys, claims, lease_seconds=lease_seconds)))
        return [*renewed.taken, *renewed.missing]

    async def release(self, claim: Claim, what: str, delay_seconds: float = 0) -> bool:
        command = release_command(self.keys, claim, what, life_seconds=60, delay_seconds=delay_seconds)  # type: ignore[arg-type]
        return bool(await self.broker.call(*command))

    async def expire(self, claim: Claim) -> None:
        await self.broker.call("ZADD", self.keys.running(claim.queue), 1, claim.job_id)

    async def waiting(self, queue: str = "default") -> list[bytes]:
        jobs: list[bytes] = await self.broker.call("ZRANGE", self.keys.queue(queue), 0, -1)
        return jobs

    async def running(self, queue: str = "default") -> dict[bytes, float]:
        flat = await self.broker.call("ZRANGE", self.keys.running(queue), 0, -1, "WITHSCORES")
        return {job: float(deadline) for job, deadline in zip(flat[::2], flat[1::2], strict=True)}


@pytest.fixture
async def side(settings: Settings) -> AsyncIterator[Side]:
    broker = Broker(open_redis(settings.redis_url))
    yield Side(broker, Keys(settings.prefix))
    await broker.aclose()


async def enqueue(tailrace: Tailrace, request: GenerationRequest, count: int, **options: str) -> list[Job]:
    return [await tailrace.enqueue(request, **options) for _ in range(count)]  # type: ignore[arg-type]


def ids(claims: list[Claim]) -> list[str]:
    return [claim.job_id for claim in claims]


async def test_a_claim_moves_due_jobs_out_of_the_queue_as_many_as_there_are_places(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    jobs = await enqueue(tailrace, request_, 3)
    deferred = await tailrace.enqueue(request_, defer_seconds=60)
    first, second = await side.claim(places=2), await side.claim(places=9)
    assert sorted(ids(first) + ids(second)) == sorted(job.id for job in jobs)
    assert len(first) == 2
    assert await side.waiting() == [deferred.id.encode()]
    assert len(await side.running()) == 3


async def test_an_expired_lease_is_claimed_before_anything_else_and_says_why(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    lost, handed_back, _ = await enqueue(tailrace, request_, 3)
    claims = {claim.job_id: claim for claim in await side.claim(places=2)}
    await side.expire(claims[lost.id])
    await side.release(claims[handed_back.id], "hand_back")
    taken = await side.claim(places=2)
    assert [(claim.job_id, claim.reason) for claim in taken] == [
        (handed_back.id, "worker_shutdown"),
        (lost.id, "worker_lost"),
    ]
    assert await side.claim(places=0) == []


async def test_a_lease_that_stands_is_nobody_elses(tailrace: Tailrace, side: Side, request_: GenerationRequest) -> None:
    await enqueue(tailrace, request_, 1)
    assert len(await side.claim()) == 1
    assert await side.claim() == []


async def test_who_has_just_connected_takes_over_only_what_was_handed_back(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    lost, handed_back = await enqueue(tailrace, request_, 2)
    claims = {claim.job_id: claim for claim in await side.claim()}
    await side.expire(claims[lost.id])
    await side.release(claims[handed_back.id], "hand_back")
    assert ids(await side.claim(takes_over=False)) == [handed_back.id]
    assert ids(await side.claim()) == [lost.id]


async def test_the_first_queue_goes_before_all_others(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    batch = await enqueue(tailrace, request_, 2, queue="batch")
    (interactive,) = await enqueue(tailrace, request_, 1, queue="interactive")
    first, second = await side.claim("interactive", "batch", places=2)
    assert (first.job_id, first.queue) == (interactive.id, "interactive")
    assert (second.job_id, second.queue) == (batch[0].id, "batch")


async def test_only_the_holder_of_the_token_renews_and_releases(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    (job,) = await enqueue(tailrace, request_, 1)
    (zombie,) = await side.claim()
    await side.expire(zombie)
    (successor,) = await side.claim()
    running = await side.running()
    assert await side.renew(zombie, lease_seconds=999) == [job.id]
    for what in ("finish", "retry", "hand_back"):
        assert not await side.release(zombie, what)
    assert await side.running() == running
    assert await side.broker.call("EXISTS", arq_job(job.id), arq_in_progress(job.id)) == 2
    assert await side.renew(successor, lease_seconds=999) == []
    assert await side.running() != running
    assert await side.release(successor, "finish")
    assert await side.running() == {}
    assert await side.broker.call("EXISTS", arq_job(job.id), arq_in_progress(job.id), arq_retry(job.id)) == 0


@pytest.mark.parametrize("what", ["retry", "hand_back"])
async def test_a_job_whose_claim_redis_has_lost_is_released_with_all_that_belongs_to_it(
    tailrace: Tailrace, side: Side, request_: GenerationRequest, what: str
) -> None:
    (job,) = await enqueue(tailrace, request_, 1)
    (claim,) = await side.claim()
    claim.attempt = 7
    await side.broker.call("DEL", arq_job(job.id), arq_in_progress(job.id), side.keys.running("default"))
    # In the history in which it was claimed it must have been deleted.
    assert not await side.release(claim, what)
    claim.history = "the one before"
    assert await side.release(claim, what)
    (again,) = await side.claim()
    assert (again.job_id, again.body, again.attempt) == (job.id, claim.body, 8)


async def test_a_job_that_is_over_leaves_the_queue_in_which_a_restart_has_put_it_again(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    (job,) = await enqueue(tailrace, request_, 1)
    (claim,) = await side.claim()
    await side.broker.transaction(
        ("DEL", arq_in_progress(job.id), side.keys.running("default")), ("ZADD", side.keys.queue("default"), 1, job.id)
    )
    claim.history = "the one before"
    assert await side.release(claim, "finish")
    assert await side.waiting() == []
    assert await side.broker.call("EXISTS", arq_job(job.id), arq_retry(job.id)) == 0


async def test_a_renewal_that_comes_after_the_release_brings_nothing_back(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    await enqueue(tailrace, request_, 1)
    (claim,) = await side.claim()
    await side.release(claim, "finish")
    assert await side.renew(claim) == [claim.job_id]
    assert await side.running() == {}


async def test_thousands_of_leases_are_renewed_in_one_command(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    for queue in ("default", "batch"):
        await enqueue(tailrace, request_, 1_300, queue=queue)
    claims = await side.claim("default", "batch", places=5_000)
    assert len(claims) == 2_600
    before = await side.running("batch")
    lost = claims.pop()
    await side.broker.call("SET", arq_in_progress(lost.job_id), "another's")
    assert await side.renew(*claims, lost, lease_seconds=999) == [lost.job_id]
    after = await side.running("batch")
    assert {job for job in before if before[job] == after[job]} == {lost.job_id.encode()}


async def test_a_retry_waits_in_the_queue_until_it_is_due(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    (job,) = await enqueue(tailrace, request_, 1)
    (claim,) = await side.claim()
    await side.release(claim, "retry", delay_seconds=60)
    assert await side.claim() == []
    assert await side.waiting() == [job.id.encode()]
    assert await side.running() == {}


async def test_one_enqueue_wakes_one_worker_and_the_one_that_waited_longest(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    woken: list[str] = []

    async def wait(name: str) -> None:
        if await side.broker.call("BLPOP", side.keys.doorbell("default"), 5):
            woken.append(name)

    waiting: list[asyncio.Task[None]] = []
    for number, name in enumerate(("first", "second", "third"), 1):
        waiting.append(asyncio.create_task(wait(name)))
        await eventually(partial(are_blocked, side, number))
    await enqueue(tailrace, request_, 1)
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert woken == ["first"]
    await enqueue(tailrace, request_, 2)
    await asyncio.gather(*waiting)
    assert woken == ["first", "second", "third"]


async def are_blocked(side: Side, number: int) -> bool:
    """Whether so many clients wait at a doorbell."""
    clients: bytes = await side.broker.call("CLIENT", "LIST")
    return clients.count(b"cmd=blpop") == number


async def test_who_leaves_due_jobs_behind_rings_again(
    tailrace: Tailrace, side: Side, request_: GenerationRequest
) -> None:
    await enqueue(tailrace, request_, 3)
    bell = side.keys.doorbell("default")
    await side.broker.call("DEL", bell)
    await side.claim(places=2)
    assert await side.broker.call("LLEN", bell) == 1
    await side.broker.call("DEL", bell)
    await side.claim(places=1)
    assert await side.broker.call("LLEN", bell) == 0


async def begun(job: Job, attempt: int = 1) -> None:
    async with asyncio.timeout(20):
        async for event in job.tail():
            if event.type == "started" and event.attempt >= attempt:
                return


async def test_a_worker_runs_what_is_enqueued_and_keeps_nothing(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet, side: Side
) -> None:
    async with running_worker(generations) as worker:
        job = await tailrace.enqueue(request_)
        puppet.say("Hello")
        puppet.finish()
        assert [event.type for event in await events_of(job)] == ["queued", "started", "delta", "completed"]
        async with asyncio.timeout(5):
            await asyncio.gather(*worker.tasks.values())
    assert await side.running() == {}
    keys = [arq_job(job.id), arq_in_progress(job.id), arq_retry(job.id), f"arq:result:{job.id}"]
    assert await side.broker.call("EXISTS", *keys) == 0


async def test_a_job_that_nobody_rang_for_is_found(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet, side: Side
) -> None:
    async with running_worker(generations):
        job = await tailrace.enqueue(request_, defer_seconds=0.3)
        puppet.finish()
        await begun(job)


async def test_a_full_worker_leaves_the_rings_to_others(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet, side: Side
) -> None:
    async with open_generations(max_jobs=1) as generations, running_worker(generations):
        await begun(await tailrace.enqueue(request_))
        second = await tailrace.enqueue(request_)
        assert await side.broker.call("BLPOP", side.keys.doorbell("default"), 5)
        assert ids(await side.claim()) == [second.id]


async def test_a_lost_claim_stops_a_silent_job_which_writes_nothing_more(
    job: Job, open_generations: OpenGenerations, puppet: Puppet, side: Side
) -> None:
    async with open_generations(lease_seconds=1) as generations, running_worker(generations) as worker:
        await begun(job)
        (running,) = worker.tasks.values()
        successors: list[Claim] = []

        async def is_taken_over() -> bool:
            await side.expire(
                Claim(job_id=job.id, queue="default", token="", due=0, reason="", attempt=1, body=b"", history="")
            )
            # The worker may have renewed its lease in between.
            successors.extend(await side.claim())
            return bool(successors)

        await eventually(is_taken_over)
        async with asyncio.timeout(5):
            await puppet.closed.wait()
            await running
    assert (await job.status()).cursor.seq == 2
    assert await side.renew(successors[0]) == []


async def test_a_worker_regains_a_lapsed_lease_of_its_own_and_the_job_goes_on(
    job: Job,
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    side: Side,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_generations(lease_seconds=1) as generations, running_worker(generations):
        await begun(job)
        monkeypatch.setattr(TakeoverGate, "takes_over_until", FOR_EVER)
        await side.expire(
            Claim(job_id=job.id, queue="default", token="", due=0, reason="", attempt=1, body=b"", history="")
        )
        await tailrace.enqueue(request_.model_copy(update={"model": "rings"}), queue="default")

        async def renewed() -> bool:
            return (await side.running())[job.id.encode()] > 1

        await eventually(renewed)
        puppet.say("still here")
        puppet.finish()
        puppet.finish()
        assert [event.type for event in await events_of(job)] == ["queued", "started", "delta", "completed"]


async def test_a_drained_worker_finishes_what_it_runs_and_claims_nothing_more(
    job: Job, tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet, side: Side
) -> None:
    async with running_worker(generations) as worker:
        await begun(job)
        worker.handle_sig_wait_for_completion(Signals.SIGTERM)
        late = await tailrace.enqueue(request_)
        puppet.say("Hello")
        puppet.finish()
        assert (await events_of(job))[-1].type == "completed"
    assert await side.waiting() == [late.id.encode()]


async def test_what_still_runs_after_the_grace_time_is_handed_back(
    job: Job, open_generations: OpenGenerations, puppet: Puppet, side: Side
) -> None:
    async with open_generations(grace_seconds=0.2) as generations, running_worker(generations) as worker:
        await begun(job)
        (running,) = worker.tasks.values()
        worker.handle_sig_wait_for_completion(Signals.SIGTERM)
        puppet.say("Hello")
        async with asyncio.timeout(5):
            await read(job, 3)
            assert not puppet.closed.is_set()
            await asyncio.wait([running])
    assert await side.running() == {job.id.encode(): 0}


async def test_a_second_signal_hands_back_at_once_and_the_next_worker_goes_on_at_once(
    job: Job, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    async with open_generations("first") as generations, running_worker(generations) as worker:
        puppet.say("void")
        await puppet.called.wait()
        for _ in range(2):
            worker.handle_sig_wait_for_completion(Signals.SIGTERM)
        await puppet.closed.wait()
    async with open_generations("second") as generations, running_worker(generations):
        puppet.say("valid")
        puppet.finish()
        events = await events_of(job)
    started = [event for event in events if event.type == "started"]
    assert [(event.worker, event.reason) for event in started] == [("first", None), ("second", "worker_shutdown")]
    assert (await job.answer()).text.endswith("valid")
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))


async def test_a_deleted_job_is_dropped_even_while_its_provider_is_silent(
    job: Job, open_generations: OpenGenerations, puppet: Puppet, side: Side
) -> None:
    async with open_generations(lease_seconds=1) as generations, running_worker(generations):
        await begun(job)
        await job.delete()
        async with asyncio.timeout(5):
            await puppet.closed.wait()
    assert await side.running() == {}
    assert await side.waiting() == []


async def test_a_cancel_between_claim_and_begin_ends_the_job_once(
    job: Job, generations: Generations, puppet: Puppet, side: Side
) -> None:
    (claim,) = await side.claim()
    assert await job.cancel() is CancelOutcome.CANCELLED
    await side.release(claim, "hand_back")

    async def released() -> bool:
        return not await side.running()

    async with running_worker(generations):
        await eventually(released)
    assert [event.type for event in await events_of(job)] == ["queued", "cancelled"]
    assert not puppet.called.is_set()


async def test_a_job_that_is_claimed_anew_while_its_last_attempt_is_on_the_way_out_is_not_dropped_with_it(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet, side: Side
) -> None:
    async with running_worker(generations) as worker:
        job = await tailrace.enqueue(request_)
        await begun(job)
        held = leases_of(worker).get(job.id)
        assert held is not None
        # Released, and claimed again before its task has ended.
        held.is_over = True
        await side.expire(held)
        (again,) = await side.claim()
        await worker.start(again)
        assert held.token != again.token
        assert await side.waiting() == [job.id.encode()]
        puppet.finish()
        assert (await events_of(job))[-1].type == "completed"


async def test_what_is_claimed_in_the_moment_of_a_drain_is_handed_back_at_once(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    side: Side,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running_worker(generations) as worker:
        claim, looked, under_way, go_on = Claimer.claim, asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def slow(self: Claimer, places: int, *, is_idle: bool) -> Claimed:
            claimed = await claim(self, places, is_idle=is_idle)
            looked.set()
            if claimed.claims:
                under_way.set()
                await go_on.wait()
            return claimed

        monkeypatch.setattr(Claimer, "claim", slow)
        await looked.wait()
        job = await tailrace.enqueue(request_)
        await under_way.wait()
        worker.handle_sig_wait_for_completion(Signals.SIGTERM)
        await asyncio.sleep(0)
        go_on.set()
    assert await side.running() == {job.id.encode(): 0}


async def test_a_worker_that_was_suspended_before_it_began_leaves_the_job_to_its_successor(
    job: Job,
    open_generations: OpenGenerations,
    puppet: Puppet,
    side: Side,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (stale,) = await side.claim()
    await side.expire(stale)
    async with open_generations("successor") as generations, running_worker(generations):
        monkeypatch.setattr(TakeoverGate, "takes_over_until", FOR_EVER)
        await begun(job)
        async with open_generations("zombie") as late, running_worker(late) as zombie:
            await zombie.start(stale)
            await asyncio.wait(zombie.tasks.values())
        puppet.finish()
        events = await events_of(job)
    assert [event.type for event in events] == ["queued", "started", "completed"]
    assert len(puppet.requests) == 1


async def test_a_counter_that_somebody_else_has_moved_costs_a_hand_back_and_no_job(
    job: Job, generations: Generations, puppet: Puppet, side: Side
) -> None:
    (stale,) = await side.claim()
    await side.broker.call("INCR", arq_retry(job.id))
    async with running_worker(generations) as worker:
        await worker.start(stale)
        puppet.finish()
        assert [event.type for event in await events_of(job)] == ["queued", "started", "completed"]


async def test_an_id_that_is_no_text_does_not_end_the_worker(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet, side: Side
) -> None:
    await side.broker.call("ZADD", side.keys.queue("default"), 1, b"\xff\xfe")
    async with running_worker(generations):
        job = await tailrace.enqueue(request_)
        puppet.finish()
        assert (await events_of(job))[-1].type == "completed"


async def test_a_renewal_under_the_old_token_does_not_lose_a_job_that_was_claimed_anew(
    job: Job,
    open_generations: OpenGenerations,
    puppet: Puppet,
    side: Side,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A worker without a free place does not claim the job itself before `regain` does.
    async with open_generations(lease_seconds=1, max_jobs=1) as generations, running_worker(generations) as worker:
        await begun(job)
        held = leases_of(worker).get(job.id)
        assert held is not None
        execute: Any = vars(Redis)["execute_command"]
        loop = asyncio.get_running_loop()
        over = asyncio.Event()

        async def regain() -> None:
            await side.expire(held)
            (anew,) = await side.claim()
            await worker.start(anew)

        first = True

        def late(self: Redis, *command: Any) -> Any:
            nonlocal first
            if not first:
                return execute(self, *command)
            first = False
            # Redis sees our own claim before the renewal; the loop reads the claim's reply first.
            asyncio.run_coroutine_threadsafe(regain(), loop).result(5)
            reply = execute(self, *command)
            loop.call_soon_threadsafe(loop.call_later, 0.1, over.set)
            return reply

        # Of the thread that renews the leases: nothing else here uses a client that blocks.
        monkeypatch.setattr(Redis, "execute_command", late)
        async with asyncio.timeout(5):
            await over.wait()
        assert not held.is_over
        puppet.finish()
        assert (await events_of(job))[-1].type == "completed"


@pytest.mark.process
async def test_a_worker_that_was_started_again_takes_over_at_once_from_the_one_that_died_on_its_machine(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    died = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await died.wait()
    puppet.say("Here")
    puppet.finish()
    # Its lease is so long that to wait for Redis to have been well for one would never end.
    async with open_generations(f"host:{os.getpid()}", lease_seconds=300) as generations:
        side = Side(generations.broker, generations.keys)
        job = await tailrace.enqueue(request_)
        (claim,) = await side.claim(worker=f"host:{died.pid}")
        await side.expire(claim)
        async with running_worker(generations):
            answer = await asyncio.wait_for(job.answer(), 20)
    assert answer.text == "Here"


async def test_a_worker_that_has_just_connected_takes_nothing_from_one_that_lives_on_its_machine(
    job: Job, side: Side
) -> None:
    (claim,) = await side.claim(worker="host:1")
    await side.expire(claim)
    command = claim_command(
        side.keys, ["default"], new_token("host:2"), places=9, lease_seconds=60, takes_over_until=0, dead=["host:3"]
    )
    claimed = read_claimed(await side.broker.call(*command), ["default"], "host:2:0")
    assert (claimed.claims, claimed.suspects) == ([], ["host:1"])
    assert list(await side.running()) == [job.id.encode()]


async def enqueued(tailrace: Tailrace, request: GenerationRequest) -> None:
    await tailrace.enqueue_many([request] * 3)
    await tailrace.enqueue_many([request] * 2, queue="batch")


async def test_a_lost_worker_is_told_of_once_with_all_the_jobs_that_it_held(
    side: Side, tailrace: Tailrace, request_: GenerationRequest
) -> None:
    queues = ("batch", "default")
    for run in ("0000000a", "0000000b"):
        await enqueued(tailrace, request_)
        first, *others = [claim for places in (2, 3) for claim in await side.claim(*queues, places=places, run=run)]
        await side.expire(first)
        seconds, _ = await side.broker.call("TIME")
        for claim in others:
            # It was claimed after the last renewal.
            await side.broker.call("ZADD", side.keys.running(claim.queue), 1_000 * (int(seconds) + 20), claim.job_id)
        assert len(await side.claim(*queues, worker="host:00", run=run)) == 1
        assert side.lost.pop() == ("host:0", 5)
        for claim in others:
            await side.expire(claim)
            assert len(await side.claim(*queues, worker="host:1")) == 1
        assert side.lost == []


async def mgets(side: Side) -> int:
    stats: dict[str, Any] = await side.broker.call("INFO", "commandstats")
    return int(stats.get("cmdstat_mget", {}).get("calls", 0))


async def test_a_worker_that_renews_its_other_leases_is_not_told_of_as_lost(
    side: Side, tailrace: Tailrace, request_: GenerationRequest
) -> None:
    await enqueued(tailrace, request_)
    held = await side.claim(run="0000000a")
    for claim in held[:2]:
        await side.expire(claim)
    looks = await mgets(side)
    assert len(await side.claim(worker="host:1")) == 2
    assert side.lost == []
    # What the worker holds is looked through once, and not for each job: Redis does nothing else meanwhile.
    assert await mgets(side) == looks + 1
    await side.expire(held[2])
    assert len(await side.claim(worker="host:1")) == 1
    assert side.lost == [("host:0", 1)]


async def test_the_tokens_of_a_worker_tell_its_runs_apart(
    side: Side, tailrace: Tailrace, generations: Generations, request_: GenerationRequest
) -> None:
    tokens: list[str] = []
    for _ in range(2):
        async with running_worker(generations):
            for _ in range(2):
                job = await tailrace.enqueue(request_)
                await begun(job)
                tokens.append((await side.broker.call("GET", arq_in_progress(job.id))).decode())
                await job.delete()
    assert len(set(tokens)) == 4
    first, again, second, _ = (token.rpartition(":")[2][:8] for token in tokens)
    assert first == again != second


async def test_a_worker_that_takes_back_its_own_jobs_is_not_told_of_as_lost(
    side: Side, tailrace: Tailrace, request_: GenerationRequest
) -> None:
    await tailrace.enqueue(request_)
    (claim,) = await side.claim(run="0000000a")
    await side.expire(claim)
    (claim,) = await side.claim(run="0000000a")
    assert side.lost == []
    await side.expire(claim)
    assert len(await side.claim(run="0000000b")) == 1
    assert side.lost == [("host:0", 1)]


async def test_a_job_that_is_put_back_is_due_by_the_servers_time(job: Job, side: Side) -> None:
    (claim,) = await side.claim()
    await side.release(claim, "retry", delay_seconds=60)
    (seconds, _), due = await side.broker.pipeline(("TIME",), ("ZSCORE", side.keys.queue("default"), job.id))
    assert 58_000 < float(due) - 1_000 * int(seconds) < 62_000


async def test_a_job_that_is_deleted_between_its_claim_and_its_beginning_leaves_no_key_of_arqs(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    job, other = await tailrace.enqueue(request_), await tailrace.enqueue(request_)
    async with running_worker(generations) as worker:
        run_job = worker.run_job

        async def delete_first(job_id: str, score: int) -> None:
            if job_id == job.id:
                await job.delete()
            await run_job(job_id, score)

        worker.run_job = delete_first  # type: ignore[method-assign]
        puppet.finish()
        async with asyncio.timeout(20):
            await other.answer()
        await eventually(lambda: not worker.tasks or all(task.done() for task in worker.tasks.values()))
    keys = (arq_job(job.id), arq_retry(job.id), arq_in_progress(job.id), arq_result(job.id))
    assert not await generations.broker.call("EXISTS", *keys)
