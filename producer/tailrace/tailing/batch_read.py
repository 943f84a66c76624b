"""`read_batch`: one round trip for all whose turn it is."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from tailrace.broker.wire import Wire, packed
from tailrace.protocol.keys import arq_job
from tailrace.tailing.groups import FEW, Group


class BatchResult(NamedTuple):
    """What a look has found for a group."""

    group: Group
    entries: list[Any]
    """What comes next in the stream."""
    newest: list[Any]
    """The last entry of the stream, if there is one; for a group that is not new it is not looked for."""
    refusal: Exception | None
    """Why Redis has refused to read the stream."""


async def read_batch(wire: Wire, groups: Collection[Group], *, one_by_one: bool = False) -> list[BatchResult]:
    """Reads what comes next for each: by one command for all that may be read together, and else by one for each.

    Of those that were read together it returns the ones that found something: garbage for each of thousands that did
    not would set off the collector again and again.

    Raises:
        BrokerUnavailable: Nothing is known of any.
    """
    together: list[Group] = []
    alone: list[Group] = []
    for group in groups:
        (together if group.is_plain and not one_by_one else alone).append(group)
    new = [group for group in alone if group.is_new]
    commands = [_xread([group], group.count) for group in alone]
    # Behind the read: an entry that it has found is there.
    commands += [packed(b"XREVRANGE", group.stream.key, b"+", b"-", b"COUNT", 1) for group in new]
    commands += [_xread(together, FEW)] if together else []
    replies = await wire.exchange(b"".join(commands), len(commands))
    if together and isinstance(replies[-1], Exception):
        # One key that holds no stream spoils it for all.
        return await read_batch(wire, groups, one_by_one=True)
    newest = dict(zip(new, replies[len(alone) :], strict=False))
    found = [_found(group, reply, newest.get(group)) for group, reply in zip(alone, replies, strict=False)]
    if together:
        by_key = {group.stream.key: group for group in together}
        found += [BatchResult(by_key[key], entries, [], None) for key, entries in replies[-1] or ()]
    return found


async def find_gone(wire: Wire, groups: Sequence[Group]) -> list[Group]:
    """Those whose streams have expired, or were deleted: no read tells.

    A job of a stock arq client gets its stream when a worker begins it: until then its body is enough for who is new.

    Raises:
        BrokerUnavailable: Nothing is known of any.
    """
    (existing,) = await wire.exchange(_exists(groups), 1)
    if existing == len(groups):
        return []
    # The body first: it goes when the job is over, and the stream stays.
    commands = (
        command for group in groups for command in (packed(b"EXISTS", arq_job(group.stream.job_id)), _exists([group]))
    )
    each = await wire.exchange(b"".join(commands), 2 * len(groups))
    return [
        group
        for group, has_body, has_stream in zip(groups, each[::2], each[1::2], strict=True)
        if has_stream == 0 and not (group.is_new and has_body == 1)
    ]


def _found(group: Group, reply: Any, newest: Any) -> BatchResult:
    refusal = next((answer for answer in (reply, newest) if isinstance(answer, Exception)), None)
    if refusal is not None:
        return BatchResult(group, [], [], refusal)
    return BatchResult(group, reply[0][1] if reply else [], newest or [], None)


def _xread(groups: Sequence[Group], count: int) -> bytes:
    keys = [group.stream.key for group in groups]
    return packed(b"XREAD", b"COUNT", count, b"STREAMS", *keys, *[b"%d-%d" % group.cursor for group in groups])


def _exists(groups: Sequence[Group]) -> bytes:
    return packed(b"EXISTS", *[group.stream.key for group in groups])
