"""The guards of a request, together: around its answer, and around its own messages."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tailrace import GenerationRequest, InvalidRequest, ProviderError
from tailrace.errors import FailureCode
from tailrace.events import Delta, Notice
from tailrace.guards import Guard, Guards
from tailrace_worker.provider import Finish
from tailrace_worker.shaping.guards import guarded, shielded
from tailrace_worker.shaping.moderate import ModerationFailed, Verdict
from tests.shaping.guarding import STOP, Cuts, Source, cuts, deltas, drained, read, text_of

EMAIL: Guard = {"type": "redact", "kinds": ["email"]}
CLEAN: Guard = {"type": "clean"}
MODERATE: Guard = {"type": "moderate", "every_chars": 50}
ALL: list[Guard] = TypeAdapter[list[Guard]](Guards).validate_python(
    [CLEAN, EMAIL, {"type": "block", "words": ["bob"]}, {"type": "max_chars", "limit": 30}, MODERATE]
)

asked: list[str] = []


@pytest.fixture(autouse=True)
def nothing_was_asked() -> None:
    asked.clear()


async def judge(text: str) -> Verdict:
    asked.append(text)
    if "silence" in text:
        raise ModerationFailed("No verdict.")
    return Verdict(("hate",) if "evil" in text else ())


def request(*messages: dict[str, Any]) -> GenerationRequest:
    return GenerationRequest.model_validate({"provider": "anthropic", "model": "claude", "messages": messages})


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


async def test_each_guard_gets_what_the_one_before_it_lets_through() -> None:
    hidden = "jo\u202ehn@example.com"
    came, _ = await drained(shielded(Source(deltas(hidden, [3])).stream(), [CLEAN, EMAIL], judge=judge))
    assert text_of(came) == "[email redacted]"
    came, _ = await drained(shielded(Source(deltas(hidden, [3])).stream(), [EMAIL, CLEAN], judge=judge))
    assert text_of(came) == "jo[email redacted]"


async def test_without_guards_the_pieces_are_the_providers_own() -> None:
    pieces = Source([]).stream()
    assert shielded(pieces, [], judge=judge) is pieces


async def test_a_cut_answer_settles_what_the_guards_behind_it_hold() -> None:
    guards: list[Guard] = [{"type": "max_chars", "limit": 10}, EMAIL, MODERATE]
    source = Source([Delta(text="mail a@example.com")], stays_open=True)
    came, error = await drained(shielded(source.stream(), guards, judge=judge))
    assert error is None
    assert source.is_closed
    assert text_of(came) == "mail a@exa"
    assert came[-1] == Finish(reason="length", provider_reason="max_chars")
    assert asked == ["mail a@exa"]


@settings(deadline=None)
@given(st.text("bob a@x.\x00", max_size=50), cuts)
def test_all_of_them_let_through_the_same_however_the_text_is_cut(text: str, lengths: Cuts) -> None:
    came, error = read(shielded(Source(deltas(text, lengths)).stream(), ALL, judge=judge))
    at_once, same_error = read(shielded(Source(deltas(text, [1_000])).stream(), ALL, judge=judge))
    assert text_of(came) == text_of(at_once)
    assert str(error) == str(same_error)
    assert [piece for piece in came if isinstance(piece, Notice | Finish)] == [
        piece for piece in at_once if isinstance(piece, Notice | Finish)
    ]


async def test_all_texts_of_a_request_are_guarded_and_nothing_else() -> None:
    call = {"id": "call_1", "name": "mail", "arguments": '{"to": "a@x.org"}'}
    image = {"type": "image", "url": "https://x.org/a@x.org"}
    given = request(
        {"role": "system", "content": [{"type": "text", "text": "You are a@x.org."}]},
        user([{"type": "text", "text": "I am b@x.org."}, image]),
        {
            "role": "assistant",
            "content": "c@x.org",
            "reasoning": [{"text": "d@x.org", "signature": "1"}, {"text": "plain", "signature": "2"}],
            "tool_calls": [call],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "e@x.org"},
    )
    redacted = "[email redacted]"
    safe, notices = await guarded(given, [EMAIL], judge=judge)
    assert safe == request(
        {"role": "system", "content": [{"type": "text", "text": f"You are {redacted}."}]},
        user([{"type": "text", "text": f"I am {redacted}."}, image]),
        {
            "role": "assistant",
            "content": redacted,
            "reasoning": [{"text": redacted}, {"text": "plain", "signature": "2"}],
            "tool_calls": [call],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": redacted},
    )
    assert notices == [Notice(code="redacted", message="email: 5")]
    assert "a@x.org" in str(given.messages[0])


async def test_a_request_that_nothing_is_wrong_with_comes_back_as_it_is() -> None:
    given = request(user("Hello\n"), {"role": "assistant", "content": "Hi"}, user("How is bobby?"))
    assert await guarded(given, ALL, judge=judge) == (given, [])
    assert asked == ["Hello\n\n\nHi\n\nHow is bobby?\n\n"]


async def test_messages_that_are_too_long_together_are_refused() -> None:
    limit: Guard = {"type": "max_chars", "limit": 10}
    fits = request(user("12345"), {"role": "assistant", "content": "67890"})
    assert (await guarded(fits, [limit], judge=judge)).request == fits
    with pytest.raises(InvalidRequest, match="11 characters"):
        await guarded(request(user("12345678901")), [limit], judge=judge)


@pytest.mark.parametrize("text", ["ask Bob", "be evil"])
async def test_messages_that_are_blocked_or_flagged_are_refused(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await guarded(request(user("Hi"), user(text)), ALL, judge=judge)
    assert caught.value.code is FailureCode.CONTENT_BLOCKED
    assert text not in str(caught.value)


async def test_messages_without_a_verdict_are_let_through_where_that_is_asked_for() -> None:
    given = request(user("silence"))
    is_open: Guard = {"type": "moderate", "on_failure": "open"}
    _, notices = await guarded(given, [is_open], judge=judge)
    assert [notice.code for notice in notices] == ["not_moderated"]
    with pytest.raises(ProviderError, match="not judged"):
        await guarded(given, [MODERATE], judge=judge)


async def test_long_messages_are_judged_a_few_thousand_characters_at_a_time() -> None:
    await guarded(request(user("word " * 3_000)), [MODERATE], judge=judge)
    assert [len(text) for text in asked] == [4_000, 8_000, 8_000, 7_002]


async def test_an_answer_that_is_not_guarded_ends_as_it_did() -> None:
    came, error = await drained(shielded(Source([STOP]).stream(), ALL, judge=judge))
    assert (came, error) == ([STOP], None)
