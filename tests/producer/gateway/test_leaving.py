"""Jobs whose clients leave and cannot come back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tailrace import Cancelled, GenerationRequest, Job, JobState, Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.gateway import create_app, drain
from tailrace.gateway.leaving import Leaving
from tailrace.protocol.keys import Keys
from tests.producer.gateway.conftest import Worker
from tests.support.eventually import eventually
from tests.support.gateways import ServedGateway, gateway_settings, served

pytestmark = pytest.mark.slow

ASKED: dict[str, Any] = {"model": "anthropic/m", "messages": [{"role": "user", "content": "Hi"}], "stream": True}
FOREVER = 3_600


@asynccontextmanager
async def serving(tailrace: Tailrace, settings: Settings, **changed: object) -> AsyncGenerator[ServedGateway]:
    async with served(create_app(tailrace, gateway_settings(settings, **changed))) as gateway:
        yield gateway


async def has_jobs(tailrace: Tailrace) -> bool:
    return bool(await tailrace.jobs())


async def enqueued(tailrace: Tailrace) -> Job:
    request = GenerationRequest(provider="openai", model="m", messages=[{"role": "user", "content": "Hi"}])
    return await tailrace.enqueue(request)


async def test_a_job_without_a_reader_is_cancelled_after_its_time(tailrace: Tailrace) -> None:
    job, leaving = await enqueued(tailrace), Leaving(after_seconds=0.05)
    leaving.join(job)
    leaving.leave(job, has_left=True)
    ending = (await job.answer()).ending
    assert isinstance(ending, Cancelled)
    assert ending.reason == "The client left."


async def test_a_reader_that_comes_in_time_keeps_the_job(tailrace: Tailrace) -> None:
    job, leaving = await enqueued(tailrace), Leaving(after_seconds=0)
    leaving.join(job)
    leaving.leave(job, has_left=True)
    leaving.join(job)
    await leaving.aclose()
    assert (await job.status()).state is JobState.QUEUED


async def test_a_job_goes_on_while_one_of_its_readers_is_left(tailrace: Tailrace) -> None:
    job, leaving = await enqueued(tailrace), Leaving(after_seconds=0)
    leaving.join(job)
    leaving.join(job)
    leaving.leave(job, has_left=True)
    await leaving.aclose()
    assert (await job.status()).state is JobState.QUEUED


async def test_what_was_left_is_cancelled_when_the_gateway_ends(tailrace: Tailrace) -> None:
    job, leaving = await enqueued(tailrace), Leaving(after_seconds=FOREVER)
    leaving.join(job)
    leaving.leave(job, has_left=True)
    await leaving.aclose()
    assert (await job.status()).state is JobState.CANCELLED


async def test_a_deleted_job_is_no_problem(tailrace: Tailrace) -> None:
    job, leaving = await enqueued(tailrace), Leaving(after_seconds=FOREVER)
    leaving.join(job)
    await job.delete()
    leaving.leave(job, has_left=True)
    await leaving.aclose()


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_job_that_ends_before_any_attempt_is_an_error_with_a_status(
    tailrace: Tailrace, settings: Settings, *, is_streamed: bool
) -> None:
    async with serving(tailrace, settings) as gateway:
        calling = asyncio.create_task(
            gateway.client.post("/v1/chat/completions", json={**ASKED, "stream": is_streamed})
        )
        await eventually(lambda: has_jobs(tailrace))
        (status,) = await tailrace.jobs()
        await tailrace.job(status.job_id).cancel("No time.")
        response = await calling
    assert (response.status_code, response.json()["error"]["code"]) == (409, "cancelled")
    assert response.headers["X-Tailrace-Job"] == status.job_id


async def test_a_client_that_leaves_a_gateway_that_drains_has_left(tailrace: Tailrace, settings: Settings) -> None:
    async with serving(tailrace, settings, gateway_leave_seconds=FOREVER) as gateway:
        calling = asyncio.create_task(gateway.client.post("/v1/chat/completions", json={**ASKED, "stream": False}))
        await eventually(lambda: bool(gateway.app.state.gateway.draining.streams))
        drain(gateway.app)
        calling.cancel()
        await eventually(lambda: not gateway.app.state.gateway.draining.streams)
    (status,) = await tailrace.jobs()
    assert status.state is JobState.CANCELLED


async def test_what_the_gateway_breaks_off_goes_on(tailrace: Tailrace, settings: Settings, working: Worker) -> None:
    async with serving(tailrace, settings, gateway_leave_seconds=0, gateway_grace_seconds=0) as gateway:
        calling = asyncio.create_task(gateway.client.post("/v1/chat/completions", json={**ASKED, "stream": False}))
        await eventually(lambda: bool(gateway.app.state.gateway.draining.streams))
        gateway.server.should_exit = True
        response = await calling
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "shutting_down"
    await working(response.headers["X-Tailrace-Job"]).run("a")
    assert (await tailrace.job(response.headers["X-Tailrace-Job"]).answer()).text == "a"


@pytest.mark.parametrize("is_streamed", [True, False])
async def test_a_call_with_a_key_is_never_cancelled_and_another_gateway_has_its_answer(
    tailrace: Tailrace, settings: Settings, working: Worker, broker: Broker, keys: Keys, *, is_streamed: bool
) -> None:
    asked, named = {**ASKED, "stream": is_streamed}, {"Idempotency-Key": "k"}
    # What was left would be cancelled when the gateway ends.
    async with serving(tailrace, settings, gateway_leave_seconds=FOREVER) as gateway:
        calling = asyncio.create_task(gateway.client.post("/v1/chat/completions", json=asked, headers=named))
        await eventually(lambda: has_jobs(tailrace))
        (status,) = await tailrace.jobs()
        worker = working(status.job_id)
        await worker.start()
        await eventually(lambda: bool(gateway.app.state.gateway.draining.streams))
        calling.cancel()
        await eventually(lambda: not gateway.app.state.gateway.draining.streams)
    assert not await broker.call("EXISTS", keys.cancel(status.job_id))
    await worker.say("a")
    await worker.complete()
    async with serving(tailrace, settings) as other:
        whole = await other.client.post("/v1/chat/completions", json={**ASKED, "stream": False}, headers=named)
    assert whole.json()["choices"][0]["message"]["content"] == "a"
    assert len(await tailrace.jobs()) == 1
