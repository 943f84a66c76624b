"""Workers that have not the same providers: each job goes to one that can call its own."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

import pytest

from tailrace import BrokerUnavailable, GenerationRequest, Job, Settings, Tailrace
from tailrace.broker.client import Broker, Command, open_redis
from tailrace.broker.wire import Wire
from tailrace.errors import FailureCode, ProviderError
from tailrace.events import Event, Failed, Started
from tailrace.protocol.fleet import beat_commands, leave_commands
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job, arq_retry, new_job_id
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.generation import Generations
from tailrace_worker.providers.base import Provider, Unconfigured
from tailrace_worker.queueing import eligibility
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claimer import Claimer, ClaimingLimits
from tailrace_worker.queueing.claims import Claimed
from tailrace_worker.queueing.eligibility import EligibilityLimits
from tailrace_worker.queueing.heartbeat import beating
from tailrace_worker.queueing.unclaim import unclaim_command
from tests.support.eventually import eventually
from tests.worker.conftest import OpenGenerations, Puppet, running_worker

NO_KEY: Final = ProviderError(
    "OpenAI cannot be called: OPENAI_API_KEY is not set.", code=FailureCode.PROVIDER_NOT_CONFIGURED, retryable=False
)


LIMITS: Final = EligibilityLimits()


def without(*names: str) -> dict[str, Provider]:
    return {name: Unconfigured(NO_KEY, "OPENAI_API_KEY is not set") for name in names}


@dataclasses.dataclass(frozen=True, slots=True)
class Workers:
    """Workers with providers of their own, and the jobs that they share."""

    tailrace: Tailrace
    broker: Broker
    keys: Keys
    request: GenerationRequest
    puppet: Puppet
    """The provider `openai` of the workers that have one."""
    handed_back: list[str]
    """The jobs that were handed back, by id."""
    _open_generations: OpenGenerations
    _stack: AsyncExitStack

    async def start(
        self, name: str, providers: dict[str, Provider], *, limits: EligibilityLimits = LIMITS, **changed: object
    ) -> None:
        """Returns once the worker was heard of. Changed settings are given by name."""
        generations = await self._stack.enter_async_context(self._open_generations(name, **changed))
        throttle = RateLimits(generations.broker, generations.keys)
        generations = dataclasses.replace(generations, calls=Calls(providers, throttle, generations.settings))
        await self._stack.enter_async_context(_working(generations, limits))
        await eventually(lambda: self._is_heard(name))

    async def start_able(self, **changed: object) -> None:
        """A worker that has the provider `openai`."""
        await self.start("able", {"openai": self.puppet}, limits=LIMITS, **changed)

    async def start_full(self) -> Job:
        """A worker that has the provider, and no place beside the job that it runs."""
        await self.start_able(max_jobs=1)
        job = await self.enqueue()
        await asyncio.wait_for(self.puppet.called.wait(), 10)
        return job

    async def hear(self, name: str, providers: Sequence[str] | None) -> None:
        """A beat of a worker that there is not."""
        beat = beat_commands(self.keys, name, queues=["default"], running=0, max_jobs=1, at=1, providers=providers)
        await self.broker.pipeline(*beat)

    async def _is_heard(self, name: str) -> bool:
        return name in {worker.name for worker in (await self.tailrace.fleet()).workers}

    async def enqueue(self, *, defer_seconds: float = 0, **changed: object) -> Job:
        asked = GenerationRequest.model_validate({**self.request.model_dump(), **changed})
        return await self.tailrace.enqueue(asked, defer_seconds=defer_seconds)

    async def enqueue_as_before(self, **changed: object) -> Job:
        """As producers of earlier versions did, whose bodies name no providers."""
        # Nobody claims the job before it has such a body.
        job = await self.enqueue(defer_seconds=60, **changed)
        await self.enqueue_as_stock(job.id, {"a": [], "k": {}})
        return job

    async def enqueue_as_stock(self, job_id: str, arguments: dict[str, Any]) -> None:
        """As a stock arq client does."""
        body = json.dumps({"t": None, "f": "generate", "et": 1, **arguments})
        await self.broker.call("SET", arq_job(job_id), body)
        await self.broker.call("ZADD", self.keys.queue("default"), 1, job_id)

    @property
    def carried(self) -> dict[str, Any]:
        """The request as a stock arq client carries it."""
        read: dict[str, Any] = json.loads(self.request.to_json(max_bytes=10_000))
        return read


@pytest.fixture
async def workers(
    open_generations: OpenGenerations,
    tailrace: Tailrace,
    settings: Settings,
    request_: GenerationRequest,
    puppet: Puppet,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Workers]:
    handed_back: list[str] = []

    def told(keys: Keys, claim: Claim, *, defer_seconds: float) -> Command:
        handed_back.append(claim.job_id)
        return unclaim_command(keys, claim, defer_seconds=defer_seconds)

    monkeypatch.setattr(eligibility, "unclaim_command", told)
    broker = Broker(open_redis(settings.redis_url))
    async with AsyncExitStack() as stack:
        yield Workers(tailrace, broker, Keys(settings.prefix), request_, puppet, handed_back, open_generations, stack)
    await broker.aclose()


@asynccontextmanager
async def _working(generations: Generations, limits: EligibilityLimits) -> AsyncGenerator[None]:
    claiming = ClaimingLimits(eligibility=limits)
    async with running_worker(generations, limits=claiming) as worker, beating(generations, worker):
        yield


async def ended(job: Job) -> list[Event]:
    async with asyncio.timeout(20):
        return [event async for event in job.tail()]


def starts(events: list[Event]) -> list[tuple[int, str, str | None]]:
    return [(event.attempt, event.worker, event.reason) for event in events if isinstance(event, Started)]


async def assert_completed(job: Job, *, by: str) -> None:
    """In its first attempt."""
    events = await ended(job)
    assert (events[-1].type, starts(events)) == ("completed", [(1, by, None)])


async def test_jobs_beside_a_worker_without_their_key_all_complete_in_their_first_attempt(workers: Workers) -> None:
    await workers.start("keyless", without("openai"))
    await workers.start_able()
    for _ in range(10):
        workers.puppet.say("Hi")
        workers.puppet.finish()
        await assert_completed(await workers.enqueue(), by="able")


async def test_while_the_worker_that_has_the_provider_is_full_its_jobs_keep_their_order_and_stop_no_others(
    workers: Workers,
) -> None:
    other = Puppet()
    jobs = [await workers.start_full()]
    await workers.start("keyless", {**without("openai"), "other": other}, max_jobs=4)
    jobs += [await workers.enqueue() for _ in range(40)]
    for _ in range(5):
        other.finish()
        await assert_completed(await workers.enqueue(provider="other"), by="keyless")
    # It has had each of them once, and they wait where they were.
    assert len(workers.handed_back) == 40
    waiting = await workers.broker.call("ZRANGE", workers.keys.queue("default"), 0, -1)
    assert waiting == [job.id.encode() for job in jobs[1:]]
    for _ in jobs:
        workers.puppet.finish()
    began: list[int] = []
    for job in jobs:
        events = await ended(job)
        assert starts(events) == [(1, "able", None)]
        began += [event.at for event in events if isinstance(event, Started)]
    assert began == sorted(began)
    assert len(workers.handed_back) == 40


async def test_more_jobs_than_can_be_left_in_their_places_are_put_off_and_stop_no_others(
    workers: Workers,
) -> None:
    few = EligibilityLimits(max_left=30, defer_seconds=1.0)
    other = Puppet()
    await workers.start_full()
    await workers.start("keyless", {**without("openai"), "other": other}, max_jobs=4, limits=few)
    jobs = [await workers.enqueue() for _ in range(40)]
    other.finish()
    await assert_completed(await workers.enqueue(provider="other"), by="keyless")

    async def are_put_off() -> bool:
        (queue,) = (await workers.tailrace.fleet()).queues
        return (queue.due, queue.deferred) == (30, 10)

    await eventually(are_put_off)
    for _ in range(41):
        workers.puppet.finish()
    for job in jobs:
        assert starts(await ended(job)) == [(1, "able", None)]


@pytest.mark.parametrize("name", ["openai", "nobody"])
async def test_a_job_whose_provider_no_live_worker_has_fails_within_ten_seconds(name: str, workers: Workers) -> None:
    await workers.start("keyless", without("openai"))
    await workers.start("elsewhere", {"openai": workers.puppet, "nobody": workers.puppet}, queues="batch")
    job = await workers.enqueue(provider=name)
    async with asyncio.timeout(10):
        events = await ended(job)
    assert isinstance(events[-1], Failed)
    assert events[-1].code == "provider_not_configured"
    assert workers.puppet.requests == []


@pytest.mark.parametrize("goes", ["in good order", "at once"])
async def test_a_job_that_was_left_to_a_worker_that_then_goes_fails_within_ten_seconds(
    goes: str, workers: Workers
) -> None:
    await workers.start("keyless", without("openai"))
    await workers.hear("able", ["openai"])
    job = await workers.enqueue()
    await eventually(lambda: len(workers.handed_back) == 1)
    if goes == "in good order":
        await workers.broker.pipeline(*leave_commands(workers.keys, "able"))
    async with asyncio.timeout(10):
        events = await ended(job)
    assert (events[-1].type, starts(events)) == ("failed", [(1, "keyless", None)])


async def test_a_worker_of_an_older_version_may_have_any_provider(workers: Workers) -> None:
    await workers.hear("old", None)
    await workers.start("keyless", without("openai"))
    job = await workers.enqueue()
    await eventually(lambda: len(workers.handed_back) == 1)
    assert (await job.status()).state == "queued"


async def test_a_fallback_is_taken_where_it_is_and_only_if_nobody_has_the_provider(workers: Workers) -> None:
    second = Puppet()
    fallbacks = [{"provider": "second", "model": "other"}]
    await workers.start("keyless", without("openai", "third"))
    await workers.start("second", {**without("openai"), "second": second})
    second.finish()
    await assert_completed(await workers.enqueue(fallbacks=fallbacks), by="second")
    await workers.start_able()
    workers.puppet.finish()
    await assert_completed(await workers.enqueue(fallbacks=fallbacks), by="able")


@pytest.mark.parametrize(("deadline", "reason"), [(1, "worker_lost"), (0, "worker_shutdown")])
async def test_a_job_that_is_left_keeps_the_reason_of_its_attempt(deadline: int, reason: str, workers: Workers) -> None:
    broker, running = workers.broker, workers.keys.running("default")
    await workers.start("keyless", without("openai"), lease_seconds=1)
    await workers.hear("able", ["openai"])
    job = await workers.enqueue(defer_seconds=60)
    await broker.transaction(
        ("ZREM", workers.keys.queue("default"), job.id),
        ("ZADD", running, deadline, job.id),
        ("SET", arq_in_progress(job.id), "somebody's"),
        ("SET", arq_retry(job.id), 1),
    )
    await eventually(lambda: len(workers.handed_back) == 1)
    assert await broker.call("ZSCORE", running, job.id) == deadline
    workers.puppet.finish()
    await workers.start_able(lease_seconds=1)
    assert starts(await ended(job)) == [(2, "able", reason)]


async def test_the_provider_of_a_stock_arq_clients_job_is_found_in_its_body(workers: Workers) -> None:
    await workers.start_full()
    await workers.start("keyless", without("openai"))
    jobs = [new_job_id() for _ in range(2)]
    carried: list[dict[str, Any]] = [{"a": [workers.carried], "k": {}}, {"a": [], "k": {"request": workers.carried}}]
    for job_id, arguments in zip(jobs, carried, strict=True):
        await workers.enqueue_as_stock(job_id, arguments)
    await eventually(lambda: len(workers.handed_back) == 2)
    for _ in range(3):
        workers.puppet.finish()

    async def are_over() -> bool:
        return not await workers.broker.call("EXISTS", *map(arq_job, jobs))

    await eventually(are_over)
    for job_id in jobs:
        assert starts(await ended(workers.tailrace.job(job_id))) == [(1, "able", None)]


async def test_the_providers_of_a_job_whose_body_names_none_are_in_its_request(workers: Workers) -> None:
    await workers.hear("second", ["second"])
    await workers.start("keyless", without("openai", "second"))
    job = await workers.enqueue_as_before(fallbacks=[{"provider": "second", "model": "other"}])
    await eventually(lambda: len(workers.handed_back) == 1)
    assert (await job.status()).state == "queued"


async def test_a_job_whose_providers_cannot_be_read_for_now_is_started_once(
    workers: Workers, monkeypatch: pytest.MonkeyPatch
) -> None:
    await workers.start_able()
    failed: list[Command] = []
    pipeline = Broker.pipeline

    async def failing_once(self: Broker, *commands: Command) -> list[Any]:
        reads = [command for command in commands if (command[0], command[-1]) == ("HGET", "request")]
        if reads and not failed:
            failed.extend(reads)
            raise BrokerUnavailable("away")
        return await pipeline(self, *commands)

    monkeypatch.setattr(Broker, "pipeline", failing_once)
    workers.puppet.finish()
    await assert_completed(await workers.enqueue_as_before(), by="able")
    assert failed


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many round trips each claim that brought jobs has cost, before these were started."""
    costs: list[int] = []
    counts: ContextVar[list[str] | None] = ContextVar("counts", default=None)
    claim = Claimer.claim

    async def claimed(self: Claimer, places: int, *, is_idle: bool) -> Claimed:
        asked: list[str] = []
        # Of this task only: other parts of the worker ask Redis at the same time.
        counts.set(asked)
        brought = await claim(self, places, is_idle=is_idle)
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

    monkeypatch.setattr(Claimer, "claim", claimed)
    for owner, name in ((Wire, "exchange"), (Broker, "call"), (Broker, "pipeline"), (Broker, "transaction")):
        counting(owner, name)
    return costs


@pytest.mark.parametrize("by", ["tailrace", "a stock arq client"])
async def test_a_claim_of_jobs_that_this_worker_can_run_is_one_round_trip(
    by: str, workers: Workers, trips: list[int]
) -> None:
    if by == "tailrace":
        jobs = [(await workers.enqueue()).id for _ in range(3)]
    else:
        jobs = [new_job_id() for _ in range(3)]
        for job_id in jobs:
            await workers.enqueue_as_stock(job_id, {"a": [workers.carried], "k": {}})
    for _ in jobs:
        workers.puppet.finish()
    await workers.start_able()
    for job_id in jobs:
        await assert_completed(workers.tailrace.job(job_id), by="able")
    assert set(trips) == {1}
