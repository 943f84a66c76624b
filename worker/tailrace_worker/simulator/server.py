"""The simulator itself: the HTTP server in front of the endpoints."""

from dataclasses import asdict
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from tailrace.errors import InfrastructureError
from tailrace_worker.simulator.anthropic_messages import AnthropicMessages
from tailrace_worker.simulator.clock import Clock
from tailrace_worker.simulator.endpoint import Endpoint, refusal
from tailrace_worker.simulator.journal import Journal
from tailrace_worker.simulator.moderations import PATH, Moderations
from tailrace_worker.simulator.openai_chat import OpenAIChat
from tailrace_worker.simulator.openai_responses import OpenAIResponses
from tailrace_worker.simulator.wire import Refused, Wire, new_id

_MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_OPENAI: Final = OpenAIChat()
_ANTHROPIC: Final = AnthropicMessages()
_WIRES: Final[tuple[Wire, ...]] = (_OPENAI, OpenAIResponses(), _ANTHROPIC)


class Simulator:
    """Serves Chat Completions, Responses and Messages as their providers do, and what it saw at `/journal`.

    What a request is answered with, its model's name says after `?`, or else the header `x-tailrace-simulate`:
    `model="demo?pieces=200&interval_ms=5"`. The options are the fields of `Scenario`. Moderations, which flag what says
    so itself (`flag:violence`), have `Options` of their own.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens once entered. Port 0 stands for one that is free."""
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        """Begins to listen.

        Raises:
            InfrastructureError: The port is in use, or the host is not one of this machine.
        """
        self.journal = Journal()
        clock = Clock()
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        for wire in _WIRES:
            endpoint = Endpoint(wire, clock=clock, journal=self.journal)
            application.router.add_post(wire.path, endpoint.handle)
        application.router.add_post(PATH, Moderations(self.journal).handle)
        application.router.add_get("/health", _health)
        application.router.add_get("/journal", self._read_journal)
        application.router.add_delete("/journal", self._clear_journal)
        application.router.add_route("*", "/{path:.*}", _unknown)
        # Cancelled when their client leaves, handlers notice it in the silence of a stall, too.
        self._runner = web.AppRunner(application, handler_cancellation=True, access_log=None, shutdown_timeout=1)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port, backlog=4_096).start()
        except OSError as error:
            await self._runner.cleanup()
            raise InfrastructureError(
                f"Cannot listen on {self._host}:{self._port}: {error.strerror or error}. "
                "Stop what listens there, or name another host or port."
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Resets what is open and stops."""
        # Before the handlers are cancelled, which would take it for their clients' leaving.
        self.journal.shut_down()
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The base URL of the Anthropic SDK, and with `/v1` after it that of the OpenAI SDK."""
        host, port, *_ = self._runner.addresses[0]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    async def _read_journal(self, _: web.Request) -> web.Response:
        return web.json_response([asdict(entry) for entry in self.journal.entries])

    async def _clear_journal(self, _: web.Request) -> web.Response:
        self.journal.clear()
        return web.Response(status=204)


async def _health(_: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _unknown(request: web.Request) -> web.Response:
    wire = _ANTHROPIC if "anthropic-version" in request.headers else _OPENAI
    refused = Refused(404, f"Invalid URL ({request.method} {request.path})")
    return refusal(wire, refused, model="", request_id=new_id("req_"))
