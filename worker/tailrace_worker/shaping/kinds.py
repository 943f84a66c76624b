"""What guards look for: the kinds that requests name, and their own words and patterns, as rules."""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final

from tailrace.guards import Block, Kind, Redact
from tailrace_worker.shaping.search import KNOWN_NEXT, Rule, Rules

WORD: Final = "word"
PATTERN: Final = "pattern"

# Models write numbers with spaces and hyphens at which lines do not break.
_SPACE: Final = r" \x{A0}\x{2009}\x{202F}"
_HYPHEN: Final = r"\x{2010}\x{2011}-"
_LETTER: Final = r"A-Za-z\x{C0}-\x{24F}\x{370}-\x{52F}"
"""Of Latin, Greek and Cyrillic: other scripts do not divide an address from the words around it."""

_SECRETS: Final = (
    r"\bsk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, and who follows them
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"\b(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{28})",  # Google
    r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    r"\bgl(?:pat|ptt|dt|rt)-[A-Za-z0-9_.-]{20,}",
    r"\b(?:xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,})",
    r"\b(?:[rs]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,})",  # Stripe
    r"\b(?:hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})",
    r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",  # a JSON Web Token
    r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=:,\s\\]|-[A-Za-z0-9])*(?:-----END [A-Z ]*-----)?",
)
_EMAIL: Final = rf"[{_LETTER}0-9._%+-]{{1,64}}@(?:[{_LETTER}0-9-]+\.)+(?:[{_LETTER}]{{2,24}}|xn--[a-z0-9-]{{2,59}})"
_IBAN: Final = rf"(?i)\b[A-Z]{{2}}[0-9]{{2}}(?:[{_SPACE}{_HYPHEN}]?[A-Z0-9]){{11,29}}\b"
_CARD: Final = rf"\b[1-9](?:[{_SPACE}{_HYPHEN}]?[0-9]){{12,18}}\b"
_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_GROUP: Final = "[0-9A-Fa-f]{1,4}"
_IPV6: Final = (
    rf"\b(?:{_GROUP}:){{6,7}}(?:{_IPV4}|{_GROUP}){KNOWN_NEXT}",
    rf"(?:\b{_GROUP}(?::{_GROUP}){{0,6}}|\B)::(?:{_GROUP}:){{0,6}}(?:{_IPV4}|{_GROUP})?{KNOWN_NEXT}",
)
_PHONES: Final = (
    rf"(?:\B\+|\b00)[1-9](?:[{_SPACE}().{_HYPHEN}]{{0,2}}[0-9]){{6,14}}\b",
    # North America
    (
        rf"(?:\b1[{_SPACE}.{_HYPHEN}])?(?:\([2-9][0-9]{{2}}\)[{_SPACE}]?|\b[2-9][0-9]{{2}}[{_SPACE}.{_HYPHEN}])"
        rf"[2-9][0-9]{{2}}[{_SPACE}.{_HYPHEN}]?[0-9]{{4}}\b"
    ),
    # France and Australia write two digits first, which elsewhere begin a date.
    rf"\b0[1-9](?:(?:[{_SPACE}.{_HYPHEN}][0-9]{{2}}){{4}}|(?:[{_SPACE}][0-9]{{4}}){{2}})\b",
    (
        rf"(?:\(0[1-9][0-9]{{0,4}}\)|\b0[1-9][0-9]{{1,4}})[{_SPACE}]?[/{_SPACE}{_HYPHEN}]?[{_SPACE}]?"
        rf"[0-9]{{3,8}}(?:[{_SPACE}{_HYPHEN}][0-9]{{2,5}}){{0,3}}\b"
    ),
)

# How many characters the IBANs of which countries have (SWIFT's registry, release 101).
_IBAN_COUNTRIES: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FK FO GL NL SD",
    19: "MK SI",
    20: "AT BA EE KZ LT LU MN XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL IQ OM SO TL",
    24: "AD CZ ES MD PK RO SA SE SK TN VG",
    25: "LY PT ST",
    26: "IS TR",
    27: "BI DJ FR GR IT MC MR SM",
    28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
    29: "BR EG PS QA UA",
    30: "JO KW MU YE",
    31: "MT SC",
    32: "LC",
    33: "RU",
}


def is_card_number(number: str) -> bool:
    """Whether its digits have the check digit of payment cards (ISO/IEC 7812-1, annex B)."""
    digits = [int(digit) for digit in reversed(number)]
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0


def is_iban(code: str) -> bool:
    """Whether it has its country's length, and the check digits of ISO 7064."""
    code = code.upper()
    if code[:2] not in _IBAN_COUNTRIES.get(len(code), "").split():
        return False
    return int("".join(str(int(character, 36)) for character in code[4:] + code[:4])) % 97 == 1


def _compact(check: Callable[[str], bool]) -> Callable[[bytes, int, int], bool]:
    """A check of a match by its letters and digits alone."""
    return lambda text, start, end: check(re.sub(rb"[^0-9A-Za-z]", b"", text[start:end]).decode())


def _is_phone_number(digits: str) -> bool:
    return 7 <= len(digits) <= 17


def _is_ipv6(text: bytes, start: int, end: int) -> bool:
    address = text[start:end].decode()
    # C++ and Rust write a::b.
    if text[start - 1 : start] == b":" or text[end : end + 1].isalnum() or not re.search("[0-9]", address):
        return False
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return True


_RULES: Final[Mapping[Kind, Sequence[Rule]]] = {
    "secret": [Rule("secret", _SECRETS)],
    "email": [Rule("email", [_EMAIL])],
    "iban": [Rule("iban", [_IBAN], _compact(is_iban))],
    "card": [Rule("card", [_CARD], _compact(is_card_number))],
    "ip": [Rule("ip", _IPV6, _is_ipv6), Rule("ip", [rf"\b{_IPV4}\b"])],
    "phone": [Rule("phone", _PHONES, _compact(_is_phone_number))],
}


def rules_of(guard: Redact | Block) -> Rules:
    """The rules of a guard, ready for use. Those of the last few are kept: to compile them takes milliseconds.

    Raises:
        InvalidRequest: RE2 does not take one of its patterns.
    """
    return _compiled(frozenset(guard.get("kinds", ())), tuple(guard.get("words", ())), tuple(guard.get("patterns", ())))


@lru_cache(maxsize=32)
def _compiled(kinds: frozenset[Kind], words: tuple[str, ...], patterns: tuple[str, ...]) -> Rules:
    return Rules(sought(kinds, words, patterns))


def sought(kinds: Collection[Kind], words: Sequence[str], patterns: Sequence[str]) -> list[Rule]:
    """The rules in the order in which they count where their matches begin together."""
    rules = [rule for kind, of_kind in _RULES.items() if kind in kinds for rule in of_kind]
    if words:
        rules.append(_words(words))
    if patterns:
        rules.append(Rule(PATTERN, patterns))
    return rules


def _words(words: Sequence[str]) -> Rule:
    # Of words that begin with each other the longest counts; where it goes on in the text, the next one is tried.
    longest_first = sorted(words, key=len, reverse=True)
    return Rule(WORD, list(map(_bounded, longest_first)), _is_whole)


def _bounded(word: str) -> str:
    # RE2 knows the boundaries of words of ASCII alone, but knows them already when a match may begin.
    left = r"\b" if re.match(r"\w", word[0], re.ASCII) else ""
    right = r"\b" if re.match(r"\w", word[-1], re.ASCII) else KNOWN_NEXT
    # Between two words the line may end, or must not.
    spaced = re.escape(word).replace(r"\ ", rf"[\s{_SPACE}]")
    return f"(?i){left}{spaced}{right}"


def _is_whole(text: bytes, start: int, end: int) -> bool:
    before, after = _last(text[max(0, start - 4) : start]), _first(text[end : end + 4])
    first, last = _first(text[start : start + 4]), _last(text[max(0, end - 4) : end])
    return not (_joins(before) and _joins(first)) and not (_joins(after) and _joins(last))


def _joins(character: str) -> bool:
    """Whether it makes one word with a neighbour that does so too."""
    return (
        character.isdigit()
        or character == "_"
        or character.lower() != character.upper()
        or bool(character and unicodedata.combining(character))
    )


def _first(text: bytes) -> str:
    # A lone surrogate is a character, too: to look past it would take more text than may have come.
    return text.decode(errors="replace")[:1]


def _last(text: bytes) -> str:
    return text.decode(errors="replace")[-1:]
