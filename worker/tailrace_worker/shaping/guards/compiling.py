"""Compiles what guards look for, beside the loop, and keeps it for other jobs with equal guards."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final, TypeAlias

from tailrace.request.guards import Block, Guard, Redact
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.shaping.guards.kinds import Sought, sought
from tailrace_worker.shaping.guards.search import Rules, SearchBudget

RulesOf: TypeAlias = Callable[[Redact | Block], Rules]
"""The rules of a guard, ready for use."""

_LARGE_INSTRUCTIONS: Final = 800
"""Above, a look at a text may take milliseconds: for a thousand instructions RE2 takes up to 5 microseconds a byte."""
_MAX_KEPT: Final = 32
_MAX_KEPT_INSTRUCTIONS: Final = 200_000
_kept: Final[OrderedDict[Sought, Rules]] = OrderedDict()
"""Those of the last few, the one that was used last at the end."""
_keeping: Final = Lock()


def rules_of(guard: Redact | Block) -> Rules:
    """The rules of a guard. To compile them takes up to a second.

    Raises:
        InvalidRequest: RE2 does not take one of its patterns.
    """
    return _compiled(Sought.of(guard))


async def compiled_guards(guards: Iterable[Guard]) -> RulesOf:
    """The rules of all guards of a request that look for something.

    RE2 keeps the interpreter's lock while it compiles an expression; the loop goes on between two of them, which is
    every 25 ms, as large as the guards of a request may be. If they are large together, they have a budget to search.

    Raises:
        InvalidRequest: RE2 does not take a pattern.
    """
    rules: dict[Sought, Rules] = {}
    for guard in guards:
        if guard["type"] == "redact" or guard["type"] == "block":
            what = Sought.of(guard)
            kept = _find(what)
            rules[what] = kept if kept is not None else await beside_the_loop(_compiled, what)
    is_large = sum(each.own_instructions for each in rules.values()) > _LARGE_INSTRUCTIONS
    budget = SearchBudget() if is_large else None
    ready = {what: each.within(budget) for what, each in rules.items()}
    return lambda guard: ready[Sought.of(guard)]


def _compiled(what: Sought) -> Rules:
    # Whoever has waited for the thread finds what another job has had compiled meanwhile.
    if kept := _find(what):
        return kept
    rules = Rules(sought(*what))
    with _keeping:
        _kept[what] = rules
        while len(_kept) > _MAX_KEPT or sum(map(_instructions, _kept.values())) > _MAX_KEPT_INSTRUCTIONS:
            _kept.popitem(last=False)
    return rules


def _instructions(rules: Rules) -> int:
    return rules.own_instructions


def _find(what: Sought) -> Rules | None:
    with _keeping:
        if what not in _kept:
            return None
        _kept.move_to_end(what)
        return _kept[what]
