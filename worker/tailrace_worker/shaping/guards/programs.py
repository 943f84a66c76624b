"""`Program`: an expression that RE2 has compiled, within a limit to its memory."""

from functools import lru_cache
from typing import Final, Protocol, cast

import re2  # type: ignore[import-untyped]

from tailrace.errors import InvalidRequest
from tailrace.request.patterns import unfolded_chars

_MAX_MEMORY_BYTES: Final = 16 * 1024 * 1024
"""The limit for one compiled expression. An expression that takes twice as much takes seconds to compile."""
_LEAST_MEMORY_BYTES: Final = 262_144
_MEMORY_BYTES_PER_CHAR: Final = 512
"""The memory that a request's expression may take for each of its characters, with its repetitions written out. As a
request has a limit to its characters, this limits the memory of all its expressions together."""

_RefusedByRE2 = cast("type[Exception]", re2.error)  # pyright: ignore[reportUnknownMemberType]


class Match(Protocol):
    """A match. Positions are in bytes."""

    @property
    def lastindex(self) -> int | None:
        """The number of the last group that matched."""
        ...

    def start(self) -> int:
        """Return where the match begins."""
        ...

    def end(self) -> int:
        """Return where the match ends."""
        ...


class Program(Protocol):
    """An expression of RE2. Positions are in bytes. Its assertions see the text around the searched part."""

    @property
    def programsize(self) -> int:
        """The number of RE2's instructions."""
        ...

    def search(self, text: bytes, pos: int) -> Match | None:
        """Return the first match that does not begin before `pos`."""
        ...

    def match(self, text: bytes, pos: int = ..., endpos: int = ...) -> Match | None:
        """Return the match that begins at `pos`, if one does, and ends at `endpos` or before."""
        ...


def program_of(pattern: str, *, is_requests: bool) -> Program:
    """Compile an expression. The programs of built-in expressions are kept.

    Args:
        pattern: The expression, in RE2's syntax.
        is_requests: True if it is a request's own.

    Returns:
        The program.

    Raises:
        InvalidRequest: RE2 refuses the expression, or it needs too much memory.
    """
    if not is_requests:
        return _built_in(pattern)
    wanted = max(_LEAST_MEMORY_BYTES, unfolded_chars(pattern) * _MEMORY_BYTES_PER_CHAR)
    return _compiled_within(pattern, min(wanted, _MAX_MEMORY_BYTES))


def longest_match_program(pattern: str) -> Program:
    """Compile a built-in expression whose longest match counts, in place of its first one.

    Args:
        pattern: The expression, in RE2's syntax.

    Returns:
        The program.
    """
    options = re2.Options()
    options.longest_match = True
    return _compiled(pattern, options)


@lru_cache(maxsize=128)
def _built_in(pattern: str) -> Program:
    return _compiled_within(pattern, _MAX_MEMORY_BYTES)


def _compiled_within(pattern: str, memory_bytes: int) -> Program:
    options = re2.Options()
    options.max_mem = memory_bytes
    options.log_errors = False
    try:
        return _compiled(pattern, options)
    except _RefusedByRE2 as error:
        reason = error.args[0].decode(errors="replace")
        raise InvalidRequest(f"A guard's pattern cannot be used: {reason}.") from None


def _compiled(pattern: str, options: re2.Options) -> Program:
    return cast("Program", re2.compile(pattern, options))  # pyright: ignore[reportUnknownMemberType]
