"""`Vocabulary`: the types of events and objects that this version knows; all others are skipped and counted."""

import logging
import re
from collections import Counter
from collections.abc import Callable
from typing import Any, Final, Union, cast

from msgspec import DecodeError, Struct, ValidationError, convert
from msgspec.json import Decoder

from tailrace_worker.providers.errors import ErrorEvent
from tailrace_worker.providers.json_decoder import fitted, loaded, members

_logger = logging.getLogger(__name__)

_MAX_KINDS: Final = 100
_MAX_KIND_LENGTH: Final = 100


class Skipped:
    """Counts by kind what a provider sends and this version does not know; each new kind is logged."""

    def __init__(self, provider: str, redacted: Callable[[str], str]) -> None:
        self._provider = provider
        self._redacted = redacted
        self.counts: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        """Counts one more; beyond a hundred kinds, all others are one."""
        # Redact before cutting: a key that was cut would not be recognised.
        kind = self._redacted(kind)[:_MAX_KIND_LENGTH]
        if kind not in self.counts and len(self.counts) >= _MAX_KINDS:
            kind = "others"
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            _logger.warning("%s sends %r, which this version of tailrace does not know and skips", self._provider, kind)


class Vocabulary:
    """Decodes objects that have a `type`: each of `kinds` is tagged with one.

    `silent` is a pattern of types that a job carries nothing of. All others are new, and counted.
    """

    def __init__(self, *kinds: type[Struct], silent: str = "") -> None:
        self._union: Any = Union[kinds]  # noqa: UP007 - | takes no tuple
        self._decode: Callable[[bytes], Struct] = Decoder[Any](self._union).decode
        self._known = frozenset(str(kind.__struct_config__.tag) for kind in kinds)
        self._silent = re.compile(silent)

    def __contains__(self, kind: str) -> bool:
        return kind in self._known

    def read(self, data: bytes, skipped: Skipped, *, name: bytes = b"") -> Struct | None:
        """Decode an event, or return `None` for a kind that is skipped.

        Args:
            data: The event, as JSON.
            skipped: Counts the kinds that are new.
            name: The name that the stream gives the event. It stands for a `type` that is missing.

        Raises:
            ValueError: The event is not JSON, has no type, or has another shape than its kind has.
            ErrorEvent: It is an error without a type.
        """
        try:
            return self._decode(data)
        except DecodeError:
            pass
        named = name.decode("utf-8", "replace")
        # `message` is the name of an event that has none.
        is_other = named not in {"", "message"} and named not in self._known
        try:
            thing: object = loaded(data)
        except ValueError:
            if is_other:
                return None
            raise
        said = members(thing)
        if not (isinstance(said.get("type"), str) or said.get("error")):
            if is_other or thing == {}:
                return None
            if named and isinstance(thing, dict):
                thing = {**said, "type": named}
        return self.known(thing, skipped)

    def known(self, thing: object, skipped: Skipped) -> Struct | None:
        """Convert a part of an event; otherwise as `read`."""
        try:
            return cast("Struct", convert(thing, self._union))
        except ValidationError:
            kind = kind_of(thing)
        if kind in self._known:
            return cast("Struct", fitted(thing, self._union))
        if not self._silent.fullmatch(kind[:_MAX_KIND_LENGTH]):
            skipped.add(kind)
        return None


def kind_of(thing: object) -> str:
    """Return the `type` of a thing.

    Raises:
        ValidationError: It has none.
        ErrorEvent: It is an error without a type: one of a gateway, not of the provider.
    """
    said = members(thing)
    kind = said.get("type")
    if isinstance(kind, str):
        return kind
    if said.get("error"):
        raise ErrorEvent(said["error"])
    raise ValidationError("It has no `type`.")
