"""The rules that find PII, secrets, and the own words and patterns of a request."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, NamedTuple, Self

from stdnum import iban, luhn, numdb

from tailrace.request.guards import Block, Kind, Redact
from tailrace_worker.shaping.guards.characters import HYPHEN, SPACE
from tailrace_worker.shaping.guards.credentials import SECRETS
from tailrace_worker.shaping.guards.phones import CANDIDATE, COMMON_REGIONS, NumberingPlans
from tailrace_worker.shaping.guards.rules import KNOWN_NEXT, Rule
from tailrace_worker.shaping.guards.words import words_rules

PATTERN: Final = "pattern"

_LETTER: Final = r"A-Za-z\x{C0}-\x{24F}\x{370}-\x{52F}"
"""Latin, Greek and Cyrillic letters. Other scripts put no space between an address and the words around it."""

_EMAIL: Final = rf"[{_LETTER}0-9._%+-]{{1,64}}@(?:[{_LETTER}0-9-]+\.)+(?:[{_LETTER}]{{2,24}}|xn--[a-z0-9-]{{2,59}})"
_IBAN: Final = rf"(?i)\b[A-Z]{{2}}[0-9]{{2}}(?:[{SPACE}{HYPHEN}]?[A-Z0-9]){{11,29}}\b"
_CARD: Final = rf"\b[2-689](?:[{SPACE}{HYPHEN}]?[0-9]){{12,18}}\b"
_BYTE: Final = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4: Final = rf"(?:{_BYTE}\.){{3}}{_BYTE}"
_GROUP: Final = "[0-9A-Fa-f]{1,4}"
_IPV6: Final = (
    rf"\b(?:{_GROUP}:){{6,7}}(?:{_IPV4}|{_GROUP}){KNOWN_NEXT}",
    rf"(?:\b{_GROUP}(?::{_GROUP}){{0,6}}|\B)::(?:{_GROUP}:){{0,6}}(?:{_IPV4}|{_GROUP})?{KNOWN_NEXT}",
)

_ISSUED: Final = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|(?:30[0-5]|3095|3[689])\d{11,16}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|220[0-4]\d{12,15}"  # Mir
    r"|(?:50|5[6-9]|6\d)\d{11,17}"  # Maestro, Discover, UnionPay, RuPay
    r"|(?:8[12]|9792)\d{12,14}"  # RuPay, Troy
)
_MONTH_DAY: Final = "(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_TIME: Final = "(?:[01][0-9]|2[0-3])(?:[0-5][0-9]){2}"
_TIMESTAMP: Final = re.compile(rf"2\d{_MONTH_DAY}{_TIME}|30(?:0[1-9]|1[0-2])(?:19|20)\d\d{_TIME}")


def is_card_number(number: str) -> bool:
    """Return whether a number may be that of a card.

    Such a number has the prefix and length of an issuer and a valid check digit, and is not a time stamp.

    Args:
        number: The digits.
    """
    return bool(_ISSUED.fullmatch(number)) and not _TIMESTAMP.match(number) and luhn.is_valid(number)


def _compact(check: Callable[[str], bool]) -> Callable[[bytes, int, int], bool]:
    """Return a check of a match that passes only its letters and digits to `check`."""
    return lambda text, start, end: check(re.sub(rb"[^0-9A-Za-z]", b"", text[start:end]).decode())


def _iban_reach(text: bytes, start: int, end: int) -> int:
    """Return where a match reaches the length of its country's IBANs; `start` if it is shorter."""
    most = _iban_length(text[start : start + 2].decode().upper())
    symbols = [symbol.end() for symbol in re.finditer(rb"[0-9A-Za-z]", text[start:end])]
    return start + symbols[most - 1] if 0 < most <= len(symbols) else start


@lru_cache(maxsize=676)
def _iban_length(country: str) -> int:
    """Return how many letters and digits an IBAN of a country has; 0 if the country has no IBANs."""
    _, properties = numdb.get("iban").info(country)[0]
    structure = properties.get("bban", "")
    return 4 + sum(map(int, re.findall("([0-9]+)!", structure))) if structure else 0


def _is_ipv6(text: bytes, start: int, end: int) -> bool:
    address = text[start:end].decode()
    # `a::b` is also a name in C++ and Rust.
    if text[start - 1 : start] == b":" or text[end : end + 1].isalnum() or not re.search("[0-9]", address):
        return False
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return True


_RULES: Final[Mapping[Kind, Sequence[Rule]]] = {
    "secret": SECRETS,
    "email": [Rule("email", [_EMAIL])],
    "iban": [Rule("iban", [_IBAN], _compact(iban.is_valid), _iban_reach)],
    "card": [Rule("card", [_CARD], _compact(is_card_number))],
    "ip": [Rule("ip", _IPV6, _is_ipv6), Rule("ip", [rf"\b{_IPV4}\b"])],
}


class Sought(NamedTuple):
    """All that a guard searches for. Guards with equal values share their compiled rules."""

    kinds: frozenset[Kind]
    words: tuple[str, ...]
    patterns: tuple[str, ...]
    regions: frozenset[str]

    @classmethod
    def of(cls, guard: Redact | Block) -> Self:
        """Return what a guard searches for."""
        return cls(
            frozenset(guard.get("kinds", ())),
            tuple(guard.get("words", ())),
            tuple(guard.get("patterns", ())),
            frozenset(guard.get("regions", COMMON_REGIONS)),
        )


def sought(
    kinds: Collection[Kind], words: Sequence[str], patterns: Sequence[str], regions: Iterable[str] = COMMON_REGIONS
) -> list[Rule]:
    """Return the rules in order of precedence: if several match at the same position, the first one counts.

    Args:
        kinds: The kinds to search for.
        words: The request's own words.
        patterns: The request's own patterns.
        regions: The regions whose national telephone numbers are found.
    """
    rules = [rule for kind, of_kind in _RULES.items() if kind in kinds for rule in of_kind]
    if "phone" in kinds:
        plans = NumberingPlans(regions)
        rules.append(Rule("phone", [CANDIDATE], plans.accept, plans.reach))
    if words:
        rules += words_rules(words)
    if patterns:
        rules.append(Rule(PATTERN, patterns, is_requests=True))
    return rules
