"""`tailrace delete`: deletes jobs."""

import argparse
import sys

from tailrace import JobNotFound
from tailrace.cli import event_loop
from tailrace.cli.options import add_jobs, add_redis_url, named_jobs

SUMMARY = "delete jobs with their requests and answers, at once"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs."""
    add_jobs(parser)
    add_redis_url(parser)
    parser.epilog = (
        "A job that runs is stopped and gets no ending. To keep its text, use\n"
        "'tailrace cancel'. The exit code is 0 if all jobs were deleted, and 1 if one was\n"
        "not found.\n\n"
        "example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0 if all jobs were deleted, 1 if one was not found."""
    return event_loop.run(_delete(arguments))


async def _delete(arguments: argparse.Namespace) -> int:
    code = 0
    async with named_jobs(arguments) as jobs:
        for job in jobs:
            try:
                await job.delete()
            except JobNotFound as error:
                print(error, file=sys.stderr)
                code = 1
            else:
                print(f"deleted {job.id}", flush=True)
    return code
