"""`serve`: the gateway as a process of its own, under uvicorn."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

import uvicorn
from fastapi import FastAPI

from tailrace import InfrastructureError
from tailrace.gateway.context import Gateway
from tailrace.gateway.http_protocol import HttpProtocol

_logger = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS: Final = 75
"""How long an idle connection stays open, in seconds. Load balancers keep theirs for 60 s, and must close first."""
_ENDING_SECONDS: Final = 5
"""How long the last responses may take after the grace time, in seconds."""
_BACKLOG: Final = 2_048


def listen(host: str, port: int) -> socket.socket:
    """Open the socket to serve on.

    Args:
        host: The address.
        port: The port; 0 takes a free one.

    Returns:
        The listening socket.

    Raises:
        InfrastructureError: The operating system refused the address or the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise InfrastructureError(f"Cannot listen on {host} port {port}: {error.strerror}.") from None


class GatewayServer(uvicorn.Server):
    """Serves the gateway until a signal stops it.

    After SIGTERM or SIGINT, `/readyz` returns 503, no more connections are accepted, and the streams that clients can
    resume elsewhere are closed. All other requests may go on for the settings' `gateway_grace_seconds`.

    Args:
        app: What `create_app` returned.
    """

    def __init__(self, app: FastAPI) -> None:
        self._gateway: Gateway = app.state.gateway
        self._grace_seconds = self._gateway.settings.gateway_grace_seconds
        super().__init__(
            uvicorn.Config(
                app,
                http=HttpProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=round(self._grace_seconds) + _ENDING_SECONDS,
            )
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End all streams and connections: first the streams that can move, and all others after the grace time."""
        draining = self._gateway.draining
        _logger.info(
            "the gateway is stopping: streams that clients cannot resume elsewhere have %g s to end",
            self._grace_seconds,
        )
        draining.begin()
        timer = asyncio.get_running_loop().call_later(self._grace_seconds, draining.finish)
        try:
            await super().shutdown(sockets)
        finally:
            timer.cancel()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals in the event loop, so that the process ends with the exit code 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGINT, signal.SIGTERM)
        for number in numbers:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)
