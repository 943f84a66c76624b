"""`ResponseIds`: which job a response of a provider belongs to."""

from tailrace.broker.client import Broker, ms, text
from tailrace.protocol.keys import Keys


class ResponseIds:
    """Finds the jobs of responses by the ids that their providers gave them.

    Args:
        broker: The connections to Redis.
        keys: The keys under the prefix.
        life_seconds: How long an id is remembered: as long as its job may go on and is kept.
    """

    def __init__(self, broker: Broker, keys: Keys, *, life_seconds: float) -> None:
        self._broker = broker
        self._keys = keys
        self._life_seconds = life_seconds

    async def remember(self, tenant: str, response_id: str, job_id: str) -> None:
        """Remember which job a response belongs to.

        Args:
            tenant: The tenant of the job.
            response_id: The id of the response.
            job_id: The id of the job.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        key = self._keys.response(tenant, response_id)
        await self._broker.call("SET", key, job_id, "PX", ms(self._life_seconds))

    async def find(self, tenant: str, response_id: str) -> str | None:
        """Find the job of a response.

        Args:
            tenant: The tenant of the job.
            response_id: The id of the response.

        Returns:
            The id of the job; `None` if no such response is remembered.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        job_id = await self._broker.call("GET", self._keys.response(tenant, response_id))
        return None if job_id is None else text(job_id)
