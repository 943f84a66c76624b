"""What the log says while Redis is away, and after a worker was lost."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from signal import Signals
from socket import gaierror
from ssl import SSLError
from typing import Final, cast

import pytest
from redis import exceptions
from redis.asyncio.connection import DefaultParser

from tailrace import BrokerUnavailable, GenerationRequest, Tailrace
from tailrace.broker.client import Broker, open_redis, our_errors, refused
from tailrace.broker.connection import NotNow
from tailrace.broker.outage import Dependent
from tailrace.broker.wire import Wire, packed
from tailrace.errors import InfrastructureError
from tailrace.events import Completed
from tailrace_worker import log_summary
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.claims import claim_command, new_token
from tests.support.eventually import eventually
from tests.support.own_server import broker_url
from tests.support.streams import events_of
from tests.worker.conftest import OpenGenerations, Puppet, open_generations, puppet, request_, running_worker

__all__ = ["broker_url", "open_generations", "puppet", "request_"]  # fixtures


async def test_a_redis_that_goes_away_is_told_of_once_when_it_goes_and_once_when_it_is_back(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failures = Counter[str]()
    fails = Dependent.fails

    def counted(dependent: Dependent, error: Exception) -> None:
        failures[dependent.what] += 1
        fails(dependent, error)

    monkeypatch.setattr(Dependent, "fails", counted)
    async with open_generations(lease_seconds=5) as generations, running_worker(generations):
        job = await tailrace.enqueue(request_)
        reader = asyncio.create_task(events_of(job))
        await puppet.called.wait()
        await asyncio.to_thread(own_broker.stop)
        puppet.say("meanwhile")
        # Those who append, claim, renew leases, poll for cancels and listen for readers: three of them at least.
        await eventually(lambda: len(failures) >= 3 and failures.total() >= 8)
        await asyncio.to_thread(own_broker.start)
        puppet.finish()
        assert isinstance((await reader)[-1], Completed)
        await eventually(lambda: "does all again" in caplog.text)
    warnings = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    # A server that has begun to load its data has another cause, which is told as well.
    first, *others = [warning for warning in warnings if "loading" not in warning]
    assert "cannot be reached" in first
    assert len(others) == 1, warnings
    assert "does all again" in others[0]


def test_a_long_outage_is_told_of_every_thirty_seconds(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("tailrace.broker.outage.time.monotonic", lambda: now)
    one, other = Dependent("one waits"), Dependent("the other waits")
    for _ in range(100):
        one.fails(OSError("away"))
        other.fails(OSError("away too"))
        now += 1
    one.works()
    one.works()
    other.works()
    assert [record.getMessage() for record in caplog.records] == [
        "one waits: away",
        "one waits, for 30 s now: away",
        "one waits, for 60 s now: away",
        "one waits, for 90 s now: away",
        "Redis does all again, after 100.0 s",
    ]


_parsed = cast("Callable[[str], Exception]", DefaultParser.parse_error)  # pyright: ignore[reportUnknownMemberType]


def refusal(reply: str) -> Exception:
    """What an error reply of Redis becomes."""
    return refused(_parsed(reply), "SET", "tailrace:any")


def raised(error: Exception) -> Exception:
    """What an error of redis-py becomes."""
    with pytest.raises(InfrastructureError) as caught, our_errors():
        raise error
    return caught.value


LOST: Final = exceptions.ConnectionError("Connection closed by server.")
NO_TLS: Final = SSLError()
NO_TLS.reason = "WRONG_VERSION_NUMBER"
CAUSES: Final[Mapping[str, Sequence[Exception]]] = {
    "lost": (raised(LOST), raised(exceptions.ConnectionError("Error 111")), LOST, BrokerUnavailable("away"), OSError()),
    "loading": (
        raised(exceptions.BusyLoadingError("Redis is loading the dataset in memory")),
        exceptions.BusyLoadingError("Loading"),
    ),
    "demoted": (
        raised(NotNow("the server was demoted")),
        raised(exceptions.ReadOnlyError("You can't write against a read only replica.")),
        raised(exceptions.ReadOnlyError("You can't write against a read only replica. script: 1f, on @user_script:3.")),
    ),
    "no right": (
        refusal("NOPERM No permissions to access a key"),
        refusal("ERR ACL failure in script: User ann has no permissions to run the 'xadd' command"),
        _parsed("NOPERM User ann has no permissions to run the 'xadd' command"),
    ),
    "no password": (
        raised(exceptions.AuthenticationError("Authentication required.")),
        raised(exceptions.AuthenticationError("invalid username-password pair")),
    ),
    "no memory": (
        refusal("OOM command not allowed when used memory > 'maxmemory'."),
        refusal("ERR Error running script (call to f_1): @user_script:4: -OOM command not allowed"),
        refusal("EXECABORT Transaction discarded because of: OOM command not allowed"),
    ),
    "no disk": (refusal("MISCONF Redis is configured to save RDB snapshots"), refusal("MISCONF Errors writing")),
    "no such host": (raised(gaierror(-2, "Name or service not known")),),
    "no TLS": (raised(NO_TLS),),
    "no Redis": (raised(exceptions.InvalidResponse("Protocol Error: HTTP")),),
}


def test_a_cause_that_has_changed_is_told_at_once_and_each_only_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    monkeypatch.setattr("tailrace.broker.outage.time.monotonic", lambda: now)
    one, other = Dependent("one waits"), Dependent("the other waits")
    for outage in range(2):
        for _ in range(2):
            for errors in CAUSES.values():
                for error in errors:
                    one.fails(error)
                    other.fails(error)
                    now += 0.1
        one.works()
        other.works()
        told = [record.getMessage() for record in caplog.records]
        caplog.clear()
        assert len(told) == len(CAUSES) + 1, f"outage {outage}: {told}"
        assert told[1] == "one waits, for 1 s now: Redis takes no commands now: Redis is loading the dataset in memory"
        assert "does all again" in told[-1]


async def test_a_right_that_is_missing_when_redis_is_back_is_told_at_once(
    own_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    broker = Broker(open_redis(own_broker.url))
    await broker.call("ACL", "SETUSER", "ann", "on", "nopass", "~*", "+@all", "-set")
    ann = open_redis(own_broker.url.replace("//", "//ann:any@"))
    asking = Dependent("somebody waits")
    async with Wire(ann) as wire:
        await wire.connect()
        asking.fails(BrokerUnavailable("away"))
        for _ in range(2):
            (reply,) = await wire.exchange(packed("SET", "tailrace:any", 1), 1)
            asking.fails(refused(reply, "SET", "tailrace:any"))
    await ann.aclose()
    await broker.aclose()
    told = [record.getMessage() for record in caplog.records if record.name == "tailrace.broker.outage"]
    assert len(told) == 2
    assert "+set" in told[1]


def test_what_is_gone_while_it_failed_holds_no_outage_open(caplog: pytest.LogCaptureFixture) -> None:
    Dependent("one waits").fails(OSError("away"))
    other = Dependent("the other waits")
    other.fails(OSError("away"))
    other.works()
    assert "does all again" in caplog.text


async def test_the_jobs_of_a_lost_worker_are_told_of_once_with_their_number(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_summary, "_SECONDS", 0.1)
    caplog.set_level("INFO", "tailrace_worker")
    jobs = await tailrace.enqueue_many([request_] * 7)
    for _ in jobs:
        puppet.finish()
    async with open_generations() as generations:
        claim = claim_command(
            generations.keys, ("default",), new_token("host:1"), places=7, lease_seconds=0.001, takes_over_until=0
        )
        await generations.broker.call(*claim)
        async with running_worker(generations):
            for job in jobs:
                assert isinstance((await events_of(job))[-1], Completed)
            await eventually(lambda: "taken over" in caplog.text)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if "lost" in record.getMessage()]
    assert told == [
        ("WARNING", "worker host:1 is lost: the leases of its 7 jobs run out"),
        ("WARNING", "7 jobs of lost workers are taken over"),
    ]


async def test_a_drain_is_told_of_once_with_the_number_of_jobs(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "tailrace_worker")
    await tailrace.enqueue_many([request_] * 3)
    async with open_generations(grace_seconds=7) as generations, running_worker(generations) as worker:
        await eventually(lambda: len(puppet.requests) == 3)
        for _ in range(4):
            worker.handle_sig_wait_for_completion(Signals.SIGTERM)
    told = [record.getMessage() for record in caplog.records if record.name == "tailrace_worker.queueing.claiming"]
    assert told == ["SIGTERM: claims nothing more; 3 jobs have 7 s to finish", "3 jobs are handed back"]
