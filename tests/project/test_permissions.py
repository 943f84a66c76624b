"""A test reaches nothing outside its process that its markers do not name."""

import asyncio
import socket
import subprocess
import sys

import pytest

from tailrace import Settings
from tailrace.broker.client import Broker

COMMAND = [sys.executable, "-c", ""]
UNMARKED = pytest.fail.Exception


def test_without_a_marker_no_process_can_be_started() -> None:
    with pytest.raises(UNMARKED, match="without the marker `process`"):
        subprocess.run(COMMAND, check=True)


async def test_without_a_marker_no_process_can_be_started_from_a_loop() -> None:
    with pytest.raises(UNMARKED, match="without the marker `process`"):
        await asyncio.create_subprocess_exec(*COMMAND)


def test_without_a_marker_no_redis_server_can_be_started() -> None:
    with pytest.raises(UNMARKED, match="without the marker `redis`"):
        subprocess.run(["/nowhere/valkey-server"], check=True)


def test_without_a_marker_only_a_server_of_this_process_can_be_connected_to() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        socket.create_connection(address).close()
    with socket.socket() as client, pytest.raises(UNMARKED, match="without the marker `redis`"):
        client.connect(address)


def test_a_redis_server_gives_no_leave_to_start_other_processes(
    settings: Settings, request: pytest.FixtureRequest
) -> None:
    assert request.node.get_closest_marker("redis")
    with pytest.raises(UNMARKED, match="without the marker `process`"):
        subprocess.run(COMMAND, check=True)


async def test_a_test_that_has_a_redis_server_may_connect_to_it(broker: Broker) -> None:
    assert await broker.call("PING")


@pytest.mark.process
def test_a_test_with_the_marker_may_start_a_process() -> None:
    subprocess.run(COMMAND, check=True)
