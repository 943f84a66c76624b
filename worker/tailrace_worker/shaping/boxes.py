"""Finds bounding boxes in text, while the text goes on unchanged."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Final

import regex

from tailrace.events import Box, Delta, ToolCall
from tailrace_worker.provider import Finish, Piece
from tailrace_worker.shaping.box_labels import is_generic, is_open, label_after, label_before
from tailrace_worker.shaping.markdown_code import TICKS, Code

_NUMBER: Final = r"(?P<number>[-+]?(?:[0-9]{1,12}(?:\.[0-9]{0,12})?|\.[0-9]{1,12}))"
_COMMA: Final = r"(?:\s{0,16},\s{0,16}|\s{1,16})"
_LIST: Final = rf"\[\s{{0,16}}{_NUMBER}(?:{_COMMA}{_NUMBER}){{3}}\s{{0,16}}\]"
_TAG: Final = (
    r"<(?:b?box(?:\s[^<>\n]{0,100})?|\|box_start\|)>"
    rf"[\s\[(]{{0,8}}{_NUMBER}(?:[\s,;()]{{1,8}}{_NUMBER}){{3}}[\s\])]{{0,8}}"
    r"<(?:/b?box|\|box_end\|)>"
)
_QUOTED: Final = r""""(?:[^"\\\n]|\\.){0,100}"|'[^'\n]{0,100}'"""
_NAME: Final = rf"""["'](?:label|name|class|category)["']\s{{0,16}}:\s{{0,16}}(?P<name>{_QUOTED})"""

_TOKEN: Final = regex.compile(rf"(?P<box>{_LIST}|{_TAG})|(?P<ticks>{TICKS})|{_NAME}")
"""All are bounded in length, so that what is held of a text is."""
_IN_TEXT: Final = re.compile(r"""[\[<`~{}\n]|["'](?=[lnc]|\Z)""")
_IN_SPAN: Final = re.compile(r"[`\n]")
_IN_FENCE: Final = re.compile(r"\n")

_ATTRIBUTE: Final = re.compile(r"""\s(?:label|name|class|category)=["']([^"'>]+)["'][^>]*>""")
_KEY: Final = re.compile(r"""["']([^"'\n]{1,80})["']\s*:[\s\[]*$""")
_LINE_CHARS: Final = 160
"""How far back before a box its label can begin."""
_OBJECT_CHARS: Final = 300
"""How far behind a box the label can be that its JSON object gives it."""


async def boxes(pieces: AsyncGenerator[Piece, None], *, said: str = "") -> AsyncGenerator[Piece, None]:
    """Passes all on, and says of each box in the answer's text what it is, right behind the piece that makes it known.

    That is the one with its last bracket, or with the label that follows. A box is `[x1, y1, x2, y2]`, or the same in
    `<box>` or `<bbox>` (also as two points), with x2 and y2 not below x1 and y1; not one is in code, which is what
    stands in a fence, or behind backticks in a line. Numbers under the JSON key `box_2d` begin with y.

    Characters are counted from the beginning of the text; `said` is what an earlier attempt has said of it.
    """
    scanner = _Scanner()
    scanner.feed(said)
    async with aclosing(pieces):
        async for piece in pieces:
            if isinstance(piece, ToolCall | Finish):
                for box in scanner.end():
                    yield box
            yield piece
            if isinstance(piece, Delta):
                for box in scanner.feed(piece.text):
                    yield box
        for box in scanner.end():
            yield box


class _Scanner:
    """Reads a text piece by piece, each part of it once, but for what may be the beginning of a token."""

    def __init__(self) -> None:
        self._found: list[Box] = []
        self._text = ""
        """What is not read yet."""
        self._start = 0
        """Where in all the text that begins."""
        self._line = ""
        """What was read of the line, from the last box on."""
        self._code = Code()
        self._depth = 0
        self._key: str | None = None
        self._name: str | None = None
        """The label that the innermost JSON object has given."""
        self._nameless: list[Box] = []
        """Boxes to which it may still give one."""

    def feed(self, text: str) -> list[Box]:
        """The boxes that this makes known."""
        self._text += text
        self._read(partial=True)
        if self._nameless and self._start - self._nameless[0].end > _OBJECT_CHARS:
            self._give_name(None, self._start)
        return self._take()

    def end(self) -> list[Box]:
        """The boxes that are known because the text ends, or is interrupted."""
        self._text += "\n"
        self._read(partial=False)
        self._start -= 1
        self._give_name(None, self._start)
        return self._take()

    def _take(self) -> list[Box]:
        found, self._found = self._found, []
        return found

    def _read(self, *, partial: bool) -> None:
        text, at = self._text, 0
        while mark := self._marks.search(text, at):
            self._pass(text[at : mark.start()])
            at = mark.start()
            end = self._read_mark(text, at, partial)
            if end is None:
                break
            at = end
        else:
            self._pass(text[at:])
            at = len(text)
        self._text = text[at:]
        self._start += at

    @property
    def _marks(self) -> re.Pattern[str]:
        """What to look out for."""
        if self._code.is_fence:
            return _IN_FENCE
        return _IN_SPAN if self._code.is_span else _IN_TEXT

    def _read_mark(self, text: str, at: int, partial: bool) -> int | None:
        """Reads what begins there, and returns its end; `None` where it takes more text to know."""
        match text[at]:
            case "\n":
                self._code.end_line(self._line)
                self._line = ""
            case "{" | "}" as brace:
                self._depth = max(0, self._depth + (1 if brace == "{" else -1))
                self._give_name(None, self._start + at)
                self._name = self._key = None
                self._pass(brace)
            case mark:
                token = _TOKEN.match(text, at, partial=partial)
                if token is None:
                    self._pass(mark)
                elif token.partial:
                    return None
                else:
                    return self._read_token(token, text, partial)
        return at + 1

    def _read_token(self, token: regex.Match[str], text: str, partial: bool) -> int | None:
        end = token.end()
        if token["box"]:
            if box := self._box(token):
                return self._read_label(box, token, text, partial)
        elif token["ticks"]:
            self._code.see(token["ticks"], self._line)
        else:
            self._name = _unquoted(token["name"])
            self._give_name(self._name, self._start + token.start())
        self._pass(token[0])
        return end

    def _box(self, token: regex.Match[str]) -> Box | None:
        numbers = [float(number) for number in token.captures("number")]
        key = _KEY.search(self._line)
        if key:
            self._key = key[1]
        elif not self._is_blank:
            self._key = None
        if self._key == "box_2d":
            numbers = [numbers[1], numbers[0], numbers[3], numbers[2]]
        x1, y1, x2, y2 = numbers
        if x2 < x1 or y2 < y1:
            return None
        return Box(x1=x1, y1=y1, x2=x2, y2=y2, start=self._start + token.start(), end=self._start + token.end())

    def _read_label(self, box: Box, token: regex.Match[str], text: str, partial: bool) -> int | None:
        end = token.end()
        attribute = _ATTRIBUTE.search(token[0])
        if attribute:
            label = attribute[1]
        elif self._key is not None or (self._depth and self._is_blank):
            label = self._name if self._key is None or is_generic(self._key) else self._key
            if label is None and self._depth:
                self._nameless.append(box)
                self._line = "]"
                return end
        else:
            label = label_before(self._line)
            if label is None and is_open(self._line):
                after = label_after(text, end, partial=partial)
                if after is None:
                    return None
                label, end = after
        self._give_name(None, box.start)
        self._found.append(replace(box, label=label))
        self._line = "]"
        return end

    @property
    def _is_blank(self) -> bool:
        """Whether the box goes on with a list, or begins a line."""
        return not self._line.strip(" \t\r,[]")

    def _give_name(self, name: str | None, at: int) -> None:
        for box in self._nameless:
            self._found.append(replace(box, label=name if at - box.end <= _OBJECT_CHARS else None))
        self._nameless.clear()

    def _pass(self, text: str) -> None:
        self._line = (self._line + text).rpartition("\n")[2][-_LINE_CHARS:]


def _unquoted(quoted: str) -> str | None:
    try:
        label: str = json.loads(quoted) if quoted.startswith('"') else quoted[1:-1]
    except ValueError:
        label = quoted[1:-1]
    return label.strip() or None
