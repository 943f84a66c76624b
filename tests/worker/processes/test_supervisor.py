"""Several worker processes under one command: they are kept at their number, and end with it."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Final

import psutil
import pytest

from tailrace import Event, GenerationRequest, Job, Settings, Tailrace
from tailrace_worker.processes.supervisor import Supervisor, SupervisorTimings
from tailrace_worker.simulator import Simulator
from tests.support.eventually import eventually
from tests.support.processes import worker_process

TWO: Final = ("--processes", "2", "--max-jobs", "1")
STREAM: Final = "demo?pieces=200&interval_ms=10"
SILENT: Final = "demo?first_token_ms=3600000"

pytestmark = [pytest.mark.timeout(120), pytest.mark.process]


async def enqueue(tailrace: Tailrace, model: str) -> Job:
    return await tailrace.enqueue(
        GenerationRequest.model_validate(
            {"provider": "openai", "model": model, "messages": [{"role": "user", "content": "Hi"}]}
        )
    )


async def said(job: Job, type_: str) -> Event:
    async with asyncio.timeout(40):
        async for event in job.tail():
            if event.type == type_:
                return event
    raise AssertionError(f"the job ended without {type_!r}")


async def workers(tailrace: Tailrace) -> set[int]:
    """The process ids of the workers, as they tell them."""
    return {int(worker.name.rpartition(":")[2]) for worker in (await tailrace.fleet()).workers}


async def two_workers(tailrace: Tailrace, *, besides: int = 0) -> set[int]:
    """Waits until there are two of them."""

    async def are_there() -> bool:
        return len(await workers(tailrace) - {besides}) == 2

    await eventually(are_there, within_seconds=40)
    return await workers(tailrace) - {besides}


def children(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def are_gone(processes: list[psutil.Process]) -> bool:
    """An orphan's zombie is left to whatever runs as process 1, which may not care."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


async def test_each_process_is_a_worker_and_one_that_is_killed_is_replaced(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, *TWO, TAILRACE_GRACE_SECONDS="0") as supervised:
        first, _ = await two_workers(tailrace)
        os.kill(first, signal.SIGKILL)
        pids = await two_workers(tailrace, besides=first)
        started = [await said(await enqueue(tailrace, SILENT), "started") for _ in pids]
        assert {int(event.worker.rpartition(":")[2]) for event in started if event.type == "started"} == pids
        assert supervised.log.count(f"worker process {first} ended with exit code 137: a new one starts in 0.5 s") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_lets_all_of_them_finish_what_they_run(
    tailrace: Tailrace, settings: Settings, simulator: Simulator, number: signal.Signals
) -> None:
    async with worker_process(settings, simulator, *TWO) as supervised:
        await two_workers(tailrace)
        jobs = [await enqueue(tailrace, STREAM) for _ in range(2)]
        for job in jobs:
            await said(job, "delta")
        processes = children(supervised.pid)
        supervised.signal(number)
        late = await enqueue(tailrace, STREAM)
        assert await supervised.ended() == 0
        assert are_gone(processes)
    assert [(await job.answer()).finish_reason for job in jobs] == ["stop", "stop"]
    assert (await late.status()).state == "queued"
    assert await workers(tailrace) == set()


async def test_a_second_signal_makes_all_of_them_hand_back_at_once(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, *TWO, TAILRACE_GRACE_SECONDS="3600") as supervised:
        await two_workers(tailrace)
        jobs = [await enqueue(tailrace, SILENT) for _ in range(2)]
        for job in jobs:
            await said(job, "started")
        supervised.signal(signal.SIGTERM)
        await eventually(lambda: supervised.log.count("no more jobs are claimed") == 2)
        supervised.signal(signal.SIGTERM)
        assert await supervised.ended() == 0
    assert supervised.log.count("1 jobs are handed back") == 2
    (queue,) = (await tailrace.fleet()).queues
    assert queue.running == 2
    assert [(await job.status()).state for job in jobs] == ["running", "running"]


async def test_a_supervisor_that_is_killed_leaves_nothing(
    tailrace: Tailrace, settings: Settings, simulator: Simulator
) -> None:
    async with worker_process(settings, simulator, *TWO) as supervised:
        await two_workers(tailrace)
        processes = children(supervised.pid)
        assert len(processes) == 4
        supervised.signal(signal.SIGKILL)
        await eventually(lambda: are_gone(processes))
    assert await workers(tailrace) == set()


async def test_a_worker_that_cannot_start_ends_the_command_with_its_code_and_its_line(settings: Settings) -> None:
    environment = {**os.environ, "TAILRACE_REDIS_URL": "redis://127.0.0.1:1", "OPENAI_API_KEY": "any"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tailrace.cli", "worker", "--processes", "2"),
        env=environment,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            _, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 1
    assert b"tailrace worker: Redis at redis://127.0.0.1:1 cannot be reached" in said
    assert b"a worker process cannot be started (exit code 1)" in said


def supervise(
    tmp_path: Path, program: str, *, processes: int = 1, timings: SupervisorTimings | None = None
) -> Supervisor:
    """Supervises a program that knows in `runs` how often it has been started, itself included."""
    counted = f"""
import os, signal, time
with open({str(tmp_path / "runs")!r}, "a+") as file:
    print("run", file=file, flush=True)
    file.seek(0)
    runs = len(file.readlines())
{program}
"""
    command = [sys.executable, "-S", "-c", counted]
    return Supervisor(command, processes=processes, grace_seconds=10, timings=timings)


async def run(supervised: Supervisor) -> int:
    async with asyncio.timeout(30):
        return await supervised.run()


def waits(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was said of the processes that ended unasked."""
    return [record.getMessage().partition(": ")[2] for record in caplog.records if record.levelno == logging.WARNING]


async def test_who_ends_again_and_again_is_started_at_longer_and_longer_intervals(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    timings = SupervisorTimings(first_wait_seconds=0.01, longest_wait_seconds=0.03)
    # A failure as such is not misuse: it ran before.
    assert await run(supervise(tmp_path, "raise SystemExit([3, 0, 1, 1, 2][runs - 1])", timings=timings)) == 2
    assert waits(caplog) == [f"a new one starts in {seconds} s" for seconds in (0.01, 0.02, 0.03, 0.03)]


async def test_who_was_healthy_is_started_again_soon(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    timings = SupervisorTimings(first_wait_seconds=0.01, healthy_seconds=0.0)
    assert await run(supervise(tmp_path, "raise SystemExit(1 if runs < 4 else 2)", timings=timings)) == 2
    assert waits(caplog) == ["a new one starts in 0.01 s"] * 3


async def test_misuse_ends_the_others_too(tmp_path: Path) -> None:
    assert await run(supervise(tmp_path, "time.sleep(60 if runs == 1 else 0); raise SystemExit(2)", processes=2)) == 2


async def test_a_signal_ends_the_wait_for_the_next_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    running = asyncio.create_task(run(supervise(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")))
    await eventually(lambda: waits(caplog) != [])
    signal.raise_signal(signal.SIGTERM)
    assert await running == 0
    assert (tmp_path / "runs").read_text().count("run") == 1
