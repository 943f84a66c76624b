"""Guards: the rules of a request for text that must not be shown, in its answer or in its own messages."""

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
have the name of a key, a token or a password."""

MAX_SOUGHT_CHARS: Final = 8_192
"""The most characters of the words and patterns of all guards of a request together; equal guards count once."""

MAX_UNFOLDED_CHARS: Final = 10_000
"""The same with the counted repetitions of the patterns and the forms of accented letters written out: RE2 blocks a
worker's interpreter for 25 ms to compile one expression of that size."""

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
        raise refusal([Problem((), "is not a region of ISO 3166: give two capital letters, such as `GB`")])
    return region


_RegionCode: TypeAlias = Annotated[str, AfterValidator(_assigned)]
_Word: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=128), AfterValidator(_no_blank)]
_Pattern: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=512)]


@with_config(CLOSED)
class MaxChars(TypedDict):
    """Cuts the answer after `limit` characters.

    It counts the text and a refusal, not reasoning. The provider is stopped, and the finish reason is `length`. As an
    input guard it refuses a request whose messages have more characters together.
    """

    type: Literal["max_chars"]
    """The kind of guard."""
    limit: Annotated[int, Field(ge=1, lt=2**31)]
    """The most characters, 1 or more."""


@with_config(CLOSED)
class Clean(TypedDict):
    """Removes control characters except tabs and line ends, lone surrogates, and invisible direction overrides."""

    type: Literal["clean"]
    """The kind of guard."""


class _Sought(TypedDict):
    kinds: NotRequired[Annotated[list[Kind], Field(min_length=1)]]
    """The kinds of text to find: e-mail addresses; telephone numbers; payment cards, by issuer, length and check digit;
    IBANs, by country and check digits; addresses of IPv4 and IPv6; keys, tokens and passwords (`secret`)."""
    regions: NotRequired[Annotated[list[_RegionCode], Field(min_length=1, max_length=MAX_REGIONS)]]
    """The regions whose national telephone numbers are found, as two capital letters of ISO 3166 (default: 20 common
    ones). Numbers with a country code are found for every region."""
    words: NotRequired[Annotated[list[_Word], Field(min_length=1, max_length=256)]]
    """The words to find, in upper and lower case, and only whole words: no letter, digit or _ may touch their ends. If
    their letters have no case (Arabic, Chinese, Thai …) they are found inside other words too. A space matches any
    white space, line ends too. Typographic and plain apostrophes and hyphens match each other, and so do the composed
    and decomposed forms of accented letters."""
    patterns: NotRequired[Annotated[list[_Pattern], Field(min_length=1, max_length=64)]]
    r"""The regular expressions to find, in the syntax of RE2 (https://github.com/google/re2/wiki/Syntax),
    without `\C` and `\Q`, and with flags at the beginning, or in groups of their own: `(?i)mill`, `(?i:mill)race`. A
    match has at most 8,192 bytes of UTF-8."""


@with_config(CLOSED)
class Redact(_Sought):
    """Replaces each match by a mark such as `[email redacted]`; the name before a secret stays.

    A `notice` for each kind, and for `word` and `pattern`, has the number of matches. Matches do not overlap: the one
    that begins first counts. If several begin together, one of `kinds` counts before one of `words`, and that before
    one of `patterns`. Arguments of tool calls are not changed.
    """

    type: Literal["redact"]
    """The kind of guard."""


@with_config(CLOSED)
class Block(_Sought):
    """Ends the job with `content_blocked` at the first match, which is not shown. Matches are found as for `Redact`."""

    type: Literal["block"]
    """The kind of guard."""


@with_config(CLOSED)
class Moderate(TypedDict):
    """Ends the job with `content_blocked` if OpenAI's moderation endpoint flags its text."""

    type: Literal["moderate"]
    """The kind of guard."""
    every_chars: NotRequired[Annotated[int, Field(ge=50, le=10_000)]]
    """How many characters are judged at a time (default 400), together with as many before them."""
    mode: NotRequired[Literal["strict", "lenient"]]
    """`strict` (default) holds text until it is judged. `lenient` shows text at once, and judges it then, after all
    other guards."""
    on_failure: NotRequired[Literal["open", "closed"]]
    """What happens if the endpoint fails: the answer goes on, with a `notice` (`open`), or the job ends with
    `content_blocked` (`closed`, default)."""


_Either = TypeVar("_Either", Redact, Block)


def _seeks(guard: _Either) -> _Either:
    if not guard.keys() & {"kinds", "words", "patterns"}:
        raise refusal([Problem((), "has nothing to find: give `kinds`, `words` or `patterns`")])
    if "regions" in guard and "phone" not in guard.get("kinds", []):
        raise refusal([Problem((), "has `regions`, which apply only to the kind `phone`")])
    return guard


_Redact: TypeAlias = Annotated[Redact, AfterValidator(_seeks)]
_Block: TypeAlias = Annotated[Block, AfterValidator(_seeks)]

Guard: TypeAlias = MaxChars | Clean | Redact | Block | Moderate
"""One rule of a request."""


def _linear(guards: list[Guard]) -> list[Guard]:
    # Patterns that are too large are not compiled: that would block the event loop of the caller.
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
    """Say which limit the guards of one request exceed.

    Args:
        guards: All guards of the request.

    Returns:
        The limit and the size, or `""` if the guards are within the limits.
    """
    sought = {
        (tuple(guard.get("words", ())), tuple(guard.get("patterns", ())))
        for guard in guards
        if guard["type"] == "redact" or guard["type"] == "block"
    }
    chars = sum(len(text) for words, patterns in sought for text in (*words, *patterns))
    if chars > MAX_SOUGHT_CHARS:
        return f"the words and patterns have {chars:,} characters, and a request may have {MAX_SOUGHT_CHARS:,}"
    unfolded = sum(sum(map(spelled_chars, words)) + sum(map(unfolded_chars, patterns)) for words, patterns in sought)
    if unfolded > MAX_UNFOLDED_CHARS:
        return (
            f"the words and patterns have {unfolded:,} characters with repetitions written out, where a class of "
            f"Unicode counts as {CLASS_CHARS}, one of nearly all characters as {MOST_CHARS} and an accent as "
            f"{MARKED_CHARS}, and a request may have {MAX_UNFOLDED_CHARS:,}"
        )
    return ""


Guards: TypeAlias = Annotated[
    list[Annotated[MaxChars | Clean | _Redact | _Block | Moderate, Discriminator("type")]],
    Field(max_length=16),
    AfterValidator(_linear),
]
"""The rules in the order in which they are applied: each gets the text that the one before it lets through."""
