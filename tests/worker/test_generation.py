"""One job, from claim to ending."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tailrace import (
    BrokerUnavailable,
    CancelOutcome,
    GenerationRequest,
    Job,
    JobState,
    ProviderError,
    Settings,
    Tailrace,
)
from tailrace.broker.client import Broker, open_redis
from tailrace.errors import FailureCode
from tailrace.events import Cancelled, Completed, Failed
from tailrace.protocol import attempts, endings
from tailrace.protocol.attempts import Carried
from tailrace.protocol.keys import Keys, arq_retry, new_job_id
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import TokenCounts
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.holds import ClaimedHold
from tests.support.eventually import eventually
from tests.support.streams import events_of, failure_of, run_unclaimed
from tests.worker.conftest import OpenGenerations, Puppet, running_worker


async def test_a_job_runs_from_enqueue_to_ending(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    job = await tailrace.enqueue(request_, tenant="acme")
    puppet.say("Hello, ", "world")
    puppet.put(TokenCounts(input_tokens=7), TokenCounts(output_tokens=2))
    puppet.finish()
    await run_unclaimed(generations, job.id, 1)
    assert puppet.requests == [request_]
    answer = await job.answer()
    assert answer.text == "Hello, world"
    ending = answer.ending
    assert isinstance(ending, Completed)
    assert (ending.finish_reason, ending.input_tokens, ending.output_tokens) == ("stop", 7, 2)
    assert ending.ttft_ms is not None
    assert ending.queued_ms is not None
    async for ended in tailrace.endings("readers"):
        assert (ended.job_id, ended.tenant, ended.ending) == (job.id, "acme", "completed")
        break


@pytest.mark.parametrize("stream", [True, False])
async def test_an_answer_that_came_at_once_has_no_rate(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet, stream: bool
) -> None:
    job = await tailrace.enqueue(request_.model_copy(update={"stream": stream}))
    puppet.say("Hello, world")
    puppet.put(TokenCounts(output_tokens=2))
    puppet.finish()
    await run_unclaimed(generations, job.id, 1)
    ending = (await job.answer()).ending
    assert isinstance(ending, Completed)
    assert ending.ttft_ms is not None
    assert (ending.tokens_per_second is not None) == stream


async def test_readers_before_during_and_after_see_the_same(job: Job, generations: Generations, puppet: Puppet) -> None:
    before = asyncio.create_task(events_of(job))
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    puppet.say("one ")
    async for event in job.tail():
        if event.type == "delta":
            break
    during = asyncio.create_task(events_of(job))
    puppet.say("two")
    puppet.finish()
    await running
    assert await before == await during == await events_of(job)


async def test_a_reader_that_leaves_changes_nothing(job: Job, generations: Generations, puppet: Puppet) -> None:
    reader = asyncio.create_task(events_of(job))
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    puppet.say("one ")
    await puppet.called.wait()
    reader.cancel()
    puppet.say("two")
    puppet.finish()
    await running
    assert (await job.answer()).text == "one two"


async def test_a_cancel_before_the_start_ends_the_job_and_no_provider_is_called(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    assert await job.cancel("changed my mind") is CancelOutcome.CANCELLED
    # A worker that had claimed it at the same moment.
    await run_unclaimed(generations, job.id, 1)
    events = await events_of(job)
    assert [event.type for event in events] == ["queued", "cancelled"]
    assert isinstance(events[-1], Cancelled)
    assert events[-1].reason == "changed my mind"
    assert not puppet.called.is_set()


async def test_a_cancel_between_two_attempts_ends_the_job_at_the_next_begin(
    job: Job, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    async with open_generations() as first:
        running = asyncio.create_task(run_unclaimed(first, job.id, 1))
        await puppet.called.wait()
        running.cancel()
        await asyncio.wait([running])
    puppet.called.clear()
    assert await job.cancel("enough") is CancelOutcome.REQUESTED
    async with open_generations() as second:
        await run_unclaimed(second, job.id, 2)
    assert [event.type for event in await events_of(job)] == ["queued", "started", "cancelled"]
    assert not puppet.called.is_set()


@pytest.mark.parametrize("said", [[], ["one"]], ids=["silent", "streaming"])
async def test_a_cancel_closes_the_provider_and_ends_the_job(
    job: Job, generations: Generations, puppet: Puppet, said: list[str]
) -> None:
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    puppet.say(*said)
    await puppet.called.wait()
    assert await job.cancel("enough") is CancelOutcome.REQUESTED
    await running
    assert puppet.closed.is_set()
    events = await events_of(job)
    assert isinstance(events[-1], Cancelled)
    assert events[-1].reason == "enough"


async def test_a_cancel_after_the_ending_changes_nothing_and_says_so(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    puppet.finish()
    await run_unclaimed(generations, job.id, 1)
    before = await events_of(job)
    assert await job.cancel() is CancelOutcome.ENDED
    assert await events_of(job) == before


async def test_an_attempt_that_finds_an_ending_announces_it_again_and_releases(
    job: Job, tailrace: Tailrace, generations: Generations, puppet: Puppet
) -> None:
    puppet.finish()
    await run_unclaimed(generations, job.id, 1)
    # As if the worker had died before its release.
    await run_unclaimed(generations, job.id, 2)
    assert [event.type for event in await events_of(job)] == ["queued", "started", "completed"]
    ended = [ending async for ending in _first(tailrace, 2)]
    assert ended == [job.id, job.id]


async def _first(tailrace: Tailrace, count: int) -> AsyncIterator[str]:
    seen = 0
    async for ending in tailrace.endings("readers"):
        yield ending.job_id
        seen += 1
        if seen == count:
            return


async def test_an_attempt_that_is_not_above_the_last_hands_the_job_back(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    """arq's counter of tries was lost: two attempts under one number would write each other's ids."""
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    await puppet.called.wait()
    running.cancel()
    await asyncio.wait([running])
    with pytest.raises(PutBack):
        await run_unclaimed(generations, job.id, 1)
    assert await generations.broker.call("GET", arq_retry(job.id)) == b"1"
    assert await generations.broker.call("TTL", arq_retry(job.id)) > 0
    assert (await job.status()).state is JobState.RUNNING


async def test_a_job_without_a_stream_is_left_alone(job: Job, generations: Generations, puppet: Puppet) -> None:
    await job.delete()
    await run_unclaimed(generations, job.id, 1)
    assert not puppet.called.is_set()
    assert await generations.broker.call("EXISTS", generations.keys.events(job.id)) == 0


async def test_a_second_attempt_goes_on_with_the_next_seq_and_says_why(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    puppet.say("void")
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    async for event in job.tail():
        if event.type == "delta":
            break
    running.cancel()
    await asyncio.wait([running])
    puppet.say("valid")
    puppet.finish()
    await run_unclaimed(generations, job.id, 2)
    events = await events_of(job)
    assert [str(event.id) for event in events] == ["0-1", "1-2", "1-3", "2-4", "2-5", "2-6"]
    assert [event.reason for event in events if event.type == "started"] == [None, "worker_lost"]
    assert (await job.answer()).text == "valid"


async def lose(generations: Generations, job: Job, attempt: int, puppet: Puppet, reason: str) -> None:
    """Runs an attempt, and loses it."""
    puppet.called.clear()
    claim = Claim(
        job_id=job.id, queue="default", token="t", due=0, reason=reason, attempt=attempt, body=b"", history=""
    )
    running = asyncio.create_task(generations.run(job.id, attempt, ClaimedHold(generations.broker, claim)))
    await puppet.called.wait()
    running.cancel()
    await asyncio.wait([running])


async def test_a_job_that_lost_as_many_workers_as_it_may_fails(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    for attempt, reason in enumerate(["retry", "worker_lost", "worker_shutdown", "worker_shutdown", "worker_lost"], 1):
        await lose(generations, job, attempt, puppet, reason)
    puppet.called.clear()
    claim = Claim(
        job_id=job.id, queue="default", token="t", due=0, reason="worker_lost", attempt=6, body=b"", history=""
    )
    await generations.run(job.id, 6, ClaimedHold(generations.broker, claim))
    ending = await failure_of(job)
    assert (ending.code, ending.message) == (FailureCode.WORKER_LOST, "3 workers were lost while they ran this job.")
    assert not puppet.called.is_set()


async def test_a_job_that_is_handed_back_ever_so_often_does_not_fail(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    for attempt in range(1, 12):
        await lose(generations, job, attempt, puppet, "worker_shutdown")
    assert (await job.status()).state is JobState.RUNNING


async def test_a_job_that_waited_too_long_fails_and_no_provider_is_called(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    job = await tailrace.enqueue(request_, expires_in_seconds=0.001)
    waited = await tailrace.enqueue(request_)
    queued_at = (await waited.status()).queued_at
    await eventually(lambda: time.time() * 1000 > queued_at + 5)
    await run_unclaimed(generations, job.id, 1)
    ending = await failure_of(job)
    assert ending.code == FailureCode.EXPIRED_IN_QUEUE
    assert not puppet.called.is_set()


async def test_a_provider_error_becomes_the_ending_and_keeps_the_text(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    job = await tailrace.enqueue(request_.model_copy(update={"on_interrupt": "fail"}))
    puppet.say("half an ans")
    puppet.put(ProviderError("It broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True))
    await run_unclaimed(generations, job.id, 1)
    answer = await job.answer()
    assert answer.text == "half an ans"
    assert isinstance(answer.ending, Failed)
    assert (answer.ending.code, answer.ending.message) == ("provider_interrupted", "It broke off.")
    assert answer.ending.retryable


async def test_a_stream_that_ends_without_a_finish_reason_was_interrupted(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    job = await tailrace.enqueue(request_.model_copy(update={"on_interrupt": "fail"}))
    puppet.say("half an ans")
    puppet.leave()
    await run_unclaimed(generations, job.id, 1)
    ending = await failure_of(job)
    assert ending.code == FailureCode.PROVIDER_INTERRUPTED


async def test_a_defect_becomes_the_ending_and_tells_no_secret(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    puppet.put(ZeroDivisionError("sk-secret"))
    await run_unclaimed(generations, job.id, 1)
    ending = await failure_of(job)
    assert ending.code == FailureCode.INTERNAL_ERROR
    assert "secret" not in ending.message


async def test_a_request_that_no_longer_validates_fails_with_its_field(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    record = generations.keys.record(job.id)
    await generations.broker.call("HSET", record, "request", '{"provider":"openai","model":"m"}')
    await run_unclaimed(generations, job.id, 1)
    ending = await failure_of(job)
    assert ending.code == FailureCode.INVALID_REQUEST
    assert "messages" in ending.message


def of_a_newer_version(request: GenerationRequest) -> list[str]:
    """What a newer version might have enqueued: a field, a kind of part and a word that this one does not know."""
    content = [{"type": "hologram", "data": "aaaa"}]
    fields = ({"seed_text": "x"}, {"messages": [{"role": "user", "content": content}]}, {"on_interrupt": "ask"})
    return [json.dumps({**request.model_dump(mode="json"), **each}) for each in fields]


@pytest.mark.parametrize("number", range(3))
async def test_a_request_that_only_a_newer_worker_understands_is_handed_back_and_not_failed(
    job: Job, generations: Generations, request_: GenerationRequest, puppet: Puppet, number: int
) -> None:
    record, queue = generations.keys.record(job.id), generations.keys.queue("default")
    stored = await generations.broker.call("HGET", record, "request")
    await generations.broker.call("HSET", record, "request", of_a_newer_version(request_)[number])

    async def waits_again() -> bool:
        waits = await generations.broker.call("ZSCORE", queue, job.id)
        return waits is not None and (await job.status()).state == "running"

    async with running_worker(generations):
        await eventually(waits_again)
        assert not puppet.requests
        # A newer worker would understand it.
        await generations.broker.call("HSET", record, "request", stored)
        puppet.finish()
        async with asyncio.timeout(20):
            types = [event.type async for event in job.tail()]
    assert types == ["queued", "started", "started", "completed"]


async def test_a_request_that_no_worker_has_understood_for_as_long_as_it_may_wait_fails(
    job: Job, open_generations: OpenGenerations, request_: GenerationRequest
) -> None:
    async with open_generations(expires_in_seconds=0.001) as generations:
        newer, *_ = of_a_newer_version(request_)
        await generations.broker.call("HSET", generations.keys.record(job.id), "request", newer, "queued_at", 1)
        await run_unclaimed(generations, job.id, 1)
    ending = await failure_of(job)
    assert (ending.code, "seed_text" in ending.message) == (FailureCode.INVALID_REQUEST, True)


async def test_a_request_of_a_stock_client_that_has_an_unknown_field_fails_at_once(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest
) -> None:
    job_id = new_job_id()
    newer, *_ = of_a_newer_version(request_)
    carried = Carried(request=newer, provider="openai", model="puppet", queue="default")
    await run_unclaimed(generations, job_id, 1, carried=carried)
    ending = await failure_of(tailrace.job(job_id))
    assert ending.code == FailureCode.INVALID_REQUEST


async def test_a_generation_over_its_total_time_is_cut_and_keeps_the_text(
    job: Job, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    puppet.say("so far")
    async with open_generations(total_seconds=1) as generations:
        await run_unclaimed(generations, job.id, 1)
    answer = await job.answer()
    assert answer.text == "so far"
    assert isinstance(answer.ending, Failed)
    assert answer.ending.code == FailureCode.TOTAL_TIMEOUT
    assert puppet.closed.is_set()


async def test_every_key_of_a_job_has_an_expiry_at_every_stage(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    settings: Settings,
) -> None:
    broker, keys = Broker(open_redis(settings.redis_url)), Keys(settings.prefix)

    async def lives(job: Job) -> dict[str, int]:
        names = [keys.events(job.id), keys.record(job.id), keys.cancel(job.id)]
        lives = dict(zip(names, await broker.pipeline(*(("PTTL", name) for name in names)), strict=True))
        return {name: life for name, life in lives.items() if life != -2}

    keep, total, attempts, queue_limit = 50.0, 10.0, 3, 1_000.0
    limits: dict[str, Any] = {"keep_seconds": keep, "total_seconds": total, "max_attempts": attempts}
    async with Tailrace.connect(
        settings.redis_url, prefix=settings.prefix, expires_in_seconds=queue_limit, **limits
    ) as producer:
        job = await producer.enqueue(request_, defer_seconds=500)
        queued = await lives(job)
        assert len(queued) == 2
        assert all(1_570_000 < life <= 1_580_000 for life in queued.values())
        async with open_generations(**limits) as generations:
            running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
            await puppet.called.wait()
            assert all(70_000 < life <= 80_000 for life in (await lives(job)).values())
            await job.cancel()
            await running
        ended = await lives(job)
        assert len(ended) == 3
        assert all(40_000 < life <= 50_000 for life in ended.values())
    assert await broker.call("PTTL", keys.endings) > 0
    await broker.aclose()


@pytest.mark.parametrize("where", ["begin", "close"])
async def test_a_redis_that_fails_around_an_attempt_costs_no_ending_and_no_announcement(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
) -> None:
    failing = {"begin": attempts, "close": endings}[where]
    real = getattr(failing, where)

    async def fail_once(*_: object, **__: object) -> None:
        monkeypatch.setattr(failing, where, real)
        raise BrokerUnavailable("Redis cannot be reached: by order of the test")

    monkeypatch.setattr(failing, where, fail_once)
    puppet.finish()
    async with running_worker(generations):
        job = await tailrace.enqueue(request_)
        async with asyncio.timeout(10):
            async for ended in tailrace.endings("readers"):
                assert (ended.job_id, ended.ending) == (job.id, "completed")
                break
    assert [event.type for event in await events_of(job)] == ["queued", "started", "completed"]
