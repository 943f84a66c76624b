"""The guards of a request, together: around its answer, and around its own messages."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tailrace import GenerationRequest, InvalidRequest, ProviderError
from tailrace.errors import FailureCode
from tailrace.events import Delta, Notice, Reasoning
from tailrace.request.guards import Guard, Guards
from tailrace_worker.providers.base import Finish, Piece
from tailrace_worker.shaping.guards.apply import guarded, shielded
from tailrace_worker.shaping.guards.moderate import ModerationFailed, ModerationVerdict
from tests.support.cutting import Cuts, cuts
from tests.support.guarding import STOP, Source, deltas, drained, read, rules_of, text_of

EMAIL: Guard = {"type": "redact", "kinds": ["email"]}
CLEAN: Guard = {"type": "clean"}
MODERATE: Guard = {"type": "moderate", "every_chars": 50}
ALL: list[Guard] = TypeAdapter[list[Guard]](Guards).validate_python(
    [CLEAN, EMAIL, {"type": "block", "words": ["bob"]}, {"type": "max_chars", "limit": 30}, MODERATE]
)

BROKEN: Final = ProviderError("It broke.", code=FailureCode.PROVIDER_INTERRUPTED, retryable=True)

asked: list[str] = []


@pytest.fixture(autouse=True)
def nothing_was_asked() -> None:
    asked.clear()


async def judge(text: str) -> ModerationVerdict:
    asked.append(text)
    if "silence" in text:
        raise ModerationFailed("No verdict.")
    return ModerationVerdict(("hate",) if "evil" in text else ())


async def broken(text: str) -> AsyncGenerator[Piece, None]:
    if text:
        yield Delta(text=text)
    raise BROKEN


def request(*messages: dict[str, Any]) -> GenerationRequest:
    return GenerationRequest.model_validate({"provider": "anthropic", "model": "claude", "messages": messages})


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


async def test_each_guard_gets_what_the_one_before_it_lets_through() -> None:
    hidden = "jo\u202ehn@example.com"
    came, _ = await drained(
        shielded(Source(deltas(hidden, [3])).stream(), [CLEAN, EMAIL], rules_of=rules_of, judge=judge)
    )
    assert text_of(came) == "[email redacted]"
    came, _ = await drained(
        shielded(Source(deltas(hidden, [3])).stream(), [EMAIL, CLEAN], rules_of=rules_of, judge=judge)
    )
    assert text_of(came) == "jo[email redacted]"


async def test_without_guards_the_pieces_are_the_providers_own() -> None:
    pieces = Source([]).stream()
    assert shielded(pieces, [], rules_of=rules_of, judge=judge) is pieces


@pytest.mark.parametrize("guard", [CLEAN, EMAIL, MODERATE])
async def test_while_a_whole_answer_is_looked_at_other_tasks_have_their_turn(guard: Guard) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    answer = "one two " * 10_000
    others = asyncio.create_task(count())
    came, _ = await drained(
        shielded(Source([Delta(text=answer), STOP]).stream(), [guard], rules_of=rules_of, judge=judge)
    )
    others.cancel()
    assert text_of(came) == answer
    assert turns > len(answer) / 2_000


async def test_a_large_block_of_thoughts_keeps_its_signature() -> None:
    said = [Reasoning(text="one two " * 1_000, signature="1"), Reasoning(text="", signature="2")]
    came, _ = await drained(shielded(Source(said).stream(), [EMAIL], rules_of=rules_of, judge=judge))
    assert "".join(piece.text for piece in came if isinstance(piece, Reasoning)) == said[0].text
    assert [piece.signature for piece in came if isinstance(piece, Reasoning) and piece.signature] == ["1", "2"]


async def test_a_cut_answer_settles_what_the_guards_behind_it_hold() -> None:
    guards: list[Guard] = [{"type": "max_chars", "limit": 10}, EMAIL, MODERATE]
    source = Source([Delta(text="mail a@example.com")], stays_open=True)
    came, error = await drained(shielded(source.stream(), guards, rules_of=rules_of, judge=judge))
    assert error is None
    assert source.is_closed
    assert text_of(came) == "mail a@exa"
    assert came[-1] == Finish(reason="length", provider_reason="max_chars")
    assert asked == ["mail a@exa"]


async def test_what_was_redacted_is_told_where_a_later_guard_cuts() -> None:
    guards: list[Guard] = [EMAIL, {"type": "max_chars", "limit": 30}]
    source = Source([Delta(text="mail a@example.com, "), Delta(text="b " * 30)], stays_open=True)
    came, _ = await drained(shielded(source.stream(), guards, rules_of=rules_of, judge=judge))
    assert text_of(came) == "mail [email redacted], b b b b"
    assert came[-2:] == [
        Notice(code="redacted", message="email: 1"),
        Finish(reason="length", provider_reason="max_chars"),
    ]


async def test_what_was_redacted_is_told_where_the_provider_breaks_off() -> None:
    came, error = await drained(
        shielded(broken("a@example.com b@example.com, c"), [EMAIL], rules_of=rules_of, judge=judge)
    )
    assert error is BROKEN
    assert text_of(came) == "[email redacted] [email redacted], "
    assert came[-1] == Notice(code="redacted", message="email: 2")


async def test_text_that_is_shown_at_once_is_judged_though_a_later_guard_cuts() -> None:
    guards: list[Guard] = [{"type": "moderate", "mode": "lenient"}, {"type": "max_chars", "limit": 10}]
    source = Source([Delta(text="be evil and be more")], stays_open=True)
    came, error = await drained(shielded(source.stream(), guards, rules_of=rules_of, judge=judge))
    assert text_of(came) == "be evil an"
    assert error is not None
    assert error.code is FailureCode.CONTENT_BLOCKED


@settings(deadline=None)
@given(st.text("bob ", max_size=20), st.integers(0, 20), cuts)
def test_an_answer_that_goes_on_is_guarded_with_what_stands_before_it(text: str, place: int, lengths: Cuts) -> None:
    guards: list[Guard] = [{"type": "block", "words": ["bob"], "patterns": [r"\Bo\B"]}]
    whole, why = read(shielded(Source(deltas(text, lengths)).stream(), guards, rules_of=rules_of, judge=judge))
    before, cut = read(shielded(broken(text[:place]), guards, rules_of=rules_of, judge=judge))
    if cut is BROKEN:
        said = text_of(before)
        rest = Source(deltas(text[len(said) :], lengths))
        came, error = read(shielded(rest.stream(), guards, rules_of=rules_of, judge=judge, said=said))
        assert (said + text_of(came), str(error)) == (text_of(whole), str(why))


@settings(deadline=None)
@given(st.text("bob a@x.\x00", max_size=50), cuts)
def test_all_of_them_let_through_the_same_however_the_text_is_cut(text: str, lengths: Cuts) -> None:
    came, error = read(shielded(Source(deltas(text, lengths)).stream(), ALL, rules_of=rules_of, judge=judge))
    at_once, same_error = read(shielded(Source(deltas(text, [1_000])).stream(), ALL, rules_of=rules_of, judge=judge))
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
    safe, notices = await guarded(given, [EMAIL], rules_of=rules_of, judge=judge)
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
    assert await guarded(given, ALL, rules_of=rules_of, judge=judge) == (given, [])
    assert asked == ["Hello\n\n\nHi\n\nHow is bobby?\n\n"]


async def test_messages_that_are_too_long_together_are_refused() -> None:
    limit: Guard = {"type": "max_chars", "limit": 10}
    fits = request(user("12345"), {"role": "assistant", "content": "67890"})
    assert (await guarded(fits, [limit], rules_of=rules_of, judge=judge)).request == fits
    with pytest.raises(InvalidRequest, match="11 characters"):
        await guarded(request(user("12345678901")), [limit], rules_of=rules_of, judge=judge)


@pytest.mark.parametrize("text", ["ask Bob", "be evil"])
async def test_messages_that_are_blocked_or_flagged_are_refused(text: str) -> None:
    with pytest.raises(ProviderError) as caught:
        await guarded(request(user("Hi"), user(text)), ALL, rules_of=rules_of, judge=judge)
    assert caught.value.code is FailureCode.CONTENT_BLOCKED
    assert text not in str(caught.value)


async def test_messages_without_a_verdict_are_let_through_where_that_is_asked_for() -> None:
    given = request(user("silence"))
    is_open: Guard = {"type": "moderate", "on_failure": "open"}
    _, notices = await guarded(given, [is_open], rules_of=rules_of, judge=judge)
    assert [notice.code for notice in notices] == ["not_moderated"]
    with pytest.raises(ProviderError, match="could not be moderated"):
        await guarded(given, [MODERATE], rules_of=rules_of, judge=judge)


async def test_long_messages_are_judged_a_few_thousand_characters_at_a_time() -> None:
    await guarded(request(user("word " * 3_000)), [MODERATE], rules_of=rules_of, judge=judge)
    assert [len(text) for text in asked] == [4_000, 8_000, 8_000, 7_002]


async def test_an_answer_that_is_not_guarded_ends_as_it_did() -> None:
    came, error = await drained(shielded(Source([STOP]).stream(), ALL, rules_of=rules_of, judge=judge))
    assert (came, error) == ([STOP], None)


@pytest.mark.parametrize("guard", [CLEAN, EMAIL, {"type": "block", "words": ["bob"]}])
async def test_others_have_their_turns_while_a_long_message_is_looked_at(guard: Guard) -> None:
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    taking = asyncio.create_task(take_turns())
    text = "mill " * 20_000
    safe, _ = await guarded(request(user(text)), [guard], rules_of=rules_of, judge=judge)
    taking.cancel()
    assert safe.messages == [user(text)]
    assert turns > 50
