"""Attempts that follow each other in one worker: what is told, what stands, and what a restarted Redis takes."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tailrace import GenerationRequest, Job, ProviderError, Tailrace
from tailrace.errors import BrokerUnavailable, FailureCode
from tailrace.events import Completed, Delta, Failed, Notice, Reasoning, Started
from tailrace.protocol.keys import arq_retry
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Finish
from tests.support.eventually import eventually
from tests.support.streams import ENDING, answer_of, begin, events_of, read, run_unclaimed, texts, writing
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

CUT = ProviderError("Acme broke off its answer.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
DOWN = ProviderError("Acme is down.", code=FailureCode.PROVIDER_UNAVAILABLE, retryable=True)
QUOTA = ProviderError("Acme wants money.", code=FailureCode.PROVIDER_QUOTA_EXCEEDED, retryable=False)
REJECTED = ProviderError("No.", code=FailureCode.PROVIDER_REJECTED, retryable=False)
SEARCH = Notice(code="server_tool", message="web_search: weather")


async def test_signatures_of_two_blocks_are_never_joined(job: Job, open_generations: OpenGenerations) -> None:
    async with open_generations(batch_ms=1_000) as generations, writing(generations, job) as writer:
        writer.write(Reasoning(text="", signature="one"))
        writer.write(Reasoning(text="", signature="two"))
        await writer.end(ENDING)
    said = [event.signature for event in await read(job, 99) if isinstance(event, Reasoning)]
    assert said == ["one", "two"]


@pytest.mark.parametrize("on_interrupt", ["restart", "continue"])
async def test_an_answer_that_breaks_off_after_a_notice_alone_is_tried_again(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    on_interrupt: str,
) -> None:
    puppet.put(SEARCH, CUT, SEARCH)
    puppet.say("Sunny")
    puppet.finish()
    async with open_generations() as generations, running_worker(generations):
        job = await tailrace.enqueue(request_.model_copy(update={"on_interrupt": on_interrupt}))
        events = await events_of(job)
    assert isinstance(events[-1], Completed), events[-1]


async def test_a_fallback_is_taken_after_a_notice_alone(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(SEARCH, QUOTA)
    puppet.say("Sunny")
    puppet.finish()
    async with open_generations() as generations, running_worker(generations):
        job = await tailrace.enqueue(
            request_.model_copy(update={"fallbacks": [{"provider": "openai", "model": "second"}]})
        )
        events = await events_of(job)
    assert isinstance(events[-1], Completed), events[-1]


@pytest.mark.parametrize("said", [Finish(reason="stop", provider_reason="stop"), CUT], ids=["completed", "failed"])
async def test_the_ending_and_the_status_name_the_fallback_that_answered(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    said: Finish | ProviderError,
) -> None:
    puppet.put(QUOTA)
    puppet.say("Sunny")
    puppet.put(said)
    fallbacks = [{"provider": "openai", "model": "second"}]
    async with open_generations() as generations, running_worker(generations):
        job = await tailrace.enqueue(request_.model_copy(update={"fallbacks": fallbacks, "on_interrupt": "fail"}))
        *_, ending = await events_of(job)
    assert isinstance(ending, Completed | Failed)
    assert (ending.provider, ending.model) == ("openai", "second")
    status = await job.status()
    assert (status.provider, status.model) == ("openai", "second")
    assert (status.code, status.message) == ((CUT.code, str(CUT)) if isinstance(said, ProviderError) else (None, None))
    assert (status.attempt, status.worker) == (None, None)


async def test_the_status_of_a_running_job_names_its_worker_and_attempt(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("Sunny")
    puppet.put(CUT)
    puppet.say("Rainy", " days")
    async with open_generations("a-worker") as generations, running_worker(generations):
        job = await tailrace.enqueue(request_)
        await eventually(lambda: is_at(job, attempt=2))
        status = await job.status()
    assert (status.state, status.provider, status.model) == ("running", "openai", "puppet")
    assert (status.attempt, status.worker, status.code, status.message) == (2, "a-worker", None, None)


async def is_at(job: Job, *, attempt: int) -> bool:
    return (await job.status()).attempt == attempt


async def test_text_stands_where_the_provider_is_down_when_it_is_to_go_on(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.prefills = True
    puppet.say("Once upon")
    puppet.put(CUT, DOWN)
    puppet.put(*[DOWN] * 4)
    async with open_generations(provider_tries=1) as generations, running_worker(generations):
        job = await tailrace.enqueue(request_.model_copy(update={"on_interrupt": "continue"}))
        events = await events_of(job)
    assert isinstance(events[-1], Failed)
    assert answer_of(events).text == "Once upon"


async def test_the_notice_of_a_fallback_outlives_the_attempt_in_which_it_was_told(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(QUOTA)
    puppet.say("Once")
    puppet.put(CUT)
    puppet.say("Twice")
    puppet.finish()
    async with open_generations(provider_tries=1) as generations, running_worker(generations):
        job = await tailrace.enqueue(
            request_.model_copy(update={"fallbacks": [{"provider": "openai", "model": "second"}]})
        )
        events = await events_of(job)
    assert [notice.code for notice in answer_of(events).notices] == ["fallback"]


async def test_a_rate_limit_in_mid_stream_is_told_to_all(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("Once")
    puppet.put(ProviderError("Slow.", code=FailureCode.PROVIDER_RATE_LIMITED, retryable=True, retry_after_seconds=1.0))
    puppet.say("Twice")
    puppet.finish()
    async with open_generations() as generations, running_worker(generations):
        job = await tailrace.enqueue(request_)
        events = await events_of(job)
    first, second = (event.at for event in events if isinstance(event, Started))
    ending = events[-1]
    assert isinstance(ending, Completed)
    assert ending.at - second > 900, (first, second, ending.at)


async def lose_tail(generations: Generations, job: Job, last: str) -> None:
    """What a crash of Redis takes: the entries after `last`, and every connection."""
    key = generations.keys.events(job.id)
    broker = generations.broker
    kept = await broker.call("XRANGE", key, "-", last)
    await broker.transaction(
        ("DEL", key),
        *(("XADD", key, entry_id, *(part for pair in fields.items() for part in pair)) for entry_id, fields in kept),
        ("PEXPIRE", key, 60_000),
    )
    await generations.publisher.link.wire.disconnect()


async def say_one_two(generations: Generations, job: Job) -> None:
    """The first attempt, with two entries."""
    async with writing(generations, job) as writer:
        for text in ("one ", "two "):
            writer.write(Delta(text=text))
            await writer.settled()


async def test_two_attempts_of_one_worker_are_put_back_in_order(job: Job, open_generations: OpenGenerations) -> None:
    """A restarted Redis lost the end of the first attempt, and the beginning of the second."""
    async with open_generations() as generations:
        publisher = generations.publisher
        await say_one_two(generations, job)
        async with writing(generations, job, attempt=2) as second:
            await lose_tail(generations, job, "1-3")
            second.write(Delta(text="three"))
            await second.end(ENDING)
        assert publisher.budget.used_bytes == 0, "what lands again counts no second time"
    events = await read(job, 99)
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    assert texts(events) == ["one ", "two ", "three"]


async def test_a_piece_waiting_in_the_second_attempt_goes_behind_what_the_first_lost(
    job: Job, open_generations: OpenGenerations, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second's piece was sent into the break: its writer is pending before the first's."""
    async with open_generations() as generations:
        publisher = generations.publisher
        await say_one_two(generations, job)
        async with writing(generations, job, attempt=2) as second:
            exchange, broke = publisher.link.wire.exchange, False

            async def breaks(payload: bytes, replies: int) -> list[Any]:
                nonlocal broke
                if b"three" in payload and not broke:
                    broke = True
                    await lose_tail(generations, job, "1-3")
                return await exchange(payload, replies) if publisher.link.wire.is_connected else await gone()

            async def gone() -> list[Any]:
                raise BrokerUnavailable("gone")

            monkeypatch.setattr(publisher.link.wire, "exchange", breaks)
            second.write(Delta(text="three"))
            await second.end(ENDING)
    events = await read(job, 99)
    assert texts(events) == ["one ", "two ", "three"]


async def test_a_continued_attempt_does_not_begin_where_redis_lost_what_it_continues(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    """Redis is killed between the last piece of one attempt and the beginning of the next."""
    puppet.prefills = True
    puppet.say("Once ")
    async with open_generations(provider_tries=1) as generations:
        job = await tailrace.enqueue(request_.model_copy(update={"on_interrupt": "continue"}))
        broker = generations.broker
        original = broker.call

        async def call(*command: Any) -> Any:
            if command[0] == "INCR":
                await lose_tail(generations, job, "1-3")
            return await original(*command)

        broker.call = call  # type: ignore[method-assign]
        await broker.call("SET", arq_retry(job.id), 1, "EX", 60)
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        async for event in job.tail():
            if event.type == "delta":
                break
        puppet.say("upon ")
        puppet.put(CUT)
        puppet.say("a time")
        puppet.finish()
        try:
            await running
        except PutBack:
            broker.call = original  # type: ignore[method-assign]
            await run_unclaimed(generations, job.id, 3)
        events = await events_of(job)
    assert not any(event.continues for event in events if isinstance(event, Started))


async def test_the_next_attempt_begins_behind_what_the_one_before_it_said(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Redis is slow to take the last piece: whoever begins meanwhile fences it off."""
    async with open_generations() as generations:
        job = await tailrace.enqueue(request_)
        wire, call, begins = generations.publisher.link.wire, generations.broker.call, asyncio.Event()
        exchange = wire.exchange

        async def slow(payload: bytes, replies: int) -> list[Any]:
            if b"upon" in payload:
                with suppress(TimeoutError):
                    await asyncio.wait_for(begins.wait(), 0.3)
            return await exchange(payload, replies)

        async def watched(*command: Any) -> Any:
            reply = await call(*command)
            if command[0] == "EVAL" and puppet.called.is_set():
                begins.set()
            return reply

        monkeypatch.setattr(wire, "exchange", slow)
        monkeypatch.setattr(generations.broker, "call", watched)
        await generations.broker.call("SET", arq_retry(job.id), 1, "EX", 60)
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        puppet.say("Once ")
        await read(job, 3)
        puppet.say("upon")
        puppet.put(CUT)
        puppet.say("Twice")
        puppet.finish()
        await running
        events = await events_of(job)
    assert texts(events) == ["Once ", "upon", "Twice"]
    assert begins.is_set()


async def test_a_job_is_handed_over_once_what_it_has_said_is_readable(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with open_generations() as generations, asyncio.timeout(20):
        job = await tailrace.enqueue(request_)
        wire, sent, answers = generations.publisher.link.wire, asyncio.Event(), asyncio.Event()
        exchange = wire.exchange

        async def slow(payload: bytes, replies: int) -> list[Any]:
            if b"upon" in payload:
                sent.set()
                await answers.wait()
            return await exchange(payload, replies)

        monkeypatch.setattr(wire, "exchange", slow)
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        puppet.say("Once ")
        await read(job, 3)
        puppet.say("upon")
        await sent.wait()
        running.cancel()
        await puppet.closed.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not running.done()
        answers.set()
        await asyncio.wait([running])
        assert running.cancelled()
        newest = await generations.broker.call("XREVRANGE", generations.keys.events(job.id), "+", "-", "COUNT", 1)
        assert newest[0][1][b"text"] == b"upon"


async def test_a_writer_lost_after_it_closed_is_let_go_of(job: Job, open_generations: OpenGenerations) -> None:
    async with open_generations(max_resend_bytes=0) as generations:
        publisher = generations.publisher
        async with writing(generations, job) as writer:
            await eventually(lambda: not publisher.resend_buffer)
            await begin(generations, job, attempt=2)
            writer.write(Delta(text="late"))
        await eventually(lambda: writer.lost is not None)
        assert not publisher.writers
        assert publisher.budget.used_bytes == 0
