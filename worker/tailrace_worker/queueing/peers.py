"""Which providers the other workers of the fleet have, as their heartbeats tell."""

import math
import time
from itertools import product
from typing import Final

from tailrace.broker.client import Broker
from tailrace.protocol.fleet import read_workers
from tailrace.protocol.keys import Keys

_UNHEARD_SECONDS: Final = 8.0
"""Nobody serves a provider if no worker that has it was heard of for so long: a beat comes every 5 s."""
_RESTART_SECONDS: Final = 3.0
"""The same for a provider that no worker was seen to have: one that has it may be about to start."""
_LOOK_SECONDS: Final = 0.9
"""For how long what was read of the fleet is good enough for jobs that were left before,"""
_STALL_SECONDS: Final = 2.0
"""and after which time it is not known what others did since."""
_FORGOTTEN_SECONDS: Final = 60.0


class Peers:
    """The other workers, and when each provider was last heard of on each queue."""

    def __init__(self, broker: Broker, keys: Keys, *, worker: str) -> None:
        """`worker` is the name of this worker, which is not one of the others."""
        self._broker = broker
        self._keys = keys
        self._worker = worker
        self._heard: dict[tuple[str, str | None], float] = {}
        """By queue and provider, when another worker was last heard of that has both; `None`: that may have any."""
        self._read_at = -math.inf

    @property
    def is_due(self) -> bool:
        """Whether the fleet is to be read again."""
        return time.monotonic() - self._read_at >= _LOOK_SECONDS

    async def read(self) -> None:
        """Reads who has what. Raises `InfrastructureError`."""
        workers = await read_workers(self._broker, self._keys)
        now = time.monotonic()
        heard = {key: at for key, at in self._heard.items() if now - at < _FORGOTTEN_SECONDS}
        if now - self._read_at > _STALL_SECONDS:
            # Redis, or this process, may have stood still, and with it the beats of workers that are well.
            heard = {key: max(at, now - _UNHEARD_SECONDS + _RESTART_SECONDS) for key, at in heard.items()}
        for worker in workers:
            if worker.name != self._worker:
                for key in product(worker.queues, (None,) if worker.providers is None else worker.providers):
                    heard[key] = max(heard.get(key, -math.inf), now - worker.beat_age_seconds)
        self._heard, self._read_at = heard, now

    def have(self, queue: str, provider: str) -> bool:
        """Whether one that lives serves the queue and can call the provider, by what was read last."""
        heard_at = self._heard.setdefault((queue, provider), self._read_at - _UNHEARD_SECONDS + _RESTART_SECONDS)
        return self._read_at - max(heard_at, self._heard.get((queue, None), -math.inf)) < _UNHEARD_SECONDS
