"""What a provider may say: the kinds of things that this version knows, and the others, which are skipped."""

import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Union

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder

from tailrace_worker.providers.failures import ErrorEvent
from tailrace_worker.providers.json_decoder import decoder, mended

_logger = logging.getLogger(__name__)

_MAX_KINDS: Final = 100
_MAX_KIND_LENGTH: Final = 100


class Skipped:
    """Counts what a provider sends that this version does not know, by its kind; a kind is logged when it is new."""

    def __init__(self, provider: str, redacted: Callable[[str], str]) -> None:
        self._provider = provider
        self._redacted = redacted
        self.counts: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        """Counts one more; beyond a hundred kinds, all others are one."""
        # What is cut off first may be the part of a key by which it is known.
        kind = self._redacted(kind)[:_MAX_KIND_LENGTH]
        if kind not in self.counts and len(self.counts) >= _MAX_KINDS:
            kind = "others"
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            _logger.warning("%s sends %r, which this version of tailrace does not know and skips", self._provider, kind)


class Vocabulary:
    """Decodes things that say by their `type` what they are: each of `kinds` is tagged with one.

    `silent` is a pattern of those that say nothing that a job carries. All others are new, and counted.
    """

    def __init__(self, *kinds: type[Struct], silent: str = "") -> None:
        self._decode: Callable[[Any], Struct] = Decoder[Any](Union[kinds]).decode  # noqa: UP007 - | takes no tuple
        self._known = frozenset(kind.__struct_config__.tag for kind in kinds)
        self._silent = re.compile(silent)

    def __contains__(self, kind: str) -> bool:
        return kind in self._known

    def read(self, data: Any, skipped: Skipped) -> Struct | None:
        """What it is, or `None` for a kind that is skipped.

        Raises:
            ValueError: It is no JSON, says of no kind to be, or has another shape than its kind.
            ErrorEvent: It is an error, and of no kind.
        """
        try:
            return self._decode(data)
        except ValidationError:
            kind = kind_of(data)
            if kind in self._known:
                raise
            if not self._silent.fullmatch(kind[:_MAX_KIND_LENGTH]):
                skipped.add(kind)
            return None
        except DecodeError:
            return self.read(mended(data), skipped)


class _Kind(Struct):
    type: str | None = None
    error: Any = None


_decode_kind: Final = decoder(_Kind)


def kind_of(data: Any) -> str:
    """What the thing says that it is."""
    thing = _decode_kind(data)
    if thing.type is None and thing.error is not None:
        # A gateway's own, in front of the provider.
        raise ErrorEvent(thing.error)
    if thing.type is None:
        raise ValidationError("It has no `type`.")
    return thing.type
