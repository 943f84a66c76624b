"""Connections of a pool are checked before each command."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tailrace.broker.client import open_redis

pytestmark = pytest.mark.redis


@pytest.fixture
async def redis(broker_url: str) -> AsyncIterator[Any]:
    async with open_redis(broker_url) as redis:
        yield redis


async def has_something_to_read(connection: Any) -> None:
    async with asyncio.timeout(10):
        while not await connection.can_read_destructive():  # noqa: ASYNC110  # Nothing tells when it has.
            await asyncio.sleep(0)


async def test_the_check_does_not_wait_for_a_turn_of_the_event_loop(redis: Any) -> None:
    connection = await redis.connection_pool.get_connection()
    check = connection.can_read_destructive()
    with pytest.raises(StopIteration) as checked:
        check.send(None)
    assert checked.value.value is False
    await redis.connection_pool.release(connection)


async def test_a_connection_that_the_server_has_closed_is_opened_again(redis: Any, broker_url: str) -> None:
    pool = redis.connection_pool
    connection = await pool.get_connection()
    await connection.send_command("CLIENT", "ID")
    client_id = await connection.read_response()
    await pool.release(connection)
    other: Any
    async with open_redis(broker_url) as other:
        await other.client_kill_filter(_id=str(client_id))
    await has_something_to_read(connection)
    assert await redis.client_id() != client_id


async def test_a_connection_with_a_reply_that_nobody_has_read_is_opened_again(redis: Any) -> None:
    pool = redis.connection_pool
    connection = await pool.get_connection()
    await connection.send_command("ECHO", "to somebody else")
    await pool.release(connection)
    await has_something_to_read(connection)
    assert await redis.echo("to me") == b"to me"
