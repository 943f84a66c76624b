"""Waits until what Redis has acknowledged survives a crash of it."""

import time
from typing import Final

from tailrace.broker.client import Broker, Command, ms
from tailrace.errors import BrokerRefused, NotDurable
from tailrace.protocol.keys import Keys

_WAIT_SECONDS: Final = 5.0
"""`appendfsync everysec` syncs each second; a disk that is busy may take two."""


async def make_durable(broker: Broker, keys: Keys, queue: str) -> None:
    """Return once all that was written so far is in the append-only file on the disk, or on a replica.

    Redis keeps to the file if it has one (`WAITAOF`), else to a replica (`WAIT`). With `appendfsync no` the kernel has
    the last word, and it says nothing.

    Raises:
        NotDurable: Neither has it within 5 s.
        BrokerRefused: Redis has neither an append-only file nor a replica.
        BrokerUnavailable: Redis cannot be reached.
    """
    persistence, replication = await broker.pipeline(("INFO", "persistence"), ("INFO", "replication"))
    wait: Command
    if persistence["aof_enabled"]:
        wait = ("WAITAOF", 1, 0, ms(_WAIT_SECONDS))
    elif replication["connected_slaves"]:
        wait = ("WAIT", 1, ms(_WAIT_SECONDS))
    else:
        raise BrokerRefused("Redis has no append-only file and no replica: nothing that it holds survives a crash.")
    # A connection waits for its own last write, which comes after all those that are to survive.
    _, reply = await broker.pipeline(("ZADD", keys.queues, ms(time.time()), queue), wait)
    if not (reply[0] if isinstance(reply, list) else reply):
        raise NotDurable(f"Redis has taken it, but did not write it to a disk or a replica within {_WAIT_SECONDS:g} s.")
