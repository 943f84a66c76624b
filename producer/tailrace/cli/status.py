"""`tailrace status`: tells how far a job is."""

import argparse
from datetime import UTC, datetime

from tailrace import JobStatus
from tailrace.cli import event_loop
from tailrace.cli.options import add_job, add_json, add_redis_url, named_job
from tailrace.cli.output import print_status

SUMMARY = "tell how far a job is"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job."""
    add_job(parser)
    add_json(parser, "the status as JSON, with times in Unix ms")
    add_redis_url(parser)
    parser.epilog = "example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g"


def run(arguments: argparse.Namespace) -> int:
    """Returns 0, however far the job is."""
    status = event_loop.run(_status(arguments))
    if arguments.json:
        print_status(status)
    else:
        queued = datetime.fromtimestamp(status.queued_at / 1000, UTC).isoformat(" ", "milliseconds")
        print(f"{status.state}, at {status.cursor} of its stream")
        print(f"{status.provider} {status.model}, queued {queued} in {status.queue!r} for {status.tenant!r}")
    return 0


async def _status(arguments: argparse.Namespace) -> JobStatus:
    async with named_job(arguments) as job:
        return await job.status()
