"""`Access`: what the gateways of a Redis share: who may do what, and the jobs of providers' responses."""

from functools import cached_property
from typing import TYPE_CHECKING

from tailrace.access.api_keys import ApiKeys
from tailrace.access.places import Places
from tailrace.access.response_ids import ResponseIds
from tailrace.access.signing_key import SigningKey, read_signing_key
from tailrace.broker.client import Broker
from tailrace.protocol.keys import Keys

if TYPE_CHECKING:
    from tailrace.access.request_rate import RequestRate


class Access:
    """What the gateways of a Redis share: who may do what, and the jobs of providers' responses. `Tailrace.access`."""

    def __init__(self, broker: Broker, keys: Keys, *, running_seconds: float) -> None:
        self._broker = broker
        self._keys = keys
        self._running_seconds = running_seconds

    @cached_property
    def api_keys(self) -> ApiKeys:
        """The API keys in Redis."""
        return ApiKeys(self._broker, self._keys)

    @cached_property
    def places(self) -> Places:
        """The places of tenants, which limit how many jobs they have at a time."""
        return Places(self._broker, self._keys)

    @cached_property
    def response_ids(self) -> ResponseIds:
        """The ids that providers gave to responses."""
        return ResponseIds(self._broker, self._keys, life_seconds=self._running_seconds)

    @cached_property
    def request_rate(self) -> "RequestRate":
        """The rates of requests that API keys make. It needs the extra `gateway`."""
        from tailrace.access.request_rate import RequestRate  # noqa: PLC0415

        return RequestRate(self._broker, self._keys)

    async def signing_key(self) -> SigningKey:
        """Read the key in Redis that signs URLs, and make one if there is none.

        Returns:
            The key. All gateways get the same one.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        return await read_signing_key(self._broker, self._keys)
