"""`GuardCompiler`: compiles the rules of guards in a thread, and keeps them for other jobs with equal guards."""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

from tailrace.request.guards import Block, Guard, Redact
from tailrace_worker.offload import beside_the_loop
from tailrace_worker.shaping.guards.pii_rules import Sought, sought
from tailrace_worker.shaping.guards.rules import Rules
from tailrace_worker.shaping.guards.search_budget import SearchBudget, SearchLimits

RulesOf: TypeAlias = Callable[[Redact | Block], Rules]
"""Returns the compiled rules of a guard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardLimits:
    """How much guards may take of memory and time. The defaults suit every deployment; tests pass others."""

    large_instructions: int = 800
    """With more instructions, one search may take milliseconds. For a thousand, RE2 takes up to 5 microseconds per
    byte."""
    max_kept: int = 32
    """How many guards keep their rules for other jobs."""
    max_kept_instructions: int = 200_000
    """How many instructions of RE2 the kept rules may have together."""
    search: SearchLimits = field(default_factory=SearchLimits)


class GuardCompiler:
    """The compiler of guards that all jobs of a worker share, with the rules that were used last."""

    def __init__(self, limits: GuardLimits | None = None) -> None:
        """Start with no rules.

        Args:
            limits: The limits for memory and time.
        """
        self._limits = limits or GuardLimits()
        self._kept: OrderedDict[Sought, Rules] = OrderedDict()
        """The rules that were used last, the most recent at the end."""
        self._keeping = Lock()

    def rules_of(self, guard: Redact | Block) -> Rules:
        """Return the rules of a guard. Compiling them takes up to 1 s.

        Args:
            guard: The guard.

        Raises:
            InvalidRequest: RE2 rejects one of its patterns.
        """
        return self._compiled(Sought.of(guard))

    async def compiled(self, guards: Iterable[Guard]) -> RulesOf:
        """Compile the rules of all guards of a request that search for text.

        RE2 holds the interpreter's lock while it compiles one expression. The event loop runs between two expressions:
        at least every 25 ms, even for the largest guards that a request may have. If the rules are large together, they
        get a budget for their searches.

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
                kept = self._find(what)
                rules[what] = kept if kept is not None else await beside_the_loop(self._compiled, what)
        is_large = sum(map(_instructions, rules.values())) > self._limits.large_instructions
        budget = SearchBudget(self._limits.search) if is_large else None
        ready = {what: each.within(budget) for what, each in rules.items()}
        return lambda guard: ready[Sought.of(guard)]

    def _compiled(self, what: Sought) -> Rules:
        # While this job waited for the thread, another job may have compiled the same rules.
        if kept := self._find(what):
            return kept
        rules = Rules(sought(*what))
        with self._keeping:
            self._kept[what] = rules
            while self._are_too_many():
                self._kept.popitem(last=False)
        return rules

    def _find(self, what: Sought) -> Rules | None:
        with self._keeping:
            if what not in self._kept:
                return None
            self._kept.move_to_end(what)
            return self._kept[what]

    def _are_too_many(self) -> bool:
        instructions = sum(map(_instructions, self._kept.values()))
        return len(self._kept) > self._limits.max_kept or instructions > self._limits.max_kept_instructions


def _instructions(rules: Rules) -> int:
    return rules.own_instructions
