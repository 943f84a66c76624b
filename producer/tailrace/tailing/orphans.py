"""Ends jobs that would be stuck for ever, because no worker can run them any more. The readers that wait do this."""

import asyncio
from typing import Final

from tailrace.broker.client import Broker, Command, text
from tailrace.broker.outage import Dependent
from tailrace.errors import FailureCode, InfrastructureError
from tailrace.events import Failed
from tailrace.protocol.endings import JobEnding, close
from tailrace.protocol.job_end import Over, end_orphan
from tailrace.protocol.keys import Keys, arq_in_progress, arq_job

_CHECKED_AT_ONCE: Final = 100


class Orphans:
    """Checks silent jobs, and ends those that no queue and no worker holds, or that waited for too long."""

    def __init__(self, broker: Broker, keys: Keys, *, keep_seconds: float) -> None:
        """Start with no suspects.

        Args:
            broker: The connections to Redis.
            keys: The keys of the jobs.
            keep_seconds: For how long a job that is ended here is kept.
        """
        self._broker = broker
        self._keys = keys
        self._keep_seconds = keep_seconds
        self._suspects: dict[str, None] = {}
        self._has_suspects = asyncio.Event()
        self._checking = Dependent("nobody knows whether silent jobs still live")

    def suspect(self, job_id: str) -> None:
        """Have a job checked that has been silent for long."""
        self._suspects[job_id] = None
        self._has_suspects.set()

    async def run(self) -> None:
        """Check the suspects, and end the orphans among them, until cancelled."""
        while True:
            await self._has_suspects.wait()
            job_ids = list(self._suspects)[:_CHECKED_AT_ONCE]
            for job_id in job_ids:
                del self._suspects[job_id]
            if not self._suspects:
                self._has_suspects.clear()
            try:
                await self._check(job_ids)
            except InfrastructureError as error:
                self._checking.fails(error)
            else:
                self._checking.works()

    async def _check(self, job_ids: list[str]) -> None:
        (seconds, _), *replies = await self._broker.pipeline(
            ("TIME",), *(command for job_id in job_ids for command in self._questions(job_id))
        )
        now = int(seconds) * 1_000
        for job_id, (queue, expires_at), body, mark in zip(
            job_ids, replies[::3], replies[1::3], replies[2::3], strict=True
        ):
            if expires_at is not None and now > int(expires_at):
                await self._end_if_queued(job_id, now)
            if queue is not None and not body and not mark:
                await self._end_if_unclaimed(job_id, text(queue), now)

    def _questions(self, job_id: str) -> tuple[Command, ...]:
        return (
            ("HMGET", self._keys.record(job_id), "queue", "expires_at"),
            ("EXISTS", arq_job(job_id)),
            ("EXISTS", arq_in_progress(job_id)),
        )

    async def _end_if_queued(self, job_id: str, now: int) -> None:
        newest = await self._broker.call("XREVRANGE", self._keys.events(job_id), "+", "-", "COUNT", 1)
        # An attempt that begins from now on finds the same, and ends the job itself.
        if newest and newest[0][1].get(b"type") == b"queued":
            await self._end(
                job_id,
                now,
                FailureCode.EXPIRED_IN_QUEUE,
                "The job waited in its queue for longer than it was allowed to.",
            )

    async def _end_if_unclaimed(self, job_id: str, queue: str, now: int) -> None:
        waits, runs = await self._broker.pipeline(
            ("ZSCORE", self._keys.queue(queue), job_id), ("ZSCORE", self._keys.running(queue), job_id)
        )
        if waits is None and runs is None:
            await self._end(
                job_id, now, FailureCode.WORKER_LOST, "Nobody can run the job any more: no queue and no worker has it."
            )

    async def _end(self, job_id: str, now: int, code: FailureCode, message: str) -> None:
        ending = Failed(at=now, code=code, message=message, retryable=True)
        done = await end_orphan(self._broker, self._keys, job_id, ending, keep_seconds=self._keep_seconds)
        if isinstance(done, Over):
            ended = JobEnding(job_id=job_id, tenant=done.tenant, ending=done.ending)
            await close(self._broker, self._keys, ended, keep_seconds=self._keep_seconds)
