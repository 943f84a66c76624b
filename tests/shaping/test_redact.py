"""What must not be shown is replaced, however it is cut."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import InvalidRequest
from tailrace.events import Delta, Notice, Reasoning, ToolCall
from tailrace.guards import Kind, Redact
from tailrace_worker.provider import Piece, Usage
from tailrace_worker.shaping.kinds import PATTERN, rules_of, sought
from tailrace_worker.shaping.redact import redact
from tailrace_worker.shaping.search import MAX_MATCH_BYTES, Rule, Rules, Search
from tests.shaping.expressions import Expression, expressions, texts_that_may_match
from tests.shaping.guarding import KINDS, STOP, Cuts, Source, broken_text, cuts, deltas, drained, read, text_of
from tests.shaping.sought import found, redacted, texts_with_something_in_them

EVERYTHING: Redact = {
    "type": "redact",
    "kinds": ["phone", "secret", "email", "ip", "card", "iban"],
    "words": ["Bob", "Öl", "New", "New York", "秘密", "C++", "cafe"],
    "patterns": [r"(?i)mill\w*?race", r"x{3,5}\b", r"(?m)^\s*>"],
}


def redaction(text: str, lengths: Cuts, guard: Redact) -> tuple[str, Counter[str]]:
    """What is shown of the text, and what the notices count."""
    came, error = read(redact(Source(deltas(text, lengths)).stream(), rules_of(guard)))
    assert error is None
    assert came[-1] == STOP
    counts = Counter[str]()
    for notice in came:
        if isinstance(notice, Notice):
            kind, _, count = notice.message.partition(": ")
            counts[kind] = int(count)
    return text_of(came), counts


@settings(deadline=None, max_examples=300)
@given(texts_with_something_in_them, cuts, st.lists(st.sampled_from(EVERYTHING["kinds"]), unique=True), st.booleans())
def test_text_is_redacted_as_if_it_came_at_once(text: str, lengths: Cuts, kinds: list[Kind], has_own: bool) -> None:
    guard: Redact = {**EVERYTHING, "kinds": kinds} if has_own else {"type": "redact", "kinds": kinds or ["email"]}
    shown, counts = redaction(text, lengths, guard)
    rules = sought(guard.get("kinds", []), guard.get("words", []), guard.get("patterns", []))
    assert shown == redacted(text, rules)
    assert counts == Counter(match.kind for match in found(text, rules))


@settings(deadline=None, max_examples=300)
@given(st.data(), st.lists(expressions(assertions=True), min_size=1, max_size=3), cuts)
def test_own_patterns_are_found_as_if_the_text_came_at_once(
    data: st.DataObject, own: list[Expression], lengths: Cuts
) -> None:
    text = data.draw(texts_that_may_match(own[-1]))
    shown, _ = redaction(text, lengths, {"type": "redact", "patterns": [each.pattern for each in own]})
    assert shown == redacted(text, [Rule(PATTERN, [each.python for each in own])])


@settings(deadline=None)
@given(broken_text, cuts)
def test_text_that_is_no_unicode_passes_as_it_is(text: str, lengths: Cuts) -> None:
    shown, _ = redaction(text, lengths, {"type": "redact", "kinds": ["email"], "words": ["秘秘"]})
    assert shown == text.replace("秘秘", "[word redacted]")


@pytest.mark.parametrize("lengths", [[1], [100]])
def test_a_lone_surrogate_ends_a_word(lengths: Cuts) -> None:
    shown, _ = redaction("x\udc00Bob\ud83dx", lengths, {"type": "redact", "words": ["Bob"]})
    assert shown == "x\udc00[word redacted]\ud83dx"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Write to john.doe+x@mail.example.co.uk.", "Write to [email redacted]."),
        ("请联系john@example.com谢谢", "请联系[email redacted]谢谢"),
        ("4111 1111 1111 1111 123, 4111-1111-1111-1111", "[card redacted] 123, [card redacted]"),
        ("4111\u202f1111\u202f1111\u202f1111 of 4111 1111 1111 1112", "[card redacted] of 4111 1111 1111 1112"),
        ("DE89 3704 0044 0532 0130 00 and more, de89370400440532013000", "[iban redacted] and more, [iban redacted]"),
        ("NO9386011117947, NO9386011117948", "[iban redacted], NO9386011117948"),
        ("10.0.0.1:8080, fe80::1: x, ::1, 256.1.1.1", "[ip redacted]:8080, [ip redacted]: x, [ip redacted], 256.1.1.1"),
        ("std::vector a::b 10:30:45 ::ffff:1.2.3.4", "std::vector a::b 10:30:45 [ip redacted]"),
        ("+49 (0)30 1234567, (415) 555-2671", "[phone redacted], [phone redacted]"),
        ("020 7946 0958, 01.23.45.67.89", "[phone redacted], [phone redacted]"),
        ("2024-11-22, 01.02.2024 10:30, 1,000,000, 1234567890", "2024-11-22, 01.02.2024 10:30, 1,000,000, 1234567890"),
        (f"sk-ant-api03-{'a1B2' * 9}_- ghp_{'a' * 36}.", "[secret redacted] [secret redacted]."),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nEnd", "[secret redacted]\nEnd"),
        ("BOB'S Bobs Möller Öl-New Yorker", "[word redacted]'S Bobs Möller [word redacted]-[word redacted] Yorker"),
        ("New\nYork, New\u00a0York, NewYork", "[word redacted], [word redacted], NewYork"),
        (
            "New York, newer 这是秘密文件 c++11 cafe\u0301",
            "[word redacted], newer 这是[word redacted]文件 [word redacted]11 cafe\u0301",
        ),
        (
            "> Mill-race MILLRACE xxxxxx xxxxx",
            "[pattern redacted] Mill-race [pattern redacted] x[pattern redacted] [pattern redacted]",
        ),
    ],
)
def test_what_is_meant_is_found_and_what_looks_like_it_is_not(text: str, shown: str) -> None:
    assert redaction(text, [1], EVERYTHING)[0] == shown


@pytest.mark.parametrize(
    ("guard", "text", "shown"),
    [
        ({"kinds": ["card"]}, "the year 2024", "the year "),
        ({"kinds": ["card"]}, "the year 2024 ", "the year "),
        ({"kinds": ["card"]}, "the year 2024 w", "the year 2024 w"),
        ({"kinds": ["card"]}, "4111 1111 1111 1111", ""),
        ({"kinds": ["card"]}, "4111 1111 1111 1111 w", "[card redacted] w"),
        ({"kinds": ["card"]}, "x4111", "x4111"),
        ({"kinds": ["email"]}, "hello", ""),
        ({"kinds": ["email"]}, "hello ", "hello "),
        ({"kinds": ["email"]}, f"{'a' * 100}", f"{'a' * 36}"),
        ({"kinds": ["email"]}, "john@example.com", ""),
        ({"kinds": ["email"]}, "john@example.com.", ""),
        ({"kinds": ["email"]}, "john@example.com. ", "[email redacted]. "),
        ({"words": ["mill race"]}, "a mill", "a "),
        ({"words": ["mill race"]}, "a mild", "a mild"),
        ({"words": ["mill race"]}, "mill race", ""),
        ({"words": ["mill race"]}, "mill races", "mill races"),
        ({"patterns": ["ab|cd*"]}, "xcdd", "x"),
        ({"patterns": ["ab|cd*"]}, "xab", "x[pattern redacted]"),
        ({"words": ["C++"]}, "in C++", "in "),
        ({"patterns": [r"ab\b"]}, "xab", "x"),
        ({"patterns": ["a.*z"]}, "bananas", "b"),
        ({"patterns": ["a.*z"]}, "bananas\n", "bananas\n"),
    ],
)
def test_what_may_be_the_beginning_of_a_match_is_held_back_and_no_more(guard: Redact, text: str, shown: str) -> None:
    search = Search(rules_of(guard))
    passages = [passage for character in text for passage in search.feed(character)]
    assert "".join(f"[{kind} redacted]" if kind else part for part, kind in passages) == shown


def test_no_more_is_held_back_than_a_match_can_have() -> None:
    search = Search(Rules([Rule("x", ["a[^z]*z"])]))
    shown = 0
    for fed in range(1, 3 * MAX_MATCH_BYTES // 100):
        shown += sum(len(passage.text) for passage in search.feed("a" * 100))
        assert fed * 100 - shown <= MAX_MATCH_BYTES
    assert shown


@pytest.mark.parametrize("chunk", [1, 1_000, 100_000])
@pytest.mark.parametrize("too_much", [0, 1])
def test_what_is_longer_than_a_match_can_be_is_none(chunk: int, too_much: int) -> None:
    text = "a" + "b" * (MAX_MATCH_BYTES - 2 + too_much) + "z and az"
    search = Search(Rules([Rule("x", ["a[^a]*z"])]))
    passages = [*(each for place in range(0, len(text), chunk) for each in search.feed(text[place : place + chunk]))]
    matches = [passage.text for passage in [*passages, *search.end()] if passage.kind]
    assert matches == ["az"] if too_much else [text[:MAX_MATCH_BYTES], "az"]


async def test_each_text_is_one_of_its_own_and_ends_with_a_tool_call() -> None:
    said: list[Piece] = [
        *(kind(text="to john@") for kind in KINDS),
        Usage(output_tokens=1),
        Notice(code="server_tool", message="search"),
        *(kind(text="x.org") for kind in KINDS),
        ToolCall(index=0, arguments='{"to": "ann@x.org"}'),
        Delta(text="to john@"),
        ToolCall(index=1, arguments="{}"),
        Delta(text="x.org"),
        STOP,
        Usage(output_tokens=2),
    ]
    came, error = await drained(redact(Source(said).stream(), rules_of({"type": "redact", "kinds": ["email"]})))
    assert error is None
    assert came == [
        *(kind(text="to ") for kind in KINDS),
        *said[3:5],
        *(kind(text="[email redacted]") for kind in KINDS),
        said[8],
        Delta(text="to "),
        Delta(text="john@"),
        said[10],
        Delta(text="x.org"),
        Notice(code="redacted", message="email: 3"),
        *said[12:],
    ]


async def test_what_stood_before_a_tool_call_is_no_part_of_the_text_behind_it() -> None:
    said: list[Piece] = [Delta(text="x"), ToolCall(index=0), Delta(text="Bob"), STOP]
    came, _ = await drained(redact(Source(said).stream(), rules_of({"type": "redact", "patterns": ["^Bob"]})))
    assert text_of(came) == "x[pattern redacted]"


async def test_a_block_of_thoughts_is_a_text_of_its_own() -> None:
    said: list[Piece] = [
        Reasoning(text="to john@"),
        Reasoning(text="", signature="1"),
        Reasoning(text="x.org or ann@x.org"),
        Reasoning(text="", signature="2"),
    ]
    came, _ = await drained(redact(Source(said).stream(), rules_of({"type": "redact", "kinds": ["email"]})))
    assert came == [
        Reasoning(text="to "),
        Reasoning(text="john@"),
        Reasoning(text="", signature="1"),
        Reasoning(text="x.org or "),
        Reasoning(text="[email redacted]"),
    ]


async def test_a_signature_that_comes_after_a_call_goes_too_if_what_was_thought_before_the_call_was_altered() -> None:
    call = ToolCall(index=0, call_id="a", name="f")
    for thought, signatures in (("to ann@x.org", ["2"]), ("to Ann", ["1", "2"])):
        said: list[Piece] = [
            Reasoning(text=thought),
            call,
            Reasoning(text="", signature="1"),
            Reasoning(text="plain", signature="2"),
            STOP,
        ]
        came, _ = await drained(redact(Source(said).stream(), rules_of({"type": "redact", "kinds": ["email"]})))
        assert [each.signature for each in came if isinstance(each, Reasoning) and each.signature] == signatures


async def test_the_source_is_closed_when_its_readers_leave() -> None:
    source = Source([Delta(text="Hello ")], stays_open=True)
    stage = redact(source.stream(), rules_of({"type": "redact", "kinds": ["email"]}))
    assert await anext(stage) == Delta(text="Hello ")
    await stage.aclose()
    assert source.is_closed


@pytest.mark.parametrize("pattern", ["(a", r"a(?=b)", r"(a)\1", "a(?i)b", "(?:a{1000}){1000}"])
def test_a_pattern_that_cannot_be_used_makes_the_request_invalid(pattern: str) -> None:
    with pytest.raises(InvalidRequest, match="pattern cannot be used"):
        rules_of({"type": "redact", "patterns": ["b", pattern]})
