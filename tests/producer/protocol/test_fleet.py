"""Queues and workers at one moment, in Python and on the command line."""

import asyncio
import json
import re
import time
from typing import Any

import pytest

from tailrace import Fleet, GenerationRequest, QueueStatus, Settings, Tailrace
from tailrace.broker.client import Argument, Broker, Command
from tailrace.cli import main
from tailrace.protocol.fleet import beat_commands, leave_commands, read_fleet, serve_commands
from tailrace.protocol.keys import Keys


@pytest.fixture
def request_() -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": "openai", "model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    )


def beat(keys: Keys, name: str, *queues: str, running: int = 0) -> tuple[Command, ...]:
    return beat_commands(keys, name, queues=queues, running=running, max_jobs=100, at=round(time.time() * 1000))


async def test_where_nothing_was_ever_enqueued_there_is_nothing(tailrace: Tailrace) -> None:
    assert await tailrace.fleet() == Fleet(queues=(), workers=())


async def test_a_queue_tells_what_is_due_what_is_deferred_and_what_runs(
    tailrace: Tailrace, broker: Broker, keys: Keys, request_: GenerationRequest
) -> None:
    oldest = await tailrace.enqueue(request_)
    await tailrace.enqueue(request_)
    for _ in range(3):
        await tailrace.enqueue(request_, defer_seconds=60)
    await tailrace.enqueue(request_, queue="batch", defer_seconds=60)
    await broker.call("ZADD", keys.running("default"), 1, "one", 2, "two", 3, "three", 4, "four")
    seconds, _ = await broker.call("TIME")
    await broker.call("ZADD", keys.queue("default"), (int(seconds) - 90) * 1000, oldest.id)
    batch, default = (await tailrace.fleet()).queues
    assert batch == QueueStatus(name="batch", due=0, deferred=1, running=0, oldest_due_seconds=None)
    assert (default.name, default.due, default.deferred, default.running) == ("default", 2, 3, 4)
    assert default.oldest_due_seconds is not None
    assert 90 <= default.oldest_due_seconds < 100


async def test_a_worker_is_there_from_its_first_beat_until_it_leaves(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    await broker.pipeline(*beat(keys, "b:2", "interactive", "batch", running=7), *beat(keys, "a:1", "batch"))
    idle, busy = (await tailrace.fleet()).workers
    assert (idle.name, idle.queues, idle.running) == ("a:1", ("batch",), 0)
    assert (busy.name, busy.queues, busy.running, busy.max_jobs) == ("b:2", ("interactive", "batch"), 7, 100)
    assert 0 <= busy.beat_age_seconds < 5
    await broker.pipeline(*leave_commands(keys, "b:2"))
    assert (await tailrace.fleet()).workers[0].name == "a:1"
    assert len((await tailrace.fleet()).workers) == 1


async def test_the_age_of_a_beat_is_told_by_redis_and_a_worker_that_is_silent_is_gone(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    hours_behind = beat_commands(keys, "a:1", queues=(), running=0, max_jobs=1, at=1)
    await broker.pipeline(*hours_behind[:2])
    await broker.call("PEXPIRE", keys.worker("a:1"), 13_000)
    (worker,) = (await tailrace.fleet()).workers
    assert 7 <= worker.beat_age_seconds < 8
    await broker.call("PEXPIRE", keys.worker("a:1"), 0)
    assert (await tailrace.fleet()).workers == ()
    await broker.pipeline(*beat(keys, "b:2"))
    assert await broker.call("ZRANGE", keys.workers, 0, -1) == [b"b:2"]


async def test_the_queues_of_a_worker_are_there_before_the_first_job_and_everything_expires(
    tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    await broker.pipeline(*serve_commands(keys, ("b", "a"), at=1), *beat(keys, "a:1", "a", "b"))
    assert [queue.name for queue in (await tailrace.fleet()).queues] == ["a", "b"]
    lives = await broker.pipeline(*(("PTTL", key) for key in (keys.queues, keys.workers, keys.worker("a:1"))))
    assert all(life > 0 for life in lives)


async def test_the_fleet_is_read_in_two_round_trips(
    tailrace: Tailrace,
    broker: Broker,
    keys: Keys,
    request_: GenerationRequest,
) -> None:
    for queue in ("a", "b", "c"):
        await tailrace.enqueue(request_, queue=queue)
        await broker.pipeline(*beat(keys, f"{queue}:1"))
    trips: list[int] = []

    class CountingBroker(Broker):
        async def call(self, *command: Argument) -> Any:
            trips.append(1)
            return await super().call(*command)

        async def pipeline(self, *commands: Command) -> list[Any]:
            trips.append(len(commands))
            return await super().pipeline(*commands)

        async def transaction(self, *commands: Command) -> list[Any]:
            trips.append(len(commands))
            return await super().transaction(*commands)

    fleet = await read_fleet(CountingBroker(broker.redis), keys)
    assert (len(fleet.queues), len(fleet.workers), len(trips)) == (3, 3, 2)


async def status(settings: Settings, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    """Runs the verb in a thread, as it opens an event loop of its own."""
    monkeypatch.setenv("TAILRACE_REDIS_URL", settings.redis_url)
    monkeypatch.setenv("TAILRACE_PREFIX", settings.prefix)
    async with asyncio.timeout(20):
        return await asyncio.to_thread(main, ["status", *options])


async def test_status_without_a_job_prints_queues_and_workers(
    tailrace: Tailrace,
    settings: Settings,
    broker: Broker,
    keys: Keys,
    request_: GenerationRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await tailrace.enqueue(request_, queue="batch")
    await tailrace.enqueue(request_, defer_seconds=60)
    await broker.pipeline(*beat(keys, "host:17", "default", "batch", running=3))
    assert await status(settings, monkeypatch) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert [re.sub(r"\d+\.\d s", "N s", line) for line in out.splitlines()] == [
        "QUEUE    DUE  DEFERRED  RUNNING  OLDEST DUE",
        "batch    1    0         0        N s",
        "default  0    1         0        -",
        "",
        "WORKER   RUNNING  MAX JOBS  LAST BEAT  QUEUES         PROVIDERS",
        "host:17  3        100       N s      default,batch  -",
    ]


async def test_status_tells_the_providers_of_each_worker_and_what_is_wrong_with_the_others(
    settings: Settings,
    broker: Broker,
    keys: Keys,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = {"providers": ["openai", "local"], "problems": {"anthropic": "ANTHROPIC_API_KEY is not set"}}
    await broker.pipeline(
        *beat_commands(keys, "a:1", queues=["default"], running=0, max_jobs=9, at=round(time.time() * 1000), **said)  # type: ignore[arg-type]
    )
    assert await status(settings, monkeypatch) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-3].endswith("default  openai,local")
    assert lines[-2:] == ["", "a:1 cannot call anthropic: ANTHROPIC_API_KEY is not set"]
    assert await status(settings, monkeypatch, "--json") == 0
    (worker,) = json.loads(capsys.readouterr().out)["workers"]
    assert {name: worker[name] for name in said} == said


async def test_status_without_a_job_prints_the_same_as_json(
    tailrace: Tailrace,
    settings: Settings,
    broker: Broker,
    keys: Keys,
    request_: GenerationRequest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await tailrace.enqueue(request_, defer_seconds=60)
    await broker.pipeline(*beat(keys, "host:17", "default", running=3))
    assert await status(settings, monkeypatch, "--json") == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    printed = json.loads(out)
    assert printed["workers"][0].pop("beat_age_seconds") >= 0
    assert printed == {
        "queues": [{"name": "default", "due": 0, "deferred": 1, "running": 0, "oldest_due_seconds": None}],
        "workers": [
            {
                "name": "host:17",
                "queues": ["default"],
                "running": 3,
                "max_jobs": 100,
                "providers": None,
                "problems": {},
                "kinds": {},
            }
        ],
    }
