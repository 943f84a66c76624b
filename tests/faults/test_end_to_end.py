"""The whole path: a worker process, the real SDKs, and a server that speaks the providers' protocols."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tailrace import CancelOutcome, GenerationRequest, Job, Settings, Tailrace
from tailrace.events import Cancelled, Completed, Failed
from tailrace_worker.simulator import Entry, Scenario, Simulator
from tests.processes import WorkerProcess, worker_process

PROVIDERS = ["openai", "anthropic"]


def request_for(provider: str, model: str) -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": provider, "model": model, "messages": [{"role": "user", "content": "Tell me."}]}
    )


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
async def worker(settings: Settings, simulator: Simulator) -> AsyncIterator[WorkerProcess]:
    async with worker_process(settings, simulator) as worker:
        yield worker


async def spoken(job: Job) -> None:
    """Waits for the first text."""
    async for event in job.tail():
        if event.type == "delta":
            return


async def closed(simulator: Simulator) -> Entry:
    """Waits until the simulator saw its only client leave."""
    async with asyncio.timeout(5):
        return await simulator.journal.until(lambda entry: entry.outcome not in {"open", "stalled"})


async def test_one_worker_runs_jobs_of_all_kinds_to_their_endings(
    tailrace: Tailrace, simulator: Simulator, worker: WorkerProcess
) -> None:
    async with asyncio.timeout(40):
        for provider in PROVIDERS:
            model = "demo?pieces=50&interval_ms=1"
            answer = await (await tailrace.enqueue(request_for(provider, model))).answer()
            assert answer.text == Scenario.parse(model).text_sent
            assert isinstance(answer.ending, Completed)
            assert answer.ending.finish_reason == "stop"
            assert answer.output_tokens == 50

            # Streaming: the connection is closed, and the ending says why.
            simulator.journal.clear()
            job = await tailrace.enqueue(request_for(provider, "demo?pieces=10000&interval_ms=5"))
            await spoken(job)
            assert await job.cancel("enough") is CancelOutcome.REQUESTED
            ending = (await job.answer()).ending
            assert isinstance(ending, Cancelled)
            assert ending.reason == "enough"
            assert (await closed(simulator)).outcome == "client_closed"

            # Silent: there is no first token yet.
            simulator.journal.clear()
            job = await tailrace.enqueue(request_for(provider, "demo?first_token_ms=60000"))
            await simulator.journal.until(lambda entry: entry.outcome == "open")
            assert await job.cancel() is CancelOutcome.REQUESTED
            answer = await job.answer()
            assert isinstance(answer.ending, Cancelled)
            assert answer.text == ""
            assert (await closed(simulator)).outcome == "client_closed"

            # Faults of the provider.
            for fault, code in {
                "status=429&retry_after=7": "provider_rate_limited",
                "status=529": "provider_overloaded",
                "status=401": "provider_authentication",
                "status=404": "model_not_found",
                "cut_after=3": "provider_interrupted",
                "close_after=3": "provider_interrupted",
                "malformed_after=3": "provider_malformed",
            }.items():
                answer = await (await tailrace.enqueue(request_for(provider, f"demo?interval_ms=1&{fault}"))).answer()
                assert isinstance(answer.ending, Failed), fault
                assert answer.ending.code == code, fault
    assert "key-of-the-tests" not in worker.log
    assert "Tell me" not in worker.log


async def test_a_worker_without_a_key_fails_the_job_with_the_variables_name(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, OPENAI_API_KEY="", ANTHROPIC_API_KEY=""):
        for provider in PROVIDERS:
            ending = (await (await tailrace.enqueue(request_for(provider, "demo"))).answer()).ending
            assert isinstance(ending, Failed)
            assert ending.code in {"provider_not_configured", "provider_authentication"}
            assert f"{provider.upper()}_API_KEY" in ending.message
