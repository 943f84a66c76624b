"""`generate` in a service's own arq worker, which arq itself runs."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

import pytest
from arq.connections import ArqRedis, RedisSettings, create_pool
from arq.utils import args_to_string

from tailrace import BrokerUnavailable, GenerationRequest, Job, Settings, Tailrace
from tailrace.protocol.keys import arq_in_progress, arq_job, arq_result, arq_retry
from tailrace_worker import stock_arq
from tailrace_worker.app import open_generations
from tailrace_worker.generation import Generations
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.job_body import to_json
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.simulator import Simulator
from tests.support.eventually import eventually

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "examples" / "stock_arq_worker.py"
QUEUE: Final = "tailrace:queue:mine"


def asking(model: str) -> dict[str, Any]:
    return {"provider": "openai", "model": model, "messages": [{"role": "user", "content": "Hi"}]}


def test_the_worker_of_the_documentation_is_the_example() -> None:
    settings = EXAMPLE.read_text().partition("class WorkerSettings:")[2]
    assert f"\nclass WorkerSettings:{settings}```" in (ROOT / "docs" / "guides" / "existing-arq.md").read_text()


class ArqProcess:
    """`arq`, running the example."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.log = ""

    async def read(self) -> None:
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.log += line.decode()


class TestTheExample:
    """On a server of its own: it uses the usual prefix."""

    @pytest.fixture
    def settings(self, own_broker: EmbeddedBroker) -> Settings:
        return Settings.read(redis_url=own_broker.url)

    @pytest.fixture
    async def stock(self, settings: Settings) -> AsyncIterator[ArqRedis]:
        client = await create_pool(
            RedisSettings.from_dsn(settings.redis_url),
            job_serializer=to_json,
            job_deserializer=json.loads,
            default_queue_name=QUEUE,
        )
        yield client
        await client.aclose(close_connection_pool=True)

    @pytest.fixture
    async def worker(self, settings: Settings) -> AsyncIterator[ArqProcess]:
        async with Simulator() as simulator:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "arq", "examples.stock_arq_worker.WorkerSettings"),
                cwd=ROOT,
                env={
                    **os.environ,
                    "TAILRACE_REDIS_URL": settings.redis_url,
                    "OPENAI_API_KEY": "key-of-the-tests",
                    "OPENAI_BASE_URL": f"{simulator.url}/v1",
                    "NO_PROXY": "127.0.0.1",
                },
                stderr=asyncio.subprocess.PIPE,
            )
            worker = ArqProcess(process)
            reading = asyncio.create_task(worker.read())
            await eventually(lambda: "Starting worker for 2 functions: greet, generate" in worker.log)
            yield worker
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading

    async def test_it_runs_the_jobs_of_both_kinds_of_client_and_functions_of_its_own(
        self, tailrace: Tailrace, stock: ArqRedis, worker: ArqProcess
    ) -> None:
        ours = await tailrace.enqueue(GenerationRequest.model_validate(asking("demo")), queue="mine")
        enqueued = await stock.enqueue_job("generate", asking("demo"))
        assert enqueued is not None
        theirs = tailrace.job(enqueued.job_id)
        await stock.enqueue_job("greet", "Ada")
        async with asyncio.timeout(30):
            assert (await ours.answer()).finish_reason == "stop"
            assert (await theirs.answer()).finish_reason == "stop"
        await eventually(lambda: "Hello, Ada." in worker.log)
        assert "messages" not in worker.log
        assert (await theirs.status()).queue == "mine"
        for job in (ours, theirs):
            await eventually(partial(is_gone, stock, job.id))

    @pytest.mark.usefixtures("worker")
    async def test_its_jobs_can_be_cancelled(self, tailrace: Tailrace, stock: ArqRedis) -> None:
        job = await running(tailrace)
        await job.cancel("enough")
        assert [event.type for event in [event async for event in job.tail()]][-1] == "cancelled"
        await eventually(partial(is_gone, stock, job.id))

    async def test_it_ends_in_good_order_and_its_jobs_wait_for_the_next_one(
        self, tailrace: Tailrace, stock: ArqRedis, worker: ArqProcess
    ) -> None:
        job = await running(tailrace)
        worker.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await worker.process.wait() == 0, worker.log
        assert (await job.status()).state == "running"
        assert await stock.zscore(QUEUE, job.id) is not None


async def running(tailrace: Tailrace) -> Job:
    """A job whose provider is silent."""
    request = GenerationRequest.model_validate(asking("demo?first_token_ms=3600000"))
    job = await tailrace.enqueue(request, queue="mine")
    async with asyncio.timeout(20):
        async for event in job.tail():
            if event.type == "started":
                break
    return job


async def is_gone(stock: ArqRedis, job_id: str) -> bool:
    """Whether nothing of the job is left on the queue's side."""
    return not await stock.exists(arq_job(job_id), arq_in_progress(job_id), arq_retry(job_id), arq_result(job_id))


def context(queue_name: str = QUEUE) -> dict[Any, Any]:
    return {"redis": SimpleNamespace(default_queue_name=queue_name)}


@asynccontextmanager
async def fake_generations(settings: WorkerSettings) -> AsyncGenerator[object]:
    yield settings


async def test_it_is_opened_and_closed_from_different_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks: list[object] = []

    @asynccontextmanager
    async def generations(settings: WorkerSettings) -> AsyncGenerator[object]:
        tasks.append(asyncio.current_task())
        async with asyncio.TaskGroup():
            yield settings
        tasks.append(asyncio.current_task())

    monkeypatch.setattr(stock_arq, "open_generations", generations)
    ctx = context()
    await asyncio.create_task(stock_arq.on_startup(ctx))
    await asyncio.create_task(stock_arq.on_shutdown(ctx))
    opened, closed = tasks
    assert opened is closed


@pytest.mark.parametrize(("queue_name", "queue"), [(QUEUE, "mine"), ("arq:queue", "arq:queue")])
async def test_what_a_stock_client_enqueues_is_told_with_the_queue_of_the_worker(
    monkeypatch: pytest.MonkeyPatch, queue_name: str, queue: str
) -> None:
    monkeypatch.setattr(stock_arq, "open_generations", fake_generations)
    ctx = context(queue_name)
    await stock_arq.on_startup(ctx)
    assert ctx["generations"].queues == (queue,)
    await stock_arq.on_shutdown(ctx)


async def test_a_redis_that_cannot_be_reached_is_told_at_the_start_and_only_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def nowhere(settings: WorkerSettings) -> AbstractAsyncContextManager[Generations]:
        return open_generations(settings.model_copy(update={"redis_url": "redis://127.0.0.1:1"}))

    monkeypatch.setattr(stock_arq, "open_generations", nowhere)
    ctx = context()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        await stock_arq.on_startup(ctx)
    await stock_arq.on_shutdown(ctx)
    await stock_arq.on_shutdown(context())


async def test_a_defect_beside_the_jobs_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    broken, terminated = asyncio.Event(), asyncio.Event()

    async def break_when_told() -> None:
        await broken.wait()
        raise ValueError("a defect")

    @asynccontextmanager
    async def generations(settings: WorkerSettings) -> AsyncGenerator[object]:
        async with asyncio.TaskGroup() as beside:
            beside.create_task(break_when_told())
            yield settings

    monkeypatch.setattr(stock_arq, "open_generations", generations)
    ctx = context()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, terminated.set)
    try:
        await stock_arq.on_startup(ctx)
        broken.set()
        async with asyncio.timeout(5):
            await terminated.wait()
        with pytest.raises(ExceptionGroup, match="TaskGroup"):
            await stock_arq.on_shutdown(ctx)
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def test_the_arguments_of_a_generation_are_not_logged_and_those_of_other_functions_are_as_they_came() -> None:
    body = {"t": None, "a": [asking("demo")], "k": {"request": asking("demo")}, "et": 1}
    read = stock_arq.job_deserializer(to_json({**body, "f": "generate"}))
    assert "demo" not in args_to_string(read["a"], read["k"])
    others = {**body, "f": "greet"}
    assert stock_arq.job_deserializer(to_json(others)) == others
