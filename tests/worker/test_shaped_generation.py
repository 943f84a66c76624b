"""What a request asks of its stream reaches the stage that does it."""

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest

from tailrace import Answer, Event, GenerationRequest, Job, ProviderError, Tailrace
from tailrace.errors import FailureCode
from tailrace.events import Box, Cancelled, Citation, Completed, Delta, Failed, Notice
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import TokenCounts
from tailrace_worker.shaping.guards import compiler
from tailrace_worker.shaping.guards.compiler import GuardLimits
from tailrace_worker.shaping.guards.moderate import ModerationVerdict
from tailrace_worker.shaping.guards.rules import Rule, Rules
from tailrace_worker.shaping.guards.search_budget import SearchLimits
from tests.support.eventually import eventually
from tests.support.streams import events_of, read, run_unclaimed, texts
from tests.worker.conftest import OpenGenerations, Puppet


def asking(request: GenerationRequest, **fields: object) -> GenerationRequest:
    return GenerationRequest.model_validate({**request.model_dump(exclude_defaults=True), **fields})


async def run(tailrace: Tailrace, generations: Generations, request: GenerationRequest) -> list[Event]:
    job = await tailrace.enqueue(request)
    await run_unclaimed(generations, job.id, 1)
    return await events_of(job)


@pytest.mark.parametrize(
    ("timeouts", "says", "code"),
    [
        ({"first_token_seconds": 0.1}, (), FailureCode.FIRST_TOKEN_TIMEOUT),
        ({"idle_seconds": 0.1}, ("Once ", "upon"), FailureCode.IDLE_TIMEOUT),
        ({"total_seconds": 0.1}, ("Once ", "upon"), FailureCode.TOTAL_TIMEOUT),
    ],
)
@pytest.mark.parametrize("by", ["request", "worker"])
async def test_a_silent_provider_is_cut_at_the_deadline_and_the_text_so_far_stays(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    timeouts: dict[str, float],
    says: tuple[str, ...],
    code: FailureCode,
    by: str,
) -> None:
    puppet.say(*says)
    async with open_generations(**(timeouts if by == "worker" else {})) as generations:
        wanted = asking(request_, **({"timeouts": timeouts} if by == "request" else {}))
        # Long before the deadlines of 30 s and more that there are by default.
        async with asyncio.timeout(10):
            events = await run(tailrace, generations, wanted)
    ending = events[-1]
    assert isinstance(ending, Failed)
    assert ending.code == code
    assert "".join(texts(events)) == "".join(says)
    assert puppet.closed.is_set()
    assert len(puppet.requests) == 1


async def test_a_request_cannot_loosen_what_its_worker_is_set_to(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    async with open_generations(first_token_seconds=0.1) as generations:
        events = await run(tailrace, generations, asking(request_, timeouts={"first_token_seconds": 600}))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == FailureCode.FIRST_TOKEN_TIMEOUT


async def test_a_plain_call_is_silent_until_all_is_there(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    async with open_generations(first_token_seconds=0.05, total_seconds=0.4) as generations:
        events = await run(tailrace, generations, asking(request_, stream=False))
    ending = events[-1]
    assert isinstance(ending, Failed)
    assert ending.code == FailureCode.TOTAL_TIMEOUT
    assert ending.duration_ms is not None
    assert ending.duration_ms >= 400


@pytest.mark.parametrize("limit", ["idle_seconds", "total_seconds"])
async def test_an_answer_that_is_finished_and_does_not_end_completes(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet, limit: str
) -> None:
    puppet.say("All of it")
    puppet.lingers = True
    puppet.finish()
    async with open_generations() as generations:
        events = await run(tailrace, generations, asking(request_, timeouts={limit: 0.3}))
    assert isinstance(events[-1], Completed)


async def test_a_deadline_takes_a_fallback_and_no_other_try(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    job = await tailrace.enqueue(
        asking(
            request_,
            timeouts={"first_token_seconds": 0.1},
            fallbacks=[{"provider": "openai", "model": "second"}],
        )
    )
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    async for event in job.tail():
        if isinstance(event, Notice):
            break
    puppet.say("Here")
    puppet.finish()
    await running
    assert [request.model for request in puppet.requests] == ["puppet", "second"]
    assert texts(await events_of(job)) == ["Here"]


class TestWhatTheBufferHolds:
    """What the guards let through is said before the ending, and nothing else is."""

    @pytest.fixture
    def request_(self, request_: GenerationRequest) -> GenerationRequest:
        return asking(
            request_,
            guards=[{"type": "redact", "kinds": ["email"]}],
            buffering={"max_chars": 1_000, "max_delay_ms": 10_000},
            on_interrupt="fail",
        )

    async def start(
        self, tailrace: Tailrace, generations: Generations, request: GenerationRequest, puppet: Puppet
    ) -> tuple[Job, asyncio.Task[None]]:
        """Runs a job until the buffer holds `to me at `, and the guard `me@exam`."""
        job = await tailrace.enqueue(request)
        running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
        puppet.say("Write ")
        await read(job, 3)
        puppet.say("to me at ", "me@exam")
        await eventually(lambda: not puppet.unread)
        return job, running

    async def test_goes_before_a_cancel(
        self, tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        job, running = await self.start(tailrace, generations, request_, puppet)
        await job.cancel("enough")
        await running
        events = await events_of(job)
        assert isinstance(events[-1], Cancelled)
        assert texts(events) == ["Write ", "to me at "]

    async def test_goes_before_the_end_of_its_time(
        self, tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        limited = asking(request_, timeouts={"total_seconds": 0.3})
        job, running = await self.start(tailrace, generations, limited, puppet)
        await running
        events = await events_of(job)
        assert isinstance(events[-1], Failed)
        assert events[-1].code == FailureCode.TOTAL_TIMEOUT
        assert texts(events) == ["Write ", "to me at "]

    async def test_goes_before_a_failure(
        self, tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        job, running = await self.start(tailrace, generations, request_, puppet)
        puppet.put(ProviderError("Acme broke off.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True))
        await running
        events = await events_of(job)
        assert isinstance(events[-1], Failed)
        assert texts(events) == ["Write ", "to me at "]

    async def test_is_readable_when_the_worker_stops(
        self, tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
    ) -> None:
        job, running = await self.start(tailrace, generations, request_, puppet)
        running.cancel()
        await asyncio.wait([running])
        assert texts(await read(job, 4)) == ["Write ", "to me at "]


async def test_guards_boxes_and_buffering_are_applied_in_this_order(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    guards: list[Any] = [{"type": "clean"}, {"type": "redact", "kinds": ["email"]}]
    buffering = {"max_chars": 1_000, "max_delay_ms": 10_000, "at_sentences": False}
    puppet.say("Write", " to\u202e me", "@exam", "ple.org about", " [1, 2,", " 3, 4]", ".")
    puppet.finish()
    events = await run(tailrace, generations, asking(request_, guards=guards, boxes=True, buffering=buffering))
    answer = Answer()
    for event in events:
        answer.add(event)
    assert answer.text == "Write to [email redacted] about [1, 2, 3, 4]."
    (box,) = [event for event in events if isinstance(event, Box)]
    assert answer.text[box.start : box.end] == "[1, 2, 3, 4]"
    assert [notice.code for notice in answer.notices] == ["redacted"]
    assert len([event for event in events if isinstance(event, Delta)]) <= 3


async def test_a_citation_has_its_place_in_the_text_that_is_shown(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    guards: list[Any] = [{"type": "clean"}, {"type": "redact", "kinds": ["email"]}]
    buffering = {"max_chars": 1_000, "max_delay_ms": 10_000, "at_sentences": False}
    puppet.say("Write", " to\u202e me", "@example.org. ", "Mills turn")
    puppet.put(Citation(source="web", url="https://mill.example", title="Mill", quote="It turns.", start=26, end=36))
    puppet.say(".")
    puppet.finish()
    job = await tailrace.enqueue(asking(request_, guards=guards, boxes=True, buffering=buffering))
    await run_unclaimed(generations, job.id, 1)
    answer = await job.answer()
    assert answer.text == "Write to [email redacted]. Mills turn."
    (citation,) = answer.citations
    assert answer.text[citation.start : citation.end] == "Mills turn"
    assert (citation.source, citation.url, citation.title) == ("web", "https://mill.example", "Mill")
    assert citation.quote == "It turns."
    events = await events_of(job)
    assert citation in events


async def test_a_block_ends_the_job_and_what_was_held_back_is_never_published(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("The word is sec", "ret, as", " you know.")
    puppet.finish()
    events = await run(tailrace, generations, asking(request_, guards=[{"type": "block", "words": ["secret"]}]))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == FailureCode.CONTENT_BLOCKED
    assert "".join(texts(events)) == "The word is "
    assert puppet.closed.is_set()


async def test_no_other_model_goes_on_after_a_block(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("The secret")
    puppet.finish()
    guards = [{"type": "block", "words": ["secret"]}]
    fallbacks = [{"provider": "openai", "model": "second"}]
    events = await run(tailrace, generations, asking(request_, guards=guards, fallbacks=fallbacks))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == FailureCode.CONTENT_BLOCKED
    assert len(puppet.requests) == 1


async def test_a_limit_of_characters_stops_the_provider_with_the_reason_length(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("12345", "67890")
    events = await run(tailrace, generations, asking(request_, guards=[{"type": "max_chars", "limit": 7}]))
    assert isinstance(events[-1], Completed)
    assert events[-1].finish_reason == "length"
    assert "".join(texts(events)) == "1234567"
    assert puppet.closed.is_set()


async def test_messages_are_guarded_before_the_provider_gets_them(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("Yes.")
    puppet.finish()
    messages = [{"role": "user", "content": "I am me@example.org"}]
    redact = [{"type": "redact", "kinds": ["email"]}]
    events = await run(tailrace, generations, asking(request_, messages=messages, input_guards=redact))
    assert puppet.requests[0].messages == [{"role": "user", "content": "I am [email redacted]"}]
    assert [event.code for event in events if isinstance(event, Notice)] == ["redacted"]

    blocked = [{"type": "block", "kinds": ["email"]}]
    events = await run(tailrace, generations, asking(request_, messages=messages, input_guards=blocked))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == FailureCode.CONTENT_BLOCKED
    assert len(puppet.requests) == 1


async def test_the_first_token_is_the_providers_and_not_the_first_that_is_shown(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    async def judge(text: str) -> ModerationVerdict:
        await asyncio.sleep(0.3)
        return ModerationVerdict()

    puppet.say("All is well.")
    puppet.put(TokenCounts(output_tokens=4))
    puppet.finish()
    async with open_generations(judge=judge) as generations:
        events = await run(tailrace, generations, asking(request_, guards=[{"type": "moderate"}]))
    ending = events[-1]
    assert isinstance(ending, Completed)
    assert ending.ttft_ms is not None
    assert ending.duration_ms is not None
    assert ending.duration_ms - ending.ttft_ms >= 300
    assert ending.tokens_per_second is not None
    assert ending.tokens_per_second <= 4 / 0.3


async def test_what_the_judge_flags_is_not_shown(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    async def judge(text: str) -> ModerationVerdict:
        return ModerationVerdict(categories=("violence",) if "harm" in text else ())

    puppet.say("I mean no harm.")
    puppet.finish()
    async with open_generations(judge=judge) as generations:
        events = await run(tailrace, generations, asking(request_, guards=[{"type": "moderate"}]))
    assert isinstance(events[-1], Failed)
    assert events[-1].code == FailureCode.CONTENT_BLOCKED
    assert "violence" in events[-1].message
    assert texts(events) == []


class Held:
    """A function that holds its thread until it is let go."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.let_go = threading.Event()
        self.calls = 0
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        assert self.let_go.wait(10)
        return self._function(*args, **kwargs)


@pytest.mark.parametrize(
    ("where", "name", "fields"),
    [
        (compiler, "Rules", {"guards": [{"type": "block", "words": ["hold"]}]}),
        (compiler, "Rules", {"input_guards": [{"type": "block", "words": ["held"]}]}),
        (GenerationRequest, "from_json", {"messages": [{"role": "user", "content": "x" * 8_192}]}),
        (Puppet, "stream", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * 500}]}),
    ],
    ids=["guards", "input_guards", "reading", "writing"],
)
async def test_another_job_goes_on_while_what_is_large_of_a_request_is_worked_on(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
    where: object,
    name: str,
    fields: dict[str, Any],
) -> None:
    large = await tailrace.enqueue(asking(request_, **fields))
    holder = puppet if where is Puppet else where
    held = Held(getattr(holder, name))
    with monkeypatch.context() as patched:
        patched.setattr(holder, name, held)
        running = asyncio.create_task(run_unclaimed(generations, large.id, 1))
        await eventually(lambda: held.calls == 1)
    puppet.say("Hello")
    puppet.finish()
    assert texts(await run(tailrace, generations, request_)) == ["Hello"]
    held.let_go.set()
    puppet.finish()
    await running
    assert isinstance((await events_of(large))[-1], Completed)


async def test_equal_guards_of_jobs_that_begin_together_are_compiled_once(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Held(Rules)
    monkeypatch.setattr(compiler, "Rules", held)
    held.let_go.set()
    guard = {"type": "redact", "words": ["once"]}
    wanted = asking(request_, guards=[guard], input_guards=[guard])
    jobs = [await tailrace.enqueue(wanted) for _ in range(5)]
    for _ in jobs:
        puppet.finish()
    async with asyncio.TaskGroup() as together:
        for job in jobs:
            together.create_task(run_unclaimed(generations, job.id, 1))
    assert held.calls == 1


def large_guard(kind: str, beginning: str) -> dict[str, Any]:
    return {"type": kind, "patterns": [f"{beginning}{number:02}[a-z]{{12}}" for number in range(60)]}


class Noted(Rules):
    """Rules that know in which threads they were made and looked for."""

    threads: ClassVar[set[int]] = set()

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.threads.add(threading.get_ident())
        super().__init__(rules)

    def open_from(self, text: bytes, start: int) -> int:
        self.threads.add(threading.get_ident())
        return super().open_from(text, start)


async def test_large_guards_are_compiled_and_looked_for_in_no_thread_of_the_loop(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(compiler, "Rules", Noted)
    monkeypatch.setattr(Noted, "threads", set[int]())
    # None of them is large by itself.
    guards, input_guards = (
        [
            {"type": "block", "patterns": [f"{guard}{name}{place}[a-z]{{9}}" for place in range(5)]}
            for guard in range(16)
        ]
        for name in ("x", "y")
    )
    puppet.say("Hello")
    puppet.finish()
    events = await run(tailrace, generations, asking(request_, guards=guards, input_guards=input_guards))
    assert texts(events) == ["Hello"]
    assert len(Noted.threads) > 1
    assert threading.get_ident() not in Noted.threads


async def test_a_slow_search_of_one_job_holds_up_no_guards_of_another(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    let_go = threading.Event()

    def held(rules: Rules, text: bytes, start: int) -> int:
        nonlocal looks
        looks += 1
        assert looks > 1 or let_go.wait(10)
        return open_from(rules, text, start)

    open_from = Rules.open_from
    monkeypatch.setattr(Rules, "open_from", held)
    slow = await tailrace.enqueue(asking(request_, guards=[large_guard("block", "a")]))
    puppet.say("slow")
    running = asyncio.create_task(run_unclaimed(generations, slow.id, 1))
    await eventually(lambda: looks == 1)
    puppet.say("Hello")
    puppet.finish()
    assert texts(await run(tailrace, generations, asking(request_, guards=[large_guard("block", "b")]))) == ["Hello"]
    let_go.set()
    puppet.finish()
    await running
    assert texts(await events_of(slow)) == ["slow"]


def searching(*, seconds: float, seconds_per_byte: float) -> GuardLimits:
    return GuardLimits(search=SearchLimits(seconds=seconds, seconds_per_byte=seconds_per_byte))


@pytest.mark.parametrize("where", ["guards", "input_guards"])
@pytest.mark.parametrize("kind", ["redact", "block"])
async def test_a_job_whose_guards_take_too_long_to_look_for_fails(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    where: str,
    kind: str,
) -> None:
    puppet.say("Hello")
    puppet.finish()
    async with open_generations(guard_limits=searching(seconds=0, seconds_per_byte=0)) as generations:
        events = await run(tailrace, generations, asking(request_, **{where: [large_guard(kind, "a")]}))
    ending = events[-1]
    assert isinstance(ending, Failed)
    assert (ending.code, ending.retryable) == (FailureCode.INVALID_REQUEST, False)
    assert "take too long to look for" in ending.message
    assert texts(events) == []


async def test_more_text_gives_guards_more_time(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    puppet.say("Hello")
    puppet.finish()
    async with open_generations(guard_limits=searching(seconds=0, seconds_per_byte=10)) as generations:
        events = await run(tailrace, generations, asking(request_, guards=[large_guard("block", "a")]))
    assert texts(events) == ["Hello"]
