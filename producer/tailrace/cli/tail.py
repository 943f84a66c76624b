"""`tailrace tail`: prints a job's answer as it grows."""

import argparse
import asyncio
import shlex
from contextlib import aclosing

from tailrace import BrokerUnavailable, EntryId, Job, JobState
from tailrace.broker import without_password
from tailrace.cli import event_loop
from tailrace.cli.options import add_job, add_json, add_redis_url, named_job
from tailrace.cli.output import PlainText, print_event
from tailrace.keys import BEGINNING

SUMMARY = "print a job's answer as it grows"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The job, and where to begin."""
    add_job(parser)
    parser.add_argument("--after", metavar="ID", default=str(BEGINNING), help="go on after this event, such as 1-17")
    add_json(parser, "each event as a line of JSON on stdout")
    add_redis_url(parser)
    parser.epilog = (
        "The text goes to stdout, all else to stderr. Exits 0 when the job completed, 1 when it failed or was\n"
        "cancelled. Leaving the tail (Ctrl-C) costs the job nothing.\n\n"
        "example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g --after 1-17"
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 when the job completed, 1 when it failed or was cancelled."""
    return event_loop.run(_run(arguments, EntryId.parse(arguments.after)))


async def _run(arguments: argparse.Namespace, after: EntryId) -> int:
    async with named_job(arguments) as job:
        return await follow(job, arguments, after=after)


async def follow(job: Job, arguments: argparse.Namespace, *, after: EntryId = BEGINNING) -> int:
    """Prints the events of a job up to its ending, as `json` asks for it. Returns what `run` does."""
    cursor = after
    last = ""
    plain = PlainText()
    show = print_event if arguments.json else plain.show
    try:
        async with aclosing(job.tail(after=after)) as events:
            async for event in events:
                show(event)
                cursor, last = event.id, event.type
        if not last:
            last = (await job.status()).state
            plain.say(f"{last}: nothing follows {after}")
    except (asyncio.CancelledError, BrokerUnavailable):
        url = ["--redis-url", without_password(arguments.redis_url)] if arguments.redis_url else []
        plain.say(
            "The job goes on. To read on: " + shlex.join(["tailrace", "tail", job.id, "--after", str(cursor), *url])
        )
        raise
    return 0 if last == JobState.COMPLETED else 1
