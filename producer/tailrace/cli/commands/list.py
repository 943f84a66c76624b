"""`tailrace list`: lists the newest jobs of a tenant or of a conversation."""

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from typing import Final

from tailrace import JobState, JobStatus, Tailrace
from tailrace.cli import event_loop
from tailrace.cli.display.json_lines import print_status
from tailrace.cli.display.table import table
from tailrace.cli.options import add_json, add_redis_url

SUMMARY = "list the newest jobs"

_UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_HEAD: Final = ("JOB", "STATE", "AGE", "MODEL", "CONVERSATION", "LABELS")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that select jobs."""
    parser.add_argument("--tenant", default="default", help="the tenant whose jobs are listed (default: %(default)s)")
    parser.add_argument("--conversation", metavar="ID", help="list only the jobs of this conversation")
    parser.add_argument("--state", choices=tuple(map(str, JobState)), help="list only the jobs in this state")
    parser.add_argument(
        "--limit", metavar="N", type=int, default=20, help="list at most N jobs, 1 to 10,000 (default: %(default)s)"
    )
    add_json(parser, "each job as one line of JSON, as 'tailrace status' does")
    add_redis_url(parser)
    parser.epilog = (
        "The newest job comes first. A job is listed for as long as it is kept: by\n"
        "default for an hour after its ending. The number after 'queued' is the position\n"
        "in the queue: 1 is the job that is claimed next.\n\n"
        "example: %(prog)s --conversation chat-42 --state running"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0, even if there is no job."""
    jobs = event_loop.run(_list(arguments))
    if arguments.json:
        for status in jobs:
            print_status(status)
    else:
        print("\n".join(map(_cut, table(_HEAD, map(_row, jobs)))) if jobs else "no jobs")
    return 0


async def _list(arguments: argparse.Namespace) -> list[JobStatus]:
    async with Tailrace.connect(arguments.redis_url) as tailrace:
        return await tailrace.jobs(
            tenant=arguments.tenant,
            conversation=arguments.conversation,
            state=None if arguments.state is None else JobState(arguments.state),
            limit=arguments.limit,
        )


def _cut(line: str) -> str:
    """Cut a line at the edge of the terminal, if it is written to one."""
    width = shutil.get_terminal_size().columns
    return line[: width - 1] + "…" if sys.stdout.isatty() and len(line) > width else line


def _row(status: JobStatus) -> Sequence[str]:
    state = str(status.state) if status.position is None else f"{status.state} ({status.position:,})"
    labels = " ".join(f"{name}={value}" for name, value in status.labels.items())
    return (
        status.job_id,
        state,
        _age(status.queued_at),
        f"{status.provider} {status.model}",
        status.conversation or "-",
        labels or "-",
    )


def _age(queued_at: int) -> str:
    if not queued_at:
        return "-"
    seconds = max(0.0, time.time() - queued_at / 1000)
    size, unit = next((each for each in _UNITS if seconds >= each[0]), _UNITS[-1])
    return f"{int(seconds // size)} {unit}"
