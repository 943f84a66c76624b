"""`Simulator`: the HTTP server with all simulated endpoints."""

from dataclasses import asdict
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from tailrace.errors import InfrastructureError
from tailrace_worker.simulator.anthropic_messages import MessagesApi
from tailrace_worker.simulator.api_handler import ApiHandler, refusal
from tailrace_worker.simulator.clock import Clock
from tailrace_worker.simulator.journal import Journal
from tailrace_worker.simulator.moderations import PATH, Moderations
from tailrace_worker.simulator.openai_chat import ChatCompletionsApi
from tailrace_worker.simulator.openai_responses import ResponsesApi
from tailrace_worker.simulator.wire import Refused, SimulatedApi, new_id

_MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_OPENAI: Final = ChatCompletionsApi()
_ANTHROPIC: Final = MessagesApi()
_APIS: Final[tuple[SimulatedApi, ...]] = (_OPENAI, ResponsesApi(), _ANTHROPIC)


class Simulator:
    """A server for Chat Completions, Responses and Messages, as their providers serve them, with a journal.

    The model string of a request has the options of its answer after a `?`, as in
    `model="demo?pieces=200&interval_ms=5"`, unless the header `x-tailrace-simulate` has them. The options are the
    fields of `Scenario`. The moderation endpoint flags text that contains `flag:CATEGORY`, and has its own `Options`.
    `/journal` shows the requests.
    """

    def __init__(self, *, host: str = "127.0.0.1", port: int = 0) -> None:
        """Set the address. The simulator listens inside its `async with` block.

        Args:
            host: The address to listen on.
            port: The port, from 0 to 65535; 0 takes a free one.
        """
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        """Begin to listen.

        Raises:
            InfrastructureError: The port is in use, or the host is not an address of this machine.
        """
        self.journal = Journal()
        clock = Clock()
        application = web.Application(client_max_size=_MAX_BODY_BYTES)
        for api in _APIS:
            handler = ApiHandler(api, clock=clock, journal=self.journal)
            application.router.add_post(api.path, handler.handle)
        application.router.add_post(PATH, Moderations(self.journal).handle)
        application.router.add_get("/health", _health)
        application.router.add_get("/journal", self._read_journal)
        application.router.add_delete("/journal", self._clear_journal)
        application.router.add_route("*", "/{path:.*}", _unknown)
        # aiohttp cancels a handler if its client disconnects, so a handler notices that even while it sends nothing.
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
        """Reset all open connections, and stop."""
        # The journal is closed before the handlers are cancelled, which would record that their clients disconnected.
        self.journal.shut_down()
        for connection in self._runner.server.connections if self._runner.server else ():
            if connection.transport is not None:
                connection.transport.abort()
        await self._runner.cleanup()

    @property
    def url(self) -> str:
        """The base URL for the Anthropic SDK. With `/v1` added, it is the base URL for the OpenAI SDK."""
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
    api = _ANTHROPIC if "anthropic-version" in request.headers else _OPENAI
    refused = Refused(404, f"Invalid URL ({request.method} {request.path})")
    return refusal(api, refused, model="", request_id=new_id("req_"))
