"""`tailrace regenerate`: enqueues a job's request again, as a new job."""

import argparse
import sys

from tailrace.cli import event_loop
from tailrace.cli.commands.tail import follow
from tailrace.cli.display.json_lines import print_json
from tailrace.cli.options import add_if_active, add_job, add_json, add_redis_url, named_job
from tailrace.request.request_fields import RequestChanges

SUMMARY = "enqueue a job's request again as a new job, and print its id"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the job, and the fields of its request to change."""
    add_job(parser)
    parser.add_argument("--model", help="another model of the same provider")
    parser.add_argument("--temperature", metavar="T", type=float, help="another temperature, 0 to 2")
    add_if_active(parser)
    parser.add_argument("--wait", action="store_true", help="show the answer as it grows, as 'tailrace tail' does")
    add_json(parser, "the id as JSON; with --wait, each event too")
    add_redis_url(parser)
    parser.epilog = "example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g --temperature 1 --wait"


def run(arguments: argparse.Namespace) -> int:
    """Return 0 after the new job is enqueued; with `--wait` the exit code of `tailrace tail`."""
    return event_loop.run(_regenerate(arguments))


async def _regenerate(arguments: argparse.Namespace) -> int:
    changes: RequestChanges = {}
    if arguments.model is not None:
        changes["model"] = arguments.model
    if arguments.temperature is not None:
        changes["temperature"] = arguments.temperature
    async with named_job(arguments) as job:
        again = await job.regenerate(if_active=arguments.if_active, **changes)
        if arguments.json:
            print_json(job_id=again.id)
        else:
            print(again.id, file=sys.stderr if arguments.wait else sys.stdout, flush=True)
        return await follow(again, arguments) if arguments.wait else 0
