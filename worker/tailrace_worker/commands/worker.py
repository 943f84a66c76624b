"""`tailrace worker`: runs jobs until it is told to stop."""

import argparse
import logging

SUMMARY = "run generation jobs from the queue"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options, each of which stands for a variable of the environment."""
    parser.add_argument("--redis-url", help="where Redis is (TAILRACE_REDIS_URL)")
    parser.add_argument(
        "--queues", help="the queues to run, the most urgent first, with commas between (TAILRACE_QUEUES)"
    )
    parser.add_argument("--max-jobs", type=int, help="how many jobs to run at a time (TAILRACE_MAX_JOBS)")
    parser.add_argument(
        "--log-level", default="info", choices=("debug", "info", "warning", "error"), help="default: info"
    )


def run(arguments: argparse.Namespace) -> int:
    """Returns 0 after SIGINT or SIGTERM."""
    # The SDKs take seconds to import: `tailrace --help` must not wait for them.
    import uvloop  # noqa: PLC0415

    from tailrace_worker.settings import WorkerSettings  # noqa: PLC0415
    from tailrace_worker.worker import run_worker  # noqa: PLC0415

    settings = WorkerSettings.read(redis_url=arguments.redis_url, queues=arguments.queues, max_jobs=arguments.max_jobs)
    logging.basicConfig(level=arguments.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # arq logs the arguments of a job, and httpx2 the URLs: prompts and models stay out of the log.
    for chatty in ("arq", "httpx2", "openai", "anthropic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    uvloop.run(run_worker(settings))
    return 0
