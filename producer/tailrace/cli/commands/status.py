"""`tailrace status`: shows how far a job is, or all queues and workers."""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Final, TypeVar

from tailrace import Fleet, JobStatus, Tailrace, Timing
from tailrace.cli import event_loop
from tailrace.cli.display.json_lines import print_fleet, print_status
from tailrace.cli.display.table import table
from tailrace.cli.display.watch import open_watch
from tailrace.cli.options import add_json, add_redis_url, named_job
from tailrace.cli.tty.control_characters import visible_line
from tailrace.events import ENDINGS

_T = TypeVar("_T")

SUMMARY = "show how far a job is, or all queues and workers"

_WATCH_SECONDS: Final = 0.5
_MEASURES: Final = {
    "queued_ms": "queued {:,} ms",
    "ttft_ms": "first token after {:,} ms",
    "tokens_per_second": "{:,.1f} tokens/s",
    "duration_ms": "ran {:,} ms",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job, which is optional."""
    parser.add_argument(
        "job", metavar="JOB", nargs="?", help="the id of a job; without one, all queues and workers are shown"
    )
    parser.add_argument(
        "--watch", action="store_true", help="go on showing changes: of a job until its ending, otherwise until Ctrl-C"
    )
    add_json(parser, "the status as one line of JSON; with --watch, one line for each change")
    add_redis_url(parser)
    parser.epilog = (
        "In JSON, points in time are Unix ms. The exit code is 0 in whatever state the\n"
        "job is, and 1 if there is no such job.\n\n"
        "example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g --watch"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0, whatever the state of the job."""
    event_loop.run(_fleet(arguments) if arguments.job is None else _job(arguments))
    return 0


async def _fleet(arguments: argparse.Namespace) -> None:
    async with Tailrace.connect(arguments.redis_url) as tailrace:
        await _show(tailrace.fleet, _lines_of_fleet, print_fleet, arguments, is_over=lambda _: False)


async def _job(arguments: argparse.Namespace) -> None:
    async with named_job(arguments) as job:
        await _show(job.status, _lines_of_status, print_status, arguments, is_over=_has_ended)


async def _show(
    read: Callable[[], Awaitable[_T]],
    lines: Callable[[_T], list[str]],
    print_as_json: Callable[[_T], None],
    arguments: argparse.Namespace,
    *,
    is_over: Callable[[_T], bool],
) -> None:
    """Show what is read: once, or again and again until it is over."""
    read_now = await read()
    if not arguments.watch:
        if arguments.json:
            print_as_json(read_now)
        else:
            print("\n".join(lines(read_now)))
        return
    before: _T | None = None
    async with open_watch() if not arguments.json else nullcontext() as watch:
        while True:
            if watch is not None:
                watch.show(lines(read_now))
            elif read_now != before:
                print_as_json(read_now)
            if is_over(read_now):
                return
            before = read_now
            await asyncio.sleep(_WATCH_SECONDS)
            read_now = await read()


def _has_ended(status: JobStatus) -> bool:
    return status.state in ENDINGS


def _lines_of_status(status: JobStatus) -> list[str]:
    return [visible_line(line) for line in _lines(status)]


def _lines(status: JobStatus) -> Iterable[str]:
    yield f"{status.state}, at {status.cursor} of its stream"
    # The record is missing if Redis evicted it.
    if status.queued_at:
        queued = datetime.fromtimestamp(status.queued_at / 1000, UTC).isoformat(" ", "milliseconds")
        yield f"{status.provider} {status.model}, queued {queued} in {status.queue!r} for {status.tenant!r}"
    if status.position is not None:
        yield f"position {status.position:,} in its queue"
    if status.conversation is not None:
        yield f"conversation {status.conversation!r}"
    if status.labels:
        yield ", ".join(f"{name}={value}" for name, value in status.labels.items())
    if status.attempt is not None:
        yield f"attempt {status.attempt}, on worker {status.worker}"
    if status.code is not None:
        yield f"{status.code}: {status.message}"
    if status.timing is not None and (measures := _measures(status.timing)):
        yield ", ".join(measures)
    if status.regenerated_from is not None:
        yield f"regenerated from {status.regenerated_from}"
    for job_id in status.regenerated_as:
        yield f"regenerated as {job_id}"


def _measures(timing: Timing) -> list[str]:
    return [
        form.format(value) + (f" ({timing.verdicts[name]})" if name in timing.verdicts else "")
        for name, form in _MEASURES.items()
        if (value := getattr(timing, name)) is not None
    ]


def _lines_of_fleet(fleet: Fleet) -> list[str]:
    queues = table(
        ("QUEUE", "DUE", "DEFERRED", "RUNNING", "OLDEST DUE"),
        (
            (queue.name, f"{queue.due:,}", f"{queue.deferred:,}", f"{queue.running:,}", _age(queue.oldest_due_seconds))
            for queue in fleet.queues
        ),
    )
    workers = table(
        ("WORKER", "RUNNING", "MAX JOBS", "LAST BEAT", "QUEUES", "PROVIDERS"),
        (
            (
                worker.name,
                f"{worker.running:,}",
                f"{worker.max_jobs:,}",
                _age(worker.beat_age_seconds),
                ",".join(worker.queues),
                "-" if worker.providers is None else ",".join(worker.providers),
            )
            for worker in fleet.workers
        ),
    )
    problems = [
        visible_line(f"{worker.name} cannot call {provider}: {problem}")
        for worker in fleet.workers
        for provider, problem in worker.problems.items()
    ]
    return [*queues, "", *workers, *([""] if problems else []), *problems]


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.1f} s"
