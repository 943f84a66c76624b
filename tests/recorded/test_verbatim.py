"""Every recorded stream as the answer to a verbatim request: what the job's stream in Redis has of it."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from tailrace import Answer, Event, Job, Tailrace, VerbatimRequest
from tailrace.api_kinds import API_KINDS, ApiKind
from tailrace.errors import FailureCode
from tailrace.events import Cancelled, Completed, Failed, Started
from tailrace.raw_frames import Frame, FrameDecoder
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Provider
from tailrace_worker.providers.http.sse import EventStreamDecoder
from tests.recorded.folded import asking
from tests.recorded.replay import Transcript, needed, transcripts
from tests.support.streams import events_of, run_unclaimed
from tests.worker.conftest import OpenGenerations, open_generations, puppet, running_worker

__all__ = ["open_generations", "puppet"]  # fixtures

needed()
pytestmark = [pytest.mark.redis, pytest.mark.slow]

QUOTA = "openai-responses-error-quota"
LONG: Mapping[ApiKind, str] = {
    "openai": "openai-chat-text-long",
    "openai-responses": "openai-responses-text-long",
    "anthropic": "anthropic-messages-text-long",
}
PASSING = {"id", "raw", "token", "worker", "at", "queued_ms", "ttft_ms", "duration_ms", "tokens_per_second"}
"""What differs from job to job."""

each_one = pytest.mark.parametrize("transcript", transcripts(), ids=str)
each_kind = pytest.mark.parametrize("kind", API_KINDS)


OpenWorker = Callable[[], AbstractAsyncContextManager[Generations]]


@pytest.fixture
def open_worker(open_generations: OpenGenerations, providers: Mapping[str, Provider]) -> OpenWorker:
    """Opens what a worker's jobs share, with the real adapters."""

    @asynccontextmanager
    async def opened() -> AsyncGenerator[Generations]:
        async with open_generations() as worker:
            calls = Calls(providers, RateLimits(worker.broker, worker.keys), worker.settings)
            yield replace(worker, calls=calls)

    return opened


@pytest.fixture
async def generations(open_worker: OpenWorker) -> AsyncIterator[Generations]:
    async with open_worker() as opened:
        yield opened


def verbatim(transcript: Transcript, way: str = "", **fields: Any) -> VerbatimRequest:
    body: dict[str, Any] = {"model": transcript.name + way, "messages": [], "stream": "whatever"}
    return VerbatimRequest.model_validate({"provider": transcript.kind, "body": body, **fields})


def long(kind: ApiKind) -> Transcript:
    return next(each for each in transcripts(kind) if each.name == LONG[kind])


def sent(transcript: Transcript) -> list[Frame]:
    """What the provider sends, as any client reads it."""
    decoder = EventStreamDecoder()
    return [Frame(*event) for event in [*decoder.feed(transcript.body()), *decoder.end()]]


def framed(events: list[Event]) -> list[Frame]:
    """The frames of the last attempt."""
    starts = [place for place, event in enumerate(events) if isinstance(event, Started)]
    decoder = FrameDecoder()
    raws = [getattr(event, "raw", None) for event in events[starts[-1] :]]
    frames = [frame for raw in raws if raw for frame in decoder.feed(raw)]
    assert not decoder.is_within
    return frames


def normalised(events: list[Event]) -> list[Any]:
    """What the events have beside the frames, without the cuts between them, which the time of arrival decides."""
    grown: dict[Any, str] = {}
    others: list[Any] = []
    for event in events:
        fields = {name: value for name, value in event.to_dict().items() if name not in PASSING}
        kind = fields.pop("type")
        for name in fields.keys() & {"text", "arguments"}:
            key = (kind, fields.get("index"))
            grown[key] = grown.get(key, "") + fields.pop(name)
        if fields.keys() - {"index"}:
            others.append((kind, fields))
    return [grown, others]


async def run(tailrace: Tailrace, generations: Generations, request: Any) -> list[Event]:
    job = await tailrace.enqueue(request)
    await run_unclaimed(generations, job.id, 1)
    return await events_of(job)


@pytest.mark.parametrize("way", ["", "?split=97&crlf=1"])
@each_one
async def test_the_frames_come_back_byte_for_byte_beside_the_same_content(
    transcript: Transcript, way: str, tailrace: Tailrace, generations: Generations
) -> None:
    events = await run(tailrace, generations, verbatim(transcript, way))

    translated = await run(tailrace, generations, asking(transcript.kind, transcript.name + way))
    assert framed(events) == sent(transcript)
    assert normalised(events) == normalised(translated)
    assert isinstance(events[-1], Failed if transcript.name == QUOTA else Completed)


@each_one
async def test_after_the_loss_of_its_worker_an_answer_begins_again_with_all_its_frames(
    transcript: Transcript, tailrace: Tailrace, open_worker: OpenWorker
) -> None:
    half = len(sent(transcript)) // 2
    job = await tailrace.enqueue(verbatim(transcript, f"?stall={half}&stall_s=1"))
    async with open_worker() as lost:
        running = asyncio.create_task(run_unclaimed(lost, job.id, 1))
        await in_the_middle(job, half)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    async with open_worker() as other:
        await run_unclaimed(other, job.id, 2)
    events = await events_of(job)
    assert [event.attempt for event in events if isinstance(event, Started)] == [1, 2]
    assert framed(events) == sent(transcript)


async def in_the_middle(job: Job, sent_frames: int) -> None:
    """Wait for the first frames. Three or fewer wait for content, and may not come."""
    async with asyncio.timeout(20), job.tail() as tail:
        async for event in tail:
            if getattr(event, "raw", None) or (sent_frames <= 3 and isinstance(event, Started)):
                return


@each_kind
async def test_a_cancel_in_the_middle_leaves_the_frames_before_it(
    kind: ApiKind, tailrace: Tailrace, generations: Generations
) -> None:
    transcript = long(kind)
    async with running_worker(generations):
        job = await tailrace.enqueue(verbatim(transcript, "?stall=5&stall_s=30"))
        await in_the_middle(job, 5)
        await job.cancel()
        events = await events_of(job)
    frames = framed(events)
    assert isinstance(events[-1], Cancelled)
    assert frames
    assert frames == sent(transcript)[: len(frames)]


@pytest.mark.parametrize(
    "guard", [{"type": "block", "words": ["xylophone"]}, {"type": "moderate"}], ids=["block", "moderate"]
)
@each_one
async def test_guards_that_let_an_answer_through_change_no_byte_of_it(
    transcript: Transcript, guard: dict[str, Any], tailrace: Tailrace, generations: Generations
) -> None:
    events = await run(tailrace, generations, verbatim(transcript, guards=[guard]))
    assert framed(events) == sent(transcript)


@each_kind
async def test_a_guard_that_stops_an_answer_lets_no_frame_with_its_match_through(
    kind: ApiKind, tailrace: Tailrace, generations: Generations
) -> None:
    transcript = long(kind)
    words = Answer()
    for event in await run(tailrace, generations, asking(kind, transcript.name)):
        words.add(event)
    word = max(set(re.findall(r"\w+", words.text)) - set(re.findall(r"\w+", words.text[:200])), key=len)
    events = await run(tailrace, generations, verbatim(transcript, guards=[{"type": "block", "words": [word]}]))
    ending = events[-1]
    assert isinstance(ending, Failed)
    assert (ending.code, ending.raw) == (FailureCode.CONTENT_BLOCKED, None)
    frames = framed(events)
    shown = Answer()
    for event in events:
        shown.add(event)
    assert frames == sent(transcript)[: len(frames)]
    assert words.text.startswith(shown.text)
    assert re.search(rf"\b{word}\b", shown.text) is None
    assert len(shown.text) > 100
