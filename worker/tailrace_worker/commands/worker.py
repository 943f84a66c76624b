"""`tailrace worker`: runs jobs until a signal stops it."""

import argparse
import asyncio
import gc
import logging
import sys
from typing import Final

from tailrace.cli.log_format import LOG_FORMAT

SUMMARY = "run generation jobs from the queue"

_ENDING_SECONDS: Final = 15.0
"""How long a worker may take to hand its jobs back and to close after its grace time."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb. Each one except `--processes` replaces a variable of the environment."""
    parser.add_argument("--redis-url", metavar="URL", help="the URL of Redis (default: TAILRACE_REDIS_URL)")
    parser.add_argument(
        "--queues",
        metavar="NAMES",
        help="the queues to serve, separated by commas, the most urgent first (default: TAILRACE_QUEUES)",
    )
    parser.add_argument(
        "--max-jobs", metavar="N", type=int, help="how many jobs to run at a time (default: TAILRACE_MAX_JOBS)"
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        type=_processes,
        default=1,
        help="how many workers to run, each a process that can use one core and runs --max-jobs jobs "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        help="how much to log on stderr (default: TAILRACE_LOG_LEVEL, or info)",
    )
    parser.epilog = (
        "A worker needs at least one provider: set OPENAI_API_KEY or ANTHROPIC_API_KEY,\n"
        "or add a server to TAILRACE_PROVIDERS. After SIGTERM or Ctrl-C, running jobs\n"
        "have TAILRACE_GRACE_SECONDS to finish, and then other workers take them over.\n"
        "A second signal hands them over at once. With several processes, one that ends\n"
        "by itself is started again.\n\n"
        "example: %(prog)s --queues interactive,batch --processes 4"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run one worker, or several processes of it.

    Args:
        arguments: The parsed options.

    Returns:
        The exit code: 0 after SIGINT or SIGTERM.
    """
    from tailrace_worker.settings import WorkerSettings  # noqa: PLC0415  # Not needed for --help.

    settings = WorkerSettings.read(
        redis_url=arguments.redis_url,
        queues=arguments.queues,
        max_jobs=arguments.max_jobs,
        log_level=arguments.log_level,
    )
    logging.basicConfig(level=settings.log_level.upper(), format=LOG_FORMAT)
    if arguments.processes > 1:
        from tailrace_worker.processes.supervisor import Supervisor  # noqa: PLC0415

        supervisor = Supervisor(
            _command(arguments),
            processes=arguments.processes,
            grace_seconds=settings.grace_seconds + _ENDING_SECONDS,
        )
        return asyncio.run(supervisor.run())

    # Each SDK takes up to 1 s to import, and only a process that runs jobs needs them.
    import uvloop  # noqa: PLC0415

    from tailrace_worker.app import run_worker  # noqa: PLC0415

    # arq logs the arguments of a job, and httpx2 the URLs, but prompts and models must not be in the log.
    for chatty in ("arq", "httpx2", "openai", "anthropic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # stamina logs a warning for each retry, but neither the call nor the error, which the worker logs itself.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    # All that is loaded before the first job stays. To search it for garbage takes a fifth of the start.
    gc.disable()
    try:
        uvloop.run(run_worker(settings))
    finally:
        gc.enable()
    return 0


def _command(arguments: argparse.Namespace) -> list[str]:
    """Return the command of one process: that of this process, without the number of processes."""
    options = {name: value for name, value in vars(arguments).items() if name not in {"verb", "processes"}}
    # With -P, Python does not import modules from the user's current directory.
    return [
        *(sys.executable, "-P", "-m", "tailrace.cli", "worker"),
        *(f"--{name.replace('_', '-')}={value}" for name, value in options.items() if value is not None),
    ]


def _processes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes: give 1 or more")
    return int(text)
