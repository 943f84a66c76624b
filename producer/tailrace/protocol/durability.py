"""Waits until jobs that Redis has acknowledged would survive a crash of Redis."""

import time
from collections.abc import Collection
from typing import Final

from tailrace.broker.client import Broker, Command, ms
from tailrace.errors import BrokerRefused, NotDurable
from tailrace.protocol.keys import Keys, arq_job

_WAIT_SECONDS: Final = 5.0
"""`appendfsync everysec` syncs each second; a disk that is busy may take two."""


async def make_durable(
    broker: Broker, keys: Keys, queue: str, job_ids: Collection[str], *, wait_seconds: float = _WAIT_SECONDS
) -> None:
    """Wait until the jobs are in the append-only file on the disk, or on a replica.

    If Redis has an append-only file it is the file (`WAITAOF`), otherwise a replica (`WAIT`). With `appendfsync no` the
    kernel decides when it writes to the disk, and Redis does not know.

    Args:
        broker: The connections to Redis.
        keys: The keys of the jobs.
        queue: The queue in which the jobs were enqueued.
        job_ids: The jobs.
        wait_seconds: For how long to wait for the disk or the replica, in seconds.

    Raises:
        NotDurable: Neither has the jobs within `wait_seconds`, or a restart or a failover lost some of them.
        BrokerRefused: Redis has neither an append-only file nor a replica.
        BrokerUnavailable: Redis cannot be reached.
    """
    persistence, replication = await broker.pipeline(("INFO", "persistence"), ("INFO", "replication"))
    wait: Command
    if persistence["aof_enabled"]:
        wait = ("WAITAOF", 1, 0, ms(wait_seconds))
    elif replication["connected_slaves"]:
        wait = ("WAIT", 1, ms(wait_seconds))
    else:
        raise BrokerRefused(
            "Redis has no append-only file and no replica, so no job can be durable: set `appendonly yes` in Redis, or "
            "enqueue without `durable`."
        )
    # WAIT and WAITAOF wait for the last write of their own connection, so this write comes after those of the jobs.
    _, reply = await broker.pipeline(("ZADD", keys.queues, ms(time.time()), queue), wait)
    if not (reply[0] if isinstance(reply, list) else reply):
        raise NotDurable(
            f"Redis has the job, but did not write it to a disk or a replica within {wait_seconds:g} s. A crash of "
            "Redis may lose it."
        )
    # If the connection broke, the reply may be of another server that never had the jobs and has nothing to sync.
    held = await broker.pipeline(
        *(command for job_id in job_ids for command in (("XLEN", keys.events(job_id)), ("EXISTS", arq_job(job_id))))
    )
    # Until its first attempt a job also needs its arq body: without one no worker runs it.
    lost = sum(entries == 0 or (entries == 1 and not body) for entries, body in zip(held[::2], held[1::2], strict=True))
    if lost:
        raise NotDurable(
            f"A restart or a failover of Redis lost {lost} of {len(job_ids)} jobs before they were on a disk or a "
            "replica: enqueue them again."
        )
