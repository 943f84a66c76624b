"""A worker's inside, on the real server, with a provider that says what the test tells it to."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from signal import Signals

import pytest

from tailrace import GenerationRequest, Job, Settings, Tailrace, VerbatimRequest
from tailrace.broker.client import Broker, open_redis
from tailrace.broker.liveness import LivenessLimits
from tailrace.events import Delta
from tailrace.protocol.keys import Keys
from tailrace_worker.attempt.calls import Calls
from tailrace_worker.attempt.cancel_poll import CancelPoll
from tailrace_worker.attempt.rate_limits import RateLimits
from tailrace_worker.attempt.retry_policy import RetryPolicy
from tailrace_worker.generation import Generations, GenerationTimings
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.publishing.announcer import Announcer
from tailrace_worker.publishing.publisher import Publisher, PublisherLimits
from tailrace_worker.queueing.arq_function import ArqTimings, arq_function
from tailrace_worker.queueing.claimer import ClaimingLimits
from tailrace_worker.queueing.claiming import StreamWorker
from tailrace_worker.queueing.leases import Leases, LeaseTimings
from tailrace_worker.settings import WorkerSettings
from tailrace_worker.shaping.guards.compiler import GuardCompiler, GuardLimits
from tailrace_worker.shaping.guards.moderate import Judge, ModerationVerdict
from tailrace_worker.simulator import Simulator

OpenGenerations = Callable[..., AbstractAsyncContextManager[Generations]]


async def approve(text: str) -> ModerationVerdict:
    """Finds nothing wrong with any text."""
    return ModerationVerdict()


class Puppet:
    """A `Provider` that says what it is told."""

    prefills = False
    lingers = False
    """Whether it does not end when it has finished."""

    def __init__(self) -> None:
        self._strings: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
        self.requests: list[GenerationRequest] = []
        self.verbatim_requests: list[VerbatimRequest] = []
        self.called = asyncio.Event()
        self.closed = asyncio.Event()

    def say(self, *texts: str) -> None:
        for text in texts:
            self._strings.put_nowait(Delta(text=text))

    def put(self, *pieces: Piece | Exception) -> None:
        for piece in pieces:
            self._strings.put_nowait(piece)

    def leave(self) -> None:
        """Ends the stream without another word."""
        self._strings.put_nowait(None)

    def finish(self) -> None:
        self._strings.put_nowait(Finish(reason="stop", provider_reason="stop"))

    @property
    def unread(self) -> int:
        return self._strings.qsize()

    def stream(self, request: GenerationRequest) -> AsyncGenerator[Piece, None]:
        self.requests.append(request)
        return self._said()

    def stream_verbatim(self, request: VerbatimRequest) -> AsyncGenerator[Piece, None]:
        self.verbatim_requests.append(request)
        return self._said()

    async def _said(self) -> AsyncGenerator[Piece, None]:
        self.called.set()
        try:
            while True:
                piece = await self._strings.get()
                if piece is None:
                    return
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if isinstance(piece, Finish) and not self.lingers:
                    return
        finally:
            self.closed.set()


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A server with the providers' APIs, which answers as the model's name says."""
    async with Simulator() as simulator:
        yield simulator


@pytest.fixture
def puppet() -> Puppet:
    return Puppet()


@pytest.fixture
def request_() -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": "openai", "model": "puppet", "messages": [{"role": "user", "content": "Hi"}]}
    )


@pytest.fixture
async def job(tailrace: Tailrace, request_: GenerationRequest) -> Job:
    """A job that waits in the queue."""
    return await tailrace.enqueue(request_)


@pytest.fixture
def open_generations(settings: Settings, puppet: Puppet) -> OpenGenerations:
    """Opens what the jobs of a worker share; each call is another worker.

    Changed settings are given by name; `unchecked` are settings beyond their limits; `publisher_url` is the publisher's
    own way to Redis.
    """

    @asynccontextmanager
    async def opened(
        name: str = "worker",
        *,
        liveness: LivenessLimits | None = None,
        publisher_url: str | None = None,
        publisher_limits: PublisherLimits | None = None,
        timings: GenerationTimings | None = None,
        retry_policy: RetryPolicy | None = None,
        judge: Judge = approve,
        guard_limits: GuardLimits | None = None,
        unchecked: Mapping[str, object] | None = None,
        **changed: object,
    ) -> AsyncGenerator[Generations]:
        given = {"redis_url": settings.redis_url, "prefix": settings.prefix, **changed}
        read = WorkerSettings.read(**given).model_copy(update=unchecked)
        redis = open_redis(read.redis_url, liveness=liveness)
        broker, keys = Broker(redis), Keys(read.prefix)
        announcer = Announcer(broker, keys, keep_seconds=read.keep_seconds)
        publishers_redis = open_redis(publisher_url, liveness=liveness) if publisher_url else redis
        publisher = Publisher(publishers_redis, keys, read, on_ended_again=announcer.add, limits=publisher_limits)
        cancel_poll = CancelPoll(redis, keys, tick_seconds=read.cancel_poll_ms / 1000)
        async with asyncio.TaskGroup() as beside:
            tasks = [beside.create_task(each.run()) for each in (publisher, announcer, cancel_poll)]
            yield Generations(
                broker=broker,
                keys=keys,
                settings=read,
                calls=Calls({"openai": puppet}, RateLimits(broker, keys), read, retry_policy=retry_policy),
                judge=judge,
                publisher=publisher,
                cancel_poll=cancel_poll,
                worker=name,
                guard_compiler=GuardCompiler(guard_limits),
                timings=timings or GenerationTimings(),
            )
            for task in tasks:
                task.cancel()
        await publishers_redis.aclose()
        await broker.aclose()

    return opened


@asynccontextmanager
async def running_worker(
    generations: Generations,
    *,
    arq_timings: ArqTimings | None = None,
    lease_timings: LeaseTimings | None = None,
    limits: ClaimingLimits | None = None,
) -> AsyncGenerator[StreamWorker]:
    """A worker that claims jobs; at the exit it hands back what it still runs."""
    settings = generations.settings
    redis = open_redis(settings.redis_url)
    async with Leases(
        settings.redis_url,
        generations.keys,
        lease_seconds=settings.lease_seconds,
        life_seconds=60,
        timings=lease_timings,
    ) as leases:
        worker = StreamWorker(generations, arq_function(settings, timings=arq_timings), redis, leases, limits=limits)
        running = asyncio.create_task(worker.async_run())
        yield worker
        for _ in range(2):
            worker.handle_sig_wait_for_completion(Signals.SIGTERM)
        async with asyncio.timeout(10):
            await running
    await redis.aclose()


@pytest.fixture
async def generations(open_generations: OpenGenerations) -> AsyncIterator[Generations]:
    async with open_generations() as opened:
        yield opened
