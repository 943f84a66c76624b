"""What must not be shown is replaced, however it is cut."""

from collections import Counter
from itertools import chain

import pytest
from faker import Faker
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace import InvalidRequest
from tailrace.events import Delta, Notice, Reasoning, ToolCall
from tailrace.request.guards import Kind, Redact
from tailrace_worker.providers.base import Piece, TokenCounts
from tailrace_worker.shaping.guards.phones import COMMON_REGIONS
from tailrace_worker.shaping.guards.pii_rules import PATTERN, sought
from tailrace_worker.shaping.guards.redact import redact
from tailrace_worker.shaping.guards.rules import MAX_MATCH_BYTES, Rule, Rules
from tailrace_worker.shaping.guards.search import Search
from tests.support.cutting import Cuts, cuts
from tests.support.expressions import Expression, expressions, texts_that_may_match
from tests.support.guarding import KINDS, STOP, Source, broken_text, deltas, drained, read, rules_of, text_of
from tests.support.sought import found, redacted, texts_with_something_in_them
from tests.support.work import lines_run

EVERYTHING: Redact = {
    "type": "redact",
    "kinds": ["phone", "secret", "email", "ip", "card", "iban"],
    "words": ["Bob", "Öl", "New", "New York", "秘密", "C++", "cafe", "O'Neill", "Jean-Luc", "\u00e9t\u00e9"],
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


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(
    texts_with_something_in_them,
    cuts,
    st.lists(st.sampled_from(EVERYTHING["kinds"]), unique=True),
    st.booleans(),
    st.sampled_from([COMMON_REGIONS, ("US",), ("DE", "AT", "SG")]),
)
def test_text_is_redacted_as_if_it_came_at_once(
    text: str, lengths: Cuts, kinds: list[Kind], has_own: bool, regions: tuple[str, ...]
) -> None:
    guard: Redact = {**EVERYTHING, "kinds": kinds} if has_own else {"type": "redact", "kinds": kinds or ["email"]}
    guard["regions"] = list(regions)
    shown, counts = redaction(text, lengths, guard)
    rules = sought(guard.get("kinds", []), guard.get("words", []), guard.get("patterns", []), regions)
    assert shown == redacted(text, rules)
    assert counts == Counter(match.kind for match in found(text, rules))


@pytest.mark.slow
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
            "O\u2019Neill o\u02bcneill, jean\u2011luc JEAN\u2010LUC",
            "[word redacted] [word redacted], [word redacted] [word redacted]",
        ),
        ("\u00e9t\u00e9 E\u0301TE\u0301 ete", "[word redacted] [word redacted] ete"),
        ("(415) 555-2671 ext. 12, 415.555.2671x1234", "[phone redacted], [phone redacted]"),
        ("001-415-555-2671, 13812345678", "[phone redacted], [phone redacted]"),
        (
            "api_key: 'a1B2c3D4e5F6g7H8' and password = self.of(1)",
            "api_key: '[secret redacted]' and password = self.of(1)",
        ),
        ("postgres://app:s3cret@db/x https://host:80/@me", "postgres://[secret redacted]db/x https://host:80/@me"),
        ("(?sv=1&sig=a1B2c3%2Fd4%3D&se=2)", "(?sv=1&sig=[secret redacted]&se=2)"),
        (
            "> Mill-race MILLRACE xxxxxx xxxxx",
            "[pattern redacted] Mill-race [pattern redacted] x[pattern redacted] [pattern redacted]",
        ),
    ],
)
def test_what_is_meant_is_found_and_what_looks_like_it_is_not(text: str, shown: str) -> None:
    assert redaction(text, [1], EVERYTHING)[0] == shown


@pytest.mark.parametrize(
    "secret",
    [
        *(f"{prefix}{'a1B2' * 14}" for prefix in ("sk-ant-api03-", "gsk_", "xai-", "pplx-", "nvapi-", "github_pat_")),
        *(f"{prefix}{'a1B2' * 9}" for prefix in ("npm_", "ghs_", "AKCp", "glsoat-", "sq0csp-", "rk_live_", "hf_")),
        *(f"{prefix}{'0a1b' * 8}" for prefix in ("SK", "AC", "dapi", "shpat_", "key-")),
        f"{'0a1b' * 8}-us12",
        f"AKIA{'Z2' * 8}",
        f"xoxb-{'12' * 6}-{'a1B2' * 6}",
        f"xoxe.xoxp-1-{'A1' * 40}",
        f"https://hooks.slack.com/services/T{'0' * 8}/B{'0' * 8}/{'a' * 24}",
        f"{'12' * 5}:AA{'a1B' * 11}",
        f"bot{'1' * 9}:AA{'a1B' * 11}",
        f"M{'Ta1' * 8}.{'a1' * 3}.{'a1B' * 9}",
        f"https://discord.com/api/webhooks/{'12' * 9}/{'a1B2' * 17}",
        f"abc8Q~{'a1B2' * 8}",
        f"{'a1B2' * 13}JQQJ99{'A1' * 13}",
        f"eyJ{'a1B2' * 5}.eyJ{'a1B2' * 5}",
        f"-----BEGIN OPENSSH PRIVATE KEY-----\n{'a1B2' * 9}\n-----END OPENSSH PRIVATE KEY-----",
        f"PuTTY-User-Key-File-3: ssh-rsa\nPublic-Lines: 1\n{'a1B2' * 9}\nPrivate-MAC: {'0a' * 20}",
    ],
)
def test_secrets_of_known_shapes_are_found_whole(secret: str) -> None:
    shown, _ = redaction(f"It is {secret} now.", [7], {"type": "redact", "kinds": ["secret"]})
    assert shown == "It is [secret redacted] now."


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("ibm-cloud_api_key: {}", "a1B2c3D4-e5F6_g7H8"),
        ("--softlayer-api-key {}", "0a1b2c3d" * 8),
        ('{{"secret_access_key" := "{}"}}', "0a1b2c3d" * 6),
        ("aws_secret_access_key = {}", "a1B2/c3D4+" * 4),
        ("export DB_PW='{}'", "a1B2c3D4e5F6g7H8"),
        ("Authorization: Bearer {}", "a1B2c3D4e5F6g7H8=="),
        ("//registry.example.org/:_authToken={}", "a1b2c3"),
        ("AccountName=x;AccountKey={};", "a1B2/c3D4+" * 8 + "a1B2c3=="),
    ],
)
def test_of_a_named_secret_the_name_stays(written: str, value: str) -> None:
    shown, counts = redaction(written.format(value), [3], {"type": "redact", "kinds": ["secret"]})
    assert shown == written.format("[secret redacted]")
    assert counts == {"secret": 1}


@pytest.mark.parametrize(
    "text",
    [
        'api_key = os.environ["OPENAI_API_KEY_2"]',
        "token = secrets.token_urlsafe32bytes(32)",
        "password=${DATABASE_PASSWORD_1}, api_key: <your-api-key-number-1>",
        "max_tokens: 1024, token: abcdefghijklmnopqrstuvwxyz, token: 11111111111111111111",
        "the secret ingredient is internationalization2",
        "commit 0a1b2c3d4e5f0a1b2c3d4e5f0a1b2c3d4e5f0a1b",
        "https://example.org/wiki/File:Foo@2x.png",
    ],
)
def test_code_that_speaks_of_secrets_has_none(text: str) -> None:
    assert redaction(text, [1], {"type": "redact", "kinds": ["secret"]}) == (text, Counter())


@pytest.mark.parametrize(
    "text",
    [
        *("20260115103000123", "20260115", "202601151030", "1768471200", "1768471200123", "1768471200123456"),
        *("1768471200123456789", "2026-01-15T10:30:00.123456Z", "2026-01-15 10:30:00", "15.01.2026 10:30", "1/15/2026"),
        *("2601151030000005", "30012026103009", "2026-01-15-10-30-00", "20260115 103000 123"),
        *("192.168.100.200", "10.0.0.0/8", "v2024.11.22.1", "3.14159265358979", "$1,234,567.89", "1,000,000,000"),
        *("978-3-16-148410-0", "0-306-40615-2", "123e4567-e89b-12d3-a456-426614174000", "10.1038/s41586-020-2649-2"),
        *("order 12345678", "2010-2015", "1920x1080", "10000000000", "1 2 3 4 5 6 7 8 9 0", "+12345678"),
    ],
)
def test_other_numbers_are_neither_telephones_nor_cards(text: str) -> None:
    assert redaction(f"At {text} x", [1], {"type": "redact", "kinds": ["phone", "card"]}) == (f"At {text} x", Counter())


@pytest.mark.parametrize(
    "number",
    [
        *("4222222222222", "4111111111111111", "5555555555554444", "2223003122003222", "378282246310005"),
        *("30569309025904", "6011111111111117", "3530111333300000", "6200000000000005", "6759649826438453"),
    ],
)
def test_cards_of_the_known_issuers_are_found(number: str) -> None:
    assert redaction(number, [1], {"type": "redact", "kinds": ["card"]})[0] == "[card redacted]"


@pytest.mark.parametrize("number", ["1111111111111117", "9111111111111111", "41111111111111", "5000000000"])
def test_a_number_that_no_issuer_has_is_no_card(number: str) -> None:
    assert redaction(number, [1], {"type": "redact", "kinds": ["card"]})[0] == number


@pytest.mark.parametrize(
    ("regions", "shown"),
    [
        (["GB"], "[phone redacted] or 8123 4567 or [phone redacted]"),
        (["SG"], "020 7946 0958 or [phone redacted] or [phone redacted]"),
        (["SG", "GB", "AQ"], "[phone redacted] or [phone redacted] or [phone redacted]"),
        (["AQ"], "020 7946 0958 or 8123 4567 or [phone redacted]"),
    ],
)
def test_national_numbers_are_those_of_the_regions(regions: list[str], shown: str) -> None:
    guard: Redact = {"type": "redact", "kinds": ["phone"], "regions": regions}
    assert redaction("020 7946 0958 or 8123 4567 or +49 30 123456", [2], guard)[0] == shown


@pytest.mark.parametrize(
    ("locale", "least"),
    # What presidio 2.2's recognizer finds of the same numbers, at least in part: see benchmarks/redaction.py.
    [
        *(("en_US", 155), ("es_MX", 146), ("sv_SE", 175), ("pt_BR", 152), ("pl_PL", 98)),
        *(("en_AU", 163), ("zh_CN", 99), ("ja_JP", 191), ("ko_KR", 190)),
    ],
)
@pytest.mark.slow
def test_no_fewer_telephone_numbers_are_found_than_by_presidio(locale: str, least: int) -> None:
    fake = Faker(locale)
    fake.seed_instance(0)
    numbers = [fake.phone_number() for _ in range(200)]
    rules = rules_of({"type": "redact", "kinds": ["phone"]})
    found_whole = 0
    for number in numbers:
        search = Search(rules)
        segments = [*search.feed(f"Call {number} today."), *search.end()]
        found_whole += (number, "phone") in segments
    assert found_whole >= least


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
        ({"kinds": ["phone"]}, "in 2024, ", "in 2024, "),
        ({"kinds": ["phone"]}, "in (2024 ", "in "),
        ({"kinds": ["secret"]}, "a token: ", "a "),
        ({"kinds": ["secret"]}, "a token ran", "a "),
        ({"kinds": ["secret"]}, "a token ran ", "a token ran "),
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
    segments = [segment for character in text for segment in search.feed(character)]
    assert "".join(f"[{kind} redacted]" if kind else part for part, kind in segments) == shown


@pytest.mark.parametrize(
    ("numbers", "lines_a_character"),
    [
        *(("1 ", 85), ("00 ", 60), ("(1) (2) (3) ", 85), ("1/2/3/4/5/", 75), ("1.2.3 4.5.6 ", 80), ("AB12 CD34 ", 65)),
        *(("20 30 40 50 60 ", 160), ("4111 4111 ", 150), ("1987 2024 1999 2031 ", 95), ("021 345 678 ", 210)),
        ("15.01.2026 03.02.2030 ", 55),
    ],
)
def test_dense_numbers_take_little_work(numbers: str, lines_a_character: int) -> None:
    rules = rules_of({"type": "redact", "kinds": EVERYTHING.get("kinds", [])})
    text = (numbers * 1_000)[:1_000]
    assert lines_run(lambda: [*Search(rules).feed(text)]) < lines_a_character * len(text)


@pytest.mark.parametrize("number", ["+49 30 1234567", "+493012345678", "0049 30 1234567", "(415) 555-2671 ext. 12"])
def test_a_number_is_found_before_other_digits(number: str) -> None:
    guard: Redact = {"type": "redact", "kinds": ["phone"]}
    assert redaction(f"{number} 1", [3], guard)[0].startswith("[phone redacted]")


def test_no_more_is_held_back_than_a_match_can_have() -> None:
    search = Search(Rules([Rule("x", ["a[^z]*z"])]))
    shown = 0
    for fed in range(1, 3 * MAX_MATCH_BYTES // 100):
        shown += sum(len(segment.text) for segment in search.feed("a" * 100))
        assert fed * 100 - shown <= MAX_MATCH_BYTES
    assert shown


@pytest.mark.parametrize("chunk", [1, 1_000, 100_000])
@pytest.mark.parametrize("too_much", [0, 1])
def test_what_is_longer_than_a_match_can_be_is_none(chunk: int, too_much: int) -> None:
    text = "a" + "b" * (MAX_MATCH_BYTES - 2 + too_much) + "z and az"
    search = Search(Rules([Rule("x", ["a[^a]*z"])]))
    segments = [*(each for place in range(0, len(text), chunk) for each in search.feed(text[place : place + chunk]))]
    matches = [segment.text for segment in [*segments, *search.end()] if segment.kind]
    assert matches == ["az"] if too_much else [text[:MAX_MATCH_BYTES], "az"]


async def test_each_text_is_one_of_its_own_and_ends_with_a_tool_call() -> None:
    said: list[Piece] = [
        *(kind(text="to john@") for kind in KINDS),
        TokenCounts(output_tokens=1),
        Notice(code="server_tool", message="search"),
        *(kind(text="x.org") for kind in KINDS),
        ToolCall(index=0, arguments='{"to": "ann@x.org"}'),
        Delta(text="to john@"),
        ToolCall(index=1, arguments="{}"),
        Delta(text="x.org"),
        STOP,
        TokenCounts(output_tokens=2),
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


@pytest.mark.slow
def test_many_words_with_accents_are_found_though_they_fill_several_programs() -> None:
    words = ["\u1fa7" * 20 + "".join(chr(0x3B1 + int(digit)) for digit in f"{number:03}") for number in range(60)]
    rules = sought([], words, [])
    assert len(rules) > 1
    search = Search(Rules(rules))
    text = " ".join(words[::10])
    matches = [segment for segment in chain(search.feed(text), search.end()) if segment.kind]
    assert [segment.text for segment in matches] == words[::10]
