"""Calls that fail before the first word are made again, and all workers keep to a rate limit that one was told of."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import replace
from functools import partial

import httpx2
import openai
import pytest

from tailrace import GenerationRequest, Job, ProviderError, Tailrace
from tailrace.errors import FailureCode
from tailrace.events import Completed, Delta, Failed
from tailrace.protocol.keys import arq_retry
from tailrace.request.limits import Timeouts
from tailrace_worker.attempt.calls import Begun, Calls
from tailrace_worker.attempt.plan import Plan
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.attempt.retry_policy import RetryPolicy
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Alive, Piece, TokenCounts
from tailrace_worker.providers.errors import Failures
from tailrace_worker.shaping.deadlines import CallWatch
from tests.support.streams import events_of, run_unclaimed, texts
from tests.worker.conftest import OpenGenerations, Puppet

DOWN = ProviderError("Acme is down.", code=FailureCode.PROVIDER_UNAVAILABLE, retryable=True)
QUICK = RetryPolicy(first_wait_seconds=0.001, jitter_seconds=0.001)
WRONG = ProviderError("Acme says no.", code=FailureCode.PROVIDER_REJECTED, retryable=False)


def limited(seconds: float | None) -> ProviderError:
    return ProviderError(
        "Slow down.", code=FailureCode.PROVIDER_RATE_LIMITED, retryable=True, retry_after_seconds=seconds
    )


def answered_429(**error: object) -> ProviderError:
    """What becomes of a 429 with this error in its body."""
    response = httpx2.Response(429, request=httpx2.Request("POST", "https://acme.test"), json={"error": error})
    with pytest.raises(ProviderError) as told, Failures("Acme", key_variables=(), url="ACME_URL").calling():
        raise openai.RateLimitError("Error code: 429", response=response, body=error)
    return told.value


@pytest.fixture
def open_generations(open_generations: OpenGenerations) -> OpenGenerations:
    """Workers that wait for little between two calls."""
    return partial(open_generations, retry_policy=QUICK)


async def test_a_call_that_fails_before_the_first_word_is_made_again_in_the_same_attempt(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    # What was read so far is counted before the first word, and said again by the next call.
    puppet.put(DOWN, TokenCounts(input_tokens=3), DOWN, TokenCounts(input_tokens=3))
    puppet.say("Here")
    puppet.finish()
    await run_unclaimed(generations, job.id, 1)
    events = await events_of(job)
    assert [event.type for event in events] == ["queued", "started", "delta", "completed"]
    assert isinstance(events[-1], Completed)
    assert events[-1].input_tokens == 3
    assert len(puppet.requests) == 3


async def test_it_is_given_up_after_so_many_tries(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(*[DOWN] * 10)
    async with open_generations(provider_tries=3) as generations:
        job = await tailrace.enqueue(request_)
        await run_unclaimed(generations, job.id, 1)
    ending = (await events_of(job))[-1]
    assert isinstance(ending, Failed)
    assert (ending.code, ending.message, ending.retryable) == ("provider_unavailable", "Acme is down.", True)
    assert len(puppet.requests) == 3


async def test_what_another_try_would_not_help_is_not_tried_again(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(WRONG, WRONG)
    job = await tailrace.enqueue(request_)
    await run_unclaimed(generations, job.id, 1)
    assert len(puppet.requests) == 1


async def test_a_429_that_means_an_empty_balance_is_not_tried_again(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(*[answered_429(code="1113", message="Insufficient balance. Please recharge.")] * 2)
    job = await tailrace.enqueue(request_)
    await run_unclaimed(generations, job.id, 1)
    ending = (await events_of(job))[-1]
    assert isinstance(ending, Failed)
    assert (ending.code, ending.retryable) == ("provider_quota_exceeded", False)
    assert len(puppet.requests) == 1


async def test_the_wait_that_a_body_asks_for_is_the_one_that_is_waited(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    wait = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.001s"}
    puppet.put(answered_429(status="RESOURCE_EXHAUSTED", message="You exceeded your current quota.", details=[wait]))
    puppet.say("Here")
    puppet.finish()
    job = await tailrace.enqueue(request_)
    # What is waited if the server does not say: longer than this test may take.
    long = replace(QUICK, rate_limit_seconds=50.0)
    async with open_generations(retry_policy=long) as generations, asyncio.timeout(10):
        await run_unclaimed(generations, job.id, 1)
    assert texts(await events_of(job)) == ["Here"]
    assert len(puppet.requests) == 2


async def test_a_wait_of_more_than_a_minute_is_not_waited_for(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(limited(3_600))
    job = await tailrace.enqueue(request_)
    await run_unclaimed(generations, job.id, 1)
    ending = (await events_of(job))[-1]
    assert isinstance(ending, Failed)
    assert ending.code == "provider_rate_limited"
    assert len(puppet.requests) == 1


@pytest.mark.parametrize("says_when", [True, False])
async def test_a_rate_limit_holds_for_all_workers_and_for_the_model_alone(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    says_when: bool,
) -> None:
    wait_seconds = 2.0
    policy = replace(QUICK, rate_limit_seconds=wait_seconds)
    async with (
        open_generations("told", retry_policy=policy) as told,
        open_generations("other", retry_policy=policy) as other,
    ):
        first, second, unlimited = [
            await tailrace.enqueue(request)
            for request in (request_, request_, request_.model_copy(update={"model": "another"}))
        ]
        puppet.put(limited(wait_seconds if says_when else None))
        began = time.monotonic()
        running = [asyncio.create_task(run_unclaimed(told, first.id, 1))]
        await puppet.closed.wait()
        puppet.closed.clear()
        running.append(asyncio.create_task(run_unclaimed(other, second.id, 1)))
        puppet.say("unlimited")
        puppet.finish()
        await run_unclaimed(other, unlimited.id, 1)
        assert texts(await events_of(unlimited)) == ["unlimited"]
        assert [request.model for request in puppet.requests] == ["puppet", "another"]
        for _ in running:
            puppet.say("late")
            puppet.finish()
        await asyncio.gather(*running)
    assert time.monotonic() - began >= wait_seconds
    assert [texts(await events_of(job)) for job in (first, second)] == [["late"], ["late"]]


async def test_a_fallback_that_cannot_be_called_takes_nothing_from_whether_another_try_helps(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(DOWN)
    unknown = request_.model_copy(update={"fallbacks": [{"provider": "nobody", "model": "m"}]})
    async with open_generations(provider_tries=1) as generations:
        job = await tailrace.enqueue(unknown)
        await run_unclaimed(generations, job.id, 1)
    *_, ending = await events_of(job)
    assert isinstance(ending, Failed)
    assert (ending.code, ending.message, ending.retryable) == (DOWN.code, str(DOWN), True)


@pytest.mark.parametrize(
    ("code", "level"), [(FailureCode.PROVIDER_AUTHENTICATION, "WARNING"), (FailureCode.PROVIDER_REJECTED, "INFO")]
)
async def test_a_failure_is_logged_once_and_as_a_warning_if_an_operator_has_to_set_it_right(
    code: FailureCode,
    level: str,
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "tailrace_worker")
    puppet.put(ProviderError("Acme says no to 'Hi'.", code=code, retryable=False, request_id="req_7"))
    job = await tailrace.enqueue(request_, tenant="acme")
    await run_unclaimed(generations, job.id, 1)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [(level, f"job {job.id} failed: {code}, tenant acme, attempt 1, request id req_7")]


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"timeouts": {"total_seconds": 0.1}}, "total_timeout"),
        ({"provider": "mine", "stop": ["END"]}, "invalid_request"),
    ],
)
async def test_a_failure_that_is_not_the_providers_is_logged_once(
    changed: dict[str, object],
    code: str,
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "tailrace_worker")
    # It can do nothing with `stop`, which only its worker knows.
    entry = {"kind": "openai-responses", "base_url": "http://localhost:1/v1"}
    asked = GenerationRequest.model_validate({**request_.model_dump(), **changed})
    async with open_generations(providers={"mine": entry}) as generations:
        job = await tailrace.enqueue(asked, tenant="acme")
        await run_unclaimed(generations, job.id, 1)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [("INFO", f"job {job.id} failed: {code}, tenant acme, attempt 1, request id -")]


async def test_an_attempt_that_breaks_off_is_logged_once_if_another_follows(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "tailrace_worker")
    puppet.say("Hel")
    code = FailureCode.PROVIDER_INTERRUPTED
    puppet.put(ProviderError("Acme broke off after 'Hel'.", code=code, retryable=True, request_id="req_7"))
    puppet.say("Hello")
    puppet.finish()
    job = await tailrace.enqueue(request_, tenant="acme")
    # It has been claimed for its first attempt.
    await generations.broker.call("SET", arq_retry(job.id), 1, "EX", 60)
    await run_unclaimed(generations, job.id, 1)
    assert (await job.answer()).text == "Hello"
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    ours = f"job {job.id} goes on in another attempt: {code}, tenant acme, attempt 1, request id req_7"
    assert told == [("INFO", ours)]


async def test_a_provider_that_the_worker_does_not_have_is_named_with_those_that_it_has(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest
) -> None:
    job = await tailrace.enqueue(request_.model_copy(update={"provider": "nobody"}))
    await run_unclaimed(generations, job.id, 1)
    ending = (await events_of(job))[-1]
    assert isinstance(ending, Failed)
    assert ending.code == "provider_not_configured"
    assert "no provider 'nobody', only openai" in ending.message


async def test_what_the_api_behind_a_name_of_the_settings_cannot_do_is_refused(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    entry = {"kind": "openai-responses", "base_url": "http://localhost:1/v1"}
    async with open_generations(providers={"mine": entry}) as generations:
        job = await tailrace.enqueue(request_.model_copy(update={"provider": "mine", "stop": ["END"]}))
        await run_unclaimed(generations, job.id, 1)
    ending = (await events_of(job))[-1]
    assert isinstance(ending, Failed)
    assert ending.code == "invalid_request"
    assert ending.message.startswith("stop: mine")
    assert not puppet.called.is_set()


async def test_a_call_that_is_cancelled_while_it_waits_for_a_rate_limit_ends_at_once(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.put(limited(50))
    job = await tailrace.enqueue(request_)
    async with asyncio.timeout(10):
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        await puppet.closed.wait()
        await job.cancel("no patience")
        await running
    assert [event.type for event in await events_of(job)] == ["queued", "started", "cancelled"]


@pytest.mark.parametrize("is_defect", [False, True])
async def test_a_prompt_is_in_no_log_line_though_an_error_quotes_it(
    is_defect: bool,
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    prompt = "the secret of the mill"
    puppet.put(ValueError(prompt) if is_defect else answered_429(message=f"not so fast: {prompt}"))
    wanted = request_.model_copy(update={"messages": [{"role": "user", "content": prompt}]})
    async with open_generations(provider_tries=1) as generations:
        job = await tailrace.enqueue(wanted)
        await run_unclaimed(generations, job.id, 1)
    ending = (await events_of(job))[-1]
    assert isinstance(ending, Failed)
    assert f"job {job.id} failed: {ending.code}" in caplog.text
    assert prompt not in caplog.text


class NoLimits(RateLimits):
    """Knows of no rate limit, and asks nobody."""

    async def wait(self, provider: str, model: str) -> None:
        """Return at once."""


@pytest.fixture
def direct(generations: Generations, puppet: Puppet) -> Calls:
    """Calls that all reach the provider in the turn of the loop in which they are made."""
    return Calls({"openai": puppet}, NoLimits(generations.broker, generations.keys), generations.settings)


def plan_of(request: GenerationRequest) -> Plan:
    return Plan(request, max_attempts=1, max_bytes=1_000, prefills=lambda _: False)


async def test_between_two_requests_that_are_built_all_other_tasks_run(
    direct: Calls, request_: GenerationRequest, puppet: Puppet
) -> None:
    built: list[int] = []

    async def tick() -> None:
        while len(puppet.requests) < 4:
            built.append(len(puppet.requests))
            await asyncio.sleep(0)

    puppet.say(*"abcd")
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(tick())
        for _ in range(4):
            group.create_task(direct.begin(plan_of(request_), lambda _: None))
    assert set(built) == {0, 1, 2, 3}


async def test_a_job_that_is_cancelled_before_its_call_holds_up_no_other(
    direct: Calls, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say(*"abcdef")
    calling = {name: asyncio.create_task(direct.begin(plan_of(request_), lambda _: None)) for name in "abcdef"}
    await asyncio.sleep(0)
    calling["b"].cancel()
    calling["e"].cancel()
    async with asyncio.timeout(5):
        await asyncio.wait(calling.values())
    assert [name for name, call in calling.items() if not call.cancelled()] == list("acdf")
    assert len(puppet.requests) == 4


class FullSink:
    """Has no room until it is said to."""

    is_full = True

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.has_room = asyncio.Event()

    async def room(self) -> None:
        self.asked.set()
        await self.has_room.wait()
        self.is_full = False


async def test_behind_a_first_piece_nothing_is_read_before_there_is_room_and_the_piece_is_not_held() -> None:
    going_on = asyncio.Event()

    async def rest() -> AsyncGenerator[Piece | Alive, None]:
        going_on.set()
        yield Delta(text="two")

    taken: list[Piece] = []
    sink = FullSink()
    begun = Begun(deque([TokenCounts(), Delta(text="one")]), rest(), CallWatch(Timeouts()))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(begun.each(taken.append, sink))
        await sink.asked.wait()
        assert not begun.first
        assert taken == [TokenCounts(), Delta(text="one")]
        assert not going_on.is_set()
        sink.has_room.set()
    assert taken[2:] == [Delta(text="two")]
