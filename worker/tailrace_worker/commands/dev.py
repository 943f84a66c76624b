"""`tailrace dev`: a gateway, two workers, Redis and a simulator in one command."""

import argparse
import asyncio
import os
from contextlib import ExitStack

from tailrace.cli.options import add_port

SUMMARY = "run everything on this machine, for development"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the port, and where the data is."""
    add_port(parser, default=8700)
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--data",
        metavar="DIR",
        help="the folder in which an embedded Valkey server keeps its data (default: .tailrace, unless "
        "TAILRACE_REDIS_URL is set)",
    )
    data.add_argument(
        "--redis-url",
        metavar="URL",
        help="a Redis of your own in place of the embedded server (default: TAILRACE_REDIS_URL)",
    )
    parser.epilog = (
        "Starts a Valkey server, a simulator, two workers and the gateway, and shows\n"
        "their logs side by side. The data is kept in an append-only file, so that jobs\n"
        "are still there after a restart with the same folder.\n\n"
        "If OPENAI_API_KEY or ANTHROPIC_API_KEY is set, the workers call that provider,\n"
        "at OPENAI_BASE_URL or ANTHROPIC_BASE_URL if that is set too. Otherwise the\n"
        "simulator answers. Chats whose requests name no model get a cheap one, unless\n"
        "TAILRACE_CHAT_PROVIDER or TAILRACE_CHAT_MODEL is set.\n\n"
        "Ctrl-C, SIGTERM or SIGHUP ends all: workers hand their running jobs back, and\n"
        "Valkey saves its data last. A second one kills what still runs. If one process\n"
        "ends by itself, all end, and the exit code is 1.\n\n"
        "example: %(prog)s --data /tmp/chats --port 8800"
    )


def run(arguments: argparse.Namespace) -> int:
    """Run all processes until a signal ends them.

    Args:
        arguments: The parsed options.

    Returns:
        The exit code: 0 after SIGINT, SIGTERM or SIGHUP.

    Raises:
        InvalidSettings: The folder or the URL cannot be used, or no Valkey server is installed.
        InfrastructureError: The folder or the port is in use, Redis cannot be reached, or a process has ended.
    """
    # Not needed for --help.
    from tailrace.settings import Settings  # noqa: PLC0415
    from tailrace_worker.dev.data_folder import DEFAULT_DATA_FOLDER, open_data_folder  # noqa: PLC0415
    from tailrace_worker.dev.deployment import Deployment  # noqa: PLC0415
    from tailrace_worker.processes.valkey import EmbeddedBroker  # noqa: PLC0415

    redis_url = arguments.redis_url or (None if arguments.data else os.environ.get("TAILRACE_REDIS_URL"))
    with ExitStack() as stack:
        broker = None
        if redis_url is None:
            folder = open_data_folder(arguments.data or DEFAULT_DATA_FOLDER)
            broker = stack.enter_context(EmbeddedBroker(append_only=True, folder=folder))
            redis_url = broker.url
        deployment = Deployment(settings=Settings.read(redis_url=redis_url), broker=broker, port=arguments.port)
        asyncio.run(deployment.run())
    return 0
