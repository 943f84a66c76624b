"""`look`: one round trip for all whose turn it is."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from tailrace.broker.wire import Wire, packed
from tailrace.protocol.keys import arq_job
from tailrace.tailing.groups import FEW, Cohort


class Found(NamedTuple):
    """What a look has found for a cohort."""

    cohort: Cohort
    entries: list[Any]
    """What comes next in the stream."""
    newest: list[Any]
    """The last entry of the stream, if there is one; for a cohort that is not new it is not looked for."""
    refusal: Exception | None
    """Why Redis has refused to read the stream."""


async def look(wire: Wire, cohorts: Collection[Cohort], *, one_by_one: bool = False) -> list[Found]:
    """Reads what comes next for each: by one command for all that may be read together, and else by one for each.

    Of those that were read together it returns the ones that found something: garbage for each of thousands that did
    not would set off the collector again and again.

    Raises:
        BrokerUnavailable: Nothing is known of any.
    """
    together: list[Cohort] = []
    alone: list[Cohort] = []
    for cohort in cohorts:
        (together if cohort.is_plain and not one_by_one else alone).append(cohort)
    new = [cohort for cohort in alone if cohort.is_new]
    commands = [_xread([cohort], cohort.count) for cohort in alone]
    # Behind the read: an entry that it has found is there.
    commands += [packed(b"XREVRANGE", cohort.stream.key, b"+", b"-", b"COUNT", 1) for cohort in new]
    commands += [_xread(together, FEW)] if together else []
    replies = await wire.exchange(b"".join(commands), len(commands))
    if together and isinstance(replies[-1], Exception):
        # One key that holds no stream spoils it for all.
        return await look(wire, cohorts, one_by_one=True)
    newest = dict(zip(new, replies[len(alone) :], strict=False))
    found = [_found(cohort, reply, newest.get(cohort)) for cohort, reply in zip(alone, replies, strict=False)]
    if together:
        by_key = {cohort.stream.key: cohort for cohort in together}
        found += [Found(by_key[key], entries, [], None) for key, entries in replies[-1] or ()]
    return found


async def find_gone(wire: Wire, cohorts: Sequence[Cohort]) -> list[Cohort]:
    """Those whose streams have expired, or were deleted: no read tells.

    A job of a stock arq client gets its stream when a worker begins it: until then its body is enough for who is new.

    Raises:
        BrokerUnavailable: Nothing is known of any.
    """
    (existing,) = await wire.exchange(_exists(cohorts), 1)
    if existing == len(cohorts):
        return []
    # The body first: it goes when the job is over, and the stream stays.
    commands = (
        command
        for cohort in cohorts
        for command in (packed(b"EXISTS", arq_job(cohort.stream.job_id)), _exists([cohort]))
    )
    each = await wire.exchange(b"".join(commands), 2 * len(cohorts))
    return [
        cohort
        for cohort, has_body, has_stream in zip(cohorts, each[::2], each[1::2], strict=True)
        if has_stream == 0 and not (cohort.is_new and has_body == 1)
    ]


def _found(cohort: Cohort, reply: Any, newest: Any) -> Found:
    refusal = next((answer for answer in (reply, newest) if isinstance(answer, Exception)), None)
    if refusal is not None:
        return Found(cohort, [], [], refusal)
    return Found(cohort, reply[0][1] if reply else [], newest or [], None)


def _xread(cohorts: Sequence[Cohort], count: int) -> bytes:
    keys = [cohort.stream.key for cohort in cohorts]
    return packed(b"XREAD", b"COUNT", count, b"STREAMS", *keys, *[b"%d-%d" % cohort.cursor for cohort in cohorts])


def _exists(cohorts: Sequence[Cohort]) -> bytes:
    return packed(b"EXISTS", *[cohort.stream.key for cohort in cohorts])
