"""The stream of a job, written by hand in a thread that blocks, as a worker in another process writes it."""

from typing import Any

from redis import Redis

from tailrace import Settings
from tailrace.events import StreamEvent
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys


class BlockingStream:
    """What a publisher writes, and what can be seen of those who read it."""

    def __init__(self, settings: Settings, job_id: str) -> None:
        # Its methods have no types.
        self.redis: Any = Redis.from_url(settings.redis_url)  # pyright: ignore[reportUnknownMemberType]
        self._key, self._channel = Keys(settings.prefix).events(job_id), Keys(settings.prefix).bell(job_id)

    def append(self, *entries: tuple[str, StreamEvent]) -> None:
        """Appends events, and notifies once."""
        with self.redis.pipeline(transaction=True) as pipe:
            for entry_id, event in entries:
                pipe.execute_command("XADD", self._key, entry_id, *encode(event))
            pipe.publish(self._channel, "")
            pipe.execute()

    def listeners(self) -> int:
        """How many connections wait for its notifications."""
        ((_, count),) = self.redis.pubsub_numsub(self._channel)
        return int(count)

    def close(self) -> None:
        self.redis.close()
