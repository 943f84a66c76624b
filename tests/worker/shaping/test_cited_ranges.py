"""The range of a citation is that of the text as it is shown, whatever guards make of the text."""

import re
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.errors import FailureCode
from tailrace.events import Citation, Delta, Notice, Refusal, ToolCall
from tailrace.request.guards import Guard
from tailrace.request.limits import Buffering
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.buffer import buffer
from tailrace_worker.shaping.guards.apply import shielded
from tailrace_worker.shaping.guards.moderate import ModerationVerdict
from tailrace_worker.shaping.guards.ranges import Alteration, Ranges
from tests.support.cutting import Cuts, cut, cuts
from tests.support.guarding import STOP, Source, drained, read, rules_of, text_of

Cited: TypeAlias = tuple[int, int]

REDACT: Guard = {"type": "redact", "words": ["xx"], "patterns": ["y+z"]}
CLEAN: Guard = {"type": "clean"}
REDACTED = re.compile("(?P<word>\\bxx\\b)|(?P<pattern>y+z)")

texts: st.SearchStrategy[str] = st.lists(
    st.sampled_from(["xx", "yyz", "yz", " ", "ab", "\x00", "\x1b\u202e", "é", "."])
).map("".join)
ranges: st.SearchStrategy[list[Cited]] = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=5)


async def judge(text: str) -> ModerationVerdict:
    return ModerationVerdict(("violence",)) if "bad" in text else ModerationVerdict()


def guarded(pieces: Sequence[Piece], *guards: Guard, said: str = "") -> AsyncGenerator[Piece, None]:
    return shielded(Source(pieces).stream(), guards, rules_of=rules_of, judge=judge, said=said)


def citation(
    start: int | None, end: int | None, *, url: str | None = None, title: str | None = None, quote: str | None = None
) -> Citation:
    """A citation, whose address tells its range if none is given."""
    url = url or f"https://{start}-{end}.example"
    return Citation(source="web", start=start, end=end, url=url, title=title, quote=quote)


def streamed(text: str, lengths: Cuts, cited: Sequence[Cited], *, offset: int = 0) -> list[Piece]:
    """The text in chunks, and each citation as soon as its text has come."""
    left = sorted((min(each), max(each)) for each in cited)
    pieces: list[Piece] = []
    told = 0
    for chunk in (*cut(text, lengths), ""):
        if chunk:
            pieces.append(Delta(text=chunk))
        told += len(chunk)
        pieces += [citation(start + offset, end + offset) for start, end in left if end <= told]
        left = [each for each in left if each[1] > told]
    return [*pieces, STOP]


def shown_ranges(pieces: Sequence[Piece]) -> dict[str | None, Cited]:
    """The range of each citation by its address, which has come after its text."""
    told = 0
    placed: dict[str | None, Cited] = {}
    for piece in pieces:
        if isinstance(piece, Delta):
            told += len(piece.text)
        elif isinstance(piece, Citation):
            assert piece.start is not None
            assert piece.end is not None
            assert 0 <= piece.start <= piece.end <= told
            placed[piece.url] = piece.start, piece.end
    return placed


def model(text: str, change: Callable[[re.Match[str]], str], pattern: re.Pattern[str], cited: Cited) -> str:
    """What of a changed text is cited: what is changed in part is cited as a whole."""
    start, end = cited
    told: list[str] = []
    place = 0
    for found in pattern.finditer(text):
        told.append(text[max(place, start) : min(found.start(), end)] if place < end and found.start() > start else "")
        if found.start() < end and found.end() > start:
            told.append(change(found))
        place = found.end()
    told.append(text[max(place, start) : end])
    return "".join(told)


@settings(deadline=None)
@given(texts, cuts, ranges)
def test_a_cited_passage_is_the_same_after_text_was_redacted(text: str, lengths: Cuts, cited: list[Cited]) -> None:
    check(text, lengths, cited, REDACT, REDACTED, lambda found: f"[{found.lastgroup} redacted]")


@settings(deadline=None)
@given(texts, cuts, ranges)
def test_a_cited_passage_is_the_same_after_text_was_cleaned(text: str, lengths: Cuts, cited: list[Cited]) -> None:
    check(text, lengths, cited, CLEAN, re.compile("[\x00\x1b\u202e]"), lambda _: "")


def check(
    text: str,
    lengths: Cuts,
    cited: list[Cited],
    guard: Guard,
    pattern: re.Pattern[str],
    change: Callable[[re.Match[str]], str],
) -> None:
    cited = [(min(each), max(each)) for each in cited if max(each) <= len(text)]
    came, error = read(guarded(streamed(text, lengths, cited), guard))
    assert error is None
    shown = text_of(came)
    assert shown == pattern.sub(change, text)
    placed = shown_ranges(came)
    assert len(placed) == len(set(cited))
    for start, end in cited:
        first, last = placed[f"https://{start}-{end}.example"]
        if start < end:
            assert shown[first:last] == model(text, change, pattern, (start, end))


@settings(deadline=None)
@given(texts, cuts, ranges)
def test_guards_after_each_other_keep_the_range(text: str, lengths: Cuts, cited: list[Cited]) -> None:
    cited = [each for each in cited if max(each) <= len(text)]
    guards: list[Guard] = [CLEAN, REDACT, {"type": "moderate", "every_chars": 100}, {"type": "max_chars", "limit": 999}]
    came, error = read(guarded(streamed(text, lengths, cited), *guards))
    assert error is None
    assert len(shown_ranges(came)) == len({(min(each), max(each)) for each in cited})


@settings(deadline=None)
@given(texts, cuts, ranges)
def test_citations_do_not_change_what_is_shown_of_the_text(text: str, lengths: Cuts, cited: list[Cited]) -> None:
    cited = [each for each in cited if max(each) <= len(text)]
    with_them, _ = read(guarded(streamed(text, lengths, cited), CLEAN, REDACT))
    without, _ = read(guarded(streamed(text, lengths, []), CLEAN, REDACT))
    assert text_of(with_them) == text_of(without)


async def test_a_match_that_goes_on_after_a_citation_is_redacted() -> None:
    pieces: list[Piece] = [
        Delta(text="Write to me@mill"),
        citation(9, 16),
        TokenCounts(output_tokens=1),
        Delta(text=".example now."),
        STOP,
    ]
    came, _ = await drained(guarded(pieces, {"type": "redact", "kinds": ["email"]}))
    assert text_of(came) == "Write to [email redacted] now."
    assert shown_ranges(came) == {"https://9-16.example": (9, 25)}


async def test_a_citation_is_placed_in_the_text_of_earlier_attempts_too() -> None:
    said = "xx and "
    pieces = streamed("ab xx ab", [3], [(0, 2), (3, 5), (6, 8)], offset=len(said))
    came, _ = await drained(guarded(pieces, REDACT, said=said))
    shown = said + text_of(came)
    assert [shown[start:end] for start, end in shown_ranges([Delta(text=said), *came]).values()] == [
        "ab",
        "[word redacted]",
        "ab",
    ]


async def test_text_after_a_tool_call_is_placed_after_the_text_before_it() -> None:
    pieces: list[Piece] = [
        Delta(text="xx ab"),
        ToolCall(index=0, name="f"),
        Delta(text=" xx ab"),
        citation(9, 11),
        STOP,
    ]
    came, _ = await drained(guarded(pieces, REDACT))
    ((start, end),) = shown_ranges(came).values()
    assert text_of(came)[start:end] == "ab"
    assert start == text_of(came).rindex("ab")


async def test_the_texts_of_a_citation_are_redacted_too_and_counted() -> None:
    cited = citation(None, None, url="https://m.example/?to=me@mill.example", title="me@mill.example", quote="Hi")
    came, _ = await drained(guarded([cited, STOP], {"type": "redact", "kinds": ["email"]}))
    assert came[:2] == [
        citation(None, None, url="https://m.example/?to=[email redacted]", title="[email redacted]", quote="Hi"),
        Notice(code="redacted", message="email: 2"),
    ]


@pytest.mark.parametrize("guard", [{"type": "block", "words": ["bad"]}, {"type": "moderate", "every_chars": 100}])
async def test_a_quote_that_must_not_be_seen_ends_the_job(guard: Guard) -> None:
    came, error = await drained(guarded([Delta(text="Mills. "), citation(0, 6, quote="a bad word"), STOP], guard))
    assert error is not None
    assert error.code is FailureCode.CONTENT_BLOCKED
    assert not [piece for piece in came if isinstance(piece, Citation)]


async def test_a_citation_does_not_end_the_stretch_that_is_judged() -> None:
    judged: list[str] = []

    async def noting(text: str) -> ModerationVerdict:
        judged.append(text)
        return ModerationVerdict()

    guard: Guard = {"type": "moderate", "every_chars": 100}
    source = Source([Delta(text="Mills "), citation(0, 5), Refusal(text="No."), Delta(text="turn."), STOP])
    came, _ = await drained(shielded(source.stream(), [guard], rules_of=rules_of, judge=noting))
    assert judged == ["Mills turn.\nhttps://0-5.example", "No."]
    assert [type(piece) for piece in came[:3]] == [Delta, Citation, Delta]


async def test_long_quotes_are_judged_as_they_come() -> None:
    judged: list[str] = []

    async def noting(text: str) -> ModerationVerdict:
        judged.append(text)
        return ModerationVerdict()

    guard: Guard = {"type": "moderate", "every_chars": 100}
    pieces: list[Piece] = [citation(None, None, url="u", quote="q" * 300) for _ in range(3)]
    await drained(shielded(Source([*pieces, STOP]).stream(), [guard], rules_of=rules_of, judge=noting))
    assert judged == [f"\nu\n{'q' * 300}"] * 3


async def test_text_that_is_buffered_comes_before_the_citation_of_it() -> None:
    source = Source([Delta(text="Mills"), Delta(text=" turn"), citation(0, 10), STOP])
    came, _ = await drained(buffer(source.stream(), Buffering(max_chars=1_000)))
    assert [type(piece) for piece in came[-2:]] == [Citation, type(STOP)]
    assert shown_ranges(came) == {"https://0-10.example": (0, 10)}


def test_what_is_remembered_of_a_text_is_bounded() -> None:
    placed = Ranges(0)
    for at in range(10_000):
        placed.show("a")
        placed.alter([Alteration(2 * at + 1, 1, 0)])
    # Every second character was removed.
    for start in (0, 19_990):
        placed.hold(citation(start, 20_000))
    assert [(each.start, each.end) for each in placed.ready()] == [(None, None), (9_995, 10_000)]


def test_citations_that_wait_for_their_text_are_bounded() -> None:
    placed = Ranges(0)
    for _ in range(2_000):
        placed.hold(citation(0, 1))
    assert [(each.start, each.end) for each in placed.ready()] == [(None, None)] * (2_000 - 1_024)
