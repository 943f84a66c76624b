"""`Deployment`: the processes of `tailrace dev`, from their start to their end."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Generator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from tailrace.broker.causes import without_password
from tailrace.client import Tailrace
from tailrace.errors import InfrastructureError
from tailrace.settings import Settings, variable_of
from tailrace_worker.cancel_scope import Interruptible
from tailrace_worker.dev.log_lines import LogLines
from tailrace_worker.processes.provider_apis import PROVIDER_APIS, simulated_apis, simulator_variables
from tailrace_worker.processes.service import Service, open_service
from tailrace_worker.processes.valkey import EmbeddedBroker

_HOST: Final = "127.0.0.1"
_COMMAND: Final = "tailrace"
_VALKEY: Final = "valkey"
_SIMULATOR: Final = "simulator"
_WORKERS: Final = ("worker-1", "worker-2")
_GATEWAY: Final = "gateway"
_POLL_SECONDS: Final = 0.25
"""How often the log of Valkey is read."""


class _Stopped(Exception):
    """A signal has asked for the end."""


class Deployment:
    """A simulator for the providers without a key, two workers and a gateway, on one Redis.

    The first SIGINT, SIGTERM or SIGHUP ends them: the gateway first, and the simulator last, so that workers can hand
    their jobs back. A further signal kills them. A process that ends by itself ends the others.
    """

    def __init__(self, *, settings: Settings, broker: EmbeddedBroker | None, port: int) -> None:
        """Prepare the processes; `run` starts them.

        Args:
            settings: Where Redis is.
            broker: The Valkey server at that URL; `None` for a server of the user's own.
            port: The port of the gateway; 0 takes a free one.
        """
        self._settings = settings
        self._broker = broker
        self._port = port
        self._env = {
            **_chat_variables(),
            **os.environ,
            variable_of("redis_url"): settings.redis_url,
            variable_of("grace_seconds"): "0",
            variable_of("gateway_grace_seconds"): "0",
        }
        self._running = Interruptible()
        self._services: list[Service] = []
        self._is_ending = False
        self._log = LogLines((_COMMAND, _VALKEY, _SIMULATOR, *_WORKERS, _GATEWAY), on_error=self._end)

    async def run(self) -> None:
        """Run the processes, and return when all of them have ended after a signal.

        Raises:
            InvalidSettings: The URL of Redis is not valid.
            InfrastructureError: The port is taken, Redis cannot be reached, or a process has ended by itself. The
                message names it, with its exit code and the last lines of its log.
            OSError: stdout can no longer be written.
        """
        async with AsyncExitStack() as stack:
            stack.enter_context(_signals(self._stop))
            try:
                # Only this block is interrupted, and not the end of the processes.
                async with self._running:
                    await self._start(stack)
                    await asyncio.get_running_loop().create_future()
            except _Stopped:
                self._say("Ending. Running jobs are handed back to the queue.")

    async def _start(self, stack: AsyncExitStack) -> None:
        _check_port(self._port)
        async with Tailrace.connect(**self._settings.model_dump()):
            pass
        redis_url = without_password(self._settings.redis_url)
        if self._broker is None:
            self._say(f"Redis: {redis_url}, yours")
        else:
            self._say(f"Redis: {redis_url}, with its data in {self._broker.log.parent}")
            for watching in (self._watch_valkey(self._broker), self._follow(self._broker.log)):
                stack.callback(asyncio.create_task(watching).cancel)
        if simulated_apis():
            simulator = await self._open(stack, _SIMULATOR, "simulate", "--port=0")
            self._env |= simulator_variables(await simulator.ready(), self._env)
        for api in PROVIDER_APIS:
            how = "called with your key" if api.is_real else f"simulated, because {api.key_variable} is not set"
            self._say(f"{api.title}: {how}")
        workers = [await self._open(stack, name, "worker") for name in _WORKERS]
        for worker in workers:
            # All of them, before the end of the first is awaited: another one would take over the jobs of that.
            stack.callback(worker.terminate)
        gateway = await self._open(stack, _GATEWAY, "serve", f"--host={_HOST}", f"--port={self._port}")
        for worker in workers:
            await worker.ready()
        gateway_url = await gateway.ready()
        if self._broker is not None:
            self._say(f"In other terminals: export {variable_of('redis_url')}={redis_url}")
        self._log.show(_COMMAND, f"Open {gateway_url}", is_strong=True)

    async def _open(self, stack: AsyncExitStack, name: str, verb: str, *options: str) -> Service:
        show = partial(self._log.show, name)
        service = await stack.enter_async_context(
            open_service(verb, *options, env=self._env, name=name, on_death=self._end, show=show)
        )
        self._services.append(service)
        return service

    def _say(self, line: str) -> None:
        self._log.show(_COMMAND, line)

    def _stop(self) -> None:
        """Handle a signal."""
        if self._is_ending:
            for service in self._services:
                service.terminate(at_once=True)
        self._end(_Stopped())

    def _end(self, why: Exception) -> None:
        self._is_ending = True
        self._running.interrupt(why)

    async def _watch_valkey(self, broker: EmbeddedBroker) -> None:
        code = await broker.ended()
        self._end(InfrastructureError(f"{_VALKEY} has ended with exit code {code}. Its log is in {str(broker.log)!r}."))

    async def _follow(self, path: Path) -> None:
        """Show the lines that are added to the log of Valkey."""
        line = ""
        with path.open(encoding="utf-8", errors="replace") as log:
            # At its start Valkey warns of what matters on servers only, such as how Linux overcommits memory.
            log.seek(0, os.SEEK_END)
            while True:
                while line := line + log.readline():
                    if not line.endswith("\n"):
                        break
                    self._log.show(_VALKEY, line.rstrip())
                    line = ""
                await asyncio.sleep(_POLL_SECONDS)


def _chat_variables() -> dict[str, str]:
    """Return the variables that name the model of chats whose requests name none, unless the environment has one."""
    provider, model = variable_of("chat_provider"), variable_of("chat_model")
    if provider in os.environ or model in os.environ:
        return {}
    api = next((api for api in PROVIDER_APIS if api.is_real), PROVIDER_APIS[0])
    return {provider: api.provider, model: api.model if api.is_real else "demo"}


def _check_port(port: int) -> None:
    """Raise an error before anything is started if the gateway could not listen on the port."""
    try:
        socket.create_server((_HOST, port)).close()
    except OSError as error:
        # `strerror` would repeat the address.
        why = os.strerror(error.errno or 0)
        raise InfrastructureError(f"Cannot listen on {_HOST} port {port}: {why}. Choose another with --port.") from None


@contextmanager
def _signals(handle: Callable[[], None]) -> Generator[None]:
    """Handle the signals that end a command. One that is ignored, as SIGHUP is under `nohup`, stays ignored."""
    loop = asyncio.get_running_loop()
    numbers = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    ]
    for number in numbers:
        loop.add_signal_handler(number, handle)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
