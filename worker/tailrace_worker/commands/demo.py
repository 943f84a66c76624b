"""`tailrace demo`: shows jobs from `enqueue` to their endings on this terminal, in ten seconds."""

import argparse
import asyncio
import signal

from tailrace.cli.options import add_redis_url

SUMMARY = "stream two answers side by side, and cancel a third one"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb: the URL of Redis. Everything else comes from the environment."""
    add_redis_url(parser)
    parser.epilog = (
        "Without a URL, the demo starts a Valkey server of its own. If OPENAI_API_KEY or\n"
        "ANTHROPIC_API_KEY is set, that provider is called, at OPENAI_BASE_URL or\n"
        "ANTHROPIC_BASE_URL if that is set too. Otherwise a simulator answers."
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the demo.

    Args:
        arguments: The parsed options.

    Returns:
        The exit code: 0 after the whole demo, 143 after SIGTERM.
    """
    from tailrace_worker.demo.play import play  # noqa: PLC0415  # Not needed for --help.
    from tailrace_worker.demo.screen import open_screen  # noqa: PLC0415

    try:
        asyncio.run(play(open_screen(), arguments.redis_url))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM
    return 0
