"""Each inner part of arq that `StreamWorker` leans on. When a new arq changes one, its test tells which, and where."""

import asyncio
import dataclasses
import inspect
import json
import pickle
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from signal import SIGINT, SIGTERM, Signals
from typing import Any, Final

import pytest
from arq import ArqRedis, Retry, constants
from arq.connections import RedisSettings, create_pool
from arq.jobs import deserialize_job_raw, serialize_job
from arq.utils import timestamp_ms
from arq.version import VERSION
from arq.worker import Function, Worker, func

from tailrace import Settings
from tailrace.protocol.keys import arq_in_progress, arq_job, arq_result, arq_retry, new_job_id
from tailrace_worker.queueing.claiming import StreamWorker
from tailrace_worker.queueing.job_body import to_json

JOB: Final = "x" * 22
BODY: Final[dict[str, Any]] = {"t": None, "f": "generate", "a": [], "k": {}, "et": 1}
PASSED: Final = {
    *("functions", "queue_name", "redis_pool", "max_jobs", "job_completion_wait", "keep_result", "log_results"),
    *("job_serializer", "job_deserializer", "ctx"),
}
FINISH: Final = ["job_id", "finish", "result_data", "result_timeout_s", "keep_result_forever", "incr_score"]


def leans(on: str) -> str:
    """What a failing test says."""
    return f"arq {VERSION} is not what StreamWorker (worker/tailrace_worker/claiming.py) leans on: {on}"


class Recorder(Worker):
    """An arq worker that tells how `run_job` ended a job, and touches nothing."""

    def __init__(self, pool: ArqRedis, function: Function) -> None:
        super().__init__(
            functions=[function],
            queue_name=pool.default_queue_name,
            redis_pool=pool,
            job_completion_wait=1,
            keep_result=0,
            job_serializer=to_json,
            job_deserializer=json.loads,
        )
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    async def finish_job(self, *arguments: Any, **named: Any) -> None:
        self.calls.append(("finish_job", (*arguments, *named.values())))

    async def finish_failed_job(self, *arguments: Any, **named: Any) -> None:
        self.calls.append(("finish_failed_job", (*arguments, *named.values())))

    def handle_sig_wait_for_completion(self, signum: Signals) -> None:
        self.calls.append(("handle_sig_wait_for_completion", (signum,)))


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[ArqRedis]:
    pool = await create_pool(
        RedisSettings.from_dsn(settings.redis_url), default_queue_name=f"{settings.prefix}:queue:contract"
    )
    yield pool
    await pool.aclose(close_connection_pool=True)


@asynccontextmanager
async def recording(
    pool: ArqRedis, coroutine: Callable[..., Awaitable[None]], max_tries: int = 1_000_000_000
) -> AsyncGenerator[Recorder]:
    """A worker with one function; arq has put its signal handlers into the loop, which go at the exit."""
    try:
        yield Recorder(pool, func(coroutine, name="generate", timeout=60, max_tries=max_tries, keep_result=0))  # type: ignore[arg-type]
    finally:
        for number in (SIGINT, SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)


async def enqueued(pool: ArqRedis) -> str:
    job_id = new_job_id()
    await pool.set(arq_job(job_id), to_json(BODY), px=60_000)
    return job_id


async def do_nothing(ctx: dict[str, Any]) -> None:
    """A function that succeeds."""


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("run_job", ["self", "job_id", "score"]),
        ("finish_job", ["self", *FINISH, "keep_in_progress"]),
        ("finish_failed_job", ["self", "job_id", "result_data"]),
        ("handle_sig_wait_for_completion", ["self", "signum"]),
        ("main", ["self"]),
        ("async_run", ["self"]),
    ],
)
def test_a_method_that_is_called_or_replaced_has_its_signature(name: str, parameters: list[str]) -> None:
    found = list(inspect.signature(getattr(Worker, name)).parameters)
    assert found == parameters, leans(f"Worker.{name}{tuple(parameters)}")
    own = list(inspect.signature(getattr(StreamWorker, name)).parameters)
    assert own == parameters, f"StreamWorker.{name} has the parameters {own}, not arq's {parameters}"


def test_the_constructor_takes_what_is_passed() -> None:
    missing = PASSED - set(inspect.signature(Worker.__init__).parameters)
    assert not missing, leans(f"Worker(…) takes {sorted(missing)}")


async def test_a_worker_has_the_attributes_that_are_used(pool: ArqRedis) -> None:
    expected: dict[str, object] = {
        "tasks": {},
        "job_tasks": {},
        "loop": asyncio.get_running_loop(),
        "max_jobs": 10,
        "pool": pool,
    }
    async with recording(pool, do_nothing) as worker:
        found = {name: getattr(worker, name, None) for name in expected}
        assert found == expected, leans(f"a new Worker has the attributes {expected}")
        assert list(worker.functions) == ["generate"], leans("Worker.functions: dict by name")


def test_a_function_has_the_fields_that_are_set() -> None:
    function = func(do_nothing, name="generate", timeout=60, max_tries=7, keep_result=0)
    found = (function.name, function.timeout_s, function.max_tries, function.keep_result_s)
    assert dataclasses.is_dataclass(function), leans("Function is a dataclass")
    assert found == ("generate", 60, 7, 0), leans("func(name, timeout, max_tries, keep_result) makes a Function")


def test_the_keys_of_a_job_are_spelled_as_ours() -> None:
    prefixes = (
        (constants.job_key_prefix, arq_job),
        (constants.in_progress_key_prefix, arq_in_progress),
        (constants.retry_key_prefix, arq_retry),
        (constants.result_key_prefix, arq_result),
    )
    for prefix, ours in prefixes:
        assert prefix + JOB == ours(JOB), leans(f"the key {ours(JOB)!r} (producer/tailrace/keys.py)")


def test_a_body_has_the_fields_that_our_enqueue_writes() -> None:
    body = json.loads(serialize_job("generate", (1,), {"k": 2}, None, 3, serializer=to_json))
    expected = {"t": None, "f": "generate", "a": [1], "k": {"k": 2}, "et": 3}
    assert body == expected, leans(f"a body {expected} (producer/tailrace/enqueue.py)")
    read: tuple[object, ...] = deserialize_job_raw(to_json(body), deserializer=json.loads)
    assert read == ("generate", [1], {"k": 2}, None, 3), leans("reading such a body")


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
async def test_a_signal_drains_where_there_is_a_completion_wait(
    pool: ArqRedis, monkeypatch: pytest.MonkeyPatch, number: Signals
) -> None:
    handlers: dict[Signals, Callable[[], None]] = {}

    def add_signal_handler(signum: Signals, callback: Callable[..., None], *arguments: object) -> None:
        handlers[signum] = partial(callback, *arguments)

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", add_signal_handler)
    async with recording(pool, do_nothing) as worker:
        handlers[number]()
    assert worker.calls == [("handle_sig_wait_for_completion", (number,))], leans(
        "with job_completion_wait > 0, SIGTERM and SIGINT call handle_sig_wait_for_completion"
    )


async def raise_error(ctx: dict[str, Any]) -> None:
    raise ValueError("a defect")


async def retry_later(ctx: dict[str, Any]) -> None:
    raise Retry(defer=2)


async def retry_now(ctx: dict[str, Any]) -> None:
    raise Retry(defer=0)


async def be_cancelled(ctx: dict[str, Any]) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    ("coroutine", "finish", "deferred"),
    [
        (do_nothing, True, False),
        (raise_error, True, False),
        (retry_later, False, True),
        (retry_now, False, False),
        (be_cancelled, False, False),
    ],
)
async def test_a_job_that_was_run_is_ended_by_finish_job(
    pool: ArqRedis, coroutine: Callable[..., Awaitable[None]], finish: bool, deferred: bool
) -> None:
    job_id = await enqueued(pool)
    async with recording(pool, coroutine) as worker:
        await worker.run_job(job_id, timestamp_ms())
    assert len(worker.calls) == 1, leans(f"{coroutine.__name__}: run_job calls finish_job, once")
    ((name, (job, finished, result_data, _, _, incr_score, _)),) = worker.calls
    assert (name, job, finished) == ("finish_job", job_id, finish), leans(f"{coroutine.__name__}: finish={finish}")
    assert result_data is None, leans("with keep_result=0 there is no result, which could hold a prompt")
    assert bool(incr_score) == deferred, leans(f"{coroutine.__name__}: incr_score is {incr_score!r}")
    if deferred:
        assert isinstance(incr_score, int)
        assert 2_000 <= incr_score < 3_000, leans("incr_score is ms from the score that run_job was given")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "job expired"),
        (pickle.dumps({}), "unable to deserialize job"),
        (to_json({**BODY, "f": "nobody"}), "function 'nobody' not found"),
        (to_json({**BODY, "t": 8}), "max 7 retries exceeded"),
    ],
    ids=["expired", "unreadable", "unknown function", "tries used up"],
)
async def test_a_job_that_was_not_run_is_ended_by_finish_failed_job(
    pool: ArqRedis, body: bytes | None, why: str
) -> None:
    job_id = new_job_id()
    if body is not None:
        await pool.set(arq_job(job_id), body, px=60_000)
    async with recording(pool, do_nothing, max_tries=7) as worker:
        await worker.run_job(job_id, 1)
    assert len(worker.calls) == 1, leans(f"{why}: run_job calls finish_failed_job, once")
    ((name, (job, result_data)),) = worker.calls
    assert (name, job) == ("finish_failed_job", job_id), leans(f"{why}: calls finish_failed_job(job_id, …)")
    assert isinstance(result_data, bytes), leans(f"{why}: the result is passed, serialized")
    assert json.loads(result_data)["r"] == why, leans(f"the result's field 'r' says {why!r}")


async def test_a_function_is_called_with_the_job_and_its_try(pool: ArqRedis) -> None:
    seen: list[tuple[object, object]] = []

    async def look(ctx: dict[str, Any]) -> None:
        seen.append((ctx.get("job_id"), ctx.get("job_try")))

    job_id = await enqueued(pool)
    async with recording(pool, look) as worker:
        for _ in range(2):
            await worker.run_job(job_id, 1)
    assert seen == [(job_id, 1), (job_id, 2)], leans("ctx has job_id and job_try, which each run_job counts up")
    assert await pool.get(arq_retry(job_id)) == b"2", leans(f"the tries are counted in {arq_retry('JOB')}")
