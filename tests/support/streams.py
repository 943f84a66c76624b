"""Beginning an attempt by hand, and looking at what was written of a job."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from tailrace import Answer, Event, Job
from tailrace.events import Completed, Delta, Failed
from tailrace.protocol import attempts
from tailrace.protocol.attempts import Began, Carried
from tailrace_worker.generation import Generations
from tailrace_worker.publishing.losses import StreamLost
from tailrace_worker.publishing.stream_writer import StreamWriter
from tailrace_worker.queueing.holds import UnclaimedHold

ENDING = Completed(at=1, finish_reason="stop")


async def begin(generations: Generations, job: Job, attempt: int = 1) -> Began:
    began = await attempts.begin(
        generations.broker,
        generations.keys,
        job.id,
        attempt=attempt,
        worker=generations.worker,
        reason="worker_lost",
        max_lost=3,
        life_seconds=60,
        keep_seconds=60,
    )
    assert isinstance(began, Began)
    return began


@asynccontextmanager
async def writing(generations: Generations, job: Job, attempt: int = 1) -> AsyncGenerator[StreamWriter]:
    """Begins an attempt, and writes to its stream."""
    with generations.publisher.open(job.id, await begin(generations, job, attempt), ignore) as writer:
        yield writer


async def run_unclaimed(generations: Generations, job_id: str, attempt: int, *, carried: Carried | None = None) -> None:
    """Run a job as a stock arq worker does, that has no claim on it."""
    await generations.run(job_id, attempt, UnclaimedHold(generations.broker, job_id), carried=carried)


async def read(job: Job, count: int) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(10):
        async for event in job.tail():
            events.append(event)
            if len(events) == count:
                break
    return events


async def events_of(job: Job) -> list[Event]:
    """All events, to the ending."""
    async with asyncio.timeout(40):
        return [event async for event in job.tail()]


async def failure_of(job: Job) -> Failed:
    """The ending, which has to be a failure."""
    ending = (await job.answer()).ending
    assert isinstance(ending, Failed)
    return ending


async def said(job: Job, text: str) -> list[Event]:
    """Waits until the stream has said a text; returns the events so far."""
    events: list[Event] = []
    async with asyncio.timeout(10):
        async for event in job.tail():
            events.append(event)
            if text in "".join(texts(events)):
                break
    return events


def answer_of(events: Iterable[Event]) -> Answer:
    answer = Answer()
    for event in events:
        answer.add(event)
    return answer


def ignore(lost: StreamLost) -> None:
    """For tests that look at the writer itself."""


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Delta)]
