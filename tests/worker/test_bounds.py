"""How much a job may say, and how much of it is in one entry."""

import asyncio

import pytest

from tailrace import GenerationRequest, Job, ProviderError, Tailrace
from tailrace.errors import FailureCode
from tailrace.events import Delta, Failed, Reasoning, Refusal, StreamEvent, ToolCall
from tailrace_worker.generation import Generations
from tailrace_worker.providers.http.answer_limits import AnswerLimits
from tailrace_worker.providers.http.large import LargeAnswers
from tests.support.streams import ENDING, read, run_unclaimed, texts, writing
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

BROKEN = ProviderError("It broke.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        (Delta(text="x" * 100), "x" * 1_000),
        (Delta(text="\u20ac" * 10), "x" * 1_000),
        (Reasoning(text="", signature="x" * 100), "x" * 1_000),
        (Refusal(text="x" * 100), "x" * 1_000),
        (ToolCall(index=0, call_id="1", name="f", arguments="x" * 100), "x" * 1_000),
        (Delta(text="x" * 15_000_000), "x" * 1_000),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_a_job_that_says_more_than_it_may_fails_and_its_provider_is_closed(
    job: Job,
    open_generations: OpenGenerations,
    puppet: Puppet,
    last: Delta | Reasoning | Refusal | ToolCall,
    said: str,
) -> None:
    puppet.say(said)
    puppet.put(last)
    puppet.say("and so on")
    async with open_generations(max_answer_bytes=1_024) as generations:
        await run_unclaimed(generations, job.id, 1)
    answer = await job.answer()
    assert answer.text == said
    ending = answer.ending
    assert isinstance(ending, Failed)
    assert (ending.code, ending.retryable) == ("too_long", False)
    assert "1,024 bytes" in ending.message
    assert puppet.closed.is_set()


async def test_a_job_may_say_no_more_in_several_attempts_than_in_one(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    for _ in range(2):
        puppet.say("x" * 600)
        puppet.put(BROKEN)
    async with open_generations(max_answer_bytes=1_024) as generations, running_worker(generations):
        job = await tailrace.enqueue(request_)
        ending = (await read(job, 999))[-1]
    assert isinstance(ending, Failed)
    assert ending.code == "too_long"
    assert len(puppet.requests) == 2


@pytest.mark.parametrize("text", ["x" * 1_000_000, "\U0001f600" * 100_000], ids=["ascii", "four bytes a character"])
async def test_a_large_piece_becomes_entries_of_64_kib_with_whole_characters(
    job: Job, generations: Generations, text: str
) -> None:
    async with writing(generations, job) as writer:
        writer.write(Delta(text=text))
        await writer.end(ENDING)
    pieces = texts(await read(job, 999))
    assert "".join(pieces) == text
    assert max(len(piece.encode()) for piece in pieces) <= 65_536


async def test_the_parts_of_a_large_event_say_once_what_counts_once(job: Job, generations: Generations) -> None:
    large = "x" * 100_000
    events: list[StreamEvent] = [
        ToolCall(index=3, call_id="call", name="look", arguments=large),
        Reasoning(text=large, signature="signed"),
    ]
    async with writing(generations, job) as writer:
        for event in events:
            writer.write(event)
        await writer.end(ENDING)
    came = await read(job, 999)
    calls = [event for event in came if isinstance(event, ToolCall)]
    assert [(call.index, call.call_id, call.name) for call in calls[:2]] == [(3, "call", "look"), (3, None, None)]
    assert "".join(call.arguments for call in calls) == large
    thoughts = [event for event in came if isinstance(event, Reasoning)]
    assert "".join(thought.text for thought in thoughts) == large
    assert [thought.signature for thought in thoughts if thought.signature] == ["signed"]


@pytest.fixture
def shared() -> LargeAnswers:
    """Four megabytes, as what the answers of a provider may hold together."""
    return LargeAnswers(AnswerLimits(shared_bytes=4_000_000))


async def test_answers_hold_no_more_together_than_they_may_but_for_one(shared: LargeAnswers) -> None:
    async with shared.open() as slow, shared.open() as second, shared.open() as third, shared.open() as fourth:
        assert slow.hold(2_000_000)
        assert second.hold(2_000_000)
        # Nothing is left: the first who needs more may go on all the same.
        assert third.hold(9_000_000)
        assert not fourth.hold(1_500_000)
        assert not second.hold(2_000_001)
        assert fourth.hold(1_000_000)
        waiting = asyncio.create_task(fourth.room(1_500_000))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert third.hold(10)
        async with asyncio.timeout(10):
            await waiting
        assert not second.hold(2_000_001)


async def test_a_slow_answer_keeps_nothing_from_others_but_what_it_holds(shared: LargeAnswers) -> None:
    async with shared.open() as slow:
        assert slow.hold(1_500_000)
        for _ in range(9):
            async with shared.open() as other:
                assert other.hold(2_500_000)


async def test_an_answer_that_is_left_gives_back_what_it_held(shared: LargeAnswers) -> None:
    async with shared.open() as last:
        async with shared.open() as first, shared.open() as exempt:
            assert first.hold(4_000_000)
            assert exempt.hold(5_000_000)
            waiting = asyncio.create_task(last.room(2_000_000))
            await asyncio.sleep(0)
            assert not waiting.done()
        async with asyncio.timeout(10):
            await waiting
        async with shared.open() as other:
            assert other.hold(2_000_000)
            assert other.hold(4_000_000)
            assert not last.hold(2_500_000)


async def test_one_that_waited_and_was_cancelled_takes_nothing(shared: LargeAnswers) -> None:
    async with shared.open() as first, shared.open() as exempt:
        assert first.hold(4_000_000)
        assert exempt.hold(2_000_000)
        async with shared.open() as given_up:
            waiting = asyncio.create_task(given_up.room(2_000_000))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait([waiting])
        assert exempt.hold(10)
        assert first.hold(10)
        async with shared.open() as other:
            assert other.hold(4_000_000)
