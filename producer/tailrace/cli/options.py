"""The arguments that verbs share, and the job that they name."""

import argparse
from collections.abc import AsyncGenerator
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
    tailrace = Tailrace.connect(arguments.redis_url)
    job = tailrace.job(arguments.job)
    async with tailrace:
        yield job
