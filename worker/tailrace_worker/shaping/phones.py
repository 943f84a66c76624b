"""Decides which sequences of digits are telephone numbers."""

import re
from collections.abc import Callable, Iterable
from typing import Final, Protocol, cast

import re2  # type: ignore[import-untyped]
from phonenumbers import Leniency, PhoneMetadata, PhoneNumberMatcher

from tailrace_worker.shaping.characters import HYPHEN, SPACE, character_after, character_before

COMMON_REGIONS: Final = (
    *("AU", "BR", "CA", "CH", "CN", "DE", "ES", "FR", "GB", "IL"),
    *("IN", "IT", "JP", "KR", "MX", "NL", "PL", "PT", "SE", "US"),
)
"""The regions whose national numbers are found unless a guard names others."""

_GAP: Final = rf"[{SPACE}()./{HYPHEN}]{{0,3}}"
_EXTENSION: Final = rf"(?i:[{SPACE}]?(?:[#x]|,?[{SPACE}]?ext(?:\.|ension)?|;ext=)[{SPACE}]?[0-9]{{1,6}})"
CANDIDATE: Final = rf"(?:\b|\B\+|\B\(\+?)[0-9](?:{_GAP}[0-9]){{6,16}}{_EXTENSION}?\b"
"""In RE2's syntax."""

_TIMESTAMP: Final = re.compile(
    r"(?:19|20)\d\d([-./])\d\d?\1\d\d?(?!\d)"  # 2026-01-15, whatever follows it
    r"|\d\d?([-./])\d\d?\2(?:(?:19|20)\d\d|\d\d)(?![-./\d])"  # 15.01.2026, 1/15/26
    r"|1\d{9}(?:\d{3}){0,2}(?!.)"  # seconds since 1970, milliseconds, microseconds
    r"|(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?:\d{4}|\d{6}|\d{9})?(?!.)"
)
_OTHER: Final = re.compile(
    r"(?:\d{1,3}\.){3}\d{1,3}"  # an address of IPv4
    r"|\d+\.\d+"  # a fraction
    r"|\d+0{6}"
    r"|.*\D\d"  # a list, or an ISBN
)
_LETTERS: Final = re.compile("[A-Za-z#;,]")
_ISBN: Final = re.compile(r"97[89]\d{10}")
_FEWEST_BARE_DIGITS: Final = 10
"""A shorter number without anything between its digits counts anything but telephones."""
# Of a price, a share, a path or a longer number.
_NOT_BEFORE: Final = frozenset("-./\u2010\u2011$€£¥₩#")
_NOT_AFTER: Final = frozenset("-/\u2010\u2011%€£¥")


class _Set(Protocol):
    """Expressions of RE2 that look at a text together."""

    def Add(self, pattern: str) -> int: ...  # noqa: N802
    def Compile(self) -> None: ...  # noqa: N802
    def Match(self, text: str) -> list[int] | None: ...  # noqa: N802


_full_match_set = cast("Callable[[], _Set]", re2.Set.FullMatchSet)  # pyright: ignore[reportUnknownMemberType]


class NumberingPlans:
    """How telephone numbers are dialled within some regions."""

    def __init__(self, regions: Iterable[str]) -> None:
        """Regions without telephones of their own are allowed, and add nothing."""
        plans = {region: metadata for region in regions if (metadata := PhoneMetadata.metadata_for_region(region))}
        self._regions = tuple(plans)
        # phonenumbers takes a millisecond to try all regions; most candidates are numbers of none.
        self._dialled = _full_match_set()
        for metadata in plans.values():
            self._dialled.Add(_dialled(metadata))
        self._dialled.Compile()

    def accept(self, text: bytes, start: int, end: int) -> bool:
        """Whether a candidate is a number with a country code, or one that is dialled in one of the regions."""
        if character_before(text, start) in _NOT_BEFORE or character_after(text, end) in _NOT_AFTER:
            return False
        candidate = text[start:end].decode()
        if candidate.startswith("00"):
            return _is_number(f"+{candidate[2:]}", None, Leniency.VALID)
        number = _LETTERS.split(candidate)[0]
        digits = re.sub(r"\D", "", number)
        if "+" in number:
            # Who writes a country code and gaps means a telephone, though its number be given to nobody.
            is_spaced = number != f"+{digits}"
            return _is_number(candidate, None, Leniency.POSSIBLE if is_spaced else Leniency.VALID)
        if (
            (number == digits and len(digits) < _FEWEST_BARE_DIGITS)
            or _TIMESTAMP.match(number)
            or _OTHER.fullmatch(number)
            or _ISBN.fullmatch(digits)
        ):
            return False
        dialled_in = self._dialled.Match(digits) or ()
        return any(_is_number(candidate, self._regions[index], Leniency.VALID) for index in dialled_in)


def _dialled(plan: PhoneMetadata) -> str:
    """What the digits of a region's valid numbers match, and some others."""
    kinds = [plan.fixed_line, plan.mobile, plan.toll_free, plan.premium_rate, plan.shared_cost, plan.personal_number]
    kinds += [plan.voip, plan.pager, plan.uan]
    national = "|".join(kind.national_number_pattern for kind in kinds if kind and kind.national_number_pattern)
    prefix = f"(?:{plan.national_prefix_for_parsing or ''}){'' if _needs_prefix(plan) else '?'}"
    within = f"(?:(?:{plan.country_code})?{prefix}|{plan.country_code})(?:{national})"
    return f"{within}|(?:{plan.international_prefix})[0-9]{{7,15}}"


def _needs_prefix(plan: PhoneMetadata) -> bool:
    """Whether phonenumbers takes none of the region's numbers without the national prefix."""
    return bool(plan.number_format) and all(
        form.national_prefix_formatting_rule not in {None, "", "\\1", "(\\1)"}
        and not form.national_prefix_optional_when_formatting
        for form in plan.number_format
    )


def _is_number(candidate: str, region: str | None, leniency: int) -> bool:
    found = next(iter(PhoneNumberMatcher(candidate, region, leniency, 1)), None)
    return found is not None and (found.start, found.end) == (0, len(candidate))
