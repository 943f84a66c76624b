"""The whole path: a worker process, the real SDKs, and a server that speaks the providers' protocols."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from tailrace import CancelOutcome, GenerationRequest, Job, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.events import Cancelled, Completed, Failed, Started
from tailrace_worker.simulator import JournalEntry, Scenario, Simulator
from tests.support.processes import WorkerProcess, worker_process

PROVIDERS: Final = ["openai", "openai-responses", "anthropic"]
KEY: Final = "key-of-the-tests"


def request_for(provider: str, model: str, **fields: object) -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": provider, "model": model, "messages": [{"role": "user", "content": "Tell me."}], **fields}
    )


@pytest.fixture
async def worker(settings: Settings, simulator: Simulator) -> AsyncIterator[WorkerProcess]:
    entry = {"kind": "openai", "base_url": f"{simulator.url}/v1", "key_variable": "KEY_OF_MINE"}
    variables = {"TAILRACE_PROVIDERS": json.dumps({"mine": entry}), "KEY_OF_MINE": KEY, "TAILRACE_PROVIDER_TRIES": "2"}
    async with worker_process(settings, simulator, **variables) as worker:
        yield worker


async def spoken(job: Job) -> None:
    """Waits for the first text."""
    async for event in job.tail():
        if event.type == "delta":
            return


async def closed(simulator: Simulator) -> JournalEntry:
    """Waits until the simulator saw its only client leave."""
    async with asyncio.timeout(5):
        return await simulator.journal.until(lambda entry: entry.outcome not in {"open", "stalled"})


async def said_in(tailrace: Tailrace, request: GenerationRequest) -> tuple[list[Started], str, object]:
    """Runs a job: its starts, its text and its ending."""
    job = await tailrace.enqueue(request)
    async with asyncio.timeout(20):
        answer = await job.answer()
        starts = [event async for event in job.tail() if isinstance(event, Started)]
    return starts, answer.text, answer.ending


async def test_one_worker_runs_jobs_of_every_provider_to_their_endings(
    tailrace: Tailrace, simulator: Simulator, worker: WorkerProcess
) -> None:
    async with asyncio.timeout(50):
        for provider in [*PROVIDERS, "mine"]:
            for stream in (True, False):
                model = "demo?pieces=50&interval_ms=1"
                _, text, ending = await said_in(tailrace, request_for(provider, model, stream=stream))
                assert text == Scenario.parse(model).text_sent
                assert isinstance(ending, Completed)
                assert (ending.finish_reason, ending.output_tokens) == ("stop", 50)

            # Streaming: the connection is closed, and the ending says why.
            simulator.journal.clear()
            job = await tailrace.enqueue(request_for(provider, "demo?pieces=10000&interval_ms=5"))
            await spoken(job)
            assert await job.cancel("enough") is CancelOutcome.REQUESTED
            ending = (await job.answer()).ending
            assert isinstance(ending, Cancelled)
            assert ending.reason == "enough"
            assert (await closed(simulator)).outcome == "client_closed"

            # Silent: there is no first token yet, or no stream at all.
            for stream in (True, False):
                simulator.journal.clear()
                job = await tailrace.enqueue(request_for(provider, "demo?first_token_ms=60000", stream=stream))
                await simulator.journal.until(lambda entry: entry.outcome == "open")
                assert await job.cancel() is CancelOutcome.REQUESTED
                answer = await job.answer()
                assert isinstance(answer.ending, Cancelled)
                assert answer.text == ""
                assert (await closed(simulator)).outcome == "client_closed"
    assert KEY not in worker.log
    assert "Tell me" not in worker.log


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_each_fault_of_a_provider_has_its_failure_code(
    tailrace: Tailrace, worker: WorkerProcess, provider: str
) -> None:
    for fault, code in {
        "status=429&retry_after=0.1": "provider_rate_limited",
        "status=429&retry_after=7000": "provider_rate_limited",
        "status=529": "provider_overloaded",
        "status=401": "provider_authentication",
        "status=404": "model_not_found",
        "cut_after=3": "provider_interrupted",
        "close_after=3": "provider_interrupted",
        "malformed_after=3": "provider_malformed",
    }.items():
        model = f"demo?interval_ms=1&{fault}"
        starts, _, ending = await said_in(tailrace, request_for(provider, model, on_interrupt="fail"))
        assert isinstance(ending, Failed), fault
        assert ending.code == code, fault
        assert len(starts) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_an_interrupted_answer_continues_as_on_interrupt_says(
    tailrace: Tailrace, worker: WorkerProcess, provider: str
) -> None:
    for fault in ("cut_after=20", "close_after=20", "error_after=20", "malformed_after=20"):
        for on_interrupt in ("restart", "continue"):
            # Each model string of its own counts its own requests.
            model = f"demo?pieces=40&interval_ms=1&times=1&{fault}&first_token_ms={len(on_interrupt)}"
            starts, text, ending = await said_in(tailrace, request_for(provider, model, on_interrupt=on_interrupt))
            assert isinstance(ending, Completed), (fault, ending)
            assert text == Scenario.parse("demo?pieces=40").text_sent, (fault, on_interrupt)
            assert [start.continues for start in starts] == [
                False,
                on_interrupt == "continue" and provider == "anthropic",
            ]


async def test_a_call_that_fails_before_the_first_piece_is_repeated_and_then_a_fallback_is_called(
    tailrace: Tailrace, worker: WorkerProcess
) -> None:
    again = "demo?pieces=5&status=500&times=1"
    starts, text, _ = await said_in(tailrace, request_for("openai", again))
    assert (len(starts), text) == (1, Scenario.parse("demo?pieces=5").text_sent)

    request = request_for("openai", "demo?status=500", fallbacks=[{"provider": "anthropic", "model": "demo?pieces=5"}])
    job = await tailrace.enqueue(request)
    answer = await job.answer()
    assert answer.text == Scenario.parse("demo?pieces=5").text_sent
    assert [notice.code for notice in answer.notices] == ["fallback"]
    assert "continues with anthropic demo?pieces=5" in answer.notices[0].message


async def test_an_api_key_reaches_no_redis_key_event_error_or_log(
    tailrace: Tailrace, settings: Settings, worker: WorkerProcess
) -> None:
    for provider in [*PROVIDERS, "mine"]:
        for model in ("demo?pieces=3", "demo?status=401", "demo?cut_after=1", "demo?malformed_after=1"):
            _, _, ending = await said_in(tailrace, request_for(provider, model, on_interrupt="fail"))
            assert KEY not in repr(ending)
    broker = Broker(open_redis(settings.redis_url))
    for name in await broker.call("KEYS", "*"):
        assert KEY.encode() not in name + await _held(broker, name)
    await broker.aclose()
    assert KEY not in worker.log


async def _held(broker: Broker, name: bytes) -> bytes:
    """All that a key holds."""
    reads: dict[bytes, tuple[Any, ...]] = {
        b"string": ("GET", name),
        b"hash": ("HGETALL", name),
        b"stream": ("XRANGE", name, "-", "+"),
        b"zset": ("ZRANGE", name, 0, -1),
        b"list": ("LRANGE", name, 0, -1),
    }
    kind = await broker.call("TYPE", name)
    return repr(await broker.call(*reads[kind])).encode() if kind in reads else b""


@pytest.mark.parametrize("owner", ["OPENAI", "ANTHROPIC"])
async def test_a_job_whose_key_no_worker_has_fails_with_the_variables_name(
    owner: str, tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, **{f"{owner}_API_KEY": ""}) as worker:
        assert f"{owner}_API_KEY is not set" in worker.log
        for provider in (provider for provider in PROVIDERS if provider.startswith(owner.lower())):
            async with asyncio.timeout(10):
                ending = (await (await tailrace.enqueue(request_for(provider, "demo"))).answer()).ending
            assert isinstance(ending, Failed)
            assert ending.code == "provider_not_configured"
            assert f"{owner}_API_KEY" in ending.message


async def test_jobs_complete_although_another_worker_of_the_queue_lacks_their_key(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with (
        worker_process(settings, simulator, OPENAI_API_KEY=""),
        worker_process(settings, simulator, ANTHROPIC_API_KEY=""),
    ):
        jobs = [await tailrace.enqueue(request_for(provider, "demo")) for provider in PROVIDERS * 10]
        answers = await asyncio.gather(*(job.answer() for job in jobs))
    assert {type(answer.ending) for answer in answers} == {Completed}
    assert {answer.attempt for answer in answers} == {1}
