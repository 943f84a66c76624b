"""`tailrace status`: shows how far a job is, or all queues and workers."""

import argparse
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from tailrace import Fleet, JobStatus, Tailrace, Timing
from tailrace.cli import event_loop
from tailrace.cli.display.json_lines import print_fleet, print_status
from tailrace.cli.options import add_json, add_redis_url, named_job
from tailrace.cli.tty.control_characters import visible_line

SUMMARY = "show how far a job is, or all queues and workers"

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
    add_json(parser, "the status as one line of JSON; times are Unix ms")
    add_redis_url(parser)
    parser.epilog = "example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g"


def run(arguments: argparse.Namespace) -> int:
    """Return 0, whatever the state of the job."""
    if arguments.job is None:
        fleet = event_loop.run(_fleet(arguments))
        if arguments.json:
            print_fleet(fleet)
        else:
            _show_fleet(fleet)
    else:
        status = event_loop.run(_status(arguments))
        if arguments.json:
            print_status(status)
        else:
            _show_status(status)
    return 0


async def _fleet(arguments: argparse.Namespace) -> Fleet:
    async with Tailrace.connect(arguments.redis_url) as tailrace:
        return await tailrace.fleet()


async def _status(arguments: argparse.Namespace) -> JobStatus:
    async with named_job(arguments) as job:
        return await job.status()


def _show_status(status: JobStatus) -> None:
    for line in _lines(status):
        print(visible_line(line))


def _lines(status: JobStatus) -> Iterable[str]:
    yield f"{status.state}, at {status.cursor} of its stream"
    # The record is missing if Redis evicted it.
    if status.queued_at:
        queued = datetime.fromtimestamp(status.queued_at / 1000, UTC).isoformat(" ", "milliseconds")
        yield f"{status.provider} {status.model}, queued {queued} in {status.queue!r} for {status.tenant!r}"
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


def _show_fleet(fleet: Fleet) -> None:
    _show_table(
        ("QUEUE", "DUE", "DEFERRED", "RUNNING", "OLDEST DUE"),
        (
            (queue.name, f"{queue.due:,}", f"{queue.deferred:,}", f"{queue.running:,}", _age(queue.oldest_due_seconds))
            for queue in fleet.queues
        ),
    )
    print()
    _show_table(
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
        f"{worker.name} cannot call {provider}: {problem}"
        for worker in fleet.workers
        for provider, problem in worker.problems.items()
    ]
    if problems:
        print()
    for line in problems:
        print(visible_line(line))


def _show_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    lines = [head, *([visible_line(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _age(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:,.1f} s"
