"""`tailrace simulate`: the providers' wire protocols, served on this machine."""

import argparse
import asyncio
import signal

from tailrace.errors import InfrastructureError

SUMMARY = "serve simulated OpenAI and Anthropic APIs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the verb."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=4080, help="0 takes a free one (default: %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM.

    Raises:
        InfrastructureError: It cannot listen there.
    """
    try:
        import uvloop  # noqa: PLC0415  # Not for who only asks for --help.

        from tailrace_worker.simulator import Simulator  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise InfrastructureError(f"No module {error.name!r}: install 'tailrace[worker]'.") from error

    async def serve() -> None:
        stop = asyncio.Event()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
        async with Simulator(host=arguments.host, port=arguments.port) as simulator:
            print(f"simulator on {simulator.url}", flush=True)
            await stop.wait()

    uvloop.run(serve())
    return 0


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text} is not a port: ports are 0 to 65535")
    return port
