"""Verbatim jobs on the real server, with a provider that says what the test tells it to."""

import asyncio
from typing import Any

from tailrace import Job, Tailrace, VerbatimRequest
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Completed, Delta, Event, Failed, Frames, Notice, Started
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Finish
from tests.support.streams import events_of, run_unclaimed
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

FINISH = Finish(reason="stop", provider_reason="stop", raw=b":[DONE]\n")
CUT = ProviderError("It broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)


def asking(**fields: Any) -> VerbatimRequest:
    return VerbatimRequest.model_validate({"provider": "openai", "body": {"model": "puppet", "x": 1}, **fields})


async def run(tailrace: Tailrace, generations: Generations, **fields: Any) -> list[Event]:
    job = await tailrace.enqueue(asking(**fields))
    await run_unclaimed(generations, job.id, 1)
    return await events_of(job)


def raws(events: list[Event]) -> list[bytes]:
    return [raw for event in events if (raw := getattr(event, "raw", None))]


async def frames_arrived(job: Job) -> None:
    async with asyncio.timeout(20), job.tail() as tail:
        async for event in tail:
            if isinstance(event, Frames):
                return


async def test_frames_without_content_do_not_wait_for_any(
    tailrace: Tailrace, generations: Generations, puppet: Puppet
) -> None:
    async with running_worker(generations):
        job = await tailrace.enqueue(asking())
        puppet.put(Frames(raw=b"start:\n"))
        await frames_arrived(job)
        puppet.put(Delta(text="Hi", raw=b":1\n"), FINISH)
        events = await events_of(job)
    assert raws(events) == [b"start:\n", b":1\n", b":[DONE]\n"]
    assert isinstance(events[-1], Completed)
    assert [dict(request.body) for request in puppet.verbatim_requests] == [{"model": "puppet", "x": 1}]


async def test_an_answer_that_breaks_off_begins_again(
    tailrace: Tailrace, generations: Generations, puppet: Puppet
) -> None:
    puppet.put(Frames(raw=b"start:\n"), CUT, Delta(text="Hi", raw=b":1\n"), FINISH)
    async with running_worker(generations):
        job = await tailrace.enqueue(asking())
        events = await events_of(job)
    assert [event.continues for event in events if isinstance(event, Started)] == [False, False]
    assert raws(events) == [b"start:\n", b":1\n", b":[DONE]\n"]


async def test_an_answer_that_must_not_begin_again_fails(
    tailrace: Tailrace, generations: Generations, puppet: Puppet
) -> None:
    error = ProviderError("No.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
    error.raw = b'error:{"message":"No."}\n'
    puppet.put(Delta(text="Hi", raw=b":1\n"), error)
    events = await run(tailrace, generations, on_interrupt="fail")
    assert raws(events) == [b":1\n", error.raw]
    assert isinstance(events[-1], Failed)


async def test_a_fallback_gets_the_body_with_its_model(
    tailrace: Tailrace, generations: Generations, puppet: Puppet
) -> None:
    puppet.put(ProviderError("No.", code=FailureCode.PROVIDER_REJECTED, retryable=False), FINISH)
    events = await run(tailrace, generations, fallbacks=[{"provider": "openai", "model": "second"}])
    assert [request.body for request in puppet.verbatim_requests] == [
        {"model": "puppet", "x": 1},
        {"model": "second", "x": 1},
    ]
    assert any(isinstance(event, Notice) for event in events)
    assert isinstance(events[-1], Completed)
    assert events[-1].model == "second"


async def test_a_provider_with_another_api_is_not_called(
    tailrace: Tailrace, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    providers = {"own": {"kind": "anthropic", "base_url": "http://127.0.0.1:9"}}
    async with open_generations(providers=providers) as generations:
        events = await run(tailrace, generations, provider="own", api="openai")
    ending = events[-1]
    assert isinstance(ending, Failed)
    assert ending.code == FailureCode.INVALID_REQUEST
    assert "own does not have the API that the body is written for, openai" in ending.message
    assert puppet.verbatim_requests == []


async def test_a_fallback_with_another_api_than_the_provider_of_the_body_is_not_called(
    tailrace: Tailrace, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    providers = {"own": {"kind": "anthropic", "base_url": "http://127.0.0.1:9"}}
    async with open_generations(providers=providers) as generations:
        events = await run(tailrace, generations, provider="own", fallbacks=[{"provider": "openai", "model": "m"}])
    assert isinstance(events[-1], Failed)
    assert puppet.verbatim_requests == []


async def test_frames_of_an_answer_are_bounded(
    tailrace: Tailrace, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    puppet.put(*(Frames(raw=b":" + b"x" * 1_022 + b"\n") for _ in range(9)))
    async with open_generations(max_answer_bytes=1_024) as generations:
        events = await run(tailrace, generations)
    ending = events[-1]
    assert isinstance(ending, Failed)
    assert (ending.code, len(b"".join(raws(events)))) == (FailureCode.TOO_LONG, 8_192)


async def test_frames_are_no_first_token_and_end_a_silence(
    tailrace: Tailrace, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    puppet.put(Frames(raw=b"start:\n"))
    async with open_generations(first_token_seconds=0.2) as generations:
        events = await run(tailrace, generations, on_interrupt="fail")
    ending = events[-1]
    assert isinstance(ending, Failed)
    assert ending.code == FailureCode.FIRST_TOKEN_TIMEOUT
    assert ending.ttft_ms is None
