"""Connections of redis-py that notice when they are dead, and that leave a server if it takes no commands."""

import re
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from redis import exceptions
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    ConnectionPool,
    DefaultParser,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)

from tailrace.broker.liveness import LivenessLimits, Patience, ServerState

_PASSING: Final = re.compile(r"(?:^|: -)(?:BUSY|LOADING|MASTERDOWN|READONLY|UNBLOCKED|TRYAGAIN|CLUSTERDOWN)\b")
"""At the beginning of a reply, or in the reply to a command of a script, as Redis 6 quotes it."""
_DEMOTED: Final = re.compile(r"(?:^|: -)(?:READONLY|UNBLOCKED)\b")
_BLOCKING: Final = frozenset({"BLPOP", "WAIT", "WAITAOF", "XREAD", "XREADGROUP"})
_KEEPALIVE: Final = {
    # 5 s of silence (Linux and macOS have different names for it), then three probes 2 s apart.
    "TCP_KEEPIDLE": 5,
    "TCP_KEEPALIVE": 5,
    "TCP_KEEPINTVL": 2,
    "TCP_KEEPCNT": 3,
    # How long sent bytes may stay unacknowledged, in ms.
    "TCP_USER_TIMEOUT": 10_000,
}


class NotNow(exceptions.ConnectionError):
    """Redis loads its data, has become a replica, lost its primary or runs a long script: retry on a new connection."""


def is_passing(error: BaseException) -> bool:
    """Return true if an error reply says that the server takes no commands now, so that a new connection may help."""
    return isinstance(error, (NotNow, exceptions.ReadOnlyError, exceptions.BusyLoadingError)) or (
        isinstance(error, exceptions.ResponseError) and _PASSING.search(str(error)) is not None
    )


def is_demotion(error: BaseException) -> bool:
    """Return true if an error reply says that the server is no longer a primary."""
    return isinstance(error, exceptions.ReadOnlyError) or (
        isinstance(error, exceptions.ResponseError) and _DEMOTED.search(str(error)) is not None
    )


def block_seconds(command: Sequence[Any]) -> float:
    """Return for how many seconds a command may block; 0 for commands that do not block."""
    match command:
        case ("XREAD" | "XREADGROUP", *arguments) if "BLOCK" in arguments:
            return float(arguments[arguments.index("BLOCK") + 1]) / 1000
        case ("WAIT" | "WAITAOF", *_, milliseconds):
            return float(milliseconds) / 1000
        case ("BLPOP", *_, seconds):
            return float(seconds)
        case _:
            return 0


def keepalive_options() -> Mapping[str, Any]:
    """Return the options of redis-py with which the kernel finds out that the other side of a connection is gone."""
    known = {getattr(socket, name): value for name, value in _KEEPALIVE.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": known}


def open_pool(url: str, *, liveness: LivenessLimits | None = None, **options: Any) -> ConnectionPool:
    """Make a pool of these connections, without connecting them.

    Args:
        url: The URL of Redis, with options of redis-py.
        liveness: How long a connection may be silent.
        options: Options of redis-py; those of the URL take precedence.

    Returns:
        The pool.

    Raises:
        ValueError: The URL is malformed.
    """
    read: dict[str, Any] = dict(parse_url(url))
    plain: type[AbstractConnection] = read.pop("connection_class", Connection)
    if plain is not UnixDomainSocketConnection:
        options |= keepalive_options()
    options |= read
    own = {name: value for name, value in options.items() if name != "max_connections"}
    server = ServerState(lambda: plain(**own), liveness)
    return ConnectionPool(connection_class=_WATCHED[plain], server_state=server, **options)


def server_state_of(pool: Any) -> ServerState:
    """Return what a pool knows of its server, or a new state if the pool was made by other code."""
    server = pool.connection_kwargs.get("server_state")
    return server if isinstance(server, ServerState) else ServerState(pool.make_connection)


class _ReplyParser(DefaultParser):  # type: ignore[misc, valid-type]
    """Notifies the connection of each chunk, so that a long reply over a slow network does not count as silence."""

    def on_connect(self, connection: Any) -> None:
        self._hear = connection.patience.hear
        cast("Any", super()).on_connect(connection)

    async def read_from_socket(self) -> Any:
        read = await cast("Any", super()).read_from_socket()
        self._hear()
        return read

    async def can_read(self) -> bool:
        # The pool asks before each command. Before version 8, redis-py waits for a turn of the event loop to find out;
        # since then, it does not see that a connection was reset.
        own = cast("Any", self)
        stream = own._stream  # noqa: SLF001
        return bool(own._reader.has_data() or stream.at_eof() or stream.exception() or stream._buffer)  # noqa: SLF001

    can_read_destructive = can_read
    """Its name before redis-py 8."""


class _Watched(AbstractConnection):
    """A connection with a reply timeout. That of redis-py uses `asyncio.wait_for`, which may swallow cancellations."""

    def __init__(self, *, server_state: ServerState, **options: Any) -> None:
        options.setdefault("parser_class", _ReplyParser)
        cast("Any", super()).__init__(**options)
        self.patience = Patience(server_state, self._give_up)
        self._server = server_state
        self._epoch = server_state.epoch
        self._sent_bytes = 0
        self._block_seconds = 0.0
        self._packed_block_seconds = 0.0

    async def on_connect(self) -> None:
        self._epoch = self._server.epoch
        await super().on_connect()

    def pack_command(self, *command: Any) -> list[bytes]:
        if command[0] in _BLOCKING:
            self._packed_block_seconds += block_seconds(command)
        return super().pack_command(*command)

    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        blocks, self._packed_block_seconds = self._packed_block_seconds, 0.0
        if self.is_connected and self._epoch != self._server.epoch:
            await self.disconnect(nowait=True)
        if not self.is_connected:
            await cast("Any", self).connect()
        packed = command.encode() if isinstance(command, str) else command
        chunks = [packed] if isinstance(packed, bytes) else list(packed)
        self._sent_bytes = sum(map(len, chunks))
        self._block_seconds = blocks
        self.patience.begin(sent_bytes=self._sent_bytes)
        try:
            await super().send_packed_command(chunks, check_health)
        finally:
            self.patience.end()

    async def read_response(self, *args: Any, **options: Any) -> Any:
        # The command may still be on its way.
        self.patience.begin(sent_bytes=self._sent_bytes, block_seconds=self._block_seconds)
        try:
            return await cast("Any", super()).read_response(*args, **options)
        except exceptions.ResponseError as error:
            if not is_passing(error):
                raise
            # Redis-py would keep the connection, and a demoted server would refuse every command.
            await self.disconnect(nowait=True)
            if is_demotion(error):
                self._server.leave(self._epoch)
            raise NotNow(str(error)) from error
        finally:
            self.patience.end()

    def _give_up(self, _: Exception) -> None:
        if self._writer is not None:
            self._writer.transport.abort()


class _WatchedTCP(_Watched, Connection):
    pass


class _WatchedTLS(_Watched, SSLConnection):
    pass


class _WatchedUnix(_Watched, UnixDomainSocketConnection):
    pass


_WATCHED: Final[Mapping[type[AbstractConnection], type[_Watched]]] = {
    Connection: _WatchedTCP,
    SSLConnection: _WatchedTLS,
    UnixDomainSocketConnection: _WatchedUnix,
}
