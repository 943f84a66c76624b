"""Streams that a test writes by hand, as a publisher does: with chosen ids, and a notification after each append."""

from typing import Any

from tailrace import GenerationRequest, Job
from tailrace.broker.client import Broker, Command
from tailrace.events import Completed, Delta, Started, StreamEvent
from tailrace.protocol.entries import encode
from tailrace.protocol.keys import Keys

REQUEST = GenerationRequest.model_validate(
    {"provider": "openai", "model": "gpt-5", "messages": [{"role": "user", "content": "Hi"}]}
)
STARTED = Started(at=1, attempt=1, provider="openai", model="gpt-5", worker="w")
ENDING = Completed(at=2, finish_reason="stop")


class HandwrittenStream:
    """The stream of one job."""

    def __init__(self, broker: Broker, keys: Keys, job: Job) -> None:
        self._broker = broker
        self.key = keys.events(job.id)
        self.channel = keys.bell(job.id)

    async def append(self, entry_id: str, event: StreamEvent) -> None:
        """Appends an event, and notifies."""
        await self._broker.transaction(("XADD", self.key, entry_id, *encode(event)), ("PUBLISH", self.channel, ""))

    async def append_in_silence(self, entry_id: str, event: StreamEvent) -> None:
        """Appends an event whose notification gets lost."""
        await self.call("XADD", self.key, entry_id, *encode(event))

    async def append_deltas(self, first: int, last: int) -> None:
        """Appends so many deltas to attempt 1, the text of each its `SEQ`, and notifies once."""
        commands: list[Command] = [
            ("XADD", self.key, f"1-{seq}", *encode(Delta(text=f"{seq} "))) for seq in range(first, last + 1)
        ]
        await self._broker.pipeline(*commands, ("PUBLISH", self.channel, ""))

    async def call(self, *command: str | int | bytes) -> Any:
        """Any command at all."""
        return await self._broker.call(*command)

    async def listeners(self) -> int:
        """How many connections have subscribed to the channel."""
        _, count = await self._broker.call("PUBSUB", "NUMSUB", self.channel)
        return int(count)
