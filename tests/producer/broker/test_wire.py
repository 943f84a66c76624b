"""The connection of one's own, on either event loop and against servers that break it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import TypeAlias

import pytest

from tailrace import BrokerRefused, BrokerUnavailable
from tailrace.broker.client import open_redis
from tailrace.broker.liveness import LivenessLimits
from tailrace.broker.wire import TooMuch, Wire, packed
from tailrace_worker.processes.valkey import EmbeddedBroker
from tests.support.eventually import eventually
from tests.support.suspended import suspended

PING = packed("PING")
MUCH = packed("SET", "much", b"x" * 30_000_000)
"""More than the sockets of both sides hold."""


@asynccontextmanager
async def connected(url: str, liveness: LivenessLimits | None = None) -> AsyncGenerator[Wire]:
    async with open_redis(url, liveness=liveness) as redis, Wire(redis) as wire:
        await wire.connect()
        yield wire


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_connection_that_redis_has_closed_is_unavailable_to_who_uses_it(broker_url: str, loop: str) -> None:
    async def use() -> None:
        async with connected(broker_url) as wire, connected(broker_url) as other:
            (client,) = await wire.exchange(packed("CLIENT", "ID"), 1)
            await other.exchange(packed("CLIENT", "KILL", "ID", client), 1)
            await eventually(lambda: not wire.is_connected)
            with pytest.raises(BrokerUnavailable):
                await wire.send(PING)
            with pytest.raises(BrokerUnavailable):
                await wire.exchange(PING, 1)
            await wire.connect()
            assert await wire.exchange(PING, 1) == [b"PONG"]

    # Where a transport is closed, asyncio's forgets what is written, and uvloop's raises.
    with asyncio.Runner(loop_factory=pytest.importorskip(loop).new_event_loop) as runner:
        runner.run(use())


async def test_who_hears_is_woken_when_a_server_that_takes_nothing_is_given_up(own_broker: EmbeddedBroker) -> None:
    async with connected(own_broker.url) as wire, asyncio.timeout(10), suspended(own_broker.url):
        hearing = asyncio.create_task(wire.hear())
        await asyncio.sleep(0)
        await wire.send(MUCH)
        await wire.disconnect()
        with pytest.raises(BrokerUnavailable):
            await hearing


async def test_what_a_server_does_not_take_is_dropped_with_the_connection(
    own_broker: EmbeddedBroker,
) -> None:
    limits = LivenessLimits(reply_timeout_seconds=0.2)
    async with connected(own_broker.url, limits) as given_up, suspended(own_broker.url):
        with pytest.raises(BrokerUnavailable):
            await given_up.exchange(MUCH, 1)
        assert not given_up.is_connected
    async with connected(own_broker.url) as anew:
        assert await anew.exchange(packed("EXISTS", "much"), 1) == [0]


async def test_a_server_that_has_become_a_replica_is_left(own_broker: EmbeddedBroker) -> None:
    async with connected(own_broker.url) as wire:
        await wire.exchange(packed("REPLICAOF", "127.0.0.1", 1), 1)
        with pytest.raises(BrokerUnavailable, match="read only"):
            await wire.exchange(packed("SET", "a", 1), 1)
        assert not wire.is_connected


async def test_whose_password_is_withdrawn_is_refused(own_broker: EmbeddedBroker) -> None:
    async with connected(own_broker.url) as other:
        await other.exchange(packed("ACL", "SETUSER", "ann", "on", ">p@ss:w/rd", "allkeys", "+@all"), 1)
        async with connected(own_broker.url.replace("//", "//ann:p%40ss%3Aw%2Frd@")) as wire:
            assert await wire.exchange(packed("ACL", "WHOAMI"), 1) == [b"ann"]
            await other.exchange(packed("ACL", "DELUSER", "ann"), 1)
            with pytest.raises(BrokerUnavailable):
                await wire.exchange(PING, 1)
            with pytest.raises(BrokerRefused, match="user or password"):
                await wire.connect()


@pytest.mark.redis
async def test_a_socket_of_the_file_system_and_a_database_are_connected_to() -> None:
    # The path of a socket has to be short.
    with TemporaryDirectory() as directory, EmbeddedBroker(config={"unixsocket": f"{directory}/socket"}) as broker:
        async with connected(f"unix://{directory}/socket?db=3") as wire, connected(broker.url[:-1] + "3") as other:
            assert await wire.exchange(packed("SET", "a", 1), 1) == [b"OK"]
            assert await other.exchange(packed("GET", "a"), 1) == [b"1"]


@pytest.mark.parametrize("turns", range(8))
async def test_whoever_is_cancelled_leaves_no_reply_to_who_comes_next(broker_url: str, turns: int) -> None:
    async with connected(broker_url) as wire:
        for cancelled in (wire.exchange(packed("ECHO", "mine") * 3, 3), wire.connect()):
            running = asyncio.ensure_future(cancelled)
            for _ in range(turns):
                await asyncio.sleep(0)
            running.cancel()
            await asyncio.wait([running])
            if not wire.is_connected:
                await wire.connect()
            assert await wire.exchange(packed("ECHO", "yours"), 1) == [b"yours"]


Answer: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer) -> AsyncGenerator[str]:
    """A server that does as it is told."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await answer(reader, writer)
        writer.transport.abort()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.create_task(serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{listening.sockets[0].getsockname()[1]}/0"
    finally:
        listening.close()
        await asyncio.wait(serving)


REPLIES = b"*2\r\n$2\r\nab\r\n*1\r\n$3\r\nc\r\n\r\n-ERR no\r\n:5\r\n$-1\r\n+OK\r\n"


async def test_replies_may_come_and_break_off_at_any_byte() -> None:
    length = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async for line in reader:
            if line == b"SETINFO\r\n":
                writer.write(b"+OK\r\n")
            elif line == b"PING\r\n":
                for byte in REPLIES[:length]:
                    writer.write(bytes([byte]))
                    await asyncio.sleep(0)
                await writer.drain()
                return

    async with server(answer) as address, open_redis(f"redis://{address}") as redis, Wire(redis) as wire:
        while length < len(REPLIES):
            await wire.connect()
            with pytest.raises(BrokerUnavailable):
                await wire.exchange(PING, 5)
            length += 1
        await wire.connect()
        nested, error, *others = await wire.exchange(PING, 5)
        assert (nested, str(error), others) == ([b"ab", [b"c\r\n"]], "no", [5, None, b"OK"])


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_replies_larger_than_allowed_are_not_read_and_close_the_connection(broker_url: str, loop: str) -> None:
    async def use() -> None:
        async with connected(broker_url) as wire:
            key = f"wire-{token_hex(8)}"
            await wire.exchange(packed("SET", key, b"x" * 1_000_000, "EX", 60), 1)
            assert len((await wire.exchange(packed("GET", key), 1, max_bytes=1_000_100))[0]) == 1_000_000
            with pytest.raises(TooMuch):
                await wire.exchange(packed("GET", key) * 50, 50, max_bytes=1_000_100)
            assert not wire.is_connected
            await wire.connect()
            assert len((await wire.exchange(packed("GET", key), 1))[0]) == 1_000_000

    with asyncio.Runner(loop_factory=pytest.importorskip(loop).new_event_loop) as runner:
        runner.run(use())
