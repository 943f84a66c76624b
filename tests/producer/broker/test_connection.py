"""Connections of a pool are checked before each command."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import pytest

from tailrace.broker.client import open_redis
from tests.support.proxy import Proxy

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(broker_url: str) -> AsyncIterator[Any]:
    async with open_redis(broker_url) as redis:
        yield redis


def check(connection: Any) -> Coroutine[Any, Any, bool]:
    """What the pool awaits: true if a connection is not to be used. Its name depends on the version of redis-py."""
    can_read = "can_read" if hasattr(connection, "can_read") else "can_read_destructive"
    asked: Coroutine[Any, Any, bool] = getattr(connection, can_read)()
    return asked


async def becomes_unusable(connection: Any) -> None:
    async with asyncio.timeout(10):
        while not await check(connection):  # noqa: ASYNC110  # Nothing tells when it is.
            await asyncio.sleep(0)


async def connection_of(redis: Any) -> tuple[Any, int]:
    """The one connection of the pool, and the id that the server gave it."""
    connection = await redis.connection_pool.get_connection()
    await redis.connection_pool.release(connection)
    return connection, await redis.client_id()


async def test_the_check_does_not_wait_for_a_turn_of_the_event_loop(redis: Any) -> None:
    connection, _ = await connection_of(redis)
    checking = check(connection)
    with pytest.raises(StopIteration) as checked:
        checking.send(None)
    assert checked.value.value is False


async def test_a_connection_that_the_server_has_closed_is_opened_again(redis: Any, broker_url: str) -> None:
    connection, client_id = await connection_of(redis)
    other: Any
    async with open_redis(broker_url) as other:
        await other.client_kill_filter(_id=str(client_id))
    await becomes_unusable(connection)
    assert await redis.client_id() != client_id


async def test_a_connection_that_was_reset_is_opened_again(broker_url: str) -> None:
    redis: Any
    async with Proxy(broker_url) as proxy, open_redis(proxy.url) as redis:
        connection, client_id = await connection_of(redis)
        await proxy.reset()
        await becomes_unusable(connection)
        assert await redis.client_id() != client_id


async def test_a_connection_with_a_reply_that_nobody_has_read_is_opened_again(redis: Any) -> None:
    connection, _ = await connection_of(redis)
    await connection.send_command("ECHO", "to somebody else")
    await becomes_unusable(connection)
    assert await redis.echo("to me") == b"to me"
