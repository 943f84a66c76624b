"""A match ends the answer, and nobody sees it."""

import pytest
from hypothesis import given, settings

from tailrace.errors import FailureCode
from tailrace.events import Delta, Reasoning
from tailrace.request.guards import Block, Kind
from tailrace_worker.shaping.guards.block import block
from tailrace_worker.shaping.guards.pii_rules import sought
from tests.support.cutting import Cuts, cuts
from tests.support.guarding import STOP, Source, deltas, drained, read, rules_of, text_of
from tests.support.sought import found, texts_with_something_in_them

KINDS: list[Kind] = ["email", "card", "secret"]
GUARD: Block = {"type": "block", "kinds": KINDS, "words": ["Bob"], "patterns": ["秘密.{0,3}"]}
RULES = sought(KINDS, ["Bob"], ["秘密.{0,3}"])


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(texts_with_something_in_them, cuts)
def test_text_is_blocked_as_if_it_came_at_once(text: str, lengths: Cuts) -> None:
    source = Source(deltas(text, lengths))
    came, error = read(block(source.stream(), rules_of(GUARD)))
    match = next(found(text, RULES), None)
    assert text_of(came) == text[: match.start if match else None]
    assert source.is_closed
    if match is None:
        assert error is None
        assert came[-1] == STOP
    else:
        assert error is not None
        assert error.code is FailureCode.CONTENT_BLOCKED
        assert not error.retryable
        assert STOP not in came


async def test_the_error_names_the_kind_and_does_not_quote_the_text() -> None:
    came, error = await drained(block(Source(deltas("mail to john@example.com or", [4])).stream(), rules_of(GUARD)))
    assert text_of(came) == "mail to "
    assert "email" in str(error)
    assert "john" not in str(error)


async def test_a_match_ends_the_answer_before_the_provider_says_more() -> None:
    source = Source([Delta(text="ask Bob "), Delta(text="more")], stays_open=True)
    came, error = await drained(block(source.stream(), rules_of(GUARD)))
    assert came == [Delta(text="ask ")]
    assert error is not None
    assert source.is_closed
    assert source.given == 1


async def test_thoughts_are_watched_too() -> None:
    came, error = await drained(block(Source([Reasoning(text="so Bob", signature="1")]).stream(), rules_of(GUARD)))
    assert came == [Reasoning(text="so ")]
    assert error is not None
