"""What a job tries next, by what it has tried and said."""

from collections.abc import Callable

import pytest

from tailrace import GenerationRequest, ProviderError
from tailrace.errors import FailureCode
from tailrace.events import Delta, Reasoning
from tailrace_worker.attempt.plan import Plan

CUT = ProviderError("Acme broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
QUOTA = ProviderError("Acme wants money.", code=FailureCode.PROVIDER_QUOTA_EXCEEDED, retryable=False)


def limited(seconds: float | None = None) -> ProviderError:
    return ProviderError(
        "Acme is busy.", code=FailureCode.PROVIDER_RATE_LIMITED, retryable=True, retry_after_seconds=seconds
    )


def plan(*fallbacks: str, prefills: Callable[[str], bool] = lambda _: True, max_attempts: int = 3) -> Plan:
    request = GenerationRequest.model_validate(
        {
            "provider": "anthropic",
            "model": "own",
            "messages": [{"role": "user", "content": "Hi"}],
            "on_interrupt": "continue",
            "fallbacks": [{"provider": "anthropic", "model": model} for model in fallbacks],
        }
    )
    return Plan(request, max_attempts=max_attempts, max_bytes=1_000_000, prefills=prefills)


def breaks_off(plan: Plan, error: ProviderError, *texts: str) -> bool:
    """Whether it goes on after an attempt that said these, and then broke off."""
    for text in texts:
        plan.has_spoken = True
        plan.remember(Delta(text=text))
    return plan.goes_on(error)


def told(plan: Plan) -> str | None:
    notice = plan.take_notice()
    return notice.message if notice else None


def test_a_fallback_has_as_many_attempts_as_the_first() -> None:
    job = plan("second", max_attempts=2)
    tried: list[tuple[str, int]] = []
    while breaks_off(job, CUT, "Once"):
        tried.append((job.request.model, job.retries))
    assert tried == [("own", 1), ("second", 0), ("second", 1)]


def test_a_fallback_continues_where_the_one_before_it_broke_off() -> None:
    job = plan("second")
    assert breaks_off(job, CUT, "Once ", "upon ")
    assert not job.falls_back(QUOTA), "an attempt that continues says at its start what goes on"
    assert job.goes_on(QUOTA)
    assert job.continues
    assert job.request.model == job.resumed.model == "second"
    assert isinstance(job.request, GenerationRequest)
    assert job.request.messages[1:] == [{"role": "assistant", "content": "Once upon"}]
    assert job.said == "Once upon "


def test_text_is_void_where_the_answer_begins_again() -> None:
    could = iter([False, True])
    job = plan(prefills=lambda _: next(could))
    assert breaks_off(job, CUT, "Once")
    assert (job.continues, job.said) == (False, "")
    assert breaks_off(job, CUT, "Twice")
    assert (job.continues, job.said) == (True, "Twice")


def test_thoughts_that_are_void_do_not_keep_an_answer_from_going_on() -> None:
    job = plan()
    job.remember(Reasoning(text="Hm."))
    assert breaks_off(job, CUT, "Once")
    assert not job.continues
    assert breaks_off(job, CUT, "Twice")
    assert job.continues


def test_what_is_told_of_a_fallback_is_told_again_where_the_answer_begins_again() -> None:
    job = plan("second", prefills=lambda _: False)
    assert told(job) is None
    assert job.falls_back(QUOTA)
    assert [told(job), told(job)] == ["Acme wants money. The job continues with anthropic second.", None]
    assert breaks_off(job, CUT, "Once")
    assert told(job) == "Acme wants money. The job continues with anthropic second."


def test_who_is_rate_limited_comes_again_after_the_others() -> None:
    job = plan("second")
    assert job.falls_back(limited(1))
    assert (job.request.model, job.is_last) == ("second", False)
    assert job.falls_back(QUOTA)
    assert (job.request.model, job.is_last) == ("own", True)
    assert told(job) is None, "readers have heard of no other"
    assert not job.falls_back(limited(1))


@pytest.mark.parametrize("error", [QUOTA, limited(61)], ids=["fails", "waits too long"])
def test_nobody_else_comes_again(error: ProviderError) -> None:
    job = plan("second")
    assert job.falls_back(error)
    assert job.is_last


def test_those_that_are_rate_limited_for_ever_do_not_take_turns_for_ever() -> None:
    job = plan("second", "third")
    assert sum(iter(lambda: job.falls_back(limited()), False)) == 4
    assert job.is_last


def test_a_rate_limit_in_mid_answer_is_left_to_a_fallback_at_once() -> None:
    job = plan("second")
    assert breaks_off(job, limited(), "Once")
    assert job.request.model == "second"
    assert job.continues
    alone = plan()
    assert breaks_off(alone, limited(), "Once")
    assert (alone.request.model, alone.retries) == ("own", 1)


def test_the_one_that_is_preferred_goes_next_and_those_before_it_last() -> None:
    job = plan("second", "third", "fourth")
    assert [each.model for each in job.choice] == ["own", "second", "third", "fourth"]
    job.prefer(2)
    assert job.falls_back(QUOTA)
    assert [each.model for each in job.choice] == ["third", "fourth", "second"]
