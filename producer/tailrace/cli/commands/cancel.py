"""`tailrace cancel`: stops a job."""

import argparse
from typing import Final

from tailrace import CancelOutcome
from tailrace.cli import event_loop
from tailrace.cli.display.json_lines import print_json
from tailrace.cli.options import add_job, add_json, add_redis_url, named_job

SUMMARY = "stop a job, whether it is waiting or running"

_MEANING: Final = {
    CancelOutcome.CANCELLED: "it had not started, and never will",
    CancelOutcome.REQUESTED: "its worker stops it within 100 ms",
    CancelOutcome.ENDED: "it had already ended; nothing changed",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job and the reason."""
    add_job(parser)
    parser.add_argument("--reason", metavar="TEXT", default="", help="the reason in the job's ending")
    add_json(parser, "the outcome as JSON: cancelled, requested or ended")
    add_redis_url(parser)
    parser.epilog = 'example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g --reason "user pressed stop"'


def run(arguments: argparse.Namespace) -> int:
    """Return 0, even if the job had ended already."""
    outcome = event_loop.run(_cancel(arguments))
    if arguments.json:
        print_json(job_id=arguments.job, outcome=outcome)
    else:
        print(f"{outcome}: {_MEANING[outcome]}")
    return 0


async def _cancel(arguments: argparse.Namespace) -> CancelOutcome:
    async with named_job(arguments) as job:
        return await job.cancel(arguments.reason)
