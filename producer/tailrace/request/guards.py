"""What must not be shown: the rules that a request sets for its answer, and for its own messages."""

import re
from collections.abc import Iterable
from typing import Annotated, Final, Literal, NotRequired, TypeAlias, TypeVar

from pydantic import AfterValidator, Discriminator, Field, StringConstraints, with_config
from typing_extensions import TypedDict

from tailrace.request.patterns import CLASS_CHARS, MARKED_CHARS, MOST_CHARS, fault_of, spelled_chars, unfolded_chars
from tailrace.request.validation import CLOSED, Problem, refusal

Kind: TypeAlias = Literal["email", "phone", "card", "iban", "ip", "secret"]
"""E-mail addresses; telephone numbers; payment cards, by issuer, length and check digit; IBANs, by country and check
digits; addresses of IPv4 and IPv6; keys and tokens of known shapes, passwords in URLs, and random-looking values that
are named as a key, a token or a password."""

MAX_SOUGHT_CHARS: Final = 8_192
"""How long the words and patterns of all guards of a request may be together; equal guards count once."""

MAX_UNFOLDED_CHARS: Final = 10_000
"""How long they may be together with the counted repetitions of the patterns and the forms of accented letters written
out: a worker's RE2 holds its interpreter for 25 ms to compile one expression of that size."""

MAX_REGIONS: Final = 64
"""How many regions a guard may name."""

EVERY_CHARS: Final = 400
"""The default of `Moderate.every_chars`."""

_REGION: Final = re.compile(
    "A[DEFGILMOQRSTUWXZ]|B[ABDEFGHIJLMNOQRSTVWYZ]|C[ACDFGHIKLMNORUVWXYZ]|D[EJKMOZ]|E[CEGHRST]|F[IJKMOR]"
    "|G[ABDEFGHILMNPQRSTUWY]|H[KMNRTU]|I[DELMNOQRST]|J[EMOP]|K[EGHIMNPRWYZ]|L[ABCIKRSTUVY]"
    "|M[ACDEFGHKLMNOPQRSTUVWXYZ]|N[ACEFGILOPRUZ]|OM|P[AEFGHKLMNRSTWY]|QA|R[EOSUW]|S[ABCDEGHIJKLMNORSTVXYZ]"
    "|T[CDFGHJKLMNORTVWZ]|U[AGMSYZ]|V[ACEGINU]|W[FS]|XK|Y[ET]|Z[AMW]"
)
"""ISO 3166-1 alpha-2, and Kosovo."""


def _no_blank(word: str) -> str:
    if word != word.strip():
        raise refusal([Problem((), "begins or ends with white space")])
    return word


def _assigned(region: str) -> str:
    if not _REGION.fullmatch(region):
        raise refusal([Problem((), "is no region of ISO 3166: two capital letters, such as `GB`")])
    return region


_RegionCode: TypeAlias = Annotated[str, AfterValidator(_assigned)]
_Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_no_blank)]
_Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=512)]


@with_config(CLOSED)
class MaxChars(TypedDict):
    """The answer is cut after `limit` characters, and so is a refusal; reasoning is not counted. The provider is
    stopped, and the finish reason is `length`. Messages that have more of them together are refused."""

    type: Literal["max_chars"]
    """The kind of guard."""
    limit: Annotated[int, Field(ge=1, lt=2**31)]
    """How many characters, from 1 on."""


@with_config(CLOSED)
class Clean(TypedDict):
    """Control characters but tabs and line ends, lone surrogates, and invisible overrides of the direction go."""

    type: Literal["clean"]
    """The kind of guard."""


class _Sought(TypedDict):
    kinds: NotRequired[Annotated[list[Kind], Field(min_length=1)]]
    """What is found by its form: e-mail addresses; telephone numbers; payment cards, by issuer, length and check digit;
    IBANs, by country and check digits; addresses of IPv4 and IPv6; keys, tokens and passwords (`secret`)."""
    regions: NotRequired[Annotated[list[_RegionCode], Field(min_length=1, max_length=MAX_REGIONS)]]
    """Whose national telephone numbers are found, as two capital letters of ISO 3166 (default: twenty common ones).
    Numbers with a country code are found for every region."""
    words: NotRequired[Annotated[list[_Word], Field(min_length=1, max_length=256)]]
    """Found in upper and lower case, and as whole words: no letter, digit or _ goes on at their ends. Where letters
    have no case (Arabic, Chinese, Thai …) they are found within others too. A space stands for any white space, line
    ends too. Typographic and plain apostrophes and hyphens stand for each other, and so do the composed and decomposed
    forms of accented letters."""
    patterns: NotRequired[Annotated[list[_Pattern], Field(min_length=1, max_length=64)]]
    r"""Regular expressions in the syntax of RE2 (https://github.com/google/re2/wiki/Syntax), without `\C` and `\Q`, and
    with flags at the beginning, or in groups of their own: `(?i)mill`, `(?i:mill)race`. A match has at most 8,192 bytes
    of UTF-8."""


@with_config(CLOSED)
class Redact(_Sought):
    """Each match is replaced by `[email redacted]` and the like; the name before a secret stays. A `notice` for each
    kind (also for `word` and `pattern`) has the count.

    Matches do not overlap: the one that begins first counts, and of those that begin together that of `kinds`, then of
    `words`, then of `patterns`. Arguments of tool calls are passed on as they are.
    """

    type: Literal["redact"]
    """The kind of guard."""


@with_config(CLOSED)
class Block(_Sought):
    """A match ends the job with `content_blocked`, and is not shown. What is looked for is as with `Redact`."""

    type: Literal["block"]
    """The kind of guard."""


@with_config(CLOSED)
class Moderate(TypedDict):
    """Text that OpenAI's moderation endpoint flags ends the job with `content_blocked`."""

    type: Literal["moderate"]
    """The kind of guard."""
    every_chars: NotRequired[Annotated[int, Field(ge=50, le=10_000)]]
    """How much text is judged at a time (default 400), each time together with as much before it."""
    mode: NotRequired[Literal["strict", "lenient"]]
    """Text is held until it is judged (`strict`, default), or shown at once, and judged as it is shown, behind all
    other guards (`lenient`)."""
    on_failure: NotRequired[Literal["open", "closed"]]
    """Where the endpoint itself fails, the answer goes on, with a `notice` (`open`), or ends with `content_blocked`
    (`closed`, default)."""


_Either = TypeVar("_Either", Redact, Block)


def _seeks(guard: _Either) -> _Either:
    if not guard.keys() & {"kinds", "words", "patterns"}:
        raise refusal([Problem((), "looks for nothing: give `kinds`, `words` or `patterns`")])
    if "regions" in guard and "phone" not in guard.get("kinds", []):
        raise refusal([Problem((), "has `regions`, which only count for the kind `phone`")])
    return guard


_Redact: TypeAlias = Annotated[Redact, AfterValidator(_seeks)]
_Block: TypeAlias = Annotated[Block, AfterValidator(_seeks)]

Guard: TypeAlias = MaxChars | Clean | Redact | Block | Moderate
"""One rule."""


def _linear(guards: list[Guard]) -> list[Guard]:
    # What is too large is not compiled: the engine holds its caller's loop.
    if excess := excessive(guards):
        raise refusal([Problem((), excess)])
    patterns: dict[str, str] = {}
    problems: list[Problem] = []
    for index, guard in enumerate(guards):
        if guard["type"] == "redact" or guard["type"] == "block":
            for place, pattern in enumerate(guard.get("patterns", ())):
                why = patterns.get(pattern)
                if why is None:
                    why = patterns[pattern] = fault_of(pattern)
                if why:
                    problems.append(Problem((index, guard["type"], "patterns", place), why))
    if problems:
        raise refusal(problems)
    return guards


def excessive(guards: Iterable[Guard]) -> str:
    """What is too large about guards of one request, or `""`."""
    sought = {
        (tuple(guard.get("words", ())), tuple(guard.get("patterns", ())))
        for guard in guards
        if guard["type"] == "redact" or guard["type"] == "block"
    }
    chars = sum(len(text) for words, patterns in sought for text in (*words, *patterns))
    if chars > MAX_SOUGHT_CHARS:
        return f"the words and patterns have {chars:,} characters, {MAX_SOUGHT_CHARS:,} are allowed for a request"
    unfolded = sum(sum(map(spelled_chars, words)) + sum(map(unfolded_chars, patterns)) for words, patterns in sought)
    if unfolded > MAX_UNFOLDED_CHARS:
        return (
            f"the words and patterns have {unfolded:,} characters with repetitions written out, where a class of "
            f"Unicode counts as {CLASS_CHARS}, one of nearly all characters as {MOST_CHARS} and an accent as "
            f"{MARKED_CHARS}: {MAX_UNFOLDED_CHARS:,} are allowed for a request"
        )
    return ""


Guards: TypeAlias = Annotated[
    list[Annotated[MaxChars | Clean | _Redact | _Block | Moderate, Discriminator("type")]],
    Field(max_length=16),
    AfterValidator(_linear),
]
"""Rules, in the order in which they are applied: each gets what the one before it lets through."""
