"""Answers whose worker is gone: the next worker continues their text, or begins them again."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tailrace import Event, GenerationRequest, Job, Tailrace
from tailrace.broker.client import Broker
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Box, Citation, Delta, Notice, Reasoning, Refusal, Started, ToolCall
from tailrace.protocol.attempts import Carried
from tailrace.protocol.keys import Keys, arq_retry, new_job_id
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.generation import Generations
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.providers.base import Content
from tailrace_worker.publishing.losses import StreamLost
from tailrace_worker.publishing.stream_writer import StreamWriter
from tests.support.streams import answer_of, events_of, failure_of, run_unclaimed, said, texts, writing
from tests.worker.conftest import OpenGenerations, Puppet

CUT = ProviderError("Acme broke off its answer.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)
REJECTED = ProviderError("Acme takes no beginning.", code=FailureCode.PROVIDER_REJECTED, retryable=False)


@pytest.fixture
def puppet() -> Puppet:
    puppet = Puppet()
    puppet.prefills = True
    return puppet


@pytest.fixture
def request_(request_: GenerationRequest) -> GenerationRequest:
    return request_.model_copy(update={"on_interrupt": "continue"})


@asynccontextmanager
async def broken_off(generations: Generations, job: Job, *pieces: Content) -> AsyncGenerator[StreamWriter]:
    """The first attempt, which has written these pieces and writes no more by itself."""
    async with writing(generations, job) as writer:
        for piece in pieces:
            writer.write(piece)
        await writer.settled()
        yield writer


async def take_over(generations: Generations, job: Job, puppet: Puppet, *rest: str, attempt: int = 2) -> list[Event]:
    """The next attempt says the rest: all events of the job."""
    puppet.say(*rest)
    puppet.finish()
    await run_unclaimed(generations, job.id, attempt)
    return await events_of(job)


def continues(events: list[Event]) -> list[bool]:
    return [event.continues for event in events if isinstance(event, Started)]


def beginning(request: GenerationRequest) -> list[Any]:
    """What the provider was given of its own answer."""
    return [message.get("content") for message in request.messages if message["role"] == "assistant"]


async def test_a_takeover_continues_the_text_so_far(job: Job, generations: Generations, puppet: Puppet) -> None:
    async with broken_off(generations, job, Delta(text="Once "), Delta(text="upon ")) as gone:
        events = await take_over(generations, job, puppet, " a", " time")
        gone.write(Delta(text="there was"))
        with pytest.raises(StreamLost):
            await gone.settled()
    assert continues(events) == [False, True]
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    assert answer_of(await events_of(job)).text == "Once upon a time"
    assert [beginning(request) for request in puppet.requests] == [["Once upon"]]


async def test_all_attempts_that_belong_together_are_continued(
    job: Job, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    puppet.say("Once")
    puppet.put(CUT, REJECTED)
    puppet.say("Twice ")
    puppet.put(CUT)
    puppet.say("upon ")
    async with open_generations(provider_tries=1) as first:
        running = asyncio.create_task(run_unclaimed(first, job.id, 1))
        await first.broker.call("SET", arq_retry(job.id), 1, "EX", 60)
        await said(job, "upon ")
        running.cancel()
        await asyncio.wait([running])
    async with open_generations() as second:
        events = await take_over(second, job, puppet, "a time", attempt=5)
    assert continues(events) == [False, True, False, True, True]
    assert answer_of(events).text == "Twice upon a time"
    assert beginning(puppet.requests[-1]) == ["Twice upon"]


async def test_a_long_text_is_read_to_its_beginning(job: Job, generations: Generations, puppet: Puppet) -> None:
    words = [f"{number} " for number in range(450)]
    async with writing(generations, job) as writer:
        for word in words:
            writer.write(Delta(text=word))
            await writer.settled()
    events = await take_over(generations, job, puppet, "end")
    assert len(texts(events)) == len(words) + 1
    assert answer_of(events).text == "".join([*words, "end"])
    assert beginning(puppet.requests[-1]) == ["".join(words).rstrip()]


@pytest.mark.parametrize(
    "piece",
    [Reasoning(text="Hm."), ToolCall(index=0, call_id="c", name="look"), Refusal(text="No.")],
    ids=lambda piece: piece.type,
)
async def test_an_answer_of_more_than_text_begins_again(
    job: Job, generations: Generations, puppet: Puppet, piece: Content
) -> None:
    async with broken_off(generations, job, piece, Delta(text="Once")):
        events = await take_over(generations, job, puppet, "Twice")
    assert continues(events) == [False, False]
    assert answer_of(events).text == "Twice"
    assert beginning(puppet.requests[-1]) == []


async def test_what_stands_beside_the_text_stays(job: Job, generations: Generations, puppet: Puppet) -> None:
    beside = (
        Notice(code="server_tool", message="web_search"),
        Delta(text="Mills: "),
        Box(label="mill", x1=1, y1=2, x2=3, y2=4, start=0, end=5),
        Citation(source="web", url="https://a.example", start=0, end=5),
    )
    async with broken_off(generations, job, *beside):
        events = await take_over(generations, job, puppet, "they turn")
    answer = answer_of(events)
    assert continues(events) == [False, True]
    assert answer.text == "Mills: they turn"
    assert (len(answer.notices), len(answer.boxes), len(answer.citations)) == (1, 1, 1)


@pytest.mark.parametrize("text", ["", " \n"])
async def test_an_answer_without_text_begins_again(
    job: Job, generations: Generations, puppet: Puppet, text: str
) -> None:
    async with broken_off(generations, job, Delta(text=text)):
        events = await take_over(generations, job, puppet, "Twice")
    assert continues(events) == [False, False]
    assert answer_of(events).text == "Twice"


async def test_an_answer_of_a_provider_that_cannot_continue_begins_again(
    job: Job, generations: Generations, puppet: Puppet
) -> None:
    puppet.prefills = False
    async with broken_off(generations, job, Delta(text="Once")):
        events = await take_over(generations, job, puppet, "Twice")
    assert continues(events) == [False, False]
    assert beginning(puppet.requests[-1]) == []


async def test_an_answer_with_a_gap_begins_again(
    job: Job, generations: Generations, puppet: Puppet, broker: Broker, keys: Keys
) -> None:
    async with writing(generations, job) as writer:
        for text in ("Once ", "upon ", "a "):
            writer.write(Delta(text=text))
            await writer.settled()
    assert await broker.call("XDEL", keys.events(job.id), "1-4") == 1
    events = await take_over(generations, job, puppet, "Twice")
    assert continues(events) == [False, False]
    assert answer_of(events).text == "Twice"


async def test_an_answer_whose_end_redis_may_have_lost_begins_again(
    job: Job, generations: Generations, puppet: Puppet, broker: Broker, keys: Keys
) -> None:
    async with broken_off(generations, job, Delta(text="Once ")):
        await broker.call("HSET", keys.record(job.id), "history", "another")
        with pytest.raises(PutBack):
            await run_unclaimed(generations, job.id, 2)
        attempt = int(await broker.call("GET", arq_retry(job.id))) + 1
        events = await take_over(generations, job, puppet, "Twice ", attempt=attempt)
    assert continues(events) == [False, False]
    assert answer_of(events).text == "Twice "


async def test_an_answer_that_began_after_the_loss_is_continued(
    job: Job, generations: Generations, open_generations: OpenGenerations, puppet: Puppet, broker: Broker, keys: Keys
) -> None:
    async with broken_off(generations, job, Delta(text="Once ")):
        await broker.call("HSET", keys.record(job.id), "history", "another")
        with pytest.raises(PutBack):
            await run_unclaimed(generations, job.id, 2)
    attempt = int(await broker.call("GET", arq_retry(job.id))) + 1
    puppet.say("Twice ")
    running = asyncio.create_task(run_unclaimed(generations, job.id, attempt))
    await said(job, "Twice ")
    running.cancel()
    await asyncio.wait([running])
    events = await take_over(generations, job, puppet, "upon", attempt=attempt + 1)
    assert continues(events) == [False, False, True]
    assert answer_of(events).text == "Twice upon"


async def test_text_that_comes_while_the_answer_is_read_is_not_lost(
    job: Job, generations: Generations, puppet: Puppet, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker that was thought to be lost still writes, until the next attempt begins."""
    call = generations.broker.call
    async with broken_off(generations, job, Delta(text="Once ")) as alive:

        async def slow(*command: Any) -> Any:
            reply = await call(*command)
            if command[0] == "XREVRANGE":
                monkeypatch.undo()
                alive.write(Delta(text="upon "))
                await alive.settled()
            return reply

        monkeypatch.setattr(generations.broker, "call", slow)
        with pytest.raises(PutBack) as back:
            await run_unclaimed(generations, job.id, 2)
        assert back.value.seconds == 0
        assert puppet.requests == []
        assert await broker.call("GET", arq_retry(job.id)) == b"1"
        events = await take_over(generations, job, puppet, "a time")
    assert continues(events) == [False, True]
    assert answer_of(events).text == "Once upon a time"


async def test_the_bytes_of_all_attempts_count(job: Job, open_generations: OpenGenerations, puppet: Puppet) -> None:
    said_before = Delta(text="é" * 500), Notice(code="n", message="m" * 19)
    async with (
        open_generations(max_answer_bytes=1_024) as generations,
        broken_off(generations, job, *said_before),
    ):
        puppet.say("1234", "5")
        await run_unclaimed(generations, job.id, 2)
    assert (await failure_of(job)).code == "too_long"
    assert continues(await events_of(job)) == [False, True]
    assert (await job.answer()).text == "é" * 500 + "1234"


async def test_a_longer_answer_than_this_worker_allows_begins_again(
    job: Job, open_generations: OpenGenerations, puppet: Puppet
) -> None:
    async with (
        open_generations(max_answer_bytes=1_024) as generations,
        broken_off(generations, job, Delta(text="o" * 1_025)),
    ):
        events = await take_over(generations, job, puppet, "Twice")
    assert continues(events) == [False, False]
    assert answer_of(events).text == "Twice"


async def test_a_fallback_is_continued_as_a_fallback(
    tailrace: Tailrace, open_generations: OpenGenerations, request_: GenerationRequest, puppet: Puppet
) -> None:
    fallbacks = [{"provider": "openai", "model": model} for model in ("second", "third")]
    job = await tailrace.enqueue(request_.model_copy(update={"fallbacks": fallbacks}))
    puppet.say("Once ")
    puppet.put(ProviderError("Acme wants money.", code=FailureCode.PROVIDER_QUOTA_EXCEEDED, retryable=False))
    puppet.say("upon ")
    async with open_generations(provider_tries=1) as first:
        await first.broker.call("SET", arq_retry(job.id), 1, "EX", 60)
        running = asyncio.create_task(run_unclaimed(first, job.id, 1))
        await said(job, "upon ")
        running.cancel()
        await asyncio.wait([running])
    async with open_generations(provider_tries=1) as second:
        await second.broker.call("SET", arq_retry(job.id), 3, "EX", 60)
        puppet.put(REJECTED)
        events = await take_over(second, job, puppet, "Twice", attempt=3)
    assert [request.model for request in puppet.requests] == ["puppet", "second", "second", "second"]
    assert [event.model for event in events if isinstance(event, Started)] == ["puppet", *["second"] * 3]
    assert continues(events) == [False, True, True, False]
    assert [event.id.attempt for event in events if isinstance(event, Notice)] == [2, 4]
    answer = answer_of(events)
    assert answer.text == "Twice"
    (notice,) = answer.notices
    assert notice.message == "openai puppet failed. The job continues with openai second."


async def test_a_notice_about_the_messages_is_not_repeated(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    guards = [{"type": "redact", "words": ["Hi"]}]
    job = await tailrace.enqueue(request_.model_copy(update={"input_guards": guards}))
    puppet.say("Once ")
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1))
    await said(job, "Once ")
    running.cancel()
    await asyncio.wait([running])
    events = await take_over(generations, job, puppet, "upon")
    assert continues(events) == [False, True]
    assert [notice.code for notice in answer_of(events).notices] == ["redacted"]
    assert puppet.requests[-1].messages[0] == puppet.requests[0].messages[0]


async def test_a_job_of_a_stock_client_is_continued_too(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    job = tailrace.job(new_job_id())
    body = json.dumps(request_.model_dump(exclude_defaults=True))
    carried = Carried(request=body, provider="openai", model="puppet", queue="default")
    puppet.say("Once ")
    running = asyncio.create_task(run_unclaimed(generations, job.id, 1, carried=carried))
    await puppet.called.wait()
    await said(job, "Once ")
    running.cancel()
    await asyncio.wait([running])
    puppet.say("upon")
    puppet.finish()
    await run_unclaimed(generations, job.id, 2, carried=carried)
    events = await events_of(job)
    assert continues(events) == [False, True]
    assert answer_of(events).text == "Once upon"


async def test_an_answer_begins_again_if_only_a_nested_field_says_continue(
    tailrace: Tailrace, generations: Generations, request_: GenerationRequest, puppet: Puppet
) -> None:
    nested = {"on_interrupt": "restart", "extra": {"metadata": {"on_interrupt": "continue"}}}
    job = await tailrace.enqueue(request_.model_copy(update=nested))
    async with broken_off(generations, job, Delta(text="Once")):
        events = await take_over(generations, job, puppet, "Twice")
    assert continues(events) == [False, False]
    assert answer_of(events).text == "Twice"


@pytest.mark.parametrize(
    ("on_interrupt", "attempt", "reads"), [("continue", 1, False), ("restart", 2, False), ("continue", 2, True)]
)
async def test_only_an_answer_that_may_be_continued_costs_more_round_trips(
    tailrace: Tailrace,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    on_interrupt: str,
    attempt: int,
    reads: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = await tailrace.enqueue(request_.model_copy(update={"on_interrupt": on_interrupt}))
    if attempt > 1:
        async with broken_off(generations, job, Delta(text="Once ")):
            pass
    commands: list[object] = []
    call = generations.broker.call

    async def counted(*command: Any) -> Any:
        if not puppet.called.is_set():
            commands.append(command[0])
        return await call(*command)

    monkeypatch.setattr(generations.broker, "call", counted)
    await take_over(generations, job, puppet, "upon", attempt=attempt)
    assert [name for name in commands if name in {"EVAL", "XREVRANGE"}] == (
        ["EVAL", "XREVRANGE", "EVAL"] if reads else ["EVAL"]
    )


async def test_an_answer_that_ends_by_a_cancel_is_not_read(job: Job, generations: Generations, puppet: Puppet) -> None:
    async with broken_off(generations, job, Delta(text="Once ")):
        await job.cancel()
        await run_unclaimed(generations, job.id, 2)
    events = await events_of(job)
    assert [event.type for event in events] == ["queued", "started", "delta", "cancelled"]
    assert puppet.requests == []


@pytest.mark.slow
class TestWithABrokerOfItsOwn:
    @pytest.fixture
    def broker_url(self, own_broker: EmbeddedBroker) -> str:
        return own_broker.url

    async def test_an_answer_begins_again_if_redis_does_not_tell_of_losses(
        self,
        tailrace: Tailrace,
        generations: Generations,
        request_: GenerationRequest,
        puppet: Puppet,
        broker: Broker,
    ) -> None:
        """Without INFO nobody knows whether Redis has restarted."""
        await broker.call("ACL", "SETUSER", "default", "-info")
        job = await tailrace.enqueue(request_)
        async with broken_off(generations, job, Delta(text="Once ")):
            events = await take_over(generations, job, puppet, "Twice")
        assert continues(events) == [False, False]
        assert answer_of(events).text == "Twice"
