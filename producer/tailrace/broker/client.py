"""The connections to Redis: commands and replies are bytes, errors are those of tailrace."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias, TypeVar

from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff

from tailrace.broker.backoff import Backoff
from tailrace.broker.causes import (
    check_host,
    greeting_hint,
    refuses_writes,
    why_no_url,
    why_refused,
    why_unreachable,
    without_password,
)
from tailrace.broker.connection import NotNow, is_passing, open_pool
from tailrace.broker.liveness import LivenessLimits
from tailrace.errors import BrokerRefused, BrokerUnavailable, CredentialsRefused, InvalidSettings

Argument: TypeAlias = str | bytes | int | float
Command: TypeAlias = tuple[Argument, ...]
_Reply = TypeVar("_Reply")

CONNECT_TIMEOUT_SECONDS = 3.0
"""How long to wait for a new connection."""
CALL_TIMEOUT_SECONDS = 10.0
"""How long a call may take, with all its retries."""
FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 0.5
"""The shortest and the longest pause between retries while Redis is unavailable. Both are short, because an outage
stops every reader."""


def open_redis(url: str, *, liveness: LivenessLimits | None = None) -> Redis:
    """Make a client for a URL, without connecting it.

    Args:
        url: The URL of Redis: `redis://`, `rediss://` (TLS) or `unix://`, with options of redis-py.
        liveness: How long a connection may be silent.

    Returns:
        The client. Its replies are bytes, in the shapes of RESP2.

    Raises:
        InvalidSettings: The URL cannot be read.
    """
    try:
        check_host(url)
        pool: Any = open_pool(
            url,
            liveness=liveness,
            protocol=2,
            decode_responses=False,
            socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
            # With a timeout redis-py uses `asyncio.wait_for`, which may swallow a cancellation before Python 3.12.
            socket_timeout=None,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
            retry_on_error=[exceptions.ConnectionError, exceptions.TimeoutError],
        )
        # Redis-py checks the options of the URL when it makes the first connection.
        pool.make_connection()
    except (ValueError, TypeError, exceptions.RedisError) as error:
        raise InvalidSettings(f"{without_password(url)!r} is not the URL of a Redis: {why_no_url(error)}.") from None
    return Redis.from_pool(pool)


class Broker:
    """A pool of connections to one Redis. A command may be sent twice, so send only commands that may be repeated."""

    def __init__(self, redis: Redis) -> None:
        """Use the connections of a client.

        Args:
            redis: A client with `decode_responses=False` and `protocol=2`.

        Raises:
            InvalidSettings: The client was made with other options.
        """
        self._redis: Any = redis
        pool: Any = redis.connection_pool
        # The default is RESP3 from redis-py 8 on.
        if pool.connection_kwargs.get("decode_responses") or int(pool.make_connection().protocol) != 2:
            raise InvalidSettings("The Redis client must be made with decode_responses=False, protocol=2.")

    @property
    def redis(self) -> Redis:
        """The client of redis-py, for code that needs a connection of its own."""
        redis: Redis = self._redis
        return redis

    async def greet(self, url: str) -> None:
        """Check that Redis can be used.

        Args:
            url: The URL of Redis, for messages.

        Raises:
            BrokerUnavailable: Redis cannot be reached, or takes no commands now; the message has the URL.
            BrokerRefused: Redis refused; the message has the URL.
        """
        try:
            await self.call("PING")
        except (BrokerUnavailable, BrokerRefused) as error:
            said = str(error).removeprefix("Redis").rstrip(".")
            hint = greeting_hint(url, said) or " Start one there, or set TAILRACE_REDIS_URL."
            raise type(error)(
                f"Redis at {without_password(url)}{said}.{hint if 'cannot be reached' in said else ''}"
            ) from error

    async def call(self, *command: Argument) -> Any:
        """Send one command.

        Args:
            *command: Its name and its arguments.

        Returns:
            The reply.

        Raises:
            BrokerUnavailable: Redis cannot be reached, or did not reply within 10 s; it may have run the command.
            BrokerRefused: Redis replied with an error.
        """
        with our_errors(command):
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                try:
                    return await self._redis.execute_command(*command)
                except exceptions.RedisError as error:
                    await self._leave(error)
                    raise

    async def pipeline(self, *commands: Command) -> list[Any]:
        """Send several commands in one round trip. Each runs even if others fail.

        Args:
            *commands: The commands, in their order.

        Returns:
            One reply for each command.

        Raises:
            BrokerUnavailable: Redis cannot be reached, or did not reply within 10 s; it may have run the commands.
            BrokerRefused: Redis replied with an error to a command: the first such error.
        """
        return await self._execute(commands, transaction=False)

    async def transaction(self, *commands: Command) -> list[Any]:
        """Send several commands in one round trip. Redis runs all or none of them (MULTI/EXEC).

        Args:
            *commands: The commands, in their order.

        Returns:
            One reply for each command.

        Raises:
            BrokerUnavailable: Redis cannot be reached, or did not reply within 10 s; it may have run the commands.
            BrokerRefused: Redis refused the transaction, or replied with an error to a command.
        """
        return await self._execute(commands, transaction=True)

    async def _execute(self, commands: tuple[Command, ...], *, transaction: bool) -> list[Any]:
        untaken: list[int] = []

        def spare(_error: Exception, number: int, _command: object) -> None:
            # Redis-py would quote the command in the error, and the command may have a prompt.
            untaken.append(number)

        with our_errors():
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS), self._redis.pipeline(transaction=transaction) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                pipe.annotate_exception = spare
                try:
                    replies: list[Any] = await pipe.execute(raise_on_error=False)
                except exceptions.ResponseError as error:
                    # Redis did not accept a command into the transaction, so it ran none of them.
                    replies = [None] * len(commands)
                    replies[max(untaken[0] - 1, 0) if untaken else 0] = error
        for command, reply in zip(commands, replies, strict=False):
            if isinstance(reply, Exception):
                await self._leave(reply)
                with our_errors(command):
                    raise reply
        return replies

    async def _leave(self, error: Exception) -> None:
        """Drop the connections to a server that takes no commands now, so that the next command makes a new one."""
        if is_passing(error):
            await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Close every connection."""
        await self._redis.aclose(close_connection_pool=True)


async def patiently(
    ask: Callable[[], Awaitable[_Reply]], *, limit_seconds: float, while_refused: bool = False
) -> _Reply:
    """Retry while Redis is unavailable, or its password is being rotated.

    Args:
        ask: Makes one call; it may be called any number of times.
        limit_seconds: For how many seconds to retry.
        while_refused: True to retry while Redis refuses all writes too.

    Returns:
        The result of the first call that succeeds.

    Raises:
        BrokerUnavailable: Redis was unavailable for the whole time.
        CredentialsRefused: Redis rejected the user or the password for the whole time.
        BrokerRefused: Redis refused the call, or all writes for the whole time.
    """
    gives_up_at = time.monotonic() + limit_seconds
    backoff = Backoff(first_seconds=FIRST_RETRY_SECONDS, last_seconds=LAST_RETRY_SECONDS)
    while True:
        try:
            return await ask()
        except (BrokerUnavailable, BrokerRefused) as error:
            may_pass = isinstance(error, BrokerUnavailable | CredentialsRefused) or (
                while_refused and refuses_writes(error)
            )
            if not may_pass or time.monotonic() > gives_up_at:
                raise
        await asyncio.sleep(backoff.next_seconds())


def text(stored: bytes) -> str:
    """Decode text that Redis holds.

    Args:
        stored: The bytes. Other programs may have written bytes that are not UTF-8.

    Returns:
        The text, with `\ufffd` in place of what is not UTF-8.
    """
    return stored.decode(errors="replace")


def ms(seconds: float) -> int:
    """Convert seconds to whole milliseconds, which Redis expects."""
    return round(seconds * 1000)


@contextmanager
def our_errors(command: Sequence[Argument] = ()) -> Generator[None]:
    """Raise the errors of redis-py as `InfrastructureError`.

    Args:
        command: The command that the block sends, to name a missing permission.

    Raises:
        BrokerUnavailable: Redis cannot be reached, or takes no commands now.
        BrokerRefused: Redis replied with an error.
        CredentialsRefused: Redis rejected the user or the password.
    """
    try:
        yield
    except exceptions.AuthenticationError as error:
        raise CredentialsRefused(f"Redis rejected the user or password: {error}") from error
    except (NotNow, exceptions.BusyLoadingError, exceptions.ReadOnlyError) as error:
        raise BrokerUnavailable(f"Redis takes no commands now: {error}") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise BrokerUnavailable(f"Redis cannot be reached: {why_unreachable(error)}") from error
    except exceptions.InvalidResponse as error:
        raise BrokerUnavailable(f"Redis cannot be reached: the server that answers is not Redis ({error})") from error
    except exceptions.RedisError as error:
        raise BrokerRefused(f"Redis refused: {why_refused(error, command)}") from error


def refused(error: Exception, *command: Argument) -> BrokerRefused:
    """Make the error of an error reply.

    Args:
        error: The error reply.
        *command: The command, to name a missing permission.

    Returns:
        The error, with the reply as its cause.
    """
    refusal = BrokerRefused(f"Redis refused: {why_refused(error, command)}")
    refusal.__cause__ = error
    return refusal
