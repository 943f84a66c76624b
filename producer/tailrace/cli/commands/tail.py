"""`tailrace tail`: shows answers as they grow."""

import argparse
import io
import sys

from tailrace import EntryId, InvalidCursor, Job
from tailrace.cli import event_loop, following
from tailrace.cli.display.choice import open_display
from tailrace.cli.options import add_jobs, add_redis_url, named_jobs
from tailrace.cursor import BEGINNING

SUMMARY = "show a job's answer as it grows, or several side by side"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the jobs, the cursor, and the form of the output."""
    add_jobs(parser)
    parser.add_argument("--after", metavar="ID", help="begin after this event, such as 1-17; with one job only")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_true", help="print the text unchanged, at a terminal too")
    form.add_argument("--json", action="store_true", help="print each event as a line of JSON on stdout")
    add_redis_url(parser)
    parser.epilog = (
        "At a terminal, with the extra 'cli' installed, the answer is shown as Markdown,\n"
        "above a status line, in which '~' marks an estimate of one token for 4 bytes.\n"
        "Otherwise, or with --raw, the text goes to stdout and everything else to stderr.\n\n"
        "Ctrl-C does not stop the jobs: at a terminal it asks whether to read on, to\n"
        "leave or to cancel. The exit code is 0 if all jobs completed, and 1 if one\n"
        "failed or was cancelled.\n\n"
        "example: %(prog)s hX3vJ0c2TqK9bWm5yRzA1g --after 1-17"
    )


def run(arguments: argparse.Namespace) -> int:
    """Return 0 if all jobs completed, 1 if one failed or was cancelled."""
    if arguments.after is not None and len(arguments.jobs) > 1:
        raise InvalidCursor(
            f"--after: a cursor belongs to one job, but {len(arguments.jobs)} jobs are given: "
            "tail one job, or omit --after."
        )
    after = BEGINNING if arguments.after is None else EntryId.parse(arguments.after)
    return event_loop.run(_run(arguments, after))


async def follow(job: Job, arguments: argparse.Namespace) -> int:
    """Show the answer of a job that was just enqueued.

    Args:
        job: The job.
        arguments: The parsed arguments of the verb, with `json` and `redis_url`.

    Returns:
        The exit code, as that of `run`.
    """
    display = open_display([job], as_json=arguments.json)
    return await following.follow([job], display, redis_url=arguments.redis_url)


async def _run(arguments: argparse.Namespace, after: EntryId) -> int:
    async with named_jobs(arguments) as jobs:
        if arguments.raw:
            _write_utf8()
        display = open_display(jobs, as_json=arguments.json, raw=arguments.raw)
        return await following.follow(jobs, display, after=after, redis_url=arguments.redis_url)


def _write_utf8() -> None:
    """Make stdout write UTF-8 to files and pipes, whatever the locale says."""
    if not sys.stdout.isatty() and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # pyright: ignore[reportUnknownMemberType]
