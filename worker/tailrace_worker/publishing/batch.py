"""The batches that are sent to Redis: which entries they have, and how large they are."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from tailrace_worker.publishing.stream_writer import Entry, StreamWriter

TRANSACTION_BYTES: Final = 65_536
"""The size of a transaction. A batch has several, so that the first ones land even if the batch breaks off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchLimits:
    """The limits to the size of batches."""

    first_bytes: int = 65_536
    """The size of the first batch."""
    min_bytes: int = 16_384
    """The smallest size of batches."""
    max_bytes: int = 1_048_576
    """The largest size of batches."""
    slow_seconds: float = 1.0
    """If the reply to a batch takes longer than this, the batch was too large for the link, and later entries wait."""


class BatchSize:
    """The size of the next batch in bytes: as large as the link to Redis can take without delay."""

    def __init__(self, limits: BatchLimits) -> None:
        self.bytes = min(limits.first_bytes, limits.max_bytes)
        self._limits = limits

    def answered(self, sent_bytes: int, seconds: float) -> None:
        """Adapt the size to a batch that was answered.

        Args:
            sent_bytes: The size of the batch.
            seconds: How long the reply took.
        """
        if seconds > self._limits.slow_seconds:
            self.shrink(sent_bytes)
        elif seconds < self._limits.slow_seconds / 4:
            self.bytes = min(2 * self.bytes, self._limits.max_bytes)

    def shrink(self, sent_bytes: int) -> None:
        """Halve the size, because a batch was too large or was not answered.

        Args:
            sent_bytes: The size of the batch.
        """
        self.bytes = max(self._limits.min_bytes, min(self.bytes, sent_bytes) // 2)


@dataclass(frozen=True, slots=True)
class Batch:
    """The entries that are sent next."""

    transactions: list[list[Entry]]
    """The entries, by transaction."""
    cut: list[StreamWriter]
    """The writers of streams whose entries did not all fit in. Other writers have their turn before them."""


def next_batch(pending: Collection[StreamWriter], max_bytes: int) -> Batch:
    """Choose the unsettled entries that are sent next.

    All entries of one stream go into the same transaction. Otherwise, if Redis refused one transaction and took a later
    one, the later entry would keep the refused ones out of the stream for ever.

    Args:
        pending: The writers that have unsettled entries, in the order of their turns.
        max_bytes: The size at which the batch is full. Its last entry may go beyond it.

    Returns:
        The batch.
    """
    transaction: list[Entry] = []
    transactions = [transaction]
    by_stream: dict[str, list[Entry]] = {}
    cut: set[str] = set()
    batch_bytes = transaction_from = 0
    for writer in pending:
        if batch_bytes > max_bytes:
            break
        if cut and writer.stream in cut:
            continue
        if batch_bytes - transaction_from > TRANSACTION_BYTES:
            transaction = []
            transactions.append(transaction)
            transaction_from = batch_bytes
        entries = by_stream.setdefault(writer.stream, transaction)
        full_bytes = batch_bytes + TRANSACTION_BYTES
        for entry in writer.unsettled:
            if batch_bytes > max_bytes or batch_bytes > full_bytes:
                cut.add(writer.stream)
                break
            entries.append(entry)
            batch_bytes += len(entry.command)
    cut_writers = [writer for writer in pending if writer.stream in cut] if cut else []
    return Batch([entries for entries in transactions if entries], cut_writers)
