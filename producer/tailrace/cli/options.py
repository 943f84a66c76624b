"""The arguments that verbs share, and the job that they name."""

import argparse
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from tailrace import Job, Tailrace


def add_redis_url(parser: argparse.ArgumentParser) -> None:
    """Every verb that talks to Redis takes its URL."""
    parser.add_argument("--redis-url", metavar="URL", help="where Redis is (TAILRACE_REDIS_URL)")


def add_json(parser: argparse.ArgumentParser, what: str) -> None:
    """Every verb that prints data prints it as JSON too."""
    parser.add_argument("--json", action="store_true", help=f"print {what}")


def add_job(parser: argparse.ArgumentParser) -> None:
    """The job, where a verb is about one."""
    parser.add_argument("job", metavar="JOB", help="the id of the job; after '--' where it begins with '-'")


@asynccontextmanager
async def named_job(arguments: argparse.Namespace) -> AsyncGenerator[Job]:
    """Connects to Redis, and gives the job that was named.

    Raises:
        InvalidJobId: Before anything is connected.
    """
    async with _connected(arguments, [arguments.job]) as (job,):
        yield job


@asynccontextmanager
async def named_jobs(arguments: argparse.Namespace) -> AsyncGenerator[list[Job]]:
    """The same where several may be named, each once."""
    async with _connected(arguments, arguments.jobs) as jobs:
        yield jobs


@asynccontextmanager
async def _connected(arguments: argparse.Namespace, ids: Iterable[str]) -> AsyncGenerator[list[Job]]:
    tailrace = Tailrace.connect(arguments.redis_url)
    jobs = [tailrace.job(job_id) for job_id in dict.fromkeys(ids)]
    async with tailrace:
        yield jobs
