"""`ApiKeys`: the API keys that Redis keeps, for all gateways that share it."""

from tailrace.access.api_key import ApiKey, KeyLimits, NewApiKey
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys


class ApiKeys:
    """The API keys in Redis.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
    """

    def __init__(self, broker: Broker, keys: Keys) -> None:
        self._broker = broker
        self._at = keys.api_keys

    async def create(self, *, tenant: str, name: str = "", limits: KeyLimits | None = None) -> NewApiKey:
        """Create a key, which gateways accept at once.

        Args:
            tenant: The tenant whose jobs it may use: 1 to 64 characters of `A-Z a-z 0-9 _ . -`.
            name: What the key is for: up to 256 characters.
            limits: The limits of the key; by default it has none.

        Returns:
            The key, and its token. The token is stored nowhere.

        Raises:
            InvalidRequest: The tenant is not a name, or the name is too long.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        new = ApiKey.make(tenant=tenant, name=name, limits=limits or KeyLimits())
        await self._broker.call("HSET", self._at, new.key.id, new.key.model_dump_json())
        return new

    async def read_all(self) -> list[ApiKey]:
        """List the keys.

        Returns:
            All keys, the oldest first.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        found = [ApiKey.parse(stored) for stored in await self._broker.call("HVALS", self._at)]
        return sorted((key for key in found if key is not None), key=lambda key: (key.created_at, key.id))

    async def revoke(self, key_id: str) -> bool:
        """Revoke a key. Within two seconds, gateways refuse it and the URLs that they signed for it.

        Args:
            key_id: The id of the key.

        Returns:
            False if there is no such key.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        return bool(await self._broker.call("HDEL", self._at, key_id))

    async def find(self, key_id: str) -> ApiKey | None:
        """Find a key.

        Args:
            key_id: The id of the key.

        Returns:
            The key, or `None` if there is none.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        stored = await self._broker.call("HGET", self._at, key_id)
        return None if stored is None else ApiKey.parse(stored)

    async def is_empty(self) -> bool:
        """Return whether there is no key.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        return not await self._broker.call("EXISTS", self._at)
