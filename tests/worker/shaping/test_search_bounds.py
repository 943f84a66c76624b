"""How much what a request looks for may take: of memory, and of the thread that compiles."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tailrace import InvalidRequest
from tailrace.request.guards import Guards, Kind
from tailrace_worker.shaping.guards import compiling, search
from tailrace_worker.shaping.guards.compiling import rules_of
from tailrace_worker.shaping.guards.search import Rule, Rules, Search, SearchBudget

DOOR: TypeAdapter[Any] = TypeAdapter(Guards)

MAX_REQUEST_BYTES = 64 * 1024 * 1024


@pytest.fixture
def memory_bytes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What RE2 was allowed for each expression that was compiled."""
    allowed: list[int] = []

    def noted(pattern: str, options: Any) -> Any:
        allowed.append(options.max_mem)
        return compiled(pattern, options)

    compiled = search._compile
    monkeypatch.setattr(search, "_compile", noted)
    monkeypatch.setattr(compiling, "_kept", type(compiling._kept)())
    search._built_in.cache_clear()
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
    for guard in DOOR.validate_python(guards):
        rules_of(guard)
    assert len(memory_bytes) > 1
    assert sum(memory_bytes) <= MAX_REQUEST_BYTES


def test_what_is_built_in_is_compiled_once_for_guards_with_other_words(memory_bytes: list[int]) -> None:
    kinds: list[Kind] = ["email", "phone", "card", "iban", "ip", "secret"]
    rules_of({"type": "redact", "kinds": kinds, "words": ["Alice"]})
    first, built_in = len(memory_bytes), search._built_in.cache_info().currsize
    rules_of({"type": "redact", "kinds": kinds, "words": ["Bob"]})
    # The word by itself, as one of a group, and its beginnings in long and in short texts.
    assert len(memory_bytes) == first + 4
    assert search._built_in.cache_info().currsize == built_in


def test_rules_that_are_kept_for_other_jobs_have_a_limit_together(
    monkeypatch: pytest.MonkeyPatch, memory_bytes: list[int]
) -> None:
    monkeypatch.setattr(compiling, "_MAX_KEPT_INSTRUCTIONS", 100)
    rules_of({"type": "block", "words": ["a"]})
    rules_of({"type": "block", "words": ["b"]})
    assert len(compiling._kept) == 2
    rules_of({"type": "block", "patterns": ["(?:large){9}"]})
    assert len(compiling._kept) < 3
    rules_of({"type": "block", "patterns": ["(?:large){99}"]})
    assert not compiling._kept


def test_a_search_ends_in_the_midst_of_a_text_where_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "_SEARCH_SECONDS", 0)
    monkeypatch.setattr(search, "_SEARCH_SECONDS_PER_BYTE", 0)
    checked = 0

    def reject(text: bytes, start: int, end: int) -> bool:
        nonlocal checked
        checked += 1
        return False

    rules = Rules([Rule("kind", ["a"], reject, is_requests=True)])
    assert "".join(passage.text for passage in Search(rules).feed("a" * 100)) == "a" * 100
    assert checked == 100
    with pytest.raises(InvalidRequest, match="too long"):
        list(Search(rules.within(SearchBudget())).feed("a" * 100))
    assert checked == 101


def test_words_whose_accents_make_them_large_are_refused() -> None:
    with pytest.raises(ValidationError, match="an accent as 8"):
        DOOR.validate_python([{"type": "redact", "words": ["\u00e9" * length for length in range(1, 120)]}])
