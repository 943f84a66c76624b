"""A failover to a replica: the old primary stays, as a replica, and keeps all its connections."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio.connection import DefaultParser

from tailrace import Answer, CancelOutcome, Event, GenerationRequest, Job, Settings, Tailrace
from tailrace.broker.client import Broker, open_redis
from tailrace.broker.connection import is_passing
from tailrace.broker.wire import Wire, packed
from tailrace.protocol.keys import Keys
from tailrace_worker.processes.valkey import EmbeddedBroker
from tailrace_worker.queueing.claim import Claim
from tailrace_worker.queueing.claims import claim_command, new_token, read_claimed
from tailrace_worker.queueing.leases import Leases
from tailrace_worker.simulator import Scenario, Simulator
from tests.support.eventually import eventually
from tests.support.processes import worker_process
from tests.support.proxy import Proxy

STREAM = "demo?pieces=400&interval_ms=20"
SILENT = "demo?pieces=3&first_token_ms=3600000"
SHORT = "demo?pieces=10&interval_ms=5"
NOWHERE = ("127.0.0.1", 1)
GOES_ON_SECONDS = 20
"""The promise is 5 s, which a busy machine cannot keep. If it is broken, nothing goes on without a restart."""

pytestmark = pytest.mark.timeout(120)


def asking(model: str) -> GenerationRequest:
    return GenerationRequest.model_validate(
        {"provider": "openai", "model": model, "messages": [{"role": "user", "content": "Tell me."}]}
    )


class Pair:
    """A primary, its replica, and the address under which clients know whichever is the primary."""

    def __init__(self, first: EmbeddedBroker, second: EmbeddedBroker, proxy: Proxy) -> None:
        self.first, self.second, self.proxy = first, second, proxy
        self.old, self.new = Broker(open_redis(first.url)), Broker(open_redis(second.url))

    async def join(self) -> None:
        await self.new.call("REPLICAOF", "127.0.0.1", self.first.port)
        await eventually(self._is_in_step)

    async def _is_in_step(self) -> bool:
        old, new = await self.old.call("INFO", "replication"), await self.new.call("INFO", "replication")
        return bool(new.get("master_link_status") == "up" and old["master_repl_offset"] == new["slave_repl_offset"])

    async def fail_over(self, *, follows: bool) -> None:
        """No write is lost. The old primary then follows the new one, or finds nobody that it could follow."""
        await self.old.call("CLIENT", "PAUSE", 5_000, "WRITE")
        await eventually(self._is_in_step)
        await self.new.call("REPLICAOF", "NO", "ONE")
        await self.old.call("REPLICAOF", *(("127.0.0.1", self.second.port) if follows else NOWHERE))
        await self.old.call("CLIENT", "UNPAUSE")

    def move_address(self) -> None:
        self.proxy.retarget(self.second.url)

    async def aclose(self) -> None:
        await self.old.aclose()
        await self.new.aclose()


@pytest.fixture
def servers() -> Iterator[tuple[EmbeddedBroker, EmbeddedBroker]]:
    with EmbeddedBroker() as first, EmbeddedBroker() as second:
        yield first, second


@pytest.fixture
async def pair(servers: tuple[EmbeddedBroker, EmbeddedBroker]) -> AsyncIterator[Pair]:
    first, second = servers
    async with Proxy(first.url) as proxy:
        pair = Pair(first, second, proxy)
        await pair.join()
        yield pair
        await pair.aclose()


@pytest.fixture
def settings(pair: Pair) -> Settings:
    return Settings.read(redis_url=pair.proxy.url)


class Follower:
    """Reads a job to its ending, and tells what it has seen so far."""

    def __init__(self, job: Job) -> None:
        self.events: list[Event] = []
        self.job = job
        self.done = asyncio.create_task(self._follow())

    async def _follow(self) -> None:
        async for event in self.job.tail():
            self.events.append(event)

    def said(self, type_: str) -> int:
        return sum(event.type == type_ for event in self.events)


@pytest.mark.parametrize("follows", [True, False], ids=["follows", "follows-nobody"])
async def test_everything_continues_at_the_new_primary_and_nothing_is_lost_or_started_twice(
    pair: Pair, settings: Settings, tailrace: Tailrace, simulator: Simulator, *, follows: bool
) -> None:
    quick = {"TAILRACE_LEASE_SECONDS": "2"}
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(worker_process(settings, simulator, **quick)) for _ in range(2)]
        running = [Follower(await tailrace.enqueue(asking(STREAM))) for _ in range(20)]
        silent = Follower(await tailrace.enqueue(asking(SILENT)))
        # The pools of both sides are full of connections to the old primary.
        jobs = await asyncio.gather(*(tailrace.enqueue(asking(SHORT)) for _ in range(30)))
        await asyncio.gather(*(job.answer() for job in jobs))
        await eventually(lambda: all(each.said("delta") for each in running) and silent.said("started") == 1)
        await pair.fail_over(follows=follows)
        # Whoever connects in this time is led to the old one still.
        asked = [asyncio.create_task(tailrace.fleet()) for _ in range(5)]
        await asyncio.wait(asked, timeout=1)
        pair.move_address()

        async with asyncio.timeout(GOES_ON_SECONDS):
            new = await asyncio.gather(*(tailrace.enqueue(asking(SHORT)) for _ in range(30)))
            seen = [each.said("delta") for each in running]
            texts = {answer.text for answer in await asyncio.gather(*(job.answer() for job in new))}
            await eventually(
                lambda: all(
                    each.said("delta") > before or each.done.done() for each, before in zip(running, seen, strict=True)
                )
            )
            assert await silent.job.cancel() is CancelOutcome.REQUESTED
            await silent.done
        assert texts == {Scenario.parse(SHORT).text_sent}
        await asyncio.gather(*(each.done for each in running))
    for each in (*running, silent):
        types = [event.type for event in each.events if event.type != "delta"]
        assert types == ["queued", "started", "cancelled" if each is silent else "completed"]
        assert [event.id.seq for event in each.events] == list(range(1, len(each.events) + 1))
    for each in running:
        answer = Answer()
        for event in each.events:
            answer.add(event)
        assert answer.text == Scenario.parse(STREAM).text_sent
    calls = [entry.model for entry in simulator.journal.entries]
    assert (calls.count(STREAM), calls.count(SILENT), calls.count(SHORT)) == (20, 1, 60)
    assert all("Traceback" not in worker.log for worker in workers)


async def test_leases_are_renewed_at_the_new_primary(pair: Pair, settings: Settings) -> None:
    keys, token = Keys(settings.prefix), new_token("w")
    await pair.old.call("ZADD", keys.queue("default"), 1, "a-job-of-sixteen")
    command = claim_command(keys, ["default"], token, places=1, lease_seconds=60, takes_over_until=0)
    claim: Claim
    (claim,) = read_claimed(await pair.old.call(*command), ["default"], token).claims
    async with Leases(pair.proxy.url, keys, lease_seconds=0.6, life_seconds=60) as leases:
        with leases.holding(claim):
            lease = await pair.old.call("ZSCORE", keys.running("default"), claim.job_id)

            async def renewed_at(server: Broker) -> bool:
                return bool(await server.call("ZSCORE", keys.running("default"), claim.job_id) != lease)

            await eventually(lambda: renewed_at(pair.old))
            await pair.fail_over(follows=False)
            lease = await pair.new.call("ZSCORE", keys.running("default"), claim.job_id)
            pair.move_address()
            await eventually(lambda: renewed_at(pair.new))


async def test_a_tail_waits_while_redis_runs_a_long_script(tailrace: Tailrace, pair: Pair) -> None:
    await pair.old.call("CONFIG", "SET", "busy-reply-threshold", 1)
    following = Follower(await tailrace.enqueue(asking(SHORT)))
    await eventually(lambda: following.said("queued") == 1)
    async with Wire(pair.old.redis) as killer, Wire(pair.old.redis) as spinner:
        await killer.connect()
        await spinner.connect()
        spinning = asyncio.create_task(spinner.exchange(packed("EVAL", "while true do end", 0), 1))
        # The reader looks at least once a second, and is told that Redis is busy.
        await asyncio.wait([following.done, spinning], timeout=2.5)
        await killer.exchange(packed("SCRIPT", "KILL"), 1)
        await spinning
    assert await following.job.cancel() is CancelOutcome.CANCELLED
    await following.done
    assert following.events[-1].type == "cancelled"


async def test_a_tail_waits_while_a_replica_has_lost_its_primary(
    tailrace: Tailrace, settings: Settings, pair: Pair
) -> None:
    job = await tailrace.enqueue(asking(SHORT))
    await pair.old.call("CONFIG", "SET", "replica-serve-stale-data", "no")
    # A client of the server itself, which had never been a primary when it connected.
    async with Tailrace.connect(settings.redis_url, prefix=settings.prefix) as late:
        await pair.old.call("REPLICAOF", *NOWHERE)
        following = Follower(late.job(job.id))
        await asyncio.wait([following.done], timeout=1)
        await pair.old.call("REPLICAOF", "NO", "ONE")
        await eventually(lambda: following.said("queued") == 1)
        assert await job.cancel() is CancelOutcome.CANCELLED
        await following.done


@pytest.mark.parametrize(
    ("reply", "passes"),
    [
        ("LOADING Redis is loading the dataset in memory", True),
        ("BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", True),
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", True),
        ("READONLY You can't write against a read only replica.", True),
        ("READONLY You can't write against a read only replica. script: 5e1f, on @user_script:1.", True),
        ("ERR Error running script (call to f_1): @user_script:2: -READONLY You can't write against a replica", True),
        ("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)", True),
        ("BUSYGROUP Consumer Group name already exists", False),
        ("OOM command not allowed when used memory > 'maxmemory'.", False),
        ("WRONGTYPE Operation against a key holding the wrong kind of value", False),
        ("ERR unknown command 'READONLY '", False),
    ],
)
def test_a_temporary_refusal_is_known_by_the_first_word_of_the_reply(reply: str, *, passes: bool) -> None:
    error = DefaultParser.parse_error(reply)  # type: ignore[no-untyped-call]
    assert is_passing(error) is passes
