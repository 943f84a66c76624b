"""`Reconciliation`: finds out which entries Redis has, and which have to be sent again."""

import logging
from collections.abc import AsyncGenerator, Iterable, Sequence
from typing import Any, Final

from tailrace.broker.wire import packed
from tailrace.cursor import EntryId
from tailrace.protocol.attempts import restore_command
from tailrace.protocol.entries import pairs
from tailrace.protocol.keys import Keys
from tailrace_worker.publishing.link import Link
from tailrace_worker.publishing.losses import StreamLost
from tailrace_worker.publishing.stream_writer import Entry, StreamWriter

_logger = logging.getLogger(__name__)

_AT_ONCE: Final = 500
_NOT_A_STREAM: Final = "WRONGTYPE"


class Reconciliation:
    """A comparison of the entries that writers have sent with the ends of their streams."""

    def __init__(self, link: Link, keys: Keys, *, life_seconds: float) -> None:
        """Prepare the comparison.

        Args:
            link: The publisher's connection.
            keys: The keys of the jobs' side.
            life_seconds: How long the keys of a restored job live.
        """
        self._link = link
        self._keys = keys
        self._life_seconds = life_seconds

    async def reconcile(self, writers: Iterable[StreamWriter]) -> AsyncGenerator[tuple[StreamWriter, list[Entry]]]:
        """Read the last id of each stream, and restore the jobs that Redis has lost as a whole.

        Args:
            writers: The writers. Each then has in `unsettled` what has to be sent again, in order.

        Yields:
            Each writer that still has its stream, and those of its entries that turned out to have landed.

        Raises:
            InfrastructureError: Redis failed before all streams were read. The connection is closed.
        """
        asked = [writer for writer in writers if writer.lost is None]
        for start in range(0, len(asked), _AT_ONCE):
            some = asked[start : start + _AT_ONCE]
            replies = await self._ask_where_streams_end(some)
            gone = [writer for writer, (last, _) in zip(some, replies, strict=True) if last == []]
            # If the history is still the same, the stream was deleted or has expired, and is not restored.
            lost = [each for each in gone if each.history not in {"", self._link.history} and each.can_be_restored]
            if lost:
                await self._restore(lost)
                replies = await self._ask_where_streams_end(some)
            for writer, (last, first) in zip(some, replies, strict=True):
                if isinstance(last, Exception):
                    writer.lose(StreamLost(f"The key of job {writer.job_id!r} no longer holds a stream."))
                    continue
                token = pairs(first[0][1]).get(b"token", b"") if first else None
                found = writer.reconcile(EntryId.decode(last[0][0]) if last else None, token)
                writer.history = self._link.history
                yield writer, found

    async def _ask_where_streams_end(self, writers: Sequence[StreamWriter]) -> list[tuple[Any, Any]]:
        """Return for each writer the last entry of its stream and the first entry of its attempt.

        If the key is not a stream, both are the error.
        """
        commands = (
            command
            for each in writers
            for command in (
                packed("XREVRANGE", each.stream, "+", "-", "COUNT", 1),
                packed("XRANGE", each.stream, f"{each.attempt}-0", str(each.attempt), "COUNT", 1),
            )
        )
        replies = await self._link.exchange(b"".join(commands), 2 * len(writers))
        for at, reply in enumerate(replies):
            if isinstance(reply, Exception) and _NOT_A_STREAM not in str(reply):
                # A link that stays connected counts as reconciled, so disconnect it.
                await self._link.refuse(reply, ("XREVRANGE", "XRANGE")[at % 2], writers[at // 2].stream)
        return list(zip(replies[::2], replies[1::2], strict=True))

    async def _restore(self, writers: Sequence[StreamWriter]) -> None:
        """Restore jobs that Redis has lost as a whole after it had acknowledged them. Their entries are sent later."""
        _logger.warning("Redis lost %d jobs that this worker runs or has run: they are restored", len(writers))
        commands = (
            packed(*restore_command(self._keys, each.job_id, each.record or (), life_seconds=self._life_seconds))
            for each in writers
        )
        for reply in await self._link.exchange(b"".join(commands), len(writers)):
            if isinstance(reply, Exception):
                await self._link.refuse(reply, "EVAL")
