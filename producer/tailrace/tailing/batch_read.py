"""`read_batch`: one round trip for all groups whose turn it is."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from tailrace.broker.wire import Wire, packed
from tailrace.protocol.keys import arq_job
from tailrace.tailing.groups import SMALL_READ, Group


class BatchResult(NamedTuple):
    """What a read found for one group."""

    group: Group
    entries: list[Any]
    """The next entries of the stream."""
    newest: list[Any]
    """The last entry of the stream, if there is one. Only a new group asks for it."""
    refusal: Exception | None
    """Why Redis refused to read the stream."""


async def read_batch(
    wire: Wire, groups: Collection[Group], *, max_bytes: int, one_by_one: bool = False
) -> list[BatchResult]:
    """Read the next entries of each group.

    One command reads all groups that may be read together; each of the others has a command of its own. A group that
    was read together with others and has no new entry is left out of the results: garbage for thousands of them would
    set off the collector again and again.

    Args:
        wire: The connection to read on.
        groups: The groups to read, each with its cursor and the number of entries that it asks for. A group that is
            isolated has to be the only one.
        max_bytes: How many bytes the read may bring. An isolated group may bring one entry of any size.
        one_by_one: True to give every group a command of its own.

    Returns:
        The results, at most one for each group.

    Raises:
        TooMuch: The read brought more than `max_bytes`. The connection is closed, and nothing is known of any group.
        BrokerUnavailable: The connection broke: nothing is known of any group.
    """
    if len(groups) == 1:
        (group,) = groups
        if group.is_isolated:
            return [await _read_isolated(wire, group)]
    together: list[Group] = []
    alone: list[Group] = []
    for group in groups:
        (together if group.can_share_read and not one_by_one else alone).append(group)
    new = [group for group in alone if group.is_new]
    commands = [_xread([group], group.count) for group in alone]
    # After the reads: an entry that they found is there.
    commands += map(_newest, new)
    commands += [_xread(together, SMALL_READ)] if together else []
    replies = await wire.exchange(b"".join(commands), len(commands), max_bytes=max_bytes)
    if together and isinstance(replies[-1], Exception):
        # One key that holds no stream makes Redis refuse the command for all.
        return await read_batch(wire, groups, max_bytes=max_bytes, one_by_one=True)
    newest = dict(zip(new, replies[len(alone) :], strict=False))
    results = [_result(group, reply, newest.get(group)) for group, reply in zip(alone, replies, strict=False)]
    if together:
        by_key = {group.stream.key: group for group in together}
        results += [BatchResult(by_key[key], entries, [], None) for key, entries in replies[-1] or ()]
    return results


async def _read_isolated(wire: Wire, group: Group) -> BatchResult:
    """Read one entry of any size, and keep no other entry meanwhile."""
    newest: Any = None
    if group.is_new:
        # Before the read, so that two large entries are never held at once. If the first entry of the stream comes in
        # between, the group is new for one more read.
        (newest,) = await wire.exchange(_newest(group), 1)
        if not isinstance(newest, Exception):
            newest = [(raw_id, _only_type(flat)) for raw_id, flat in newest]
    (reply,) = await wire.exchange(_xread([group], 1), 1)
    return _result(group, reply, newest)


async def find_gone(wire: Wire, groups: Sequence[Group]) -> list[Group]:
    """Find the groups whose streams have expired or were deleted: a read does not tell.

    A job of a stock arq client gets its stream when a worker begins it. Until then its body is enough for a new group.

    Args:
        wire: The connection to ask on.
        groups: The groups to check.

    Returns:
        The groups whose streams are gone.

    Raises:
        BrokerUnavailable: The connection broke: nothing is known of any group.
    """
    (existing,) = await wire.exchange(_exists(groups), 1)
    if existing == len(groups):
        return []
    # The body first: it goes when the job is over, and the stream stays.
    commands = (
        command for group in groups for command in (packed(b"EXISTS", arq_job(group.stream.job_id)), _exists([group]))
    )
    replies = await wire.exchange(b"".join(commands), 2 * len(groups))
    return [
        group
        for group, has_body, has_stream in zip(groups, replies[::2], replies[1::2], strict=True)
        if has_stream == 0 and not (group.is_new and has_body == 1)
    ]


def _result(group: Group, reply: Any, newest: Any) -> BatchResult:
    refusal = next((each for each in (reply, newest) if isinstance(each, Exception)), None)
    if refusal is not None:
        return BatchResult(group, [], [], refusal)
    return BatchResult(group, reply[0][1] if reply else [], newest or [], None)


def _xread(groups: Sequence[Group], count: int) -> bytes:
    keys = [group.stream.key for group in groups]
    return packed(b"XREAD", b"COUNT", count, b"STREAMS", *keys, *[b"%d-%d" % group.cursor for group in groups])


def _newest(group: Group) -> bytes:
    return packed(b"XREVRANGE", group.stream.key, b"+", b"-", b"COUNT", 1)


def _only_type(flat: list[bytes]) -> list[bytes]:
    return [part for field in zip(flat[::2], flat[1::2], strict=False) if field[0] == b"type" for part in field]


def _exists(groups: Sequence[Group]) -> bytes:
    return packed(b"EXISTS", *[group.stream.key for group in groups])
