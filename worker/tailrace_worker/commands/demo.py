"""`tailrace demo`: shows the whole way of the data on this terminal, in ten seconds."""

import argparse
import asyncio
import signal

from tailrace.cli.options import add_redis_url

SUMMARY = "show two answers stream side by side, and a third one stop when it is cancelled"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the verb: the URL of Redis. All else is in the environment."""
    add_redis_url(parser)
    parser.epilog = (
        "Without a URL a Valkey server is started and ended with the demo. OPENAI_API_KEY\n"
        "and ANTHROPIC_API_KEY, each for itself, make it call the real provider (at\n"
        "OPENAI_BASE_URL or ANTHROPIC_BASE_URL, where these are set); without them a\n"
        "simulator answers."
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
