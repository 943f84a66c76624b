"""How much what a request looks for may take: of memory, and of the thread that compiles."""

from collections.abc import Callable
from typing import Any

import pytest
import re2  # type: ignore[import-untyped]
from pydantic import TypeAdapter, ValidationError

from tailrace import InvalidRequest
from tailrace.request.guards import Block, Guards, Kind
from tailrace_worker.shaping.guards.compiler import GuardCompiler, GuardLimits
from tailrace_worker.shaping.guards.rules import Rule, Rules
from tailrace_worker.shaping.guards.search import Search
from tailrace_worker.shaping.guards.search_budget import SearchBudget, SearchLimits

DOOR: TypeAdapter[Any] = TypeAdapter(Guards)

MAX_REQUEST_BYTES = 64 * 1024 * 1024


@pytest.fixture
def memory_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What RE2 was allowed for each expression that was compiled."""
    allowed: list[int] = []

    def noted(pattern: str, options: Any) -> Any:
        allowed.append(options.max_mem)
        return compiled(pattern, options)

    compiled: Callable[[str, Any], Any] = re2.compile  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    monkeypatch.setattr(re2, "compile", noted)
    return allowed


@pytest.mark.parametrize(
    "guards",
    [
        [{"type": "block", "patterns": [f"b[ab]*a[ab]{{{n}}}c{guard:x}" for n in (14, 15)]} for guard in range(16)],
        [{"type": "block", "patterns": [r"a.{1,500}b.{1,500}c"]}],
        [{"type": "block", "patterns": [r"\p{L}+x"] * 24}],
        [{"type": "redact", "words": [f"{place:02x}{'b' * 30}" for place in range(255)]}],
        [{"type": "redact", "words": [f"{place:x}" + "\u1ebf" * 36 for place in range(15)]}],
    ],
    ids=["many small ones", "a repetition", "classes", "words", "accents"],
)
def test_the_guards_of_a_request_have_one_limit_of_memory(guards: list[Any], memory_bytes: list[int]) -> None:
    compiler = GuardCompiler()
    for guard in DOOR.validate_python(guards):
        compiler.rules_of(guard)
    assert len(memory_bytes) > 1
    assert sum(memory_bytes) <= MAX_REQUEST_BYTES


def test_what_is_built_in_is_compiled_once_for_guards_with_other_words(memory_bytes: list[int]) -> None:
    kinds: list[Kind] = ["email", "phone", "card", "iban", "ip", "secret"]
    GuardCompiler().rules_of({"type": "redact", "kinds": kinds, "words": ["Alice"]})
    # Another compiler knows none of the first one's guards. No word is kept together with what is built in.
    for _ in range(2):
        memory_bytes.clear()
        GuardCompiler().rules_of({"type": "redact", "kinds": kinds, "words": ["Bob"]})
        # The word by itself, as one of a group, and its beginnings in long and in short texts.
        assert len(memory_bytes) == 4


def test_rules_that_are_kept_for_other_jobs_have_a_limit_together() -> None:
    rules_of = GuardCompiler(GuardLimits(max_kept_instructions=100)).rules_of
    one, other, large, larger = (
        Block(type="block", words=["a"]),
        Block(type="block", words=["b"]),
        Block(type="block", patterns=["(?:large){9}"]),
        Block(type="block", patterns=["(?:large){99}"]),
    )
    first, second = rules_of(one), rules_of(other)
    assert rules_of(one) is first
    assert rules_of(other) is second
    rules_of(large)
    # The one that was used longest ago makes room.
    assert rules_of(one) is not first
    assert rules_of(larger) is not rules_of(larger)


def test_rules_that_are_kept_for_other_jobs_are_few() -> None:
    rules_of = GuardCompiler(GuardLimits(max_kept=1)).rules_of
    one, other = Block(type="block", words=["a"]), Block(type="block", words=["b"])
    first = rules_of(one)
    assert rules_of(one) is first
    rules_of(other)
    assert rules_of(one) is not first


def test_a_search_ends_in_the_midst_of_a_text_where_its_time_is_up() -> None:
    checked = 0

    def reject(text: bytes, start: int, end: int) -> bool:
        nonlocal checked
        checked += 1
        return False

    rules = Rules([Rule("kind", ["a"], reject, is_requests=True)])
    assert "".join(segment.text for segment in Search(rules).feed("a" * 100)) == "a" * 100
    assert checked == 100
    with pytest.raises(InvalidRequest, match="too long"):
        list(Search(rules.within(SearchBudget(SearchLimits(seconds=0, seconds_per_byte=0)))).feed("a" * 100))
    assert checked == 101


def test_words_whose_accents_make_them_large_are_refused() -> None:
    with pytest.raises(ValidationError, match="an accent as 8"):
        DOOR.validate_python([{"type": "redact", "words": ["\u00e9" * length for length in range(1, 120)]}])
