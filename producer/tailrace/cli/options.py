"""The arguments that several verbs have, and the job that they name."""

import argparse
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from tailrace import Job, Tailrace


def add_redis_url(parser: argparse.ArgumentParser) -> None:
    """Add the URL of Redis, for every verb that uses Redis."""
    parser.add_argument("--redis-url", metavar="URL", help="the URL of Redis (default: TAILRACE_REDIS_URL)")


def add_port(parser: argparse.ArgumentParser, *, default: int) -> None:
    """Add the port, for every verb that serves.

    Args:
        parser: The parser of the verb.
        default: The port if none is given.
    """
    parser.add_argument(
        "--port", type=_port, default=default, help="the port to listen on; 0 takes a free one (default: %(default)s)"
    )


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: give a number from 0 to 65535")
    return int(text)


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--json`, for every verb that prints data.

    Args:
        parser: The parser of the verb.
        what: What is printed as JSON, for the help.
    """
    parser.add_argument("--json", action="store_true", help=f"print {what}")


def add_job(parser: argparse.ArgumentParser) -> None:
    """Add the job, for verbs that need one."""
    parser.add_argument("job", metavar="JOB", help="the id of the job; after '--' if it begins with '-'")


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Add the jobs, for verbs that take several."""
    parser.add_argument("jobs", metavar="JOB", nargs="+", help="the id of a job; after '--' if it begins with '-'")


def add_if_active(parser: argparse.ArgumentParser) -> None:
    """Add what happens to an active job, for verbs that enqueue."""
    parser.add_argument(
        "--if-active",
        choices=("reject", "interrupt"),
        default="reject",
        help="if the conversation has an active job: fail, or cancel that job (default: %(default)s)",
    )


@asynccontextmanager
async def named_job(arguments: argparse.Namespace) -> AsyncGenerator[Job]:
    """Connect to Redis, and yield the job that the arguments name.

    Args:
        arguments: The parsed arguments of the verb.

    Yields:
        The job.

    Raises:
        InvalidJobId: The id is not a job id. Raised before Redis is connected.
    """
    async with _connected(arguments, [arguments.job]) as (job,):
        yield job


@asynccontextmanager
async def named_jobs(arguments: argparse.Namespace) -> AsyncGenerator[list[Job]]:
    """Connect to Redis, and yield the jobs that the arguments name, each once.

    Args:
        arguments: The parsed arguments of the verb.

    Yields:
        The jobs, in the order of their first mention.

    Raises:
        InvalidJobId: An id is not a job id. Raised before Redis is connected.
    """
    async with _connected(arguments, arguments.jobs) as jobs:
        yield jobs


@asynccontextmanager
async def _connected(arguments: argparse.Namespace, ids: Iterable[str]) -> AsyncGenerator[list[Job]]:
    tailrace = Tailrace.connect(arguments.redis_url)
    jobs = [tailrace.job(job_id) for job_id in dict.fromkeys(ids)]
    async with tailrace:
        yield jobs
