"""Answers that break off: another attempt, from the beginning or from where it was, another provider, or the end."""

import asyncio

import pytest

from tailrace import Event, GenerationRequest, ProviderError, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.errors import FailureCode
from tailrace.events import Box, Citation, Completed, Failed, Notice, Reasoning, Started
from tailrace.protocol.keys import Keys, arq_in_progress, arq_retry
from tailrace_worker.attempt.plan import FALLBACK
from tailrace_worker.attempt.retry_policy import RetryPolicy
from tailrace_worker.queueing.claims import claim_command, new_token, read_claimed
from tests.support.eventually import eventually
from tests.support.streams import answer_of, events_of, texts
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

CUT = ProviderError("Acme broke off its answer.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
QUOTA = ProviderError("Acme wants money.", code=FailureCode.PROVIDER_QUOTA_EXCEEDED, retryable=False)
REJECTED = ProviderError("Acme takes no beginning.", code=FailureCode.PROVIDER_REJECTED, retryable=False)


def starts(events: list[Event]) -> list[tuple[int, str | None, bool]]:
    return [(event.id.attempt, event.reason, event.continues) for event in events if isinstance(event, Started)]


async def run(tailrace: Tailrace, open_generations: OpenGenerations, request: GenerationRequest) -> list[Event]:
    """Runs a job, of whose pieces the puppet was told before, to its ending."""
    async with open_generations(provider_tries=1) as generations, running_worker(generations):
        events = await events_of(await tailrace.enqueue(request))
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    return events


async def test_an_answer_that_breaks_off_begins_again_and_readers_are_told(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("Once upon ")
    puppet.put(CUT)
    puppet.say("Once upon a time")
    puppet.finish()
    events = await run(tailrace, open_generations, request_)
    assert starts(events) == [(1, None, False), (2, "provider_interrupted", False)]
    assert texts(events) == ["Once upon ", "Once upon a time"]
    assert answer_of(events).text == "Once upon a time"
    assert puppet.requests == [request_, request_]


async def test_it_begins_again_as_often_as_a_job_has_attempts_and_then_fails_with_the_text_so_far(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    for attempt in "123":
        puppet.say(attempt)
        puppet.put(CUT)
    events = await run(tailrace, open_generations, request_)
    assert [attempt for attempt, *_ in starts(events)] == [1, 2, 3]
    assert isinstance(events[-1], Failed)
    assert (events[-1].code, events[-1].retryable) == ("provider_interrupted", True)
    assert answer_of(events).text == "3"


@pytest.mark.parametrize(("error", "on_interrupt"), [(CUT, "fail"), (QUOTA, "restart")])
async def test_it_fails_at_once_where_it_is_to_or_where_another_try_would_not_help(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    error: ProviderError,
    on_interrupt: str,
) -> None:
    puppet.say("Once")
    puppet.put(error)
    events = await run(tailrace, open_generations, request_.model_copy(update={"on_interrupt": on_interrupt}))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == error.code
    assert texts(events) == ["Once"]


@pytest.mark.parametrize("ends", ["by a cancel", "in time"])
async def test_the_wait_before_another_attempt_ends_with_the_job(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    ends: str,
) -> None:
    long = RetryPolicy(first_wait_seconds=50.0, last_pause_seconds=50.0)
    puppet.say("Once")
    puppet.put(CUT)
    total_seconds = 0.5 if ends == "in time" else 60
    opened = open_generations(total_seconds=total_seconds, retry_policy=long)
    async with opened as generations, running_worker(generations):
        job = await tailrace.enqueue(request_)
        await puppet.closed.wait()
        async with asyncio.timeout(10):
            async for event in job.tail():
                if isinstance(event, Started) and event.id.attempt == 2 and ends == "by a cancel":
                    await job.cancel("no patience")
        ending = (await events_of(job))[-1]
    assert ending.type == ("failed" if ends == "in time" else "cancelled")
    assert not isinstance(ending, Failed) or ending.code == "total_timeout"
    assert len(puppet.requests) == 1


class TestContinuing:
    @pytest.fixture
    def request_(self, request_: GenerationRequest) -> GenerationRequest:
        return request_.model_copy(update={"on_interrupt": "continue"})

    async def test_the_text_so_far_is_handed_over_and_stands(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.prefills = True
        puppet.say("Once ", "upon ")
        puppet.put(CUT)
        puppet.say(" ", "a time")
        puppet.put(CUT)
        puppet.say(", long ago")
        puppet.finish()
        events = await run(tailrace, open_generations, request_)
        assert starts(events) == [
            (1, None, False),
            (2, "provider_interrupted", True),
            (3, "provider_interrupted", True),
        ]
        assert answer_of(events).text == "Once upon a time, long ago"
        beginnings = [request.messages[1:] for request in puppet.requests]
        assert beginnings == [
            [],
            [{"role": "assistant", "content": "Once upon"}],
            [{"role": "assistant", "content": "Once upon a time"}],
        ]

    async def test_a_limit_of_characters_counts_the_whole_answer(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.prefills = True
        puppet.say("Once upon ")
        puppet.put(CUT)
        puppet.say(" a ", "time")
        puppet.put(CUT)
        puppet.say(", long", " ago")
        limited = request_.model_copy(update={"guards": [{"type": "max_chars", "limit": 20}]})
        events = await run(tailrace, open_generations, limited)
        assert answer_of(events).text == "Once upon a time, lo"
        assert isinstance(events[-1], Completed)
        assert events[-1].finish_reason == "length"
        assert puppet.closed.is_set()

    async def test_a_box_is_found_where_readers_have_it(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.prefills = True
        puppet.say("The mill: ")
        puppet.put(CUT)
        puppet.say(" [1, 2, 3, 4].")
        puppet.finish()
        events = await run(tailrace, open_generations, request_.model_copy(update={"boxes": True}))
        (box,) = (event for event in events if isinstance(event, Box))
        assert answer_of(events).text[box.start : box.end] == "[1, 2, 3, 4]"

    async def test_a_citation_has_its_place_where_readers_have_it(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.prefills = True
        puppet.say("Mills turn. ")
        puppet.put(Citation(source="web", url="https://a.example", start=0, end=10), CUT)
        puppet.say(" Water leaves.")
        puppet.put(Citation(source="web", url="https://b.example", start=1, end=13))
        puppet.finish()
        events = await run(tailrace, open_generations, request_)
        answer = answer_of(events)
        assert answer.text == "Mills turn. Water leaves."
        assert [answer.text[each.start : each.end] for each in answer.citations] == ["Mills turn", "Water leaves"]

    async def test_it_begins_again_where_the_provider_cannot(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.say("Once")
        puppet.put(CUT)
        puppet.say("Twice")
        puppet.finish()
        events = await run(tailrace, open_generations, request_)
        assert starts(events)[1] == (2, "provider_interrupted", False)
        assert answer_of(events).text == "Twice"

    async def test_it_begins_again_where_the_model_refuses_the_beginning(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.prefills = True
        puppet.say("Once")
        puppet.put(CUT, REJECTED)
        puppet.say("Twice")
        puppet.finish()
        events = await run(tailrace, open_generations, request_)
        assert [continues for *_, continues in starts(events)] == [False, True, False]
        assert answer_of(events).text == "Twice"
        assert puppet.requests[2] == request_

    async def test_what_stands_is_guarded_together_with_the_rest(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.prefills = True
        puppet.say("Ask Bob or a")
        puppet.put(CUT)
        puppet.say("cat or Bob.")
        puppet.finish()
        guards = [{"type": "redact", "words": ["Bob", "cat"]}]
        events = await run(tailrace, open_generations, request_.model_copy(update={"guards": guards}))
        answer = answer_of(events)
        assert answer.text == "Ask [word redacted] or acat or [word redacted]."
        assert [notice.message for notice in answer.notices] == ["word: 1", "word: 1"]

    async def test_it_begins_again_where_more_than_text_was_said(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.prefills = True
        puppet.put(Reasoning(text="Hm."))
        puppet.say("Once")
        puppet.put(CUT)
        puppet.say("Twice")
        puppet.finish()
        events = await run(tailrace, open_generations, request_)
        assert starts(events)[1] == (2, "provider_interrupted", False)
        answer = answer_of(events)
        assert (answer.text, answer.reasoning) == ("Twice", "")


class TestFallingBack:
    @pytest.fixture
    def request_(self, request_: GenerationRequest) -> GenerationRequest:
        return request_.model_copy(
            update={"fallbacks": [{"provider": "openai", "model": "second"}, {"provider": "openai", "model": "third"}]}
        )

    async def test_before_the_first_word_it_is_a_notice_in_the_same_attempt(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.put(QUOTA, REJECTED)
        puppet.say("Here")
        puppet.finish()
        events = await run(tailrace, open_generations, request_)
        assert starts(events) == [(1, None, False)]
        assert [event.message for event in events if isinstance(event, Notice) and event.code == FALLBACK] == [
            "Acme wants money. The job continues with openai second.",
            "Acme takes no beginning. The job continues with openai third.",
        ]
        assert answer_of(events).text == "Here"
        assert isinstance(events[-1], Completed)
        assert [request.model for request in puppet.requests] == ["puppet", "second", "third"]

    async def test_after_it_it_is_another_attempt_that_names_the_model(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.say("Once")
        puppet.put(QUOTA)
        puppet.say("Twice")
        puppet.finish()
        events = await run(tailrace, open_generations, request_)
        assert [event.model for event in events if isinstance(event, Started)] == ["puppet", "second"]
        assert answer_of(events).text == "Twice"
        assert [notice.code for notice in answer_of(events).notices] == [FALLBACK]

    async def test_where_none_is_left_the_last_error_is_the_ending(
        self, tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        puppet.put(QUOTA, REJECTED, QUOTA)
        events = await run(tailrace, open_generations, request_)
        assert isinstance(events[-1], Failed)
        assert events[-1].code == "provider_quota_exceeded"


async def test_the_next_attempt_is_counted_so_that_a_takeover_comes_after_it(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
) -> None:
    async with open_generations(provider_tries=1) as generations, running_worker(generations):
        job = await tailrace.enqueue(request_)
        puppet.say("one")
        puppet.put(CUT)
        puppet.say("two")
        async with asyncio.timeout(10):
            async for event in job.tail():
                if event.type == "delta" and event.id.attempt == 2:
                    break
        assert await broker.call("GET", arq_retry(job.id)) == b"2"
        puppet.finish()
        await events_of(job)


async def test_a_worker_whose_claim_is_gone_begins_no_other_attempt(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    settings: Settings,
) -> None:
    keys = Keys(settings.prefix)
    async with (
        open_generations(provider_tries=1, lease_seconds=300) as generations,
        running_worker(generations) as worker,
    ):
        job = await tailrace.enqueue(request_)
        puppet.say("one")
        async with asyncio.timeout(10):
            async for event in job.tail():
                if event.type == "delta":
                    break
        # It was suspended: another has claimed the job, and begins after us.
        await broker.call("ZADD", keys.running("default"), 1, job.id)
        successor = new_token("successor")
        claimed = read_claimed(
            await broker.call(
                *claim_command(keys, ["default"], successor, places=1, lease_seconds=60, takes_over_until=10**15)
            ),
            ["default"],
            successor,
        )
        assert [claim.job_id for claim in claimed.claims] == [job.id]
        puppet.put(CUT)
        await puppet.closed.wait()
        # Drained before, it would be handed back in place of going on.
        await eventually(lambda: all(task.done() for task in worker.tasks.values()))
    assert (await job.status()).cursor.attempt == 1
    assert await broker.call("GET", arq_retry(job.id)) == b"1"
    assert await broker.call("GET", arq_in_progress(job.id)) == successor.encode()
