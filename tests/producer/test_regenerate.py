"""A job that is asked again, on the real server."""

import argparse
import asyncio
from typing import Any

import pytest

from tailrace import (
    BrokerUnavailable,
    GenerationRequest,
    InvalidRequest,
    Job,
    JobEnding,
    JobNotFound,
    Settings,
    Tailrace,
    Verdict,
)
from tailrace.broker.client import Argument, Broker, Command
from tailrace.cli.commands import regenerate
from tailrace.events import Cancelled, Completed, Started
from tailrace.protocol.attempts import begin
from tailrace.protocol.endings import close
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys
from tailrace.request.request_fields import RequestChanges
from tailrace.tailing.reader import Reader

REQUEST = GenerationRequest.model_validate(
    {
        "provider": "openai",
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "extra": {"reasoning_effort": "low"},
    }
)


@pytest.fixture
async def job(tailrace: Tailrace) -> Job:
    return await tailrace.enqueue(REQUEST, tenant="acme", queue="slow")


async def stored(broker: Broker, keys: Keys, job: Job) -> GenerationRequest:
    return GenerationRequest.from_json(await broker.call("HGET", keys.record(job.id), "request"))


async def test_a_job_is_asked_again_for_its_tenant_in_its_queue(job: Job, broker: Broker, keys: Keys) -> None:
    again = await job.regenerate()
    status = await again.status()
    assert again.id != job.id
    assert (status.tenant, status.queue, status.model) == ("acme", "slow", "m")
    assert await stored(broker, keys, again) == REQUEST
    assert await broker.call("ZSCORE", keys.queue("slow"), again.id) is not None


async def test_the_jobs_name_each_other(job: Job) -> None:
    first, second = await job.regenerate(), await job.regenerate()
    assert (await job.status()).regenerated_as == (first.id, second.id)
    assert (await job.status()).regenerated_from is None
    assert [(await again.status()).regenerated_from for again in (first, second)] == [job.id, job.id]
    assert (await first.status()).regenerated_as == ()


async def test_what_is_changed_is_changed_in_the_new_job_alone(job: Job, broker: Broker, keys: Keys) -> None:
    again = await job.regenerate(temperature=1.0, model="other")
    assert await stored(broker, keys, again) == REQUEST.model_copy(update={"temperature": 1.0, "model": "other"})
    assert await stored(broker, keys, job) == REQUEST
    assert (await again.status()).model == "other"


async def test_extra_goes_along_to_no_other_provider(job: Job, broker: Broker, keys: Keys) -> None:
    assert (await stored(broker, keys, await job.regenerate(provider="openai"))).extra == REQUEST.extra
    assert (await stored(broker, keys, await job.regenerate(provider="anthropic"))).extra == {}


@pytest.mark.parametrize("changes", [{"temperature": 3}, {"temprature": 1}, {"messages": []}])
async def test_a_change_that_breaks_a_rule_enqueues_nothing(
    changes: dict[str, Any], job: Job, broker: Broker, keys: Keys
) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(changes))):
        await job.regenerate(**changes)
    assert await broker.call("ZCARD", keys.queue("slow")) == 1
    assert (await job.status()).regenerated_as == ()


@pytest.mark.parametrize("carried", ["{}", '{"model": "m"}', "[]", '"Hi"', "null", "", "{", b'{"model": "\xff"}'])
async def test_what_stock_arq_carried_and_is_no_request_cannot_be_asked_again(
    carried: str | bytes, job: Job, broker: Broker, keys: Keys
) -> None:
    await broker.call("HSET", keys.record(job.id), "request", carried)
    changed: list[RequestChanges] = [{}, {"provider": "anthropic"}]
    for changes in changed:
        with pytest.raises(InvalidRequest):
            await job.regenerate(**changes)
    assert await broker.call("ZCARD", keys.queue("slow")) == 1


async def test_a_job_whose_record_is_gone_cannot_be_asked_again(job: Job, broker: Broker, keys: Keys) -> None:
    await broker.call("PEXPIRE", keys.record(job.id), 0)
    with pytest.raises(JobNotFound, match=rf"'{job.id}' has no record to regenerate from: it expired"):
        await job.regenerate()


class DyingBroker(Broker):
    """Its process dies once a job is enqueued."""

    is_dead = False

    async def call(self, *command: Argument) -> Any:
        if self.is_dead:
            raise BrokerUnavailable("Redis cannot be reached: by order of the test")
        return await super().call(*command)

    async def pipeline(self, *commands: Command) -> list[Any]:
        replies = await super().pipeline(*commands)
        self.is_dead = True
        return replies


async def test_the_new_job_names_the_old_one_from_the_first_on(
    job: Job, tailrace: Tailrace, broker: Broker, keys: Keys, settings: Settings
) -> None:
    dying = DyingBroker(broker.redis)
    with pytest.raises(BrokerUnavailable):
        await Job(job.id, dying, Reader(dying, settings), settings).regenerate()
    _, again = await broker.call("ZRANGE", keys.queue("slow"), 0, -1)
    assert (await tailrace.job(again.decode()).status()).regenerated_from == job.id


async def test_the_links_expire_and_are_deleted_with_the_job(
    job: Job, broker: Broker, keys: Keys, settings: Settings
) -> None:
    await job.regenerate()
    queued_for = await broker.call("PTTL", keys.regenerated(job.id))
    assert 0 <= await broker.call("PTTL", keys.record(job.id)) - queued_for + 1_000 < 2_000
    await job.cancel()
    ended_for = await broker.call("PTTL", keys.regenerated(job.id))
    assert 0 < ended_for <= settings.keep_seconds * 1_000 < queued_for
    await job.delete()
    assert await broker.call("EXISTS", keys.regenerated(job.id)) == 0


async def test_the_links_live_for_as_long_as_an_attempt_and_then_to_be_kept(
    job: Job, broker: Broker, keys: Keys
) -> None:
    await job.regenerate()
    arguments: dict[str, Any] = {"attempt": 1, "worker": "w", "reason": "", "max_lost": 3, "keep_seconds": 60}
    await begin(broker, keys, job.id, life_seconds=900_000, **arguments)
    assert 899_000_000 < await broker.call("PTTL", keys.regenerated(job.id)) <= 900_000_000
    await close(broker, keys, JobEnding(job_id=job.id, tenant="acme", ending="completed"), keep_seconds=60)
    assert 59_000 < await broker.call("PTTL", keys.regenerated(job.id)) <= 60_000


async def test_the_verb_prints_the_id_of_the_new_job(
    job: Job,
    tailrace: Tailrace,
    settings: Settings,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAILRACE_PREFIX", settings.prefix)
    parser = argparse.ArgumentParser()
    regenerate.add_arguments(parser)
    arguments = parser.parse_args(["--model", "other", "--redis-url", settings.redis_url, "--", job.id])
    assert await asyncio.to_thread(regenerate.run, arguments) == 0
    status = await tailrace.job(capsys.readouterr().out.removesuffix("\n")).status()
    assert (status.regenerated_from, status.model) == (job.id, "other")


async def test_the_answer_tells_how_long_the_cancel_took_to_who_requested_it(
    job: Job, tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    started = Started(at=1, attempt=1, provider="openai", model="m", worker="w")
    await broker.call("XADD", keys.events(job.id), "1-2", *encode(started))
    await job.cancel()
    seconds, _ = map(int, await broker.call("TIME"))
    await broker.call("XADD", keys.events(job.id), "1-3", *encode(Cancelled(at=(seconds + 60) * 1_000)))
    timing = (await job.answer()).timing
    assert timing is not None
    assert timing.cancel_ms is not None
    assert 58_000 < timing.cancel_ms <= 60_000
    assert timing.verdicts == {"cancel_ms": Verdict.BAD}
    others = (await tailrace.job(job.id).answer()).timing
    assert others is not None
    assert others.cancel_ms is None


async def test_the_answer_judges_by_the_settings_of_the_connection(settings: Settings, broker: Broker) -> None:
    async with Tailrace.connect(settings.redis_url, prefix=settings.prefix, ttft_good_ms=5, ttft_bad_ms=10) as tailrace:
        job = await tailrace.enqueue(REQUEST)
        completed = Completed(at=2, finish_reason="stop", ttft_ms=7)
        await broker.call("XADD", Keys(settings.prefix).events(job.id), "1-2", *encode(completed))
        timing = (await job.answer()).timing
    assert timing is not None
    assert timing.verdicts == {"ttft_ms": Verdict.WARN}
