"""`tailrace serve`: the HTTP server for browsers and for services in any language."""

import argparse
import asyncio
import logging
from typing import TYPE_CHECKING, Final

from tailrace import Tailrace
from tailrace.access.key_store import key_store
from tailrace.cli.log_format import LOG_FORMAT
from tailrace.cli.options import add_port, add_redis_url
from tailrace.errors import InfrastructureError, InvalidSettings

if TYPE_CHECKING:
    from tailrace.gateway import GatewaySettings

SUMMARY = "serve jobs over HTTP"

_WHOM: Final = {
    True: "for clients with an API key",
    False: "for this machine only",
    None: "Redis cannot be reached yet to look for API keys",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the address and the Redis."""
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    add_port(parser, default=8700)
    add_redis_url(parser)
    parser.epilog = (
        "The server needs Redis, and workers that run the jobs. GET / is a page to try\n"
        "prompts on; GET /openapi.json describes all other routes. Without API keys, only\n"
        "the loopback interface is served; 'tailrace keys create' makes a key. All other\n"
        "settings are variables of the environment that begin with TAILRACE_GATEWAY_ or\n"
        "TAILRACE_CHAT_.\n\n"
        "SIGTERM or Ctrl-C stops the server: streams that clients can resume elsewhere\n"
        "are closed at once, and other requests may go on for\n"
        "TAILRACE_GATEWAY_GRACE_SECONDS.\n\n"
        "example: %(prog)s --port 8700"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM.

    Args:
        arguments: The parsed options.

    Returns:
        The exit code: 0.

    Raises:
        InvalidSettings: The address is not a loopback address, and there are no API keys; or the file of keys cannot be
            read.
        InfrastructureError: The operating system refused the address or the port.
    """
    # Not needed for --help.
    from tailrace.gateway import GatewaySettings, create_app  # noqa: PLC0415
    from tailrace.gateway.principal import is_loopback  # noqa: PLC0415
    from tailrace.gateway.server import GatewayServer, listen  # noqa: PLC0415

    settings = GatewaySettings.read(redis_url=arguments.redis_url)
    has_keys = asyncio.run(_has_keys(settings))
    if has_keys is False and not is_loopback(arguments.host):
        raise InvalidSettings(
            f"--host: {arguments.host!r} is not a loopback address, and no API keys are configured, so anyone who "
            "reaches it could use the providers. Create a key with `tailrace keys create --tenant NAME`, or serve "
            "127.0.0.1."
        )
    logging.basicConfig(level="INFO", format=LOG_FORMAT)
    # It announces each start and end, which the gateway does itself.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    with listen(arguments.host, arguments.port) as listening:
        host, port, *_ = listening.getsockname()
        server = GatewayServer(create_app(settings=settings))
        print(f"gateway on http://{f'[{host}]' if ':' in host else host}:{port}, {_WHOM[has_keys]}", flush=True)
        # In uvloop where it is installed, as uvicorn decides.
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(server.serve(sockets=[listening]))
    return 0


async def _has_keys(settings: "GatewaySettings") -> bool | None:
    """Return whether there are API keys; `None` while Redis is away. The gateway looks again at each request."""
    tailrace = Tailrace.connect(**settings.client_fields())
    try:
        return bool(await key_store(tailrace.access, settings.gateway_keys_file).read_all())
    except InfrastructureError:
        return None
    finally:
        await tailrace.aclose()
