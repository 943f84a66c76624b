"""Who streams: tailrace's worker, and the loops beside it, each a process that is given streams and looked at."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias

import psutil

from benchmarks.process import Process
from benchmarks.stand import PROMPT, Stand
from tailrace import GenerationRequest, Job
from tailrace.cursor import EntryId
from tailrace.events import ENDINGS

PIECES_PER_SECOND: Final = 50
"""Of one stream."""

_PIECES: Final = 10_000_000
"""Streams end when they are stopped."""
_START_MS: Final = 8
"""For the start of a stream: no pieces come before all have started, so that who falls behind starts them too."""
_BEGIN_SECONDS: Final = 20
_LOOK_SECONDS: Final = 0.2
_FIRST_DELTA: Final = EntryId(1, 3)
"""Behind `queued` and `started`."""

Mark: TypeAlias = Sequence[int]
"""How far each stream has come."""
Entry: TypeAlias = tuple[bytes, Mapping[bytes, bytes]]


class Contender(Protocol):
    """A process that takes in streams."""

    @property
    def pid(self) -> int: ...

    async def start(self, streams: int) -> None:
        """Starts so many more; returns when pieces of each have come, or when that has taken too long to wait for."""
        ...

    async def mark(self) -> Mark:
        """How far they are."""
        ...

    async def pieces(self, before: Mark, after: Mark) -> int:
        """How many pieces lie between two marks."""
        ...


@dataclass(frozen=True, slots=True)
class OfLoop:
    """One of `loops`."""

    process: Process

    @property
    def pid(self) -> int:
        return self.process.pid

    async def start(self, streams: int) -> None:
        await self.process.ask("start", streams, _model(streams))
        await _begun(self._has_begun)

    async def mark(self) -> Mark:
        pieces: list[int] = await self.process.ask("pieces")
        return pieces

    async def pieces(self, before: Mark, after: Mark) -> int:
        return sum(after) - sum(before)

    async def _has_begun(self) -> bool:
        return all(await self.mark())


@dataclass(frozen=True, slots=True)
class OfTailrace:
    """A worker of tailrace. What it has done is what can be read."""

    stand: Stand
    provider: str
    pid: int
    options: str = ""
    """Of the simulator's, beside those that all contenders have."""
    jobs: list[Job] = field(default_factory=list[Job])

    async def enqueue(self, model: str) -> Job:
        """Enqueues a job for the worker."""
        request = {"provider": self.provider, "model": model, "messages": [{"role": "user", "content": PROMPT}]}
        return await self.stand.tailrace.enqueue(GenerationRequest.model_validate(request))

    @property
    def streams(self) -> list[str]:
        """The streams of the jobs that run."""
        return [self.stand.keys.events(job.id) for job in self.jobs]

    async def start(self, streams: int) -> None:
        self.jobs.extend([await self.enqueue(_model(streams) + self.options) for _ in range(streams)])
        await _begun(self._has_begun)

    async def mark(self) -> Mark:
        commands = (("XREVRANGE", stream, "+", "-", "COUNT", 1) for stream in self.streams)
        lasts: list[Entry] = [entry for (entry,) in await self.stand.broker.pipeline(*commands)]
        for _, fields in lasts:
            if fields[b"type"].decode() in ENDINGS:
                raise SystemExit(f"A stream has ended while it was measured: {fields}")
        return [EntryId.decode(entry_id).seq for entry_id, _ in lasts]

    async def pieces(self, before: Mark, after: Mark) -> int:
        ranges: list[list[Entry]] = await self.stand.broker.pipeline(
            *(
                ("XRANGE", stream, f"({EntryId(1, first)}", str(EntryId(1, last)))
                for stream, first, last in zip(self.streams, before, after, strict=True)
            )
        )
        # A piece of the simulator's endless text is a word. Pieces that came while the worker was busy share an entry.
        return sum(len(fields.get(b"text", b"").split()) for entries in ranges for _, fields in entries)

    async def _has_begun(self) -> bool:
        return all(seq >= _FIRST_DELTA.seq for seq in await self.mark())


def _model(streams: int) -> str:
    return f"demo?pieces={_PIECES}&interval_ms={1000 // PIECES_PER_SECOND}&first_token_ms={_START_MS * streams}"


async def _begun(has_begun: Callable[[], Awaitable[bool]]) -> None:
    gives_up_at = time.monotonic() + _BEGIN_SECONDS
    # Who is so far behind that some of its streams never get their turn is measured as it is.
    while not await has_begun() and time.monotonic() < gives_up_at:  # noqa: ASYNC110  # It is another process.
        await asyncio.sleep(_LOOK_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a process took for the pieces of some streams, while all of them ran."""

    pieces: int
    seconds: float
    cpu_seconds: float

    @property
    def us_per_piece(self) -> float:
        """CPU, user plus system."""
        return self.cpu_seconds / self.pieces * 1e6 if self.pieces else math.inf

    @property
    def pieces_per_second(self) -> float:
        """Less than the provider offered, where the process falls behind."""
        return self.pieces / self.seconds

    @property
    def cores(self) -> float:
        """How much of a core it took."""
        return self.cpu_seconds / self.seconds


async def look(contender: Contender, seconds: float) -> Cost:
    """What the process takes, from now on, for so long."""
    process = psutil.Process(contender.pid)
    before, cpu_before, began = await contender.mark(), _cpu_seconds(process), time.perf_counter()
    await asyncio.sleep(seconds)
    after, cpu_after, ended = await contender.mark(), _cpu_seconds(process), time.perf_counter()
    pieces = await contender.pieces(before, after)
    return Cost(pieces=pieces, seconds=ended - began, cpu_seconds=cpu_after - cpu_before)


def rss_bytes(contender: Contender) -> int:
    """The memory of the process."""
    rss: int = psutil.Process(contender.pid).memory_info().rss
    return rss


def _cpu_seconds(process: psutil.Process) -> float:
    times: Any = process.cpu_times()
    return float(times.user + times.system)
