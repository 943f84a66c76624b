r"""Makes a regular expression for the beginnings of another expression's matches.

If a text arrives in parts, it has to be held back from the position at which a match may have begun, that is, at which
the rest of the text is the beginning of a match. Another regular expression finds this position. For `mil|ra*` it is,
in RE2's syntax, `(?:$|m(?:$|i$))|(?:$|ra*$)`. A whole `mil` is not held back, because more text does not change it.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

_TOKEN: Final = re.compile(
    r"""
      (?P<open> \( (?: \? (?: P?<\w+> | [imsU]*(?:-[imsU]+)?: ) )? )
    | (?P<close> \) )
    | (?P<bar> \| )
    | (?P<repeat> (?: [*+?] | \{ \d+ (?: ,\d* )? \} ) \?? )
    | (?P<foreign> \\[QEC] )
    | (?P<one>
        \\[pP] (?: \{ [^}]* \} | . )
      | \\x (?: \{ [^}]* \} | .. )
      | \\[0-7]{1,3}
      | \\.
      | \[ \^? \]? (?> \[ : \^? [a-z]+ : \] | \\. | [^\]\\] )*+ \]
      | [^\[\\]
      )
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_MAX_DEPTH: Final = 100
# Each position at which the text may end has its own `\z`. If all shared one, RE2 would take quadratic time to compile.
_HERE: Final = r"\z"
_NOTHING: Final = r"[^\x{0}-\x{10FFFF}]"
_ASSERTIONS: Final = frozenset({"^", "$", r"\A", r"\z", r"\b", r"\B"})
_FLAGS: Final = re.compile(r"\(\?([imsU]*(?:-[imsU]+)?)\)", re.ASCII)


class Unsupported(ValueError):
    """The expression has a part that this module cannot take apart."""


class Form(NamedTuple):
    """Two expressions that are made from a given one. Neither has capturing groups."""

    whole: str
    """Matches what the given expression matches."""
    begun: str
    """Matches the beginnings of such a match at the end of a text: the empty one, and each that more text can complete
    or change. A whole match is among them if it can become longer, or if it ends with an assertion, which depends on
    the next character."""


def taken_apart(pattern: str, longest: int | None = None) -> Form:
    """Make the forms of an expression.

    Args:
        pattern: An expression that RE2 accepts.
        longest: The length of the longest text, in bytes. With it, both forms are smaller, because RE2 unrolls counted
            repetitions, but neither matches longer texts correctly. `None`: texts of any length.

    Returns:
        The two forms.

    Raises:
        Unsupported: The expression sets flags after its beginning, or has a `\\Q`, a `\\C`, or a repetition of nothing.
    """
    flags = _FLAGS.match(pattern)
    parser = _ExpressionParser(pattern[flags.end() if flags else 0 :], longest)
    form = parser.choice()
    if parser.kind != "end":
        raise Unsupported(f"{parser.text!r} is not expected")
    return _group(flags[1] if flags else "", form)


def alternatives(forms: Iterable[Form]) -> Form:
    """Return the form that matches if any of the forms does."""
    wholes, beginnings = zip(*forms, strict=True)
    return Form("|".join(wholes), "|".join(beginnings))


class _ExpressionParser:
    """A parser that reads an expression once, and builds its forms on the way."""

    def __init__(self, pattern: str, longest: int | None) -> None:
        self._tokens = _tokens(pattern)
        self._longest = longest
        self._depth = 0
        self._step()

    def _step(self) -> None:
        self.kind, self.text = next(self._tokens)

    def choice(self) -> Form:
        forms = [self._sequence()]
        while self.kind == "bar":
            self._step()
            forms.append(self._sequence())
        return alternatives(forms)

    def _sequence(self) -> Form:
        forms: list[Form] = []
        while self.kind in {"open", "one"}:
            forms.append(self._repeated(self._one()))
        if not forms:
            return Form("", _HERE)
        begun = forms[-1].begun
        for form in reversed(forms[:-1]):
            begun = _followed(form, begun)
        return Form("".join(form.whole for form in forms), begun)

    def _one(self) -> Form:
        kind, text = self.kind, self.text
        self._step()
        if kind != "open":
            return Form(text, _HERE)
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise Unsupported(f"its groups are nested deeper than {_MAX_DEPTH} levels")
        inner = self.choice()
        if self.kind != "close":
            raise Unsupported(f"{self.text!r} is not expected in a group")
        self._depth -= 1
        self._step()
        return _group(text[2:-1] if text.endswith(":") else "", inner)

    def _repeated(self, form: Form) -> Form:
        if self.kind != "repeat":
            return form
        times = self.text
        self._step()
        whole, begun = form
        match times.rstrip("?") or "?":
            case "?":
                pass
            case "*" | "+":
                begun = f"{whole}*(?:{begun})"
            case counted:
                least, comma, most = counted.strip("{}").partition(",")
                last = most if comma else least
                if self._longest is not None and begun == _HERE and whole not in _ASSERTIONS:
                    if int(least) > self._longest:
                        return Form(_NOTHING, f"{whole}*{_HERE}")
                    if last and int(last) > self._longest:
                        times, last = times.replace(counted, f"{{{least},}}"), ""
                begun = f"{whole}{_up_to(last)}(?:{begun})" if last.strip("0") or not last else _HERE
        return Form(whole + times, begun)


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    place = 0
    while token := _TOKEN.match(pattern, place):
        yield str(token.lastgroup), token[0]
        place = token.end()
    rest = pattern[place:]
    while True:
        yield "foreign" if rest else "end", rest


def _group(flags: str, form: Form) -> Form:
    return Form(f"(?{flags}:{form.whole})", f"(?{flags}:{form.begun})")


def _followed(form: Form, begun: str) -> str:
    """Return the beginnings of a sequence: a part of its first form, or all of that and a part of the rest."""
    return f"(?:{form.begun}|{form.whole}{begun})"


def _up_to(last: str) -> str:
    return f"{{0,{int(last) - 1}}}" if last else "*"
