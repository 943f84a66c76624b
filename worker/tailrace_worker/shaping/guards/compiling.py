"""Compiles the rules of guards in a thread, and keeps them for other jobs with equal guards."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from threading import Lock
from typing import Final, TypeAlias

from tailrace.request.guards import Block, Guard, Redact
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.shaping.guards.pii_rules import Sought, sought
from tailrace_worker.shaping.guards.search import Rules, SearchBudget

RulesOf: TypeAlias = Callable[[Redact | Block], Rules]
"""Returns the compiled rules of a guard."""

_LARGE_INSTRUCTIONS: Final = 800
"""With more instructions, one search may take milliseconds. For a thousand, RE2 takes up to 5 microseconds per byte."""
_MAX_KEPT: Final = 32
_MAX_KEPT_INSTRUCTIONS: Final = 200_000
_kept: Final[OrderedDict[Sought, Rules]] = OrderedDict()
"""The rules that were used last, the most recent at the end."""
_keeping: Final = Lock()


def rules_of(guard: Redact | Block) -> Rules:
    """Return the rules of a guard. Compiling them takes up to 1 s.

    Args:
        guard: The guard.

    Raises:
        InvalidRequest: RE2 rejects one of its patterns.
    """
    return _compiled(Sought.of(guard))


async def compiled_guards(guards: Iterable[Guard]) -> RulesOf:
    """Compile the rules of all guards of a request that search for text.

    RE2 holds the interpreter's lock while it compiles one expression. The event loop runs between two expressions: at
    least every 25 ms, even for the largest guards that a request may have. If the rules are large together, they get a
    budget for their searches.

    Args:
        guards: The guards of the request.

    Returns:
        A function that returns the rules of each guard.

    Raises:
        InvalidRequest: RE2 rejects a pattern.
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
    # While this job waited for the thread, another job may have compiled the same rules.
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
