"""`Vocabulary`: the types of events and objects that this version knows. All others are skipped and counted."""

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
    """The counts, by kind, of objects that a provider sends and this version does not know. A new kind is logged."""

    def __init__(self, provider: str, redacted: Callable[[str], str]) -> None:
        self._provider = provider
        self._redacted = redacted
        self.counts: Counter[str] = Counter()

    def add(self, kind: str) -> None:
        """Count one more object. After a hundred kinds, all new ones count as one kind.

        Args:
            kind: The type of the object.
        """
        # Redact before cutting: a key that was cut would not be recognised.
        kind = self._redacted(kind)[:_MAX_KIND_LENGTH]
        if kind not in self.counts and len(self.counts) >= _MAX_KINDS:
            kind = "others"
        self.counts[kind] += 1
        if self.counts[kind] == 1:
            _logger.warning("%s sent %r, which this version of tailrace does not know: skipped", self._provider, kind)


class Vocabulary:
    """A decoder of objects by their `type`."""

    def __init__(self, *kinds: type[Struct], silent: str = "") -> None:
        """Set the known types.

        Args:
            kinds: The structures to decode, each with its type as its tag.
            silent: A pattern of types that are skipped without being counted, because no job needs them.
        """
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
            name: The name that the stream gives the event. It replaces a missing `type`.

        Raises:
            ValueError: The event is not JSON, has no type, or does not have the shape of its type.
            ErrorEvent: The event is an error without a type.
        """
        try:
            return self._decode(data)
        except DecodeError:
            pass
        named = name.decode("utf-8", "replace")
        # An event without a name counts as `message`.
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
        """Convert a decoded event or a part of one, or return `None` for a kind that is skipped.

        Args:
            thing: The decoded JSON.
            skipped: Counts the kinds that are new.

        Raises:
            ValidationError: It has no type, or does not have the shape of its type.
            ErrorEvent: It is an error without a type.
        """
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
    """Return the `type` of a decoded object.

    Args:
        thing: The decoded JSON.

    Raises:
        ValidationError: It has no type.
        ErrorEvent: It is an error without a type, which comes from a gateway and not from the provider.
    """
    said = members(thing)
    kind = said.get("type")
    if isinstance(kind, str):
        return kind
    if said.get("error"):
        raise ErrorEvent(said["error"])
    raise ValidationError("An object has no `type`.")
