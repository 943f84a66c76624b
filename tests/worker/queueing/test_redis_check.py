"""What a worker finds out of its Redis before it works on it, and while it does."""

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tailrace import BrokerRefused, GenerationRequest, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing import redis_uses
from tailrace_worker.queueing.claimer import ClaimingLimits
from tailrace_worker.queueing.heartbeat import beating
from tailrace_worker.queueing.redis_check import PROCESS_WARNINGS, RedisCheck, RedisCheckLimits, RedisUnfit
from tests.support.eventually import eventually
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

GUIDE: Final = Path(__file__).parents[3] / "docs" / "guides" / "workers-and-deployment.md"
KEYS: Final = Keys("tailrace")


def documented() -> list[str]:
    """The rules that the documentation gives a worker's user."""
    match = re.search(r"^ACL SETUSER worker (.*?)```", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert match
    return match[1].split()


RULES: Final = documented()
NICE: Final = {"+info", "+subscribe", "+unsubscribe", "+select", "+client|setinfo"}
NEEDED: Final = [rule for rule in RULES if rule.startswith("+") and rule not in NICE]


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(append_only=True) as server:
        yield server


@pytest.fixture(autouse=True)
def nothing_told() -> None:
    PROCESS_WARNINGS.clear()


@pytest.fixture
def broker_url(server: EmbeddedBroker) -> str:
    return server.url


@pytest.fixture
async def admin(server: EmbeddedBroker) -> AsyncIterator[Broker]:
    broker = Broker(open_redis(server.url))
    yield broker
    await broker.call("CONFIG", "SET", "maxmemory-policy", "noeviction")
    await broker.aclose()


async def set_user(admin: Broker, *rules: str) -> None:
    await admin.call("ACL", "SETUSER", "worker", "reset", *rules)


def url_of(server: EmbeddedBroker) -> str:
    return server.url.replace("redis://", "redis://worker:secret@")


async def check(url: str, *queues: str) -> None:
    redis: Any = open_redis(url)
    async with redis, RedisCheck(redis, KEYS, queues or ("default",)) as checking:
        await checking.check()


async def test_with_the_rights_of_the_guide_jobs_run_and_are_cancelled(
    server: EmbeddedBroker,
    admin: Broker,
    open_generations: OpenGenerations,
    puppet: Puppet,
    request_: GenerationRequest,
) -> None:
    await set_user(admin, *(rule for rule in RULES if rule not in NICE))
    await admin.call("ACL", "LOG", "RESET")
    async with (
        Tailrace.connect(server.url) as tailrace,
        open_generations(redis_url=url_of(server), prefix="tailrace", batch_ms=1) as generations,
        running_worker(generations) as worker,
        beating(generations, worker),
    ):
        puppet.say("Hi")
        puppet.finish()
        answer = await asyncio.wait_for((await tailrace.enqueue(request_)).answer(), 20)
        assert (answer.text, answer.finish_reason) == ("Hi", "stop")
        puppet.called.clear()
        job = await tailrace.enqueue(request_)
        await asyncio.wait_for(puppet.called.wait(), 20)
        await job.cancel()
        ending = (await asyncio.wait_for(job.answer(), 20)).ending
        assert ending is not None
        assert ending.type == "cancelled"
    denied = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in await admin.call("ACL", "LOG")]
    assert {f"+{entry[b'object'].decode()}" for entry in denied} <= NICE


@pytest.mark.parametrize("rule", sorted(NEEDED))
async def test_a_command_that_is_not_allowed_is_named(rule: str, server: EmbeddedBroker, admin: Broker) -> None:
    await set_user(admin, *(each for each in RULES if each != rule))
    if rule == "+discard":
        # It is done without.
        await check(url_of(server))
        return
    with pytest.raises(RedisUnfit, match=rf"add {re.escape(rule)} with ACL SETUSER\. "):
        await check(url_of(server))


@pytest.mark.parametrize(
    ("pattern", "instead", "named"),
    [
        ("~arq:*", "~arq:job:*", ["~arq:in-progress:*", "~arq:retry:*", "~arq:result:*"]),
        ("~tailrace:*", "~tailrace:{*", ["~tailrace:queue:other", "~tailrace:endings", "~tailrace:throttle:*:*"]),
        ("~tailrace:*", "~tailrace:[a-z]*", ["~tailrace:{*}:events", "~tailrace:{*}:record", "~tailrace:{*}:cancel"]),
        ("&tailrace:*", "&other:*", ["&tailrace:{*}:bell"]),
    ],
)
async def test_keys_and_channels_that_are_not_allowed_are_named(
    pattern: str, instead: str, named: list[str], server: EmbeddedBroker, admin: Broker
) -> None:
    await set_user(admin, *(instead if rule == pattern else rule for rule in RULES))
    with pytest.raises(RedisUnfit) as raised:
        await check(url_of(server), "default", "other")
    for rule in named:
        assert f" {rule}" in str(raised.value)


async def test_the_check_changes_nothing(server: EmbeddedBroker, admin: Broker) -> None:
    await admin.call("FLUSHALL")
    await admin.call("CONFIG", "RESETSTAT")
    await check(server.url)
    stats: dict[str, Any] = await admin.call("INFO", "commandstats")
    run = {name.removeprefix("cmdstat_") for name, stat in stats.items() if stat["calls"]}
    assert run - {"config|resetstat", "client|setinfo"} == {
        *("ping", "multi", "exec", "discard", "info", "subscribe", "unsubscribe"),
    }
    assert await admin.call("DBSIZE") == 0


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_an_eviction_policy_that_takes_jobs_is_warned_of_once(
    policy: str, server: EmbeddedBroker, admin: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    await admin.call("CONFIG", "SET", "maxmemory-policy", policy)
    for _ in range(3):
        await check(server.url)
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert f"maxmemory-policy {policy}" in record.getMessage()


@pytest.mark.redis
async def test_a_redis_without_an_append_only_file_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedBroker() as other:
        await check(other.url)
    (record,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert "append-only file" in record.getMessage()


@pytest.mark.parametrize(
    ("rule", "level", "words"),
    [("+info", "DEBUG", "are not checked"), ("+subscribe", "WARNING", "lacks +subscribe")],
)
async def test_what_a_worker_can_do_without_stops_nothing(
    rule: str, level: str, words: str, server: EmbeddedBroker, admin: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tailrace_worker")
    await set_user(admin, *(each for each in RULES if each != rule))
    await check(url_of(server))
    ((told, message),) = (
        (record.levelname, record.getMessage()) for record in caplog.records if record.name != "asyncio"
    )
    assert told == level
    assert words in message


async def test_a_redis_that_is_too_old_is_refused(server: EmbeddedBroker) -> None:
    redis: Any = open_redis(server.url)
    async with redis, RedisCheck(redis, KEYS, ("default",), limits=RedisCheckLimits(oldest=(99, 0))) as checking:
        with pytest.raises(RedisUnfit, match=r"Redis \d+\.\d+\.\d+ is too old"):
            await checking.check()


async def test_a_command_that_redis_does_not_know_is_named(
    server: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(redis_uses.OF_A_JOB, "cancel", ("GETNEXT @",))
    with pytest.raises(RedisUnfit, match="lacks GETNEXT"):
        await check(server.url)


async def test_a_worker_whose_rights_are_taken_claims_nothing_until_they_are_back_and_says_so_once(
    server: EmbeddedBroker,
    admin: Broker,
    open_generations: OpenGenerations,
    puppet: Puppet,
    request_: GenerationRequest,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("INFO", "tailrace_worker")
    often = ClaimingLimits(redis_check=RedisCheckLimits(check_seconds=0.02, refused_seconds=0.02))
    looked: list[bool] = []
    review = RedisCheck.review

    async def counted(self: RedisCheck) -> bool:
        looked.append(await review(self))
        return looked[-1]

    monkeypatch.setattr(RedisCheck, "review", counted)
    await set_user(admin, *RULES)
    async with (
        Tailrace.connect(server.url) as tailrace,
        open_generations(redis_url=url_of(server), prefix="tailrace") as generations,
        running_worker(generations, limits=often),
    ):
        # What the claims themselves do not need: a job that were claimed now could say nothing.
        await set_user(admin, *(rule for rule in RULES if rule != "+publish"))
        await eventually(lambda: False in looked)
        job = await tailrace.enqueue(request_)
        seen = len(looked)
        await eventually(lambda: len(looked) > seen + 20)
        assert (await job.status()).state == "queued"
        await set_user(admin, *RULES)
        puppet.finish()
        answer = await asyncio.wait_for(job.answer(), 20)
        assert (answer.finish_reason, answer.attempt) == ("stop", 1)
    told = [record.getMessage() for record in caplog.records if record.name.endswith("redis_check")]
    assert len(told) == 2
    assert told[0].startswith("no jobs are claimed until this is fixed: ")
    assert "+publish" in told[0]
    assert told[1].startswith("jobs are claimed again")


async def test_rights_are_checked_when_a_connection_was_lost(
    server: EmbeddedBroker,
    admin: Broker,
    open_generations: OpenGenerations,
    caplog: pytest.LogCaptureFixture,
) -> None:
    never = ClaimingLimits(redis_check=RedisCheckLimits(check_seconds=3_600))
    await set_user(admin, *RULES)
    async with (
        open_generations(redis_url=url_of(server), prefix="tailrace") as generations,
        running_worker(generations, limits=never),
    ):
        await eventually(lambda: is_claiming(admin))
        await set_user(admin, *(rule for rule in RULES if rule != "+publish"))
        await admin.call("CLIENT", "KILL", "USER", "worker")
        await eventually(lambda: "+publish" in caplog.text)


async def is_claiming(admin: Broker) -> bool:
    """Whether a worker waits for jobs."""
    return b"cmd=blpop" in await admin.call("CLIENT", "LIST")


async def test_a_redis_that_takes_no_writes_is_refused_at_the_start_and_stops_no_worker_for_good(
    server: EmbeddedBroker, admin: Broker
) -> None:
    redis: Any = open_redis(server.url)
    async with redis, RedisCheck(redis, KEYS, ("default",)) as checking:
        await admin.call("CONFIG", "SET", "maxmemory", 1)
        try:
            with pytest.raises(BrokerRefused, match="maxmemory"):
                await checking.check()
            assert await checking.review()
        finally:
            await admin.call("CONFIG", "SET", "maxmemory", 0)
        await checking.check()


async def test_a_worker_without_the_right_to_claim_says_so_once(
    server: EmbeddedBroker,
    admin: Broker,
    open_generations: OpenGenerations,
    caplog: pytest.LogCaptureFixture,
) -> None:
    await set_user(admin, *RULES)
    async with (
        open_generations(redis_url=url_of(server), prefix="tailrace") as generations,
        running_worker(generations),
    ):
        await set_user(admin, *(rule for rule in RULES if rule != "+eval"))
        await eventually(lambda: "+eval" in caplog.text)
        await set_user(admin, *RULES)
    assert [record.levelname for record in caplog.records if record.levelno >= logging.WARNING] == ["ERROR"]


@pytest.mark.process
async def test_a_worker_that_lacks_rights_does_not_get_ready(server: EmbeddedBroker, admin: Broker) -> None:
    await set_user(admin, *(rule for rule in RULES if rule != "+xadd"))
    environment = {**os.environ, "TAILRACE_REDIS_URL": url_of(server), "OPENAI_API_KEY": "any", "NO_PROXY": "127.0.0.1"}
    ended = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "tailrace.cli", "worker"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("tailrace worker: The Redis user lacks rights")
    assert "+xadd" in ended.stderr
    assert "runs jobs" not in ended.stderr
    assert "secret" not in ended.stderr


async def test_where_transactions_are_not_allowed_any_more_the_check_does_no_harm(
    server: EmbeddedBroker, admin: Broker, request_: GenerationRequest
) -> None:
    await admin.call("FLUSHALL")
    await set_user(admin, *RULES)
    redis: Any = open_redis(url_of(server))
    async with (
        redis,
        RedisCheck(redis, KEYS, ("default",)) as checking,
        Tailrace.connect(server.url, prefix="tailrace") as tailrace,
    ):
        await checking.check()
        job = await tailrace.enqueue(request_)
        await admin.call("XADD", KEYS.endings, "*", "job", "j", "tenant", "t", "ending", "completed")
        await admin.call("SET", KEYS.worker("a:1"), "{}")
        before = {key: await admin.call("DUMP", key) for key in await admin.call("KEYS", "*")}
        await set_user(admin, *(rule for rule in RULES if rule != "+multi"))
        assert not await checking.review()
        after = {key: await admin.call("DUMP", key) for key in before}
        changed = {key for key, value in before.items() if after[key] != value}
        # One ring more wakes one worker for nothing.
        assert changed == {KEYS.doorbell("default").encode()}
        assert (await job.status()).state == "queued"
