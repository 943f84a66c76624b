"""`PartialJson`: the value of a JSON text while the text grows, in time that is linear in the text."""

import json
import re
import sys
from decimal import Decimal
from typing import Any, Final, Protocol, cast

_CONTENT: Final = re.compile(
    r'(?:[^"\\]++|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    # The two halves of a surrogate pair are one character.
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?=[^\\]|\\[^u]|\\u[0-9a-fA-F]{4}))*+",
    re.DOTALL,
)
"""The content of a string, up to its end or to an escape that is not complete."""
_DIGITS: Final = re.compile("[0-9]+")
_PAIR_CHARS: Final = 12
"""The length of the longest escape, a surrogate pair."""


class _Parser(Protocol):
    def send(self, data: bytes, /) -> object: ...


class PartialJson:
    """The value of an object or a list whose JSON arrives in pieces. ijson parses it.

    The text is parsed when the value is read, each character once. ijson gets a string only as a whole, because it
    would read an open string again for each piece. This class decodes the beginning of an open string itself.
    """

    def __init__(self) -> None:
        # Imported here, because few services read partial JSON.
        import ijson  # type: ignore[import-untyped]  # noqa: PLC0415

        self._events = cast("list[tuple[str, Any]]", ijson.sendable_list())  # pyright: ignore[reportUnknownMemberType]
        self._parser = cast("_Parser", ijson.basic_parse_coro(self._events))  # pyright: ignore[reportUnknownMemberType]
        self._errors = (
            cast("type[Exception]", ijson.JSONError),  # pyright: ignore[reportUnknownMemberType]
            ValueError,
            # A number whose exponent no decimal number has.
            ArithmeticError,
        )
        self._is_over = False
        """True once the text is not JSON. The value then stays as it is."""
        self._pieces: list[str] = []
        """The pieces that are not parsed yet."""
        self._tokens: list[str] = []
        """The text for ijson, which does not end inside a string."""
        self._digits = 0
        """The number of digits with which the text for ijson ends so far."""
        self._string: list[str] | None = None
        """The content of the string in which the text ends, without quotes; `None` if it ends outside a string."""
        self._decoded: tuple[str, int] = ("", 0)
        """The decoded beginning of this string, and the number of parts of its content that were decoded."""
        self._escape = ""
        """The incomplete escape at the end of the text."""
        self._root: Any = None
        self._open: list[Any] = []
        """The objects and lists that have not ended."""
        self._key: str | None = None
        """The key in the innermost object whose value has not arrived yet."""
        self._is_open_item = False
        """True if the last item of the innermost list is the beginning of a string."""

    def add(self, piece: str) -> None:
        """Add the next piece of the text.

        Args:
            piece: The piece, of any length.
        """
        if not self._is_over:
            self._pieces.append(piece)

    @property
    def value(self) -> Any:
        """The value so far, the same object each time, which grows. It is `None` until an object or a list begins."""
        if self._pieces and not self._is_over:
            try:
                self._read()
            except self._errors:
                self._is_over = True
            self._pieces.clear()
        return self._root

    def _read(self) -> None:
        # The values before an error count too.
        try:
            self._divide(self._escape + "".join(self._pieces))
        finally:
            self._parse()
        self._show_string()

    def _parse(self) -> None:
        """Let ijson parse the text for it, and take what it finds."""
        tokens = "".join(self._tokens)
        self._tokens.clear()
        try:
            # For ijson, an empty text means the end.
            if tokens:
                self._parser.send(tokens.encode("utf-8", "surrogatepass"))
        finally:
            for event, value in self._events:
                self._take(event, value)
            self._events.clear()

    def _divide(self, text: str) -> None:
        """Divide a text into the part for ijson and the beginning of a string at its end."""
        place = 0
        self._escape = ""
        while place < len(text):
            if self._string is None:
                quote = text.find('"', place)
                self._add_tokens(text[place:] if quote < 0 else text[place:quote])
                if quote < 0:
                    return
                self._string, self._decoded, self._digits = [], ("", 0), 0
                place = quote + 1
            content = _CONTENT.match(text, place)
            end = content.end() if content else place
            self._string.append(text[place:end])
            if text[end : end + 1] != '"':
                self._escape = text[end:]
                if len(self._escape) > _PAIR_CHARS:
                    raise ValueError("An escape is not valid.")
                return
            self._tokens.append(f'"{"".join(self._string)}"')
            self._string = None
            place = end + 1

    def _add_tokens(self, text: str) -> None:
        """Add text that is in no string, up to an integer that is too long for Python: ijson would crash at it."""
        ending = 0
        for digits in _DIGITS.finditer(text):
            count = len(digits[0]) + (0 if digits.start() else self._digits)
            if count > (sys.get_int_max_str_digits() or count):
                self._tokens.append(text[: digits.start()])
                raise ValueError("An integer is too long.")
            ending = count if digits.end() == len(text) else 0
        if text:
            self._tokens.append(text)
            self._digits = ending

    def _take(self, event: str, value: Any) -> None:
        match event:
            case "map_key":
                self._key = value
            case "start_map" | "start_array":
                begun: Any = {} if event == "start_map" else []
                self._place(begun)
                self._open.append(begun)
            case "end_map" | "end_array":
                self._open.pop()
            case _:
                self._place(float(value) if isinstance(value, Decimal) else value)

    def _place(self, value: Any) -> None:
        if not self._open:
            self._root = value if isinstance(value, dict | list) else None
            return
        self._set(value)
        self._key, self._is_open_item = None, False

    def _set(self, value: Any) -> None:
        """Set the next value of the innermost object or list, or set it again."""
        container = self._open[-1]
        if self._key is not None:
            container[self._key] = value
        elif self._is_open_item:
            container[-1] = value
        else:
            container.append(value)

    def _show_string(self) -> None:
        """Place the beginning of an open string where the string will be. A key is not shown before it is complete."""
        if self._string is None or not self._open:
            return
        told, parts = self._decoded
        told += json.loads(f'"{"".join(self._string[parts:])}"', strict=False)
        self._decoded = told, len(self._string)
        is_item = isinstance(self._open[-1], list)
        if is_item or self._key is not None:
            self._set(told)
            self._is_open_item = is_item
