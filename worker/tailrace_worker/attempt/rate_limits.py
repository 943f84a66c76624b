"""Rate limits that one worker was told of, and all keep to."""

import asyncio
import random
from contextlib import suppress
from typing import Final, TypeAlias

from tailrace.broker.client import Broker, ms
from tailrace.errors import InfrastructureError
from tailrace.protocol.keys import Keys

MAX_WAIT_SECONDS: Final = 60.0
"""Who is told to wait for longer than this does not: a fallback, or whoever reads the ending, may do better."""
_SPREAD: Final = 0.25
"""Those who waited go on at different times, up to this part of the wait later."""

Target: TypeAlias = tuple[str, str]
"""A provider, and a model of it."""


class Throttle:
    """What stands in Redis for as long as a model of a provider takes no calls."""

    def __init__(self, broker: Broker, keys: Keys) -> None:
        self._broker = broker
        self._keys = keys

    async def tell(self, provider: str, model: str, seconds: float) -> None:
        """The provider takes no calls for the model for so long; what is known already is never made shorter."""
        key, wait_ms = self._keys.throttle(provider, model), max(1, ms(min(seconds, MAX_WAIT_SECONDS)))
        with suppress(InfrastructureError):
            await self._broker.pipeline(("SET", key, 1, "PX", wait_ms, "NX"), ("PEXPIRE", key, wait_ms, "GT"))

    async def wait(self, provider: str, model: str) -> None:
        """Returns once the provider takes calls for the model, as far as is known."""
        while (wait_seconds := (await self.left((provider, model)))[0]) > 0:  # noqa: ASYNC110 others may make it longer
            await asyncio.sleep(wait_seconds * (1 + random.uniform(0, _SPREAD)))  # noqa: S311

    async def left(self, *targets: Target) -> list[float]:
        """How many seconds it takes until each takes calls, as far as is known; 0 for those that do."""
        commands = [("PTTL", self._keys.throttle(provider, model)) for provider, model in targets]
        try:
            left_ms: list[int] = await self._broker.pipeline(*commands)
        except InfrastructureError:
            # A Redis that is away holds up no call: nothing is known then.
            return [0.0] * len(targets)
        return [max(0, each_ms) / 1000 for each_ms in left_ms]
