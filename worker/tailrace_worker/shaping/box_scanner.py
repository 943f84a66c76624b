"""`BoxScanner`: finds bounding boxes in a text that arrives in parts."""

import re
from dataclasses import dataclass, replace
from typing import Final

import regex

from tailrace.events import Box
from tailrace_worker.shaping.box_labels import is_generic, is_open, label_after, label_before
from tailrace_worker.shaping.box_notations import EDGE, TOKEN, read_box, read_name, scale_of
from tailrace_worker.shaping.markdown_code import Code

_IN_TEXT: Final = re.compile(r"""[\[<`~{}\n]|["'](?=[lnc]|\Z)""")
_IN_JSON: Final = re.compile(r"""[\[<{}\n]|["'](?=[lnc]|\Z)""")
_IN_SPAN: Final = re.compile(r"[`\n]")
_IN_FENCE: Final = re.compile(r"\n")
_BEGINNING: Final = re.compile(r"[^\s>]|\n")

_ATTRIBUTE: Final = re.compile(r"""\s(?:label|name|class|category)=["']([^"'>]+)["'][^>]*>""")
_KEY: Final = re.compile(r"""["']([^"'\n]{1,80})["']\s*:[\s\[]*$""")
_LINE_CHARS: Final = 160
"""How many characters before a box its label may begin."""
_OBJECT_CHARS: Final = 300
"""How many characters after a box the label in its JSON object may begin."""


@dataclass(frozen=True, slots=True)
class _Tag:
    """An open tag around boxes."""

    label: str | None
    scale: int | None


class BoxScanner:
    """A reader of one text, piece by piece. Only the possible beginning of a token is read a second time."""

    def __init__(self) -> None:
        self._found: list[Box] = []
        self._text = ""
        """The text that is not read yet."""
        self._start = 0
        """The position of `_text` in the whole text."""
        self._line = ""
        """The part of the current line that was read since the last box."""
        self._code = Code()
        self._tag: _Tag | None = None
        self._tag_label: str | None = None
        """The label of the last box, if that box was in a tag. A tag that follows directly has the same label."""
        self._depth = 0
        self._key: str | None = None
        self._name: str | None = None
        """The label in the innermost JSON object."""
        self._nameless: list[Box] = []
        """The boxes of this object whose label may still follow."""

    def feed(self, text: str) -> list[Box]:
        """Take more text, and return the boxes that it completes."""
        self._text += text
        self._read(partial=True)
        if self._nameless and self._start - self._nameless[0].end > _OBJECT_CHARS:
            self._give_name(None, self._start)
        return self._take()

    def end(self) -> list[Box]:
        """End or interrupt the text, and return the boxes that this completes."""
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
        """The characters that matter in the current kind of text."""
        if self._code.is_json:
            return _IN_JSON
        if self._code.is_unknown:
            return _BEGINNING
        if self._code.is_fence:
            return _IN_FENCE
        return _IN_SPAN if self._code.is_span else _IN_TEXT

    def _read_mark(self, text: str, at: int, partial: bool) -> int | None:
        """Read what begins at a position, and return its end; `None` if more text has to decide."""
        match text[at]:
            case "\n":
                if self._code.end_line(self._line):
                    self._depth = 0
                    self._end_object(self._start + at)
                    self._tag = None
                elif not self._line:
                    self._tag = None
                self._line = ""
            case character if self._code.is_unknown:
                self._code.begin(character)
                return at
            case "{" | "}" as brace:
                self._depth = max(0, self._depth + (1 if brace == "{" else -1))
                self._end_object(self._start + at)
                self._pass(brace)
            case mark:
                token = TOKEN.match(text, at, partial=partial)
                if token is None and mark == "<":
                    token = EDGE.match(text, at, partial=partial)
                if token is None:
                    self._pass(mark)
                elif token.partial:
                    return None
                else:
                    return self._read_token(token, text, partial)
        return at + 1

    def _read_token(self, token: regex.Match[str], text: str, partial: bool) -> int | None:
        end = token.end()
        if token.re is EDGE:
            self._read_edge(token)
            return end
        if token["box"]:
            if token["opening"]:
                self._tag = None
            if box := self._box(token):
                return self._read_label(box, token, text, partial)
        elif token["ticks"]:
            self._code.see(token["ticks"], self._line)
        else:
            self._name = read_name(token)
            self._give_name(self._name, self._start + token.start())
        self._pass(token[0])
        return end

    def _read_edge(self, edge: regex.Match[str]) -> None:
        self._tag = _Tag(self._label_before(edge), scale_of(edge)) if edge["opening"] else None
        self._line = "[" if edge["opening"] else "]"
        self._key = None

    def _box(self, token: regex.Match[str]) -> Box | None:
        key = _KEY.search(self._line)
        if key:
            self._key = key[1]
        elif not self._is_blank:
            self._key = None
        tag_scale = self._tag.scale if self._tag and (self._depth or self._is_blank) else None
        return read_box(token, self._start + token.start(), key=self._key, tag_scale=tag_scale)

    def _read_label(self, box: Box, token: regex.Match[str], text: str, partial: bool) -> int | None:
        end = token.end()
        tag_label = None
        if self._tag and not token["opening"] and self._key is None and not self._depth and self._is_blank:
            label = tag_label = self._tag.label
        elif (self._key is not None or (self._depth and self._is_blank)) and not _ATTRIBUTE.search(token[0]):
            label = self._name if self._key is None or is_generic(self._key) else self._key
            if label is None and self._depth:
                self._nameless.append(box)
                self._end_box(None)
                return end
        else:
            label = self._label_before(token)
            if token["opening"]:
                tag_label = label
            if label is None and is_open(self._line):
                after = label_after(text, end, partial=partial)
                if after is None:
                    return None
                label, end = after
        self._give_name(None, box.start)
        self._found.append(replace(box, label=label))
        self._end_box(tag_label)
        return end

    def _label_before(self, token: regex.Match[str]) -> str | None:
        """Return the label before a box or a tag of boxes, or in the tag."""
        if token["opening"]:
            attribute = _ATTRIBUTE.search(token["opening"])
            if attribute:
                return attribute[1]
            if self._tag_label and self._line.strip(" ,;") == "]":
                return self._tag_label
        return label_before(self._line)

    def _end_box(self, tag_label: str | None) -> None:
        self._tag_label = tag_label
        self._line = "]"

    @property
    def _is_blank(self) -> bool:
        """True if only white space, commas and brackets come before the box in its line."""
        return not self._line.strip(" \t\r,[]")

    def _end_object(self, at: int) -> None:
        """Note that the innermost JSON object ends, or another one begins."""
        self._give_name(None, at)
        self._name = self._key = None

    def _give_name(self, name: str | None, at: int) -> None:
        for box in self._nameless:
            self._found.append(replace(box, label=name if at - box.end <= _OBJECT_CHARS else None))
        self._nameless.clear()

    def _pass(self, text: str) -> None:
        self._line = (self._line + text).rpartition("\n")[2][-_LINE_CHARS:]
