"""Reads the token counts that a provider sends, in any of their forms."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from tailrace_worker.providers.base import TokenCounts
from tailrace_worker.providers.json_decoder import members

Path: TypeAlias = tuple[str, ...]
Places: TypeAlias = Mapping[str, Sequence[Path]]
"""For each field of `TokenCounts`, the paths of the provider's members; the first one that holds a count is used."""


def used(said: object, places: Places) -> Iterator[TokenCounts]:
    """Yield the counts, if there are any. A value that is not a count is left out, and never fails an answer.

    Args:
        said: The usage as decoded JSON.
        places: The places of the counts.
    """
    counts = {field: _first(said, paths) for field, paths in places.items()}
    if any(count is not None for count in counts.values()):
        yield TokenCounts(**counts)


def _first(said: object, paths: Sequence[Path]) -> int | None:
    return next((count for path in paths if (count := _count(said, path)) is not None), None)


def _count(said: object, path: Path) -> int | None:
    for name in path:
        said = members(said).get(name)
    if isinstance(said, bool) or not isinstance(said, int | float | str):
        return None
    try:
        count = int(float(said))
    except (ValueError, OverflowError):
        return None
    return count if 0 <= count < 2**53 else None
