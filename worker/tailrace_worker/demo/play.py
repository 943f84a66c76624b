"""Plays the demo: two jobs side by side, and then a job that is cancelled."""

import asyncio
import signal
import time

from tailrace.broker.causes import without_password
from tailrace.errors import TailraceError
from tailrace.events import Cancelled, Delta, Failed
from tailrace.job import Job
from tailrace.protocol.keys import Keys
from tailrace_worker.demo.job import DemoJob, DemoScreen, Update
from tailrace_worker.demo.question import OPENAI_QUESTION, QUESTIONS
from tailrace_worker.demo.stage import Stage, open_stage
from tailrace_worker.processes.provider_apis import simulated_apis

_SECONDS_BEFORE_CANCEL = 1.0
_SECONDS_TO_HEAR_OF_A_DEATH = 0.5


class JobFailed(TailraceError):
    """A job of the demo did not have the expected ending."""


async def play(screen: DemoScreen, redis_url: str | None) -> None:
    """Play the demo once.

    Args:
        screen: Shows the demo.
        redis_url: The URL of Redis; `None` for that of the environment, or else a new Valkey server.

    Raises:
        JobFailed: A job failed, for example because a provider rejected its request.
        InvalidSettings: The URL or a variable of the environment is not valid.
        InfrastructureError: Redis cannot be reached, or a process of the demo has ended.
    """
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    # SIGTERM cancels the task instead of killing the process, so that the terminal gets its cursor back.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    screen.heading("Starting the parts of a deployment, as processes on this machine:")
    async with open_stage(screen, redis_url) as stage:
        await _play_side_by_side(screen, stage)
        await _play_cancel(screen, stage)
        screen.heading("Done. The processes are stopped.")
    variables = " or ".join(api.key_variable for api in simulated_apis())
    if variables:
        screen.fact("next", f"set {variables} to get answers from a real model")


async def _play_side_by_side(screen: DemoScreen, stage: Stage) -> None:
    screen.heading("Enqueuing two jobs. The worker streams the answers into Redis, and the demo reads them there:")
    jobs = [await stage.tailrace.enqueue(each.short_request(), queue=stage.queue) for each in QUESTIONS]
    for question, job in zip(QUESTIONS, jobs, strict=True):
        screen.fact(question.api.provider, f"job {job.id} asks: {question.text}")
    events = Keys(stage.settings.prefix).events(jobs[0].id)
    screen.fact("inspect", f"redis-cli -u {without_password(stage.settings.redis_url)} XRANGE '{events}' - +")
    shown = [DemoJob(each.api.provider, each.model_title) for each in QUESTIONS]
    with screen.jobs(*shown) as update:
        await asyncio.gather(*(_follow(job, each, update) for job, each in zip(jobs, shown, strict=True)))
    for each in shown:
        await _check(each)


async def _follow(job: Job, shown: DemoJob, update: Update) -> None:
    async for event in job.tail():
        shown.add(event)
        update(shown)


async def _play_cancel(screen: DemoScreen, stage: Stage) -> None:
    screen.heading("Enqueuing a third job with a long answer. It is cancelled one second after its first text:")
    job = await stage.tailrace.enqueue(OPENAI_QUESTION.long_request(), queue=stage.queue)
    shown = DemoJob("long", OPENAI_QUESTION.model_title)
    cancelling: asyncio.Task[float] | None = None
    with screen.jobs(shown) as update:
        async for event in job.tail():
            shown.add(event)
            update(shown)
            if isinstance(event, Delta) and cancelling is None:
                cancelling = asyncio.create_task(_cancel(stage.tailrace.job(job.id)))
    ended_at = time.perf_counter()
    await _check(shown)
    if cancelling is None or not isinstance(shown.answer.ending, Cancelled):
        raise JobFailed("The long job had completed before it was cancelled.")
    elapsed_ms = (ended_at - await cancelling) * 1000
    screen.fact("cancelled", f"{elapsed_ms:.0f} ms from the call of cancel() to the ending in the stream")


async def _cancel(job: Job) -> float:
    """Cancel the job after a moment, and return when `cancel` was called."""
    await asyncio.sleep(_SECONDS_BEFORE_CANCEL)
    called_at = time.perf_counter()
    await job.cancel("cancelled by the demo")
    return called_at


async def _check(shown: DemoJob) -> None:
    if isinstance(shown.answer.ending, Failed):
        # If the simulator died, its jobs fail a moment before its death is reported. Only its death should be reported.
        await asyncio.sleep(_SECONDS_TO_HEAR_OF_A_DEATH)
        raise JobFailed(f"The job of {shown.label} failed, {shown.answer.ending.code}: {shown.answer.ending.message}")
