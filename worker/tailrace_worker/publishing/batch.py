"""What is sent to Redis at once: transactions of entries, and how many bytes of them."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tailrace_worker.publishing.stream_writer import Entry, StreamWriter

TRANSACTION_BYTES: Final = 65_536
"""A batch is sent as several transactions: of one that breaks off, the first have landed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """How large batches may be."""

    first_bytes: int = 65_536
    """The size of the first batch."""
    min_bytes: int = 16_384
    """The size to which batches shrink at most."""
    max_bytes: int = 1_048_576
    """The size to which batches grow at most."""
    slow_seconds: float = 1.0
    """A batch that takes longer to be answered is too large for the link, and what comes after it is late."""


class BatchSize:
    """How many bytes are sent at once: as many as the link to Redis takes in time."""

    def __init__(self, limits: BatchLimits) -> None:
        self.bytes = min(limits.first_bytes, limits.max_bytes)
        self._limits = limits

    def answered(self, sent_bytes: int, seconds: float) -> None:
        """Learn from a batch that was answered after so many seconds."""
        if seconds > self._limits.slow_seconds:
            self.shrink(sent_bytes)
        elif seconds < self._limits.slow_seconds / 4:
            self.bytes = min(2 * self.bytes, self._limits.max_bytes)

    def shrink(self, sent_bytes: int) -> None:
        """Learn from a batch that was too large, or was not answered at all."""
        self.bytes = max(self._limits.min_bytes, min(self.bytes, sent_bytes) // 2)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is sent next."""

    transactions: list[list[Entry]]
    """The entries, by transaction."""
    cut: list[StreamWriter]
    """The writers of streams of which not all fits in: all others have their turn first."""


def next_batch(pending: Collection[StreamWriter], max_bytes: int) -> Batch:
    """Choose what is sent next of what is unsettled.

    All entries of a stream are in the same transaction. If a transaction is refused and a later one is not, an entry of
    the later one would keep those of the refused one out of the stream for ever.
    """
    transactions: list[list[Entry]] = []
    by_stream: dict[str, list[Entry]] = {}
    cut: set[str] = set()
    batch_bytes = transaction_bytes = 0
    for writer in pending:
        if batch_bytes > max_bytes:
            break
        if not writer.unsettled or writer.stream in cut:
            continue
        transaction = by_stream.get(writer.stream)
        if transaction is None:
            if not transactions or transaction_bytes > TRANSACTION_BYTES:
                transactions.append([])
                transaction_bytes = 0
            transaction = by_stream[writer.stream] = transactions[-1]
        stream_bytes = 0
        for entry in writer.unsettled:
            if batch_bytes > max_bytes or stream_bytes > TRANSACTION_BYTES:
                cut.add(writer.stream)
                break
            transaction.append(entry)
            size = len(entry.command)
            stream_bytes += size
            transaction_bytes += size
            batch_bytes += size
    return Batch(transactions, [writer for writer in pending if writer.stream in cut] if cut else [])
