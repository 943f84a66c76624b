"""`SoFar`: the answer that attempts of other workers have written, read from the stream to be continued."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Self, TypeAlias

from tailrace.broker.client import Broker, text
from tailrace.cursor import EntryId
from tailrace.errors import InvalidRequest
from tailrace.protocol.attempts import Resumed
from tailrace.request.generation_request import GenerationRequest
from tailrace_worker.offload import beside_the_loop

_Fields: TypeAlias = Mapping[bytes, bytes]

_READ_AT_ONCE: Final = 100
"""How many entries one round trip reads. An entry has up to 64 KiB."""
_BESIDE_TEXT: Final = frozenset({b"citation", b"notice", b"box"})
"""Types of events that an answer may have beside its text, and can be continued nevertheless."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SoFar:
    """An answer that broke off because its worker was lost or stopped. Another worker can continue it."""

    provider: str
    """The provider of its last attempt."""
    model: str
    """The model of its last attempt."""
    text: str
    """Its text, which is more than white space."""
    said_bytes: int
    """How many bytes of `max_answer_bytes` it has taken."""
    last_seq: int
    """The `SEQ` of the last entry of the stream."""

    @property
    def resumed(self) -> Resumed:
        """What the next `started` event tells readers about the attempt."""
        return Resumed(provider=self.provider, model=self.model, continues=True, last_seq=self.last_seq)

    @classmethod
    async def read(
        cls, broker: Broker, stream: str, request: bytes, *, max_bytes: int, prefills: Callable[[str], bool]
    ) -> Self | None:
        """Read the answer of the attempts that belong together: the last one, and those that it continues.

        Args:
            broker: The connections to Redis.
            stream: The key of the job's stream.
            request: The job's request, as JSON.
            max_bytes: How many bytes the answer may have.
            prefills: Tells whether a provider can continue an answer from its beginning.

        Returns:
            The answer; `None` if another attempt has to begin it again. Then the request does not say `continue`, the
            provider cannot do that, the answer has more than text, or Redis has lost a part of it.

        Raises:
            InfrastructureError: Redis failed.
        """
        try:
            read = await beside_the_loop(GenerationRequest.from_json, request)
        except InvalidRequest:
            return None
        if read.on_interrupt != "continue":
            return None
        targets = {(read.provider, read.model), *((each["provider"], each["model"]) for each in read.fallbacks)}
        so_far = await cls._read(broker, stream, max_bytes)
        if so_far is None or (so_far.provider, so_far.model) not in targets or not prefills(so_far.provider):
            return None
        return so_far

    @classmethod
    async def _read(cls, broker: Broker, stream: str, max_bytes: int) -> Self | None:
        target: tuple[str, str] | None = None
        texts: list[bytes] = []
        said_bytes = last_seq = seq = 0
        async with aclosing(_backwards(broker, stream)) as entries:
            async for entry_id, fields in entries:
                if last_seq and entry_id.seq != seq - 1:
                    return None
                seq = entry_id.seq
                last_seq = last_seq or seq
                match fields.get(b"type"):
                    case b"started":
                        target = target or (text(fields.get(b"provider", b"")), text(fields.get(b"model", b"")))
                        if fields.get(b"continues") != b"1":
                            break
                    case b"delta":
                        texts.append(fields.get(b"text", b""))
                        said_bytes += len(texts[-1])
                    case type_ if type_ in _BESIDE_TEXT:
                        said_bytes += sum(len(value) for name, value in fields.items() if name != b"type")
                    case _:
                        return None
                if said_bytes > max_bytes:
                    return None
        said = text(b"".join(reversed(texts)))
        if target is None or not said.strip():
            return None
        provider, model = target
        return cls(provider=provider, model=model, text=said, said_bytes=said_bytes, last_seq=last_seq)


async def _backwards(broker: Broker, stream: str) -> AsyncGenerator[tuple[EntryId, _Fields]]:
    """Yield the entries of a stream, the last one first."""
    place = "+"
    while entries := await broker.call("XREVRANGE", stream, place, "-", "COUNT", _READ_AT_ONCE):
        for raw_id, fields in entries:
            yield EntryId.decode(raw_id), fields
        attempt, seq = EntryId.decode(entries[-1][0])
        place = str(EntryId(attempt, seq - 1))
