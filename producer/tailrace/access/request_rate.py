"""`RequestRate`: limits the requests of an API key, in all gateways together. It needs the extra `gateway`."""

from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from tailrace.broker.client import Broker, our_errors
from tailrace.protocol.keys import Keys


class RequestRate:
    """The rates of all API keys. They are counted in Redis, over the connections of the client.

    The window slides. Its times are those of Redis, so the clocks of the gateways do not matter.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
    """

    def __init__(self, broker: Broker, keys: Keys) -> None:
        pool: Any = broker.redis.connection_pool
        storage = RedisStorage(
            "redis://", implementation="redispy", key_prefix=keys.request_rates, connection_pool=pool
        )
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(self, key_id: str, per_second: int) -> bool:
        """Count a request.

        Args:
            key_id: The API key.
            per_second: How many requests it may make in a second.

        Returns:
            False if the key has made that many requests already. The request is not counted then.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        with our_errors():
            return await self._limiter.hit(RateLimitItemPerSecond(per_second, namespace=key_id))
