"""Workers that have not the same providers: each job goes to one that can call its own."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from tailrace import BrokerUnavailable, GenerationRequest, Job, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.broker.wire import Wire
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Event, Failed, Started
from tailrace.protocol.fleet import beat_commands, leave_commands
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_retry, new_job_id
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.rate_limits import Throttle
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Provider, Unconfigured
from tailrace_worker.queueing import eligibility
from tailrace_worker.queueing.claiming import StreamWorker
from tailrace_worker.queueing.claims import Claim, Claimed
from tailrace_worker.queueing.heartbeat import beating
from tests.support.eventually import eventually
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

NO_KEY = ProviderError(
    "OpenAI cannot be called: OPENAI_API_KEY is not set.", code=FailureCode.PROVIDER_NOT_CONFIGURED, retryable=False
)


def without(*names: str) -> dict[str, Provider]:
    return {name: Unconfigured(NO_KEY, "OPENAI_API_KEY is not set") for name in names}


@pytest.fixture
async def broker(settings: Settings) -> AsyncIterator[Broker]:
    broker = Broker(open_redis(settings.redis_url))
    yield broker
    await broker.aclose()


@pytest.fixture
def keys(settings: Settings) -> Keys:
    return Keys(settings.prefix)


Worker = Callable[..., Awaitable[Generations]]


@pytest.fixture
async def start(open_generations: OpenGenerations, tailrace: Tailrace) -> AsyncIterator[Worker]:
    """Starts a worker with providers of its own, and returns once it was heard of."""
    async with AsyncExitStack() as stack:

        async def started(name: str, providers: dict[str, Provider], **changed: object) -> Generations:
            generations = await stack.enter_async_context(open_generations(name, **changed))
            throttle = Throttle(generations.broker, generations.keys)
            generations = dataclasses.replace(generations, calls=Calls(providers, throttle, generations.settings))
            await stack.enter_async_context(_working(generations))
            await eventually(lambda: is_heard(tailrace, name))
            return generations

        yield started


@asynccontextmanager
async def _working(generations: Generations) -> AsyncGenerator[None]:
    async with running_worker(generations) as worker, beating(generations, worker):
        yield


async def is_heard(tailrace: Tailrace, name: str) -> bool:
    return name in {worker.name for worker in (await tailrace.fleet()).workers}


async def ended(job: Job) -> list[Event]:
    async with asyncio.timeout(20):
        return [event async for event in job.tail()]


def plain(request: GenerationRequest) -> dict[str, Any]:
    """A request as a stock arq client carries it."""
    read: dict[str, Any] = json.loads(request.to_json(max_bytes=10_000))
    return read


async def enqueue_as_stock(broker: Broker, keys: Keys, job_id: str, arguments: dict[str, Any]) -> None:
    await broker.call("SET", arq_job(job_id), json.dumps({"t": None, "f": "generate", "et": 1, **arguments}))
    await broker.call("ZADD", keys.queue("default"), 1, job_id)


async def enqueue_as_before(tailrace: Tailrace, broker: Broker, keys: Keys, request: GenerationRequest) -> Job:
    """As producers of earlier versions did, whose bodies name no providers."""
    # Nobody claims the job before it has such a body.
    job = await tailrace.enqueue(request, defer_seconds=60)
    await enqueue_as_stock(broker, keys, job.id, {"a": [], "k": {}})
    return job


def starts(events: list[Event]) -> list[tuple[int, str, str | None]]:
    return [(event.attempt, event.worker, event.reason) for event in events if isinstance(event, Started)]


async def test_jobs_beside_a_worker_without_their_key_all_complete_in_their_first_attempt(
    tailrace: Tailrace, start: Worker, request_: GenerationRequest, puppet: Puppet
) -> None:
    await start("keyless", without("openai"))
    await start("able", {"openai": puppet})
    for _ in range(10):
        puppet.say("Hi")
        puppet.finish()
        job = await tailrace.enqueue(request_)
        events = await ended(job)
        assert (events[-1].type, starts(events)) == ("completed", [(1, "able", None)])


async def test_while_the_worker_that_has_the_provider_is_full_its_jobs_keep_their_order_and_stop_no_others(
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed_back = counted_hand_backs(monkeypatch)
    other = Puppet()
    await start("able", {"openai": puppet}, max_jobs=1)
    jobs = [await tailrace.enqueue(request_)]
    await asyncio.wait_for(puppet.called.wait(), 10)
    await start("keyless", {**without("openai"), "other": other}, max_jobs=4)
    jobs += [await tailrace.enqueue(request_) for _ in range(40)]
    for _ in range(5):
        other.finish()
        events = await ended(await tailrace.enqueue(request_.model_copy(update={"provider": "other"})))
        assert (events[-1].type, starts(events)) == ("completed", [(1, "keyless", None)])
    # It has had each of them once, and they wait where they were.
    assert sum(handed_back) == 40
    assert await broker.call("ZRANGE", keys.queue("default"), 0, -1) == [job.id.encode() for job in jobs[1:]]
    for _ in jobs:
        puppet.finish()
    began: list[int] = []
    for job in jobs:
        events = await ended(job)
        assert starts(events) == [(1, "able", None)]
        began += [event.at for event in events if isinstance(event, Started)]
    assert began == sorted(began)
    assert sum(handed_back) == 40


def counted_hand_backs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many jobs were handed back, each time."""
    counts: list[int] = []
    hand_back = eligibility.Eligibility._hand_back

    async def counted(self: eligibility.Eligibility, claims: Any, *more: Any) -> None:
        counts.append(len(claims))
        await hand_back(self, claims, *more)

    monkeypatch.setattr(eligibility.Eligibility, "_hand_back", counted)
    return counts


async def test_more_jobs_than_can_be_left_in_their_places_are_put_off_and_stop_no_others(
    tailrace: Tailrace, start: Worker, request_: GenerationRequest, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eligibility, "_MAX_LEFT", 30)
    monkeypatch.setattr(eligibility, "_DEFER_SECONDS", 1.0)
    other = Puppet()
    await start("able", {"openai": puppet}, max_jobs=1)
    await tailrace.enqueue(request_)
    await asyncio.wait_for(puppet.called.wait(), 10)
    await start("keyless", {**without("openai"), "other": other}, max_jobs=4)
    jobs = [await tailrace.enqueue(request_) for _ in range(40)]
    other.finish()
    events = await ended(await tailrace.enqueue(request_.model_copy(update={"provider": "other"})))
    assert events[-1].type == "completed"

    async def are_put_off() -> bool:
        (queue,) = (await tailrace.fleet()).queues
        return (queue.due, queue.deferred) == (30, 10)

    await eventually(are_put_off)
    for _ in range(41):
        puppet.finish()
    for job in jobs:
        assert starts(await ended(job)) == [(1, "able", None)]


@pytest.mark.parametrize("name", ["openai", "nobody"])
async def test_a_job_whose_provider_no_live_worker_has_fails_within_ten_seconds(
    name: str, tailrace: Tailrace, start: Worker, request_: GenerationRequest, puppet: Puppet
) -> None:
    await start("keyless", without("openai"))
    await start("elsewhere", {"openai": puppet, "nobody": puppet}, queues="batch")
    job = await tailrace.enqueue(request_.model_copy(update={"provider": name}))
    async with asyncio.timeout(10):
        events = await ended(job)
    assert isinstance(events[-1], Failed)
    assert events[-1].code == "provider_not_configured"
    assert puppet.requests == []


@pytest.mark.parametrize("goes", ["in good order", "at once"])
async def test_a_job_that_was_left_to_a_worker_that_then_goes_fails_within_ten_seconds(
    goes: str,
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed_back = counted_hand_backs(monkeypatch)
    await start("keyless", without("openai"))
    beat = beat_commands(keys, "able", queues=["default"], running=1, max_jobs=1, at=1, providers=["openai"])
    await broker.pipeline(*beat)
    job = await tailrace.enqueue(request_)
    await eventually(lambda: handed_back == [1])
    if goes == "in good order":
        await broker.pipeline(*leave_commands(keys, "able"))
    async with asyncio.timeout(10):
        events = await ended(job)
    assert (events[-1].type, starts(events)) == ("failed", [(1, "keyless", None)])


async def test_a_worker_of_an_older_version_may_have_any_provider(
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    broker: Broker,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed_back = counted_hand_backs(monkeypatch)
    await broker.pipeline(*beat_commands(keys, "old", queues=["default"], running=0, max_jobs=1, at=1))
    await start("keyless", without("openai"))
    job = await tailrace.enqueue(request_)
    await eventually(lambda: handed_back == [1])
    assert (await job.status()).state == "queued"


async def test_a_fallback_is_taken_where_it_is_and_only_if_nobody_has_the_provider(
    tailrace: Tailrace, start: Worker, request_: GenerationRequest, puppet: Puppet
) -> None:
    second = Puppet()
    asked = GenerationRequest.model_validate(
        {**request_.model_dump(), "fallbacks": [{"provider": "second", "model": "other"}]}
    )
    await start("keyless", without("openai", "third"))
    await start("second", {**without("openai"), "second": second})
    second.finish()
    events = await ended(await tailrace.enqueue(asked))
    assert (events[-1].type, starts(events)) == ("completed", [(1, "second", None)])
    await start("able", {"openai": puppet})
    puppet.finish()
    events = await ended(await tailrace.enqueue(asked))
    assert (events[-1].type, starts(events)) == ("completed", [(1, "able", None)])


@pytest.mark.parametrize(("deadline", "reason"), [(1, "worker_lost"), (0, "worker_shutdown")])
async def test_a_job_that_is_left_keeps_the_reason_of_its_attempt(
    deadline: int,
    reason: str,
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed_back = counted_hand_backs(monkeypatch)
    await start("keyless", without("openai"), lease_seconds=1)
    await broker.pipeline(
        *beat_commands(keys, "able", queues=["default"], running=0, max_jobs=1, at=1, providers=["openai"])
    )
    job = await tailrace.enqueue(request_, defer_seconds=60)
    await broker.transaction(
        ("ZREM", keys.queue("default"), job.id),
        ("ZADD", keys.running("default"), deadline, job.id),
        ("SET", arq_in_progress(job.id), "somebody's"),
        ("SET", arq_retry(job.id), 1),
    )
    await eventually(lambda: handed_back == [1])
    assert await broker.call("ZSCORE", keys.running("default"), job.id) == deadline
    puppet.finish()
    await start("able", {"openai": puppet}, lease_seconds=1)
    assert starts(await ended(job)) == [(2, "able", reason)]


async def test_the_provider_of_a_stock_arq_clients_job_is_found_in_its_body(
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed_back = counted_hand_backs(monkeypatch)
    await start("able", {"openai": puppet}, max_jobs=1)
    await tailrace.enqueue(request_)
    await asyncio.wait_for(puppet.called.wait(), 10)
    await start("keyless", without("openai"))
    jobs = [new_job_id() for _ in range(2)]
    asked = plain(request_)
    carried: list[dict[str, Any]] = [{"a": [asked], "k": {}}, {"a": [], "k": {"request": asked}}]
    for job_id, arguments in zip(jobs, carried, strict=True):
        await enqueue_as_stock(broker, keys, job_id, arguments)
    await eventually(lambda: sum(handed_back) == 2)
    for _ in range(3):
        puppet.finish()

    async def are_over() -> bool:
        return not await broker.call("EXISTS", *map(arq_job, jobs))

    await eventually(are_over)
    for job_id in jobs:
        assert starts(await ended(tailrace.job(job_id))) == [(1, "able", None)]


async def test_a_job_whose_providers_cannot_be_read_for_now_is_started_once(
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await start("able", {"openai": puppet})
    failed: list[str] = []
    read = eligibility.Eligibility._read_requests

    async def failing_once(self: eligibility.Eligibility, claims: Sequence[Claim]) -> list[bytes | None]:
        if not failed:
            failed.extend(claim.job_id for claim in claims)
            raise BrokerUnavailable("away")
        return await read(self, claims)

    monkeypatch.setattr(eligibility.Eligibility, "_read_requests", failing_once)
    puppet.finish()
    job = await enqueue_as_before(tailrace, broker, keys, request_)
    events = await ended(job)
    assert failed
    assert (events[-1].type, starts(events)) == ("completed", [(1, "able", None)])


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many round trips each claim that brought jobs has cost, before these were started."""
    costs: list[int] = []
    counts: ContextVar[list[str] | None] = ContextVar("counts", default=None)
    claim = StreamWorker._claim

    async def claimed(self: StreamWorker, places: int) -> Claimed:
        asked: list[str] = []
        # Of this task only: other parts of the worker ask Redis at the same time.
        counts.set(asked)
        brought = await claim(self, places)
        if brought.claims:
            costs.append(len(asked))
        return brought

    def counting(owner: type, name: str) -> None:
        ask = getattr(owner, name)

        async def counted(self: Any, *args: Any, **options: Any) -> Any:
            asked = counts.get()
            if asked is not None:
                asked.append(name)
            return await ask(self, *args, **options)

        monkeypatch.setattr(owner, name, counted)

    monkeypatch.setattr(StreamWorker, "_claim", claimed)
    for owner, name in ((Wire, "exchange"), (Broker, "call"), (Broker, "pipeline"), (Broker, "transaction")):
        counting(owner, name)
    return costs


@pytest.mark.parametrize("by", ["tailrace", "a stock arq client"])
async def test_a_claim_of_jobs_that_this_worker_can_run_is_one_round_trip(
    by: str,
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    puppet: Puppet,
    broker: Broker,
    keys: Keys,
    trips: list[int],
) -> None:
    jobs = [new_job_id() for _ in range(3)]
    if by == "tailrace":
        jobs = [job.id for job in await tailrace.enqueue_many([request_] * 3)]
    else:
        for job_id in jobs:
            await enqueue_as_stock(broker, keys, job_id, {"a": [plain(request_)], "k": {}})
    for _ in jobs:
        puppet.finish()
    await start("able", {"openai": puppet})
    for job_id in jobs:
        assert starts(await ended(tailrace.job(job_id))) == [(1, "able", None)]
    assert set(trips) == {1}


async def test_the_providers_of_a_job_whose_body_names_none_are_in_its_request(
    tailrace: Tailrace,
    start: Worker,
    request_: GenerationRequest,
    broker: Broker,
    keys: Keys,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    handed_back = counted_hand_backs(monkeypatch)
    await broker.pipeline(
        *beat_commands(keys, "second", queues=["default"], running=0, max_jobs=1, at=1, providers=["second"])
    )
    await start("keyless", without("openai", "second"))
    fallbacks = [{"provider": "second", "model": "other"}]
    asked = GenerationRequest.model_validate({**request_.model_dump(), "fallbacks": fallbacks})
    job = await enqueue_as_before(tailrace, broker, keys, asked)
    await eventually(lambda: handed_back == [1])
    assert (await job.status()).state == "queued"
