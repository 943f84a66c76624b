"""Which guards pass the door."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from tailrace.request.guards import Guards
from tailrace.request.patterns import spelled_chars, unfolded_chars

DOOR: TypeAdapter[Any] = TypeAdapter(Guards)

GOOD: list[dict[str, Any]] = [
    {"type": "max_chars", "limit": 1_000},
    {"type": "clean"},
    {"type": "redact", "kinds": ["email", "phone", "card", "iban", "ip", "secret"]},
    {"type": "redact", "kinds": ["phone"], "regions": ["GB", "XK", "AQ"]},
    {"type": "redact", "words": ["Bob", "New York"], "patterns": [r"(?i)\bmill\w*", r"\p{Greek}+", "a{1,9}"]},
    {"type": "block", "words": ["秘密"]},
    {"type": "moderate"},
    {"type": "moderate", "every_chars": 50, "mode": "lenient", "on_failure": "open"},
]


@pytest.mark.parametrize("guard", GOOD)
def test_a_good_guard_is_accepted_as_it_is(guard: dict[str, Any]) -> None:
    assert DOOR.validate_python([guard]) == [guard]
    assert DOOR.validate_json(DOOR.dump_json([guard])) == [guard]


@pytest.mark.parametrize(
    ("guard", "why"),
    [
        ({}, "tag"),
        ({"type": "burn"}, "tag"),
        ({"type": "clean", "limit": 1}, "Extra"),
        ({"type": "max_chars"}, "required"),
        ({"type": "max_chars", "limit": 0}, "greater"),
        ({"type": "redact"}, "has nothing to find"),
        ({"type": "block", "kinds": []}, "at least 1"),
        ({"type": "block", "kinds": ["emails"]}, "'email'"),
        ({"type": "block", "kinds": ["phone"], "regions": []}, "at least 1"),
        ({"type": "block", "kinds": ["phone"], "regions": ["US"] * 65}, "64"),
        ({"type": "block", "kinds": ["phone"], "regions": ["UK"]}, "not a region of ISO 3166"),
        ({"type": "block", "kinds": ["phone"], "regions": ["us"]}, "not a region of ISO 3166"),
        ({"type": "block", "kinds": ["email"], "regions": ["US"]}, "apply only to the kind `phone`"),
        ({"type": "redact", "words": [""]}, "at least 1"),
        ({"type": "redact", "words": [" Bob"]}, "white space"),
        ({"type": "redact", "words": ["b" * 129]}, "128"),
        ({"type": "redact", "words": ["b"] * 257}, "256"),
        ({"type": "redact", "patterns": ["b" * 513]}, "512"),
        ({"type": "redact", "patterns": ["b"] * 65}, "64"),
        ({"type": "redact", "patterns": ["(b"]}, "unclosed group"),
        ({"type": "redact", "patterns": [r"(b)\1"]}, "backreferences are not supported"),
        ({"type": "redact", "patterns": ["(?=b)"]}, "look-around"),
        ({"type": "redact", "patterns": [r"(?:\w{1000}){1000}"]}, "2,003,000 characters"),
        ({"type": "redact", "patterns": [r"a.{1,1200}"]}, "10,801 characters"),
        ({"type": "redact", "words": ["\u1ebf" * 128] * 5}, "10,880 characters"),
        ({"type": "redact", "patterns": [r"\p{L}{50}"]}, "20,250 characters"),
        ({"type": "redact", "patterns": [r"[\pL\d]{1,50}"]}, "20,350 characters"),
        ({"type": "redact", "patterns": ["b*"]}, "matches empty text"),
        ({"type": "redact", "patterns": ["\ud800"]}, "unicode"),
        ({"type": "redact", "words": ["b" * 128] * 32, "patterns": ["b" * 512] * 8 + ["b"]}, "8,193 characters"),
        ({"type": "moderate", "every_chars": 49}, "50"),
        ({"type": "moderate", "on_failure": "ignore"}, "'closed'"),
    ],
)
def test_a_guard_at_fault_is_refused(guard: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DOOR.validate_python([guard])
    assert why in " ".join(line["msg"] for line in caught.value.errors())


def test_a_fault_is_told_with_its_place() -> None:
    with pytest.raises(ValidationError) as caught:
        DOOR.validate_python([{"type": "clean"}, {"type": "redact", "patterns": ["a", "("]}])
    assert [line["loc"] for line in caught.value.errors()] == [(1, "redact", "patterns", 1)]


def test_a_request_has_no_more_than_sixteen() -> None:
    with pytest.raises(ValidationError, match="16"):
        DOOR.validate_python([{"type": "clean"}] * 17)


@pytest.mark.timeout(5)
def test_an_expression_that_would_backtrack_for_ever_is_no_danger_at_the_door() -> None:
    assert DOOR.validate_python([{"type": "redact", "patterns": ["(?:a+)+$", "(?:a|a)+b"]}])


@pytest.mark.timeout(5)
def test_guards_of_a_request_have_one_budget_for_their_words_and_patterns() -> None:
    guards = [
        {"type": "redact", "patterns": [f"{number:x}{place:02}.{{1,9}}" for place in range(64)]} for number in range(16)
    ]
    with pytest.raises(ValidationError) as caught:
        DOOR.validate_python(guards)
    assert [line["loc"] for line in caught.value.errors()] == [()]
    assert "the words and patterns have 9,216 characters" in caught.value.errors()[0]["msg"]


@pytest.mark.timeout(5)
def test_patterns_that_are_short_and_large_together_are_refused_before_any_is_compiled() -> None:
    guards = [
        {"type": "block", "patterns": [rf"\pL{{{10 + number}}}{place:x}" for place in range(40)]}
        for number in range(16)
    ]
    with pytest.raises(ValidationError, match="a request may have"):
        DOOR.validate_python(guards)


def test_equal_guards_count_once() -> None:
    guard = {"type": "redact", "words": ["b" * 128] * 60}
    assert DOOR.validate_python([guard] * 16) == [guard] * 16


@pytest.mark.parametrize(
    ("pattern", "chars"),
    [
        ("abc", 3),
        ("a{3}", 3),
        ("a{2,}b", 3),
        ("a{0}", 1),
        ("(ab){3}", 12),
        ("((a{10}){10}){10}", 1_220),
        (r"\{9}", 4),
        (r"[a{9}]", 6),
        (r"\x{1F600}{2}", 18),
        (r"\p{L}", 405),
        (r"[\pL\PN]{2}", 1_616),
        (r"\\p", 3),
        (r"a.\.", 12),
        (r"\w\W\D\S", 32),
        ("[^a]{2}[a^]", 28),
        ("a{2}{3}", 6),
        (")a(", 3),
    ],
)
def test_a_pattern_counts_with_its_repetitions_written_out(pattern: str, chars: int) -> None:
    assert unfolded_chars(pattern) == chars


@pytest.mark.parametrize(
    ("word", "chars"), [("New York", 8), ("\u00e9t\u00e9", 19), ("e\u0301", 10), ("\u1ebf", 17), ("秘密", 2)]
)
def test_a_word_counts_with_the_forms_of_its_letters_written_out(word: str, chars: int) -> None:
    assert spelled_chars(word) == chars


@pytest.mark.parametrize("pattern", [r"\w{3}", r"[\w-]+", r"[^\W\d]", r"a\\w", r"\s\S", r"[\]\D]"])
def test_the_classes_of_ascii_pass_the_door(pattern: str) -> None:
    assert DOOR.validate_python([{"type": "block", "patterns": [pattern]}])
