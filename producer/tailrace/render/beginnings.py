"""How blocks begin: as CommonMark 0.31.2 has it, and formulas as models write them."""

import re
from typing import Final, NamedTuple

from tailrace.render.line import CODE_INDENT, Line

HEADING: Final = re.compile(r"#{1,6}+(?=[ \t]|\Z)")
UNDERLINE: Final = re.compile(r"(?:=++|-++)[ \t]*+")
FENCE: Final = re.compile(r"`{3,}+(?=[^`]*+\Z)|~{3,}+")
MATH: Final = re.compile(r"\$\$(?!\$)(?:[^$]|\$(?!\$))*+(?:\$\$[ \t]*+)?\Z")
"""Where text stands behind a second `$$`, the line is text."""

_LIST_MARK: Final = re.compile(r"([0-9]{1,9}+(?=[.)])|(?=[-+*])).(?:(?=[ \t]++[^ \t])|(?P<blank>(?=[ \t]*+\Z)))")

_BREAKS: Final = {
    "*": re.compile(r"(?:\*[ \t]*+)++"),
    "-": re.compile(r"(?:-[ \t]*+)++"),
    "_": re.compile(r"(?:_[ \t]*+)++"),
}


def is_thematic_break(line: Line) -> bool:
    """Whether the rest of a line is a thematic break."""
    if line.character not in _BREAKS or line.start < line.unbroken_until:
        return False
    match = _BREAKS[line.character].match(line.text, line.start)
    if not match or match.end() < len(line.text):
        # Else a line of n marks would be searched n times, since each but the last begins a list in the one before.
        line.unbroken_until = match.end() if match else line.start
        return False
    return line.text.count(line.character, line.start) >= 3


def container_mark(line: Line, *, interrupting: bool) -> str | None:
    """The mark with which the rest of a line begins a quote or an item, which may interrupt a paragraph."""
    if line.indent >= CODE_INDENT:
        return None
    if line.character == ">":
        return ">"
    match = _LIST_MARK.match(line.text, line.start)
    if not match or is_thematic_break(line):
        return None
    if interrupting and (match["blank"] is not None or int(match[1] or 1) != 1):
        return None
    return match[0]


class HtmlKind(NamedTuple):
    """One of the seven kinds of HTML blocks."""

    begin: re.Pattern[str]
    end: re.Pattern[str] | None
    """What stands in the last line. `None`: it ends before a blank line."""
    interrupts: bool = True
    """Whether it ends a paragraph."""


_VERBATIM: Final = r"<(?ai:script|pre|style|textarea)(?=\s|>|{end})"
_NAMES: Final = (
    "address|article|aside|base|basefont|blockquote|body|caption|center|col|colgroup|dd|details|dialog|dir|div|dl|dt|"
    "fieldset|figcaption|figure|footer|form|frame|frameset|h[1-6]|head|header|hr|html|iframe|legend|li|link|main|menu|"
    "menuitem|nav|noframes|ol|optgroup|option|p|param|search|section|summary|table|tbody|td|tfoot|th|thead|title|tr|"
    "track|ul"
)
_BLOCK: Final = rf"</?(?ai:{_NAMES})(?=\s|/?>|{{end}})"
_ATTRIBUTE: Final = r"""\s++[a-zA-Z_:][a-zA-Z0-9:._-]*+(?:\s*+=\s*+(?:[^"'=<>`\x00-\x20]++|'[^']*+'|"[^"]*+"))?+"""
_TAG: Final = rf"<(?:[A-Za-z][A-Za-z0-9-]*+(?:{_ATTRIBUTE})*+\s*+/?|/[A-Za-z][A-Za-z0-9-]*+\s*+)>"

_HTML_KINDS: Final = (
    HtmlKind(re.compile(_VERBATIM.format(end=r"\Z")), re.compile(r"</(?ai:script|pre|style|textarea)>")),
    HtmlKind(re.compile(r"<!--"), re.compile(r"-->")),
    HtmlKind(re.compile(r"<\?"), re.compile(r"\?>")),
    HtmlKind(re.compile(r"<![A-Za-z]"), re.compile(r">")),
    HtmlKind(re.compile(r"<!\[CDATA\["), re.compile(r"\]\]>")),
    HtmlKind(re.compile(_BLOCK.format(end=r"\Z")), None),
    HtmlKind(re.compile(rf"{_TAG}\s*+\Z"), None, interrupts=False),
)


def html_kind(line: Line) -> HtmlKind | None:
    """Which kind of HTML the rest of a line begins."""
    return next((kind for kind in _HTML_KINDS if kind.begin.match(line.text, line.start)), None)


_SETTLED: Final = re.compile(
    rf"""
    [ \t>]*+ (?: (?:[-+*] | [0-9]{{1,9}}+[.)]) [ \t]++ [ \t>]*+ )*+     # marks of containers
    (?: [^ \t\-+*_=\#>`~<|:$0-9]                                        # what begins nothing but text
      | \#{{1,6}}+ [^\#] | \#{{7}}
      | [0-9]{{1,9}}+ (?: [^0-9.)] | [.)][^ \t] ) | [0-9]{{10}}
      | \+ [^ \t]
      | \* [* \t]*+ [^* \t]
      | _ [_ \t]*+ [^_ \t]
      | = [= \t]*+ [^= \t]
      | [-|:] [-|: \t]*+ [^-|: \t]
      | `{{1,2}}+ [^`]
      | ~{{1,2}}+ [^~]
      | \$ [^$]
      | < (?: [^A-Za-z/!?] | / [^A-Za-z] | [A-Za-z][A-Za-z0-9-]*+ [^A-Za-z0-9\s/>-] )
      | <!-- | <\? | <![A-Za-z] | <!\[CDATA\[
      | {_VERBATIM.format(end="(?!)")}
      | {_BLOCK.format(end="(?!)")}
      | {_TAG} \s*+ \S
    )
    """,
    re.VERBOSE,
)


def is_settled(text: str) -> bool:
    """Whether a line that begins so stays what it is, whatever follows and whatever it stands in. A no may be a yes."""
    return _SETTLED.match(text) is not None
