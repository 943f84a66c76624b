"""The connections to Redis: commands go out as bytes, replies come back as bytes, errors come out as ours."""

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
CALL_TIMEOUT_SECONDS = 10.0
"""How long a call may take, with all its tries."""
FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 0.5
"""The pauses between retries while Redis is away. The last is short: an outage holds up every reader."""


def open_redis(url: str, *, liveness: LivenessLimits | None = None) -> Redis:
    """Make a client for a URL; nothing is connected yet.

    Args:
        url: Where Redis is: `redis://`, `rediss://` or `unix://`, with options of redis-py.
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
            # With one, redis-py waits by `asyncio.wait_for`, which before Python 3.12 may swallow a cancellation.
            socket_timeout=None,
            retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
            retry_on_error=[exceptions.ConnectionError, exceptions.TimeoutError],
        )
        # Options that the URL names are looked at by the first connection only.
        pool.make_connection()
    except (ValueError, TypeError, exceptions.RedisError) as error:
        raise InvalidSettings(f"{without_password(url)!r} is not the URL of a Redis: {why_no_url(error)}.") from None
    return Redis.from_pool(pool)


class Broker:
    """A pool of connections to one Redis. Everything that is sent through it may be sent twice without harm."""

    def __init__(self, redis: Redis) -> None:
        """Raises `InvalidSettings` where the replies of the client have another shape than ours."""
        self._redis: Any = redis
        pool: Any = redis.connection_pool
        # What is not said is RESP3 from redis-py 8 on.
        if pool.connection_kwargs.get("decode_responses") or int(pool.make_connection().protocol) != 2:
            raise InvalidSettings("The Redis client must be made with decode_responses=False, protocol=2.")

    @property
    def redis(self) -> Redis:
        """The client, for those who need connections of their own."""
        redis: Redis = self._redis
        return redis

    async def greet(self, url: str) -> None:
        """Raises `BrokerUnavailable` or `BrokerRefused` where Redis cannot be used, with its URL in the message."""
        try:
            await self.call("PING")
        except (BrokerUnavailable, BrokerRefused) as error:
            said = str(error).removeprefix("Redis").rstrip(".")
            hint = greeting_hint(url, said) or " Start one there, or set TAILRACE_REDIS_URL."
            raise type(error)(
                f"Redis at {without_password(url)}{said}.{hint if 'cannot be reached' in said else ''}"
            ) from error

    async def call(self, *command: Argument) -> Any:
        """One command, one round trip."""
        with our_errors(command):
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS):
                try:
                    return await self._redis.execute_command(*command)
                except exceptions.RedisError as error:
                    await self._leave(error)
                    raise

    async def pipeline(self, *commands: Command) -> list[Any]:
        """Several commands in one round trip, each for itself; the first error is raised after all have run."""
        return await self._execute(commands, transaction=False)

    async def transaction(self, *commands: Command) -> list[Any]:
        """Several commands in one round trip, all or nothing (MULTI/EXEC)."""
        return await self._execute(commands, transaction=True)

    async def _execute(self, commands: tuple[Command, ...], *, transaction: bool) -> list[Any]:
        untaken: list[int] = []

        def spare(_error: Exception, number: int, _command: object) -> None:
            # Redis-py would quote the command in the error, and so a prompt.
            untaken.append(number)

        with our_errors():
            async with asyncio.timeout(CALL_TIMEOUT_SECONDS), self._redis.pipeline(transaction=transaction) as pipe:
                for command in commands:
                    pipe.execute_command(*command)
                pipe.annotate_exception = spare
                try:
                    replies: list[Any] = await pipe.execute(raise_on_error=False)
                except exceptions.ResponseError as error:
                    # The transaction did not take a command in, and so none.
                    replies = [None] * len(commands)
                    replies[max(untaken[0] - 1, 0) if untaken else 0] = error
        for command, reply in zip(commands, replies, strict=False):
            if isinstance(reply, Exception):
                await self._leave(reply)
                with our_errors(command):
                    raise reply
        return replies

    async def _leave(self, error: Exception) -> None:
        """Drops the connections to a server that takes no commands now: those that come next are made anew."""
        if is_passing(error):
            await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """Closes every connection."""
        await self._redis.aclose(close_connection_pool=True)


async def patiently(
    ask: Callable[[], Awaitable[_Reply]], *, limit_seconds: float, while_refused: bool = False
) -> _Reply:
    """Ask again while Redis is away, or its password is being rotated.

    Args:
        ask: Sends the question, and may be called any number of times.
        limit_seconds: For how long to ask again.
        while_refused: Whether to ask again while Redis refuses writes too.

    Returns:
        The first answer.

    Raises:
        BrokerUnavailable: Redis was away for the whole time.
        CredentialsRefused: Redis refused the password for the whole time.
        BrokerRefused: Redis refused the question, or all writes for the whole time.
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
    """What Redis holds, as text: what is not UTF-8 in it was written by somebody else, and becomes a `\ufffd`."""
    return stored.decode(errors="replace")


def ms(seconds: float) -> int:
    """Redis counts time in whole milliseconds."""
    return round(seconds * 1000)


@contextmanager
def our_errors(command: Sequence[Argument] = ()) -> Generator[None]:
    """Turns what redis-py raises, of a command, into the infrastructure's branch of our tree."""
    try:
        yield
    except exceptions.AuthenticationError as error:
        raise CredentialsRefused(f"Redis does not accept the user or password: {error}") from error
    except (NotNow, exceptions.BusyLoadingError, exceptions.ReadOnlyError) as error:
        raise BrokerUnavailable(f"Redis takes no commands now: {error}") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise BrokerUnavailable(f"Redis cannot be reached: {why_unreachable(error)}") from error
    except exceptions.InvalidResponse as error:
        raise BrokerUnavailable(f"Redis cannot be reached: what answers is not Redis ({error})") from error
    except exceptions.RedisError as error:
        raise BrokerRefused(f"Redis refused: {why_refused(error, command)}") from error


def refused(error: Exception, *command: Argument) -> BrokerRefused:
    """An error reply that stands in the place of a command's reply."""
    refusal = BrokerRefused(f"Redis refused: {why_refused(error, command)}")
    refusal.__cause__ = error
    return refusal
