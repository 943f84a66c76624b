"""How long a job waits for its provider, and for whom it does not: in a loop whose time passes at once."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from itertools import pairwise

import pytest

from tailrace import GenerationRequest, ProviderError
from tailrace.errors import FailureCode
from tailrace.events import Delta, Notice
from tailrace.request.any_request import AnyRequest
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.plan import Plan
from tailrace_worker.attempt.rate_limits import RateLimits, Target
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.settings import WorkerSettings
from tests.support.virtual_time import now, run

CUT = ProviderError("Acme broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
QUOTA = ProviderError("Acme wants money.", code=FailureCode.PROVIDER_QUOTA_EXCEEDED, retryable=False)


def limited(seconds: float) -> ProviderError:
    return ProviderError(
        "Acme is busy.", code=FailureCode.PROVIDER_RATE_LIMITED, retryable=True, retry_after_seconds=seconds
    )


class Known(RateLimits):
    """Rate limits by the clock of the loop."""

    def __init__(self, **seconds: float) -> None:
        self._ends = dict(seconds)

    async def tell(self, provider: str, model: str, seconds: float) -> None:  # noqa: ARG002
        self._ends[model] = now() + seconds

    async def left(self, *targets: Target) -> list[float]:
        return [max(0.0, self._ends.get(model, 0.0) - now()) for _, model in targets]


class Models:
    """A `Provider` whose models raise what they are told to, one after another, and then answer."""

    prefills = True

    def __init__(self, **errors: Iterable[ProviderError]) -> None:
        self._errors = {model: list(each) for model, each in errors.items()}
        self.calls: list[tuple[str, float]] = []

    async def stream(self, request: AnyRequest) -> AsyncGenerator[Piece, None]:
        self.calls.append((request.model, now()))
        if errors := self._errors.get(request.model):
            raise errors.pop(0)
        yield Delta(text="Here")
        yield Finish(reason="stop", provider_reason="stop")

    stream_verbatim = stream


def plan(*fallbacks: str) -> Plan:
    request = GenerationRequest.model_validate(
        {
            "provider": "openai",
            "model": "own",
            "messages": [{"role": "user", "content": "Hi"}],
            "on_interrupt": "continue",
            "fallbacks": [{"provider": "openai", "model": model} for model in fallbacks],
        }
    )
    return Plan(request, max_attempts=9, max_bytes=1_000_000, prefills=lambda _: True)


def begun(job: Plan, models: Models, known: RateLimits | None = None) -> list[str]:
    """Makes the call that a job is at; returns what readers are told before the answer."""
    told: list[Notice] = []

    async def begin() -> None:
        calls = Calls({"openai": models}, known or Known(), WorkerSettings.read())
        answer = await calls.begin(job, tell=told.append)
        assert list(answer.first) == [Delta(text="Here")]
        await answer.rest.aclose()

    run(begin())
    return [notice.message for notice in told]


def test_who_is_told_when_to_come_again_comes_a_little_later_each_at_a_time_of_its_own() -> None:
    waits: set[float] = set()
    for _ in range(20):
        models = Models(own=[limited(5)])
        # The limit that others keep to is over by then: what is left is this job's own wait.
        begun(plan(), models, Known())
        waits.add(models.calls[1][1])
    assert len(waits) > 10
    assert all(5 < seconds < 5.4 for seconds in waits)


def test_attempts_after_one_that_broke_off_wait_for_a_moment_that_grows() -> None:
    longest = {1: (0.1, 0.5), 2: (0.2, 0.6), 3: (0.4, 0.8), 5: (1.0, 1.0)}
    for retries, (least, most) in longest.items():
        waits: set[float] = set()
        for _ in range(20):
            job = plan()
            for _ in range(retries):
                job.has_spoken = True
                assert job.goes_on(CUT)
            models = Models()
            begun(job, models)
            waits.add(models.calls[0][1])
        assert all(least <= seconds <= most for seconds in waits), (retries, waits)
        assert len(waits) > 10 or least == most


def test_neither_a_first_attempt_nor_a_fallback_waits() -> None:
    job = plan("second")
    models = Models()
    begun(job, models)
    job.has_spoken = True
    assert job.goes_on(QUOTA)
    begun(job, models)
    assert models.calls == [("own", 0), ("second", 0)]


def test_who_takes_no_calls_is_passed_over_for_the_first_who_does() -> None:
    models = Models()
    told = begun(plan("second", "third", "fourth"), models, Known(own=20, second=10))
    assert models.calls == [("third", 0)]
    assert told == ["openai own is rate limited for another 20.0 s. The job continues with openai third."]


def test_where_none_takes_calls_the_shortest_wait_is_waited_for() -> None:
    models = Models()
    told = begun(plan("second", "third"), models, Known(own=20, second=40, third=10))
    ((model, at),) = models.calls
    assert model == "third"
    assert 10 <= at <= 12.5
    assert told == ["openai own is rate limited for another 20.0 s. The job continues with openai third."]


def test_the_own_model_is_waited_for_where_that_is_shorter() -> None:
    models = Models()
    assert begun(plan("second"), models, Known(own=10, second=20)) == []
    assert [model for model, _ in models.calls] == ["own"]


def test_a_rate_limit_of_its_own_is_not_waited_for_where_there_is_a_fallback() -> None:
    models = Models(own=[limited(50)])
    told = begun(plan("second"), models)
    assert models.calls == [("own", 0), ("second", 0)]
    assert told == ["Acme is busy. The job continues with openai second."]


def test_who_was_passed_over_is_waited_for_where_all_others_fail() -> None:
    models = Models(second=[QUOTA])
    told = begun(plan("second"), models, Known(own=10))
    assert [model for model, _ in models.calls] == ["second", "own"]
    assert 10 <= models.calls[1][1] <= 12.5
    assert told[1:] == ["Acme wants money. The job continues with openai own."]


def test_an_answer_that_goes_on_is_left_to_a_fallback_in_the_next_attempt() -> None:
    job = plan("second")
    job.has_spoken = True
    job.remember(Delta(text="Once"))
    assert job.goes_on(CUT)
    models = Models()
    with pytest.raises(ProviderError, match=r"own is rate limited") as caught:
        begun(job, models, Known(own=20))
    assert job.goes_on(caught.value)
    assert (job.continues, job.resumed.model) == (True, "second")
    begun(job, models, Known(own=20))
    assert [model for model, _ in models.calls] == ["second"]


async def test_a_hundred_that_begin_at_once_leave_the_loop_its_turns() -> None:
    seen: list[str] = []

    class Starting(Models):
        async def stream(self, request: AnyRequest) -> AsyncGenerator[Piece, None]:
            seen.append("start")
            async for piece in super().stream(request):
                yield piece

    async def ticks() -> None:
        while True:
            seen.append("tick")
            await asyncio.sleep(0)

    async def begins(calls: Calls) -> None:
        answer = await calls.begin(plan(), tell=lambda _: None)
        await answer.rest.aclose()

    calls = Calls({"openai": Starting()}, Known(), WorkerSettings.read())
    ticking = asyncio.create_task(ticks())
    await asyncio.gather(*(begins(calls) for _ in range(100)))
    ticking.cancel()
    assert seen.count("start") == 100
    assert ("start", "start") not in set(pairwise(seen))
