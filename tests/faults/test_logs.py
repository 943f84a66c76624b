"""What the log says while Redis is away, and after a worker was lost."""

import asyncio
import logging
from collections import Counter

import pytest

from tailrace import Event, GenerationRequest, Job, Tailrace
from tailrace.broker.outage import Dependent
from tailrace.events import Completed
from tailrace_worker import log_summary
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.claims import claim_command, new_token
from tests.support.eventually import eventually
from tests.worker.conftest import OpenGenerations, Puppet, open_generations, puppet, request_, running_worker

__all__ = ["open_generations", "puppet", "request_"]  # fixtures


@pytest.fixture
def broker_url(own_broker: EmbeddedBroker) -> str:
    """The `settings` of these tests point at a server of their own."""
    return own_broker.url


async def events_of(job: Job) -> list[Event]:
    async with asyncio.timeout(30):
        return [event async for event in job.tail()]


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
    assert len(warnings) == 2, warnings
    assert "cannot be reached" in warnings[0]
    assert "does all again" in warnings[1]


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
            generations.keys, ("default",), new_token("lost"), places=7, lease_seconds=0.001, takes_over_until=0
        )
        await generations.broker.call(*claim)
        async with running_worker(generations):
            for job in jobs:
                assert isinstance((await events_of(job))[-1], Completed)
            await eventually(lambda: "taken over" in caplog.text)
    told = [record.getMessage() for record in caplog.records if "taken over" in record.getMessage()]
    assert told == ["7 jobs of lost workers are taken over"]
