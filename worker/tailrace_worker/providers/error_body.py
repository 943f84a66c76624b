"""`ErrorBody`: the words and codes in the body of an error, in any of the forms that servers and gateways use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from json import JSONDecoder
from typing import Final, Self, cast

_HOLDERS: Final = (
    "error",
    "errors",
    "base_resp",
    "message",
    "msg",
    "status_msg",
    "detail",
    "details",
    "metadata",
    "raw",
)
"""Members that hold the words of an error, or an object or a list with such members.

`base_resp` and `status_msg` are MiniMax's, `detail` and `msg` FastAPI's, `details` Google's and Anthropic's. `metadata`
and its `raw` are OpenRouter's: the answer of the provider that it called.
"""
_TERMS: Final = ("code", "type", "status", "status_code", "reason", "error_code", "error_type")
"""Members that name the kind of the error."""
_ERRORS_OWN: Final = frozenset({"error", "errors", "detail", "base_resp"})
"""An object with one of these is an error. So is an object with a `message` and one of `_TERMS`."""

_JSON_BEGIN: Final = re.compile(r'\{\s*"|\[\s*\{')
_RETRY_DELAY: Final = re.compile(r"(\d{1,9}(?:\.\d+)?)s", re.ASCII)
"""A duration in protobuf's JSON (https://protobuf.dev/programming-guides/json/)."""
_MAX_DEPTH: Final = 8
_MAX_PHRASES: Final = 8

_raw_decode: Final = JSONDecoder().raw_decode


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorBody:
    """An error's words, for people, and its terms, for programs."""

    words: str = ""
    terms: tuple[str, ...] = ()
    """Codes, types and statuses. MiniMax's are written as `base_resp:1008`, because other servers use these numbers
    too."""
    retry_after_seconds: float | None = None
    """The delay of a `google.rpc.RetryInfo`."""

    @classmethod
    def of(cls, body: object) -> Self:
        """Read the body of an error.

        Args:
            body: The decoded JSON, or text that may contain JSON.
        """
        reader = _Reader()
        reader.take(body, _MAX_DEPTH)
        return cls(words=reader.words(), terms=tuple(reader.terms), retry_after_seconds=reader.retry_after_seconds)


class _Reader:
    def __init__(self) -> None:
        self.terms: list[str] = []
        self.retry_after_seconds: float | None = None
        self._phrases: list[str] = []

    def words(self) -> str:
        """Return each phrase once; if there is none, the terms that are not numbers."""
        phrases = self._phrases or [term for term in self.terms if not term.isdecimal() and term != "error"]
        once = dict.fromkeys(phrase.strip().rstrip(".") for phrase in phrases)
        return "; ".join(phrase for phrase in once if not any(phrase in other for other in once if other != phrase))

    def take(self, said: object, depth: int) -> None:
        """Read a value, at most `depth` levels deep."""
        if isinstance(said, str):
            self._say(self._unwrapped(said, depth))
        elif isinstance(said, list) and depth:
            for each in cast("list[object]", said):
                self.take(each, depth - 1)
        elif isinstance(said, Mapping) and depth:
            self._take_object(cast("Mapping[str, object]", said), depth)

    def _take_object(self, said: Mapping[str, object], depth: int) -> None:
        terms = [str(said[name]) for name in _TERMS if _is_term(said.get(name))]
        if "status_msg" in said:
            if not said.get("status_code"):
                # This is MiniMax's `success`, which comes with an answer, or with an error in another form.
                return
            terms = [f"base_resp:{term}" for term in terms]
        self.terms += terms
        if (place := said.get("loc")) and isinstance(place, list) and isinstance(said.get("msg"), str):
            # FastAPI names the field beside the words.
            self._say(f"{'.'.join(map(str, cast('list[object]', place)))}: {said['msg']}")
        if isinstance(delay := said.get("retryDelay"), str) and (seconds := _RETRY_DELAY.fullmatch(delay)):
            self.retry_after_seconds = float(seconds[1])
        for name in _HOLDERS:
            self.take(said.get(name), depth - 1)

    def _say(self, phrase: str) -> None:
        if phrase.strip() and len(self._phrases) < _MAX_PHRASES:
            self._phrases.append(phrase)

    def _unwrapped(self, text: str, depth: int) -> str:
        """Replace the JSON of an error in a text with its words, because gateways pass bodies on as text."""
        begin = _JSON_BEGIN.search(text)
        if not (begin and depth):
            return text
        try:
            value, end = _raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            return text
        inner = _Reader()
        if is_error(value):
            inner.take(value, depth - 1)
        if not (words := inner.words()):
            return text
        self.terms += inner.terms
        if inner.retry_after_seconds is not None:
            self.retry_after_seconds = inner.retry_after_seconds
        return f"{text[: begin.start()]}{words}{text[end:]}"


def _is_term(value: object) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def is_error(value: object) -> bool:
    """Return whether a JSON value is an error.

    The check is needed because JSON inside a text may be part of the request, which the text quotes.

    Args:
        value: The decoded JSON.
    """
    if isinstance(value, list):
        first = cast("list[object]", value)[:1]
        return bool(first) and is_error(first[0])
    if not isinstance(value, Mapping):
        return False
    names = cast("Mapping[str, object]", value).keys()
    return not _ERRORS_OWN.isdisjoint(names) or ("message" in names and not names.isdisjoint(_TERMS))
