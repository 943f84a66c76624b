"""What a match may begin with."""

from collections import deque

import pytest
import re2  # type: ignore[import-untyped]
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tailrace_worker.shaping.guards.beginnings import Unsupported, taken_apart
from tests.support.expressions import ALPHABET, Expression, expressions, texts_that_may_match


def matches(pattern: str, text: str) -> bool:
    return re2.fullmatch(pattern, text) is not None  # pyright: ignore[reportUnknownMemberType]


@settings(deadline=None)
@given(st.data(), expressions(assertions=True))
@pytest.mark.slow
def test_the_whole_means_what_it_did(data: st.DataObject, expression: Expression) -> None:
    text = data.draw(texts_that_may_match(expression))
    whole, _ = taken_apart(expression.pattern)
    assert matches(whole, text) == matches(expression.pattern, text)


@settings(deadline=None)
@given(st.data(), expressions(assertions=True))
@pytest.mark.slow
def test_every_beginning_of_a_match_is_one(data: st.DataObject, expression: Expression) -> None:
    text = data.draw(texts_that_may_match(expression))
    whole, begun = taken_apart(expression.pattern)
    if matches(whole, text):
        assert all(matches(begun, text[:length]) for length in range(len(text)))


def becomes_a_match(whole: str, begun: str, text: str) -> bool:
    """Whether more text makes a match, by way of beginnings alone; a few thousand ways to go on are looked at."""
    ways = deque([text])
    for _ in range(1_000):
        if not ways:
            return False
        longer = [ways[0] + character for character in "aAbé-\n"]
        if any(matches(whole, text) for text in longer):
            return True
        ways.popleft()
        ways += [text for text in longer if matches(begun, text)]
    return reject()


@settings(deadline=None, max_examples=50)
@given(expressions(assertions=False), st.text(ALPHABET, max_size=3))
@pytest.mark.slow
def test_what_is_a_beginning_can_become_a_match(expression: Expression, text: str) -> None:
    whole, begun = taken_apart(expression.pattern)
    if matches(begun, text) and "{0}" not in expression.pattern:
        assert becomes_a_match(whole, begun, text)


@settings(deadline=None)
@given(st.data(), expressions(assertions=True), st.integers(0, 4))
@pytest.mark.slow
def test_for_short_texts_a_smaller_beginning_means_the_same(
    data: st.DataObject, expression: Expression, longest: int
) -> None:
    text = data.draw(texts_that_may_match(expression))
    short = taken_apart(expression.pattern, longest)
    for length in range(len(text) + 1):
        if len(text[:length].encode()) <= longest:
            assert matches(short.begun, text[:length]) == matches(taken_apart(expression.pattern).begun, text[:length])


@pytest.mark.parametrize("pattern", ["[a-z]{40}x", "[a-z]{40}", "a[a-z]{3,40}x", "(?:a[a-z]{30})+[0-9]{9}"])
def test_for_short_texts_what_is_counted_further_is_not_repeated(pattern: str) -> None:
    whole = re2.compile(taken_apart(pattern).begun).programsize  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    short = re2.compile(taken_apart(pattern, 24).begun).programsize  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    assert short < whole / 2


@pytest.mark.parametrize(
    ("pattern", "begun", "not_begun"),
    [
        ("mill", ["", "m", "mil"], ["i", "mill", "M"]),
        ("(?i)mill", ["M", "MiL"], ["N"]),
        (r"(?P<year>\d{4})-(?P<month>\d\d)", ["2", "2024", "2024-", "2024-1"], ["20245", "2024-11"]),
        (r"a{2,}?b", ["a", "aaaa"], ["b", "aab"]),
        (r"x{0}y", [""], ["x", "y"]),
        ("a{,2}", ["a", "a{", "a{,2"], ["aa", "a{,2}"]),
        (r"[[:alpha:]\]]+\.", ["x]", "x"], ["1", "x."]),
        (r"\pL\p{Greek}\x{E9}\x2D\052\n\$", ["a", "éω", "aωé-*\n"], ["1", "aωé-*\n$"]),
        (r"foo\b", ["fo", "foo"], ["foo-"]),
        ("ab?", ["a"], ["ab"]),
        ("ab*", ["a", "ab"], ["b"]),
        ("(a|(?:b(?:c)+))d", ["a", "b", "bcc"], ["c", "bccd"]),
        ("]}", ["]"], ["]}"]),
    ],
)
def test_expressions_are_taken_apart(pattern: str, begun: list[str], not_begun: list[str]) -> None:
    form = taken_apart(pattern)
    assert [text for text in begun if not matches(form.begun, text)] == []
    assert [text for text in not_begun if matches(form.begun, text)] == []


@pytest.mark.parametrize(
    "pattern", ["a(?i)b", r"\Qa.b\E", r"\C", "*a", "a**", "(", "a)", "[a", "(" * 101 + "a" + ")" * 101]
)
def test_what_cannot_be_taken_apart_is_told(pattern: str) -> None:
    with pytest.raises(Unsupported):
        taken_apart(pattern)


def test_it_takes_linear_time_to_take_apart_what_cannot_be() -> None:
    with pytest.raises(Unsupported):
        taken_apart("[" + "[:a:]" * 10_000)
