"""Decides which sequences of digits are telephone numbers."""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Final, Protocol, cast

import re2  # type: ignore[import-untyped]
from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    Leniency,
    NumberFormat,
    PhoneMetadata,
    PhoneNumberMatcher,
    region_code_for_country_code,
)

from tailrace_worker.shaping.guards.characters import HYPHEN, SPACE, character_after, character_before
from tailrace_worker.shaping.guards.programs import Match, Program, longest_match_program

COMMON_REGIONS: Final = (
    *("AU", "BR", "CA", "CH", "CN", "DE", "ES", "FR", "GB", "IL"),
    *("IN", "IT", "JP", "KR", "MX", "NL", "PL", "PT", "SE", "US"),
)
"""The regions whose national numbers are found if a guard names no others."""

_GAP: Final = rf"[{SPACE}()./{HYPHEN}]{{0,3}}"
_EXTENSION: Final = rf"(?i:[{SPACE}]?(?:[#x]|,?[{SPACE}]?ext(?:\.|ension)?|;ext=)[{SPACE}]?[0-9]{{1,6}})"
CANDIDATE: Final = rf"(?:\b|\B\+|\B\(\+?)[0-9](?:{_GAP}[0-9]){{6,16}}{_EXTENSION}?\b"
"""What may be a telephone number, in RE2's syntax."""

_TIMESTAMP: Final = re.compile(
    rb"(?:19|20)\d\d([-./])\d\d?\1\d\d?(?!\d)"  # 2026-01-15, whatever follows it
    rb"|\d\d?([-./])\d\d?\2(?:(?:19|20)\d\d|\d\d)(?![-./\d])"  # 15.01.2026, 1/15/26
    rb"|1\d{9}(?:\d{3}){0,2}(?!.)"  # seconds since 1970, milliseconds, microseconds
    rb"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6}|\d{9})?(?!.)"
)
_OTHER: Final = re.compile(
    rb"(?:\d{1,3}\.){3}\d{1,3}"  # an address of IPv4
    rb"|\d+\.\d+"  # a fraction
    rb"|\d+0{6}"
    rb"|.*\D\d"  # a list, or an ISBN
)
_LETTERS: Final = re.compile(rb"[A-Za-z#;,]")
_ISBN: Final = re.compile(rb"97[89]\d{10}")
_FEWEST_BARE_DIGITS: Final = 10
"""The fewest digits of a telephone number that has nothing between its digits."""
# Next to one of these, a candidate is part of a price, a percentage, a path or a longer number.
_NOT_BEFORE: Final = frozenset("-./\u2010\u2011$€£¥₩#")
_NOT_AFTER: Final = frozenset("-/\u2010\u2011%€£¥")


_DIGIT: Final = re.compile(rb"[0-9]")
_LAST_DIGIT: Final = re.compile(rb"(?<=[0-9])[0-9](?![0-9A-Za-z_])")
"""A digit with which a number may end. If a single digit is at the end, it is a list or an ISBN."""
_NO_DIGITS: Final = bytes(set(range(256)) - set(b"0123456789"))
_NOTHING: Final = r"[^\x{0}-\x{10FFFF}]"


class _Set(Protocol):
    """Expressions of RE2 that search a text together."""

    def Add(self, pattern: str) -> int: ...  # noqa: N802
    def Compile(self) -> None: ...  # noqa: N802
    def Match(self, text: bytes) -> list[int] | None: ...  # noqa: N802


_full_match_set = cast("Callable[[], _Set]", re2.Set.FullMatchSet)  # pyright: ignore[reportUnknownMemberType]


class NumberingPlans:
    """The telephone numbers that are found: with a country code, or as dialled within some regions.

    The library phonenumbers decides. It takes 30 microseconds or more for each candidate and region, and most
    candidates are not telephone numbers. So expressions over the digits first remove most of those that it would
    reject.
    """

    def __init__(self, regions: Iterable[str]) -> None:
        """Compile the expressions of the regions.

        Args:
            regions: The codes of the regions. A region without a numbering plan adds nothing.
        """
        plans = {region: metadata for region in regions if (metadata := PhoneMetadata.metadata_for_region(region))}
        self._regions = tuple(plans)
        self._bare = [_BareNumbers(plan) for plan in plans.values()]
        forms = [form for plan in plans.values() for form in (_prefixed(plan), _national(plan))]
        self._dialled = _set_of(forms)

    def reach(self, text: bytes, start: int, end: int) -> int:
        """Return the last position at which a number at the start of a candidate can end.

        Args:
            text: The text, with one character before and after the candidate.
            start: Where the candidate begins.
            end: Where it ends.

        Returns:
            The position; `start` if no number begins there.
        """
        if character_before(text, start) in _NOT_BEFORE:
            return start
        number, digits = _parts(text[start:end])
        if text.startswith(b"00", start):
            most = _most_digits(digits, 2)
        elif b"+" in number:
            most = _most_digits(digits, 0) if number == b"+" + digits else len(digits)
        elif self._is_national(number, digits):
            return end
        else:
            ends = [start + last.end() for last in _LAST_DIGIT.finditer(number)]
            return next((end for end in reversed(ends) if self._is_national(*_parts(text[start:end]))), start)
        if most == len(digits):
            return end
        return start + [digit.end() for digit in _DIGIT.finditer(number)][most - 1] if most else start

    def accept(self, text: bytes, start: int, end: int) -> bool:
        """Return whether a candidate is a number with a country code, or one that is dialled in one of the regions.

        Args:
            text: The text, with one character before and after the candidate.
            start: Where the candidate begins.
            end: Where it ends.
        """
        if character_after(text, end) in _NOT_AFTER or character_before(text, start) in _NOT_BEFORE:
            return False
        candidate = text[start:end].decode()
        if candidate.startswith("00"):
            return _is_number(f"+{candidate[2:]}", None, Leniency.VALID)
        number, digits = _parts(text[start:end])
        if b"+" in number:
            # A number with a country code and gaps counts as a telephone number, even if it is not assigned.
            is_spaced = number != b"+" + digits
            return _is_number(candidate, None, Leniency.POSSIBLE if is_spaced else Leniency.VALID)
        return not _counts_other(number, digits) and any(
            _is_number(candidate, region, Leniency.VALID) for region in self._dialled_in(digits)
        )

    def _is_national(self, number: bytes, digits: bytes) -> bool:
        return not _counts_other(number, digits) and any(True for _ in self._dialled_in(digits))

    def _dialled_in(self, digits: bytes) -> Iterator[str]:
        for form in self._dialled.Match(digits) or ():
            region, is_bare = divmod(form, 2)
            if not is_bare or self._bare[region].are_dialled(digits):
                yield self._regions[region]


def _parts(candidate: bytes) -> tuple[bytes, bytes]:
    """Return a candidate without its extension, and the digits of that."""
    number = _LETTERS.split(candidate, maxsplit=1)[0]
    return number, number.translate(None, _NO_DIGITS)


def _counts_other(number: bytes, digits: bytes) -> bool:
    """Return whether a number is something else, such as a date, an address or an ISBN."""
    return bool(
        (number == digits and len(digits) < _FEWEST_BARE_DIGITS)
        or _OTHER.fullmatch(number)
        or _TIMESTAMP.match(number)
        or _ISBN.fullmatch(digits)
    )


class _BareNumbers:
    """The numbers of a plan that are complete without the national prefix."""

    def __init__(self, plan: PhoneMetadata) -> None:
        # phonenumbers formats the numbers of all regions that share a country code in the same way.
        main = PhoneMetadata.metadata_for_region(region_code_for_country_code(plan.country_code or 0)) or plan
        self._need_prefix = [_needs_prefix(form) for form in main.number_format]
        self._formats = _set_of(
            pattern for form in main.number_format for pattern in (f"(?:{_leading(form)})[0-9]*", form.pattern or "")
        )
        self._prefix = re.compile((main.national_prefix_for_parsing or "(?!)").encode())

    def are_dialled(self, digits: bytes) -> bool:
        """Return whether the digits have the national prefix, or their format needs none."""
        matched = set(self._formats.Match(digits) or ())
        needed = next((need for i, need in enumerate(self._need_prefix) if {2 * i, 2 * i + 1} <= matched), False)
        return not needed or bool(self._prefix.match(digits))


def _prefixed(plan: PhoneMetadata) -> str:
    """Return an expression that matches the digits of all valid numbers of a region with a prefix, and some others."""
    country_code, prefix = plan.country_code, plan.national_prefix_for_parsing
    begin = f"(?:{country_code})?(?:{prefix})|{country_code}" if prefix else f"{country_code}"
    return f"(?:{begin})(?:{_national(plan)})|(?:{plan.international_prefix})[0-9]{{7,15}}"


def _national(plan: PhoneMetadata) -> str:
    kinds = [plan.fixed_line, plan.mobile, plan.toll_free, plan.premium_rate, plan.shared_cost, plan.personal_number]
    kinds += [plan.voip, plan.pager, plan.uan]
    return "|".join(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)


def _leading(form: NumberFormat) -> str:
    # The last pattern is the most detailed.
    return form.leading_digits_pattern[-1] if form.leading_digits_pattern else ""


def _needs_prefix(form: NumberFormat) -> bool:
    """Return whether phonenumbers accepts numbers of this format only with the national prefix."""
    return (
        form.national_prefix_formatting_rule not in {None, "", "\\1", "(\\1)"}
        and not form.national_prefix_optional_when_formatting
    )


def _most_digits(digits: bytes, start: int) -> int:
    """Return how many digits a valid number can have whose country code begins at `start`; 0 if there is none."""
    for length in (1, 2, 3):
        code = int(digits[start : start + length] or b"0")
        if code in COUNTRY_CODE_TO_REGION_CODE:
            found = _end_of(_abroad(code).match(digits[start + length :]))
            return start + length + found if found else 0
    return 0


@lru_cache(maxsize=512)
def _abroad(country_code: int) -> Program:
    """Return an expression that matches the digits after a country code in all valid numbers, and in some others."""
    plans = [
        PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
        for region in COUNTRY_CODE_TO_REGION_CODE[country_code]
    ]
    patterns = [
        # If there is a transform rule, the digits of the prefix may be part of the number.
        "[0-9]+"
        if plan.national_prefix_transform_rule
        else f"(?:{plan.national_prefix_for_parsing or ''})?(?:{plan.general_desc.national_number_pattern})"
        for plan in plans
        if plan and plan.general_desc
    ]
    return longest_match_program("|".join(patterns) or _NOTHING)


def _set_of(patterns: Iterable[str]) -> _Set:
    compiled = _full_match_set()
    for pattern in patterns:
        compiled.Add(pattern)
    compiled.Compile()
    return compiled


def _end_of(match: Match | None) -> int:
    return match.end() if match else 0


def _is_number(candidate: str, region: str | None, leniency: int) -> bool:
    found = next(iter(PhoneNumberMatcher(candidate, region, leniency, 1)), None)
    return found is not None and (found.start, found.end) == (0, len(candidate))
