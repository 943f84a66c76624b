"""Rate limits: the worker that a provider refuses tells all workers, and they wait."""

import asyncio
import random
from contextlib import suppress
from typing import Final, TypeAlias

from tailrace.broker.client import Broker, ms
from tailrace.errors import InfrastructureError
from tailrace.protocol.keys import Keys

MAX_WAIT_SECONDS: Final = 60.0
"""The longest rate limit for which a job waits. For a longer one the call fails, so that a fallback can answer, or the
service can decide what to do."""
_SPREAD: Final = 0.25
"""The largest random part of a wait, as a part of the wait, so that waiting jobs do not all call at the same time."""

Target: TypeAlias = tuple[str, str]
"""The name of a provider, and one of its models."""


class RateLimits:
    """The rate limits in Redis: one key for each model of a provider. It expires when the model takes calls again."""

    def __init__(self, broker: Broker, keys: Keys) -> None:
        self._broker = broker
        self._keys = keys

    async def tell(self, provider: str, model: str, seconds: float) -> None:
        """Tell all workers about a rate limit. A longer limit that is known already stays.

        Args:
            provider: The name of the provider.
            model: The model that takes no calls.
            seconds: For how long; more than 60 s counts as 60 s.
        """
        key, wait_ms = self._keys.throttle(provider, model), max(1, ms(min(seconds, MAX_WAIT_SECONDS)))
        with suppress(InfrastructureError):
            await self._broker.pipeline(("SET", key, 1, "PX", wait_ms, "NX"), ("PEXPIRE", key, wait_ms, "GT"))

    async def wait(self, provider: str, model: str) -> None:
        """Wait until the provider takes calls for the model, as far as is known.

        Args:
            provider: The name of the provider.
            model: The model to call.
        """
        while (wait_seconds := (await self.left((provider, model)))[0]) > 0:  # noqa: ASYNC110 others may make it longer
            await asyncio.sleep(wait_seconds * (1 + random.uniform(0, _SPREAD)))  # noqa: S311

    async def left(self, *targets: Target) -> list[float]:
        """Return the seconds until each target takes calls, as far as is known.

        Args:
            targets: The targets.

        Returns:
            The seconds for each target; 0 if the target takes calls now, or if Redis is away.
        """
        commands = [("PTTL", self._keys.throttle(provider, model)) for provider, model in targets]
        try:
            left_ms: list[int] = await self._broker.pipeline(*commands)
        except InfrastructureError:
            # If Redis is away, no limit is known, and no call is held up.
            return [0.0] * len(targets)
        return [max(0, each_ms) / 1000 for each_ms in left_ms]
