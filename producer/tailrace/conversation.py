"""`Conversation`: the handle of a conversation, with which a service finds its active job and its recent jobs."""

from tailrace.broker.client import Broker
from tailrace.errors import JobNotFound
from tailrace.job import Job
from tailrace.protocol.cancellation import CancelOutcome
from tailrace.protocol.conversations import read_active
from tailrace.protocol.keys import Keys
from tailrace.settings import Settings
from tailrace.status import JobStatus
from tailrace.status_reader import checked_limit, list_jobs
from tailrace.tailing.reader import Reader


class Conversation:
    """The handle of a conversation: the jobs that were enqueued with its id.

    Making a handle costs no round trip. Services get handles from `Tailrace.conversation`.

    Args:
        conversation: The id of the conversation.
        tenant: The tenant under which its jobs are enqueued.
        broker: The connections to Redis.
        reader: The reader that all tails share.
        settings: The settings of the client.
    """

    def __init__(self, conversation: str, tenant: str, broker: Broker, reader: Reader, settings: Settings) -> None:
        self.id: str = conversation
        """The id of the conversation."""
        self.tenant: str = tenant
        """The tenant under which its jobs are enqueued."""
        self._broker = broker
        self._reader = reader
        self._settings = settings
        self._keys = Keys(settings.prefix)

    def __repr__(self) -> str:
        return f"Conversation({self.id!r}, tenant={self.tenant!r})"

    async def active(self) -> Job | None:
        """Find the active job of the conversation.

        A job is active from its enqueue until its ending, or until somebody asks to cancel it.

        Returns:
            The job; `None` if no job is active.

        Raises:
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        job_id = await read_active(self._broker, self._keys, self.tenant, self.id)
        return None if job_id is None else Job(job_id, self._broker, self._reader, self._settings)

    async def recent(self, *, limit: int = 20) -> list[JobStatus]:
        """List the newest jobs of the conversation, the newest first.

        Args:
            limit: How many jobs to list at most, 1 or more. Redis keeps an index of the last 100.

        Returns:
            The statuses at this moment. A job is listed for as long as its status can be read.

        Raises:
            InvalidRequest: The limit is out of range.
            BrokerUnavailable: Redis cannot be reached.
            BrokerRefused: Redis refused.
        """
        index = self._keys.conversation(self.tenant, self.id)
        return await list_jobs(self._broker, self._keys, self._settings, index, state=None, limit=checked_limit(limit))

    async def stop(self, reason: str = "") -> CancelOutcome | None:
        """Cancel the active job. Its text stays readable.

        Args:
            reason: The `reason` of the `cancelled` event.

        Returns:
            What the cancel did; `None` if no job is active.

        Raises:
            BrokerUnavailable: Redis cannot be reached; the job may be cancelled nevertheless.
            BrokerRefused: Redis refused.
        """
        job = await self.active()
        if job is None:
            return None
        try:
            return await job.cancel(reason)
        except JobNotFound:
            # It was deleted or has expired since it was found.
            return None
