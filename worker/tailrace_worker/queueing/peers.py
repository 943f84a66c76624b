"""`Peers`: which providers the other workers can call, according to their heartbeats."""

import math
import time
from itertools import product
from typing import Final

from tailrace.broker.client import Broker
from tailrace.protocol.fleet import read_workers
from tailrace.protocol.keys import Keys

_UNHEARD_SECONDS: Final = 8.0
"""If no worker that has a provider sent a heartbeat for this time, no worker serves it. A heartbeat comes every 5 s."""
_RESTART_SECONDS: Final = 3.0
"""The same limit for a provider that no worker was seen to have, because a worker that has it may be starting."""
_LOOK_SECONDS: Final = 0.9
"""How long the last reading of the workers is good enough for jobs that were left to others before."""
_STALL_SECONDS: Final = 2.0
"""If the last reading is older than this, it is not known whether the other workers sent heartbeats since."""
_FORGOTTEN_SECONDS: Final = 60.0


class Peers:
    """The other workers: when each provider of each queue was last named by a heartbeat."""

    def __init__(self, broker: Broker, keys: Keys, *, worker: str) -> None:
        """Start without knowing any worker.

        Args:
            broker: The commands' connection to Redis.
            keys: The keys of Redis.
            worker: The name of this worker, whose own heartbeats are skipped.
        """
        self._broker = broker
        self._keys = keys
        self._worker = worker
        self._heard: dict[tuple[str, str | None], float] = {}
        """By queue and provider, when a worker that has both last sent a heartbeat (`time.monotonic`).

        The provider `None` stands for workers that do not tell their providers, and so may have any.
        """
        self._read_at = -math.inf

    @property
    def is_due(self) -> bool:
        """True if the workers have to be read again."""
        return time.monotonic() - self._read_at >= _LOOK_SECONDS

    async def read(self) -> None:
        """Read the heartbeats of all workers.

        Raises:
            InfrastructureError: Redis failed.
        """
        workers = await read_workers(self._broker, self._keys)
        now = time.monotonic()
        heard = {key: at for key, at in self._heard.items() if now - at < _FORGOTTEN_SECONDS}
        if now - self._read_at > _STALL_SECONDS:
            # Redis or this process may have stood still. Then the heartbeats of healthy workers are missing too.
            heard = {key: max(at, now - _UNHEARD_SECONDS + _RESTART_SECONDS) for key, at in heard.items()}
        for worker in workers:
            if worker.name != self._worker:
                for key in product(worker.queues, (None,) if worker.providers is None else worker.providers):
                    heard[key] = max(heard.get(key, -math.inf), now - worker.beat_age_seconds)
        self._heard, self._read_at = heard, now

    def have(self, queue: str, provider: str) -> bool:
        """Return whether, by the last reading, a living worker serves the queue and can call the provider."""
        heard_at = self._heard.setdefault((queue, provider), self._read_at - _UNHEARD_SECONDS + _RESTART_SECONDS)
        return self._read_at - max(heard_at, self._heard.get((queue, None), -math.inf)) < _UNHEARD_SECONDS
