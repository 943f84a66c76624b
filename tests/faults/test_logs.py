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

from tailrace import BrokerUnavailable, GenerationRequest, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis, our_errors, refused
from tailrace.broker.connection import NotNow
from tailrace.broker.outage import PROCESS_OUTAGE, Dependent, Outage, OutageLimits
from tailrace.broker.wire import Wire, packed
from tailrace.errors import InfrastructureError
from tailrace.events import Completed
from tailrace.protocol.keys import Keys, new_job_id
from tailrace.tailing.orphans import Orphans
from tailrace_worker.attempt.cancel_poll import CancelPoll
from tailrace_worker.attempt.put_back import PutBack
from tailrace_worker.log_summary import Tally
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.claims import claim_command, new_token
from tests.support.eventually import eventually
from tests.support.own_server import broker_url
from tests.support.streams import events_of, run_unclaimed
from tests.worker.conftest import OpenGenerations, Puppet, open_generations, puppet, request_, running_worker

__all__ = ["broker_url", "open_generations", "puppet", "request_"]  # fixtures


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each dependent of Redis has failed. None of those that failed is forgotten before it works again."""
    counts = Counter[str]()
    fails = Dependent.fails

    def counted(dependent: Dependent, error: Exception) -> None:
        counts[dependent.what] += 1
        fails(dependent, error)

    monkeypatch.setattr(Dependent, "fails", counted)
    monkeypatch.setattr(PROCESS_OUTAGE, "limits", OutageLimits(forgotten_seconds=3_600.0))
    return counts


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was told of an outage, or in its place."""
    # A server that has begun to load its data has another cause, which is told as well.
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    return [line for line in told if "loading" not in line]


def assert_told_once(caplog: pytest.LogCaptureFixture) -> None:
    first, last = warnings(caplog)
    assert "cannot be reached" in first
    assert "works again" in last


async def test_an_outage_of_redis_is_logged_once_when_it_begins_and_once_when_it_ends(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    caplog: pytest.LogCaptureFixture,
    failures: Counter[str],
) -> None:
    all_dependents = {
        "answers are not written",
        "leases are not renewed",
        "new events are looked for once a second only",
        "no jobs can be claimed",
        "cancel requests are not read",
    }
    async with open_generations(lease_seconds=3) as generations, running_worker(generations):
        reader = asyncio.create_task(events_of(await tailrace.enqueue(request_)))
        await puppet.called.wait()
        await asyncio.to_thread(own_broker.stop)
        puppet.say("meanwhile")
        await eventually(lambda: failures.keys() == all_dependents and min(failures.values()) >= 2)
        await asyncio.to_thread(own_broker.start)
        await eventually(lambda: "works again" in caplog.text)
        puppet.finish()
        assert isinstance((await reader)[-1], Completed)
    assert_told_once(caplog)


async def test_jobs_that_cannot_begin_during_an_outage_of_redis_are_not_logged_one_by_one(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    own_broker: EmbeddedBroker,
    caplog: pytest.LogCaptureFixture,
    failures: Counter[str],
) -> None:
    jobs = await tailrace.enqueue_many([request_] * 3)
    async with open_generations() as generations:
        await asyncio.to_thread(own_broker.stop)
        for job in jobs:
            with pytest.raises(PutBack):
                await run_unclaimed(generations, job.id, 1)
        await asyncio.to_thread(own_broker.start)
        puppet.finish()
        await run_unclaimed(generations, (await tailrace.enqueue(request_)).id, 1)
        await eventually(lambda: "works again" in caplog.text)
    assert failures["jobs wait"] == 3
    assert_told_once(caplog)


async def test_silent_jobs_that_cannot_be_checked_are_not_logged_one_by_one(
    tailrace: Tailrace,
    settings: Settings,
    request_: GenerationRequest,
    own_broker: EmbeddedBroker,
    caplog: pytest.LogCaptureFixture,
    failures: Counter[str],
) -> None:
    job = await tailrace.enqueue(request_)
    broker = Broker(open_redis(settings.redis_url))
    orphans = Orphans(broker, Keys(settings.prefix), keep_seconds=60)
    checking = asyncio.create_task(orphans.run())
    await asyncio.to_thread(own_broker.stop)
    for count in range(1, 4):
        orphans.suspect(job.id)
        await eventually(lambda count=count: failures.total() == count)  # type: ignore[misc]
    await asyncio.to_thread(own_broker.start)
    orphans.suspect(job.id)
    await eventually(lambda: "works again" in caplog.text)
    checking.cancel()
    await broker.aclose()
    assert_told_once(caplog)


async def test_a_poll_that_has_stopped_does_not_keep_an_outage_open(
    settings: Settings, own_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture, failures: Counter[str]
) -> None:
    redis = open_redis(settings.redis_url)
    poll = CancelPoll(redis, Keys(settings.prefix), tick_seconds=0.01)
    polling = asyncio.create_task(poll.run())
    with poll.watch(new_job_id(), lambda _: None):
        await asyncio.to_thread(own_broker.stop)
        await eventually(lambda: failures.total() > 0)
    await eventually(lambda: "works again" in caplog.text)
    polling.cancel()
    await redis.aclose()
    assert_told_once(caplog)


def test_a_long_outage_is_logged_every_thirty_seconds(caplog: pytest.LogCaptureFixture) -> None:
    now = 1_000.0
    away = Outage(clock=lambda: now)
    one, other = Dependent("one waits", away), Dependent("the other waits", away)
    for _ in range(100):
        one.fails(OSError("away"))
        other.fails(OSError("away too"))
        now += 1
    one.works()
    assert "works again" not in caplog.text
    one.works()
    other.works()
    assert [record.getMessage() for record in caplog.records] == [
        "one waits: away",
        "one waits, for 30 s now: away",
        "one waits, for 60 s now: away",
        "one waits, for 90 s now: away",
        "Redis works again, after 100.0 s",
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


def met_by_redis_py(error: OSError) -> Exception:
    """It raises an error of its own while it handles one of the system."""
    own = exceptions.ConnectionError("no connection")
    own.__context__ = error
    return own


NO_HOST: Final = gaierror(-2, "Name or service not known")
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
    "no such host": (raised(NO_HOST), raised(met_by_redis_py(NO_HOST))),
    "no TLS": (raised(NO_TLS), raised(met_by_redis_py(NO_TLS))),
    "no Redis": (raised(exceptions.InvalidResponse("Protocol Error: HTTP")),),
}


def test_a_new_cause_is_logged_at_once_and_each_cause_only_once(caplog: pytest.LogCaptureFixture) -> None:
    one, other = Dependent("one waits"), Dependent("the other waits")
    for _ in range(2):
        caplog.clear()
        for _ in range(2):
            for errors in CAUSES.values():
                for error in errors:
                    one.fails(error)
                    other.fails(error)
        one.works()
        other.works()
        *told, last = [record.getMessage() for record in caplog.records]
        firsts = [str(errors[0]) for errors in CAUSES.values()]
        assert told == [f"one waits: {firsts[0]}", *(f"one waits, for 0 s now: {first}" for first in firsts[1:])]
        assert "works again" in last


@pytest.mark.parametrize("cause", CAUSES)
def test_errors_with_the_same_cause_are_logged_as_one_cause(cause: str, caplog: pytest.LogCaptureFixture) -> None:
    one, other = Dependent("one waits"), Dependent("the other waits")
    for error in CAUSES[cause]:
        caplog.clear()
        one.fails(refusal("ANOTHER cause"))
        one.fails(error)
        for same in CAUSES[cause]:
            other.fails(same)
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
            "one waits",
            "one waits, for 0 s now",
        ]
        one.works()
        other.works()


async def test_each_state_in_which_redis_refuses_commands_is_logged(
    own_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    redis = open_redis(own_broker.url)
    broker = Broker(redis)
    await broker.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    await broker.call("REPLICAOF", "127.0.0.1", 1)
    asking = Dependent("somebody waits")
    asking.fails(BrokerUnavailable("away"))
    for command in (("GET", "any"), ("SET", "any", "1"), ("GET", "any"), ("SET", "any", "1")):
        async with Wire(redis) as wire:
            await wire.connect()
            with pytest.raises(BrokerUnavailable) as caught:
                await wire.exchange(packed(*command), 1)
        asking.fails(caught.value)
    await broker.aclose()
    _, *told = [record.getMessage() for record in caplog.records if record.name == "tailrace.broker.outage"]
    assert len(told) == 2
    assert "MASTER" in told[0]
    assert "read only replica" in told[1]


async def test_a_right_that_is_missing_after_an_outage_is_logged_at_once(
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


def test_a_task_that_ended_while_it_failed_does_not_keep_an_outage_open(caplog: pytest.LogCaptureFixture) -> None:
    Dependent("one waits").fails(OSError("away"))
    other = Dependent("the other waits")
    other.fails(OSError("away"))
    other.works()
    assert "works again" in caplog.text


@pytest.mark.parametrize(("seconds", "ends"), [(4, False), (6, True)])
def test_a_task_that_never_tried_again_does_not_keep_an_outage_open(
    seconds: float, ends: bool, caplog: pytest.LogCaptureFixture
) -> None:
    now = 1_000.0
    away = Outage(clock=lambda: now)
    one, other = Dependent("one waits", away), Dependent("the other waits", away)
    one.fails(OSError("away"))
    now += seconds
    other.fails(OSError("away"))
    other.works()
    assert ("works again" in caplog.text) is ends


async def test_a_lost_worker_is_logged_once_with_the_number_of_its_jobs(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", "tailrace_worker")
    jobs = await tailrace.enqueue_many([request_] * 7)
    for _ in jobs:
        puppet.finish()
    async with open_generations() as generations:
        claim = claim_command(
            generations.keys, ("default",), new_token("host:1"), places=7, lease_seconds=0.001, takes_over_until=0
        )
        await generations.broker.call(*claim)
        jobs.append(await tailrace.enqueue(request_))
        puppet.finish()
        async with running_worker(generations):
            for job in jobs:
                assert isinstance((await events_of(job))[-1], Completed)
            await eventually(lambda: "taken over" in caplog.text)
    told = [(record.levelname, record.getMessage()) for record in caplog.records if "lost" in record.getMessage()]
    assert told == [
        ("WARNING", "worker host:1 is lost: it no longer renews the leases of its 7 jobs"),
        ("WARNING", "7 jobs of lost workers are taken over"),
    ]


async def test_a_drain_is_logged_once_with_the_number_of_jobs(
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
    assert told == [
        "SIGTERM: no more jobs are claimed, and the 3 running jobs have 7 s to finish",
        "3 jobs are handed back",
    ]


async def test_the_number_of_jobs_that_were_deleted_while_running_is_logged(
    tailrace: Tailrace,
    open_generations: OpenGenerations,
    request_: GenerationRequest,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
) -> None:
    jobs = await tailrace.enqueue_many([request_] * 3)
    async with open_generations() as generations, running_worker(generations):
        generations.dropped.seconds = 2.0
        await eventually(lambda: len(puppet.requests) == 3)
        for job in jobs:
            await job.delete()
        for _ in jobs:
            # The first of those that still run gets it.
            puppet.closed.clear()
            puppet.say("to nobody")
            await puppet.closed.wait()
        await eventually(lambda: "dropped" in caplog.text)
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["3 jobs are dropped: other workers have taken them over, or they were deleted"]


async def test_a_burst_of_events_is_one_line_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    counted = Tally(logging.getLogger("tailrace_worker"), "%d of them", seconds=0.001)
    for counts in ((2, 0, 3), (0,), (1,)):
        for count in counts:
            counted.add(count)
        if any(counts):
            await eventually(lambda counts=counts: f"{sum(counts)} of them" in caplog.text)  # type: ignore[misc]
    assert [record.getMessage() for record in caplog.records] == ["5 of them", "1 of them"]
