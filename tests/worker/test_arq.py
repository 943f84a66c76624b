"""arq stays arq: its own clients are served, and a wrong job costs itself alone."""

import asyncio
import json
import logging
import pickle
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final

import pytest
from arq import ArqRedis, Retry
from arq.connections import RedisSettings, create_pool
from arq.worker import func

from tailrace import Event, FailureCode, GenerationRequest, InvalidRequest, JobNotFound, Settings, Tailrace
from tailrace.events import Failed
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_result, arq_retry, new_job_id
from tailrace_worker.generation import Generations
from tailrace_worker.queueing.job_body import to_json
from tests.support.eventually import eventually
from tests.worker.conftest import Puppet, running_worker

REQUEST: Final = {"provider": "openai", "model": "puppet", "messages": [{"role": "user", "content": "Hi"}]}
SECRET: Final = {"messages": [{"content": "a secret prompt", "role": "user"}], "provider": "openai", "model": "puppet"}
BODY: Final[dict[str, Any]] = {"t": None, "f": "generate", "a": [], "k": {}, "et": 1}


@pytest.fixture
async def stock(settings: Settings) -> AsyncIterator[ArqRedis]:
    """arq's own client, with JSON for its bodies."""
    client = await create_pool(
        RedisSettings.from_dsn(settings.redis_url),
        job_serializer=to_json,
        job_deserializer=json.loads,
        default_queue_name=Keys(settings.prefix).queue("default"),
    )
    yield client
    await client.aclose(close_connection_pool=True)


async def events_of(tailrace: Tailrace, job_id: str) -> list[Event]:
    """Its events to the ending, once the job is there."""
    await eventually(lambda: exists(tailrace, job_id))
    async with asyncio.timeout(20):
        return [event async for event in tailrace.job(job_id).tail()]


async def exists(tailrace: Tailrace, job_id: str) -> bool:
    with suppress(JobNotFound):
        await tailrace.job(job_id).status()
        return True
    return False


async def assert_released(stock: ArqRedis, job_id: str) -> None:
    """Waits until nothing of the job is left on the queue's side."""
    queue = stock.default_queue_name
    keys = (arq_job(job_id), arq_in_progress(job_id), arq_retry(job_id), arq_result(job_id))

    async def is_released() -> bool:
        waits, runs = await stock.zscore(queue, job_id), await stock.zscore(f"{queue}:running", job_id)
        return waits is None and runs is None and not await stock.exists(*keys)

    await eventually(is_released)


async def assert_goes_on(tailrace: Tailrace, puppet: Puppet, request: GenerationRequest) -> None:
    """The worker runs the next job."""
    job = await tailrace.enqueue(request)
    puppet.finish()
    assert (await events_of(tailrace, job.id))[-1].type == "completed"


@pytest.mark.parametrize("arguments", [((REQUEST,), {}), ((), {"request": REQUEST})], ids=["by position", "by name"])
async def test_a_job_of_a_stock_client_is_run(
    tailrace: Tailrace,
    stock: ArqRedis,
    generations: Generations,
    puppet: Puppet,
    arguments: tuple[tuple[Any, ...], dict[str, Any]],
) -> None:
    job_id = new_job_id()
    async with running_worker(generations):
        await stock.enqueue_job("generate", *arguments[0], _job_id=job_id, **arguments[1])
        puppet.say("Hello")
        puppet.finish()
        events = await events_of(tailrace, job_id)
        await assert_released(stock, job_id)
    assert [event.type for event in events] == ["queued", "started", "delta", "completed"]
    assert puppet.requests == [GenerationRequest.model_validate(REQUEST)]
    assert (await tailrace.job(job_id).status()).queue == "default"


async def test_a_deferred_job_of_a_stock_client_is_run_at_its_time(
    tailrace: Tailrace, stock: ArqRedis, generations: Generations, puppet: Puppet
) -> None:
    job_id = new_job_id()
    async with running_worker(generations):
        await stock.enqueue_job("generate", REQUEST, _job_id=job_id, _defer_by=0.5)
        due = await stock.zscore(stock.default_queue_name, job_id)
        puppet.finish()
        events = await events_of(tailrace, job_id)
    (started,) = (event for event in events if event.type == "started")
    assert due is not None
    assert due <= started.at < due + 1_500


async def test_a_retry_comes_back_at_its_time(stock: ArqRedis, generations: Generations) -> None:
    job_id = new_job_id()
    tries: asyncio.Queue[tuple[int, float]] = asyncio.Queue()

    async def flaky(ctx: dict[str, Any]) -> None:
        tries.put_nowait((ctx["job_try"], time.monotonic()))
        if ctx["job_try"] == 1:
            raise Retry(defer=0.5)

    async with running_worker(generations) as worker:
        worker.functions["generate"] = func(flaky, name="generate")
        await stock.enqueue_job("generate", _job_id=job_id)
        async with asyncio.timeout(10):
            (first, began), (second, came_back) = await tries.get(), await tries.get()
        await assert_released(stock, job_id)
    assert (first, second) == (1, 2)
    assert 0.49 <= came_back - began < 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, FailureCode.EXPIRED_IN_QUEUE),
        (pickle.dumps(BODY), FailureCode.INVALID_BODY),
        (b"not JSON", FailureCode.INVALID_BODY),
        (b"[]", FailureCode.INVALID_BODY),
        (b"{}", FailureCode.INVALID_BODY),
        (to_json({**BODY, "f": "nobody"}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "f": ["generate"]}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "a": 5}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "a": [REQUEST, "more"]}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "k": {"nothing": 1}}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "k": []}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "t": "many"}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "et": "today"}), FailureCode.INVALID_BODY),
        (to_json({**BODY, "et": 10**30}), FailureCode.INVALID_BODY),
    ],
    ids=lambda value: (value or b"expired").decode(errors="replace")[:60] if not isinstance(value, str) else "",
)
async def test_a_job_whose_body_cannot_be_run_fails_and_the_worker_goes_on(
    tailrace: Tailrace,
    stock: ArqRedis,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    body: bytes | None,
    code: FailureCode,
) -> None:
    job = await tailrace.enqueue(request_)
    await stock.delete(arq_job(job.id))
    if body is not None:
        await stock.set(arq_job(job.id), body, px=60_000)
    async with running_worker(generations):
        events = await events_of(tailrace, job.id)
        assert [event.type for event in events] == ["queued", "failed"]
        assert isinstance(events[-1], Failed)
        assert events[-1].code == code
        await assert_released(stock, job.id)
        await assert_goes_on(tailrace, puppet, request_)


@pytest.mark.parametrize("request_sent", [{}, {**REQUEST, "provider": "No Body"}, {**REQUEST, "messages": []}, "Hi", 5])
async def test_a_request_that_does_not_validate_fails_and_the_worker_goes_on(
    tailrace: Tailrace,
    stock: ArqRedis,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    request_sent: object,
) -> None:
    job_id = new_job_id()
    async with running_worker(generations):
        await stock.enqueue_job("generate", request_sent, _job_id=job_id)
        events = await events_of(tailrace, job_id)
        assert isinstance(events[-1], Failed)
        assert events[-1].code == FailureCode.INVALID_REQUEST
        await assert_released(stock, job_id)
        await assert_goes_on(tailrace, puppet, request_)


@pytest.mark.parametrize(
    ("job_id", "body"),
    [
        ("x" * 22, to_json(BODY)),
        ("x" * 22, None),
        ("short", to_json({**BODY, "a": [REQUEST]})),
        ("short", pickle.dumps(BODY)),
        ("short", None),
    ],
    ids=["no request", "expired", "no id", "no id, unreadable", "no id, expired"],
)
async def test_a_job_that_has_no_stream_is_dropped_and_the_worker_goes_on(
    tailrace: Tailrace,
    stock: ArqRedis,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    keys: Keys,
    job_id: str,
    body: bytes | None,
) -> None:
    if body is not None:
        await stock.set(arq_job(job_id), body, px=60_000)
    async with running_worker(generations):
        await stock.zadd(stock.default_queue_name, {job_id: 1})
        await assert_released(stock, job_id)
        await assert_goes_on(tailrace, puppet, request_)
    assert not await stock.exists(keys.events(job_id))


@pytest.mark.parametrize(
    "body",
    [pickle.dumps({**BODY, "a": [REQUEST]}), to_json({**BODY, "f": "nobody"})],
    ids=["pickled", "unknown function"],
)
async def test_a_job_of_a_stock_client_that_cannot_be_run_gets_a_stream_that_says_so(
    tailrace: Tailrace,
    stock: ArqRedis,
    generations: Generations,
    request_: GenerationRequest,
    puppet: Puppet,
    keys: Keys,
    body: bytes,
) -> None:
    job_id = new_job_id()
    await stock.set(arq_job(job_id), body, px=60_000)
    async with running_worker(generations):
        await stock.zadd(stock.default_queue_name, {job_id: 1})
        events = await events_of(tailrace, job_id)
        assert [event.type for event in events] == ["queued", "failed"]
        assert isinstance(events[-1], Failed)
        assert events[-1].code == FailureCode.INVALID_BODY
        assert "job_serializer" in events[-1].message
        await assert_released(stock, job_id)
        await assert_goes_on(tailrace, puppet, request_)
    assert (await tailrace.job(job_id).status()).queue == "default"
    for key in (keys.events, keys.record):
        assert await stock.pttl(key(job_id)) > 0
    with pytest.raises(InvalidRequest, match="without a request"):
        await tailrace.job(job_id).regenerate()


@pytest.mark.parametrize(
    "body",
    [
        to_json({**BODY, "a": [SECRET]}),
        to_json({**BODY, "k": {"request": SECRET}}),
        to_json({**BODY, "a": ["a secret prompt"]}),
        to_json({**BODY, "f": "a secret prompt"}),
        to_json({**BODY, "k": {"a secret prompt": 1}}),
        pickle.dumps({**BODY, "a": [SECRET]}),
        b"a secret prompt",
    ],
    ids=["by position", "by name", "no request", "unknown function", "unknown argument", "pickled", "no JSON"],
)
async def test_nothing_of_a_body_is_logged(
    tailrace: Tailrace,
    stock: ArqRedis,
    generations: Generations,
    puppet: Puppet,
    caplog: pytest.LogCaptureFixture,
    body: bytes,
) -> None:
    job_id = new_job_id()
    await stock.set(arq_job(job_id), body, px=60_000)
    puppet.finish()
    with caplog.at_level(logging.DEBUG):
        async with running_worker(generations):
            await stock.zadd(stock.default_queue_name, {job_id: 1})
            await events_of(tailrace, job_id)
            await assert_released(stock, job_id)
    assert job_id in caplog.text
    assert "secret" not in caplog.text


async def test_a_tail_of_a_job_of_a_stock_client_waits_for_its_stream(
    tailrace: Tailrace, stock: ArqRedis, generations: Generations, puppet: Puppet, keys: Keys
) -> None:
    job_id = new_job_id()
    await stock.enqueue_job("generate", REQUEST, _job_id=job_id)
    waiting = [
        asyncio.ensure_future(events_in_time(tailrace.job(job_id).tail())),
        asyncio.ensure_future(events_in_time(tailrace.job(job_id).tail(snapshot=True))),
    ]
    await eventually(lambda: is_heard(stock, keys, job_id))
    puppet.say("Hello")
    puppet.finish()
    async with running_worker(generations):
        events, _ = await asyncio.gather(*waiting)
    assert [event.type for event in events] == ["queued", "started", "delta", "completed"]


async def test_a_tail_of_a_job_of_a_stock_client_ends_when_the_job_is_taken_from_the_queue(
    tailrace: Tailrace, stock: ArqRedis, keys: Keys
) -> None:
    job_id = new_job_id()
    await stock.enqueue_job("generate", REQUEST, _job_id=job_id)
    waiting = asyncio.ensure_future(events_in_time(tailrace.job(job_id).tail()))
    await eventually(lambda: is_heard(stock, keys, job_id))
    await stock.delete(arq_job(job_id))
    with pytest.raises(JobNotFound):
        await waiting


async def events_in_time(tail: AsyncIterator[Any]) -> list[Any]:
    async with asyncio.timeout(20):
        return [event async for event in tail]


async def is_heard(stock: ArqRedis, keys: Keys, job_id: str) -> bool:
    client: Any = stock
    ((_, listeners),) = await client.pubsub_numsub(keys.bell(job_id))
    return bool(listeners)
