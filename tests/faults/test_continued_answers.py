"""Answers of workers that are killed or stopped in mid-answer: other workers continue the text, or begin again."""

import asyncio
import signal
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

import pytest

from tailrace import Answer, Event, GenerationRequest, Job, Settings, Tailrace
from tailrace.events import Started
from tailrace_worker.simulator import Scenario, Simulator
from tests.support.processes import WorkerProcess, worker_process
from tests.support.streams import events_of, texts

QUICK: Final = {"TAILRACE_LEASE_SECONDS": "1"}
STREAM: Final = "demo?pieces=60&interval_ms=80"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def asking(model: str = STREAM, provider: str = "anthropic", on_interrupt: str = "continue") -> GenerationRequest:
    return GenerationRequest.model_validate(
        {
            "provider": provider,
            "model": model,
            "messages": [{"role": "user", "content": "Tell me."}],
            "on_interrupt": on_interrupt,
        }
    )


async def said(job: Job, type_: str = "delta", *, attempt: int = 1, count: int = 3) -> None:
    """Waits until an attempt has said so much of a type."""
    async with asyncio.timeout(40):
        async for event in job.tail():
            count -= event.type == type_ and event.id.attempt == attempt
            if not count:
                return


@pytest.fixture
async def doomed(settings: Settings, simulator: Simulator) -> AsyncIterator[WorkerProcess]:
    """The worker that begins the answers."""
    async with worker_process(settings, simulator, **QUICK, TAILRACE_GRACE_SECONDS="0") as worker:
        yield worker


@asynccontextmanager
async def followed_by_another(
    doomed: WorkerProcess, how: signal.Signals, settings: Settings, simulator: Simulator
) -> AsyncGenerator[None]:
    """Ends the worker, and runs another."""
    doomed.signal(how)
    await doomed.ended()
    async with worker_process(settings, simulator, **QUICK):
        yield


def starts(events: list[Event]) -> list[tuple[str | None, bool]]:
    return [(event.reason, event.continues) for event in events if isinstance(event, Started)]


def assert_whole(events: list[Event], model: str) -> None:
    answer = Answer()
    for event in events:
        answer.add(event)
    assert [event.id.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "completed"
    assert answer.text == Scenario.parse(model).text_sent


@pytest.mark.parametrize(
    ("how", "reason"),
    [(signal.SIGKILL, "worker_lost"), (signal.SIGTERM, "worker_shutdown")],
    ids=["killed", "stopped"],
)
async def test_another_worker_continues_the_text_and_no_character_is_lost_or_doubled(
    tailrace: Tailrace,
    settings: Settings,
    simulator: Simulator,
    doomed: WorkerProcess,
    how: signal.Signals,
    reason: str,
) -> None:
    job = await tailrace.enqueue(asking())
    reading = asyncio.create_task(events_of(job))
    await said(job)
    async with followed_by_another(doomed, how, settings, simulator):
        events = await reading
    assert starts(events) == [(None, False), (reason, True)]
    assert_whole(events, STREAM)
    # A reader that takes nothing back has the same text.
    assert "".join(texts(events)) == Scenario.parse(STREAM).text_sent
    assert simulator.journal.entries[-1].pieces_sent < Scenario.parse(STREAM).pieces


async def test_many_answers_survive_one_worker_after_the_other(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    jobs = [await tailrace.enqueue(asking()) for _ in range(10)]
    async with AsyncExitStack() as stack:
        for attempt in (1, 2):
            worker = await stack.enter_async_context(worker_process(settings, simulator, **QUICK))
            for job in jobs:
                await said(job, attempt=attempt)
            worker.signal(signal.SIGKILL)
        await stack.enter_async_context(worker_process(settings, simulator, **QUICK))
        streams = [await events_of(job) for job in jobs]
    for events in streams:
        assert_whole(events, STREAM)
        assert "".join(texts(events)) == Scenario.parse(STREAM).text_sent
    assert sum(continues for events in streams for _, continues in starts(events)) >= len(jobs)


@pytest.mark.parametrize(
    ("provider", "model", "on_interrupt", "seen"),
    [
        ("openai", STREAM, "continue", {}),
        ("openai-responses", STREAM, "continue", {}),
        ("anthropic", STREAM, "restart", {}),
        ("anthropic", f"{STREAM}&reasoning=3", "continue", {}),
        ("anthropic", "demo?pieces=2&interval_ms=600&tools=1", "continue", {"type_": "tool_call", "count": 1}),
    ],
    ids=["Chat Completions", "Responses", "restart", "reasoning", "tools"],
)
async def test_what_cannot_be_continued_begins_again(
    tailrace: Tailrace,
    settings: Settings,
    simulator: Simulator,
    doomed: WorkerProcess,
    provider: str,
    model: str,
    on_interrupt: str,
    seen: dict[str, Any],
) -> None:
    job = await tailrace.enqueue(asking(model, provider, on_interrupt))
    await said(job, **seen)
    async with followed_by_another(doomed, signal.SIGKILL, settings, simulator):
        events = await events_of(job)
    assert starts(events) == [(None, False), ("worker_lost", False)]
    assert_whole(events, model)
