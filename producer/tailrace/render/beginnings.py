"""How blocks begin: the rules of CommonMark 0.31.2, and formulas between `$$`, as models write them."""

import re
from typing import Final, NamedTuple

from tailrace.render.line import CODE_INDENT, Line

HEADING: Final = re.compile(r"#{1,6}+(?=[ \t]|\Z)")
UNDERLINE: Final = re.compile(r"(?:=++|-++)[ \t]*+")
FENCE: Final = re.compile(r"`{3,}+(?=[^`]*+\Z)|~{3,}+")
MATH: Final = re.compile(r"\$\$(?!\$)(?:[^$]|\$(?!\$))*+(?:\$\$[ \t]*+)?\Z")
"""A line that has text after a second `$$` is text."""

_LIST_MARK: Final = re.compile(r"([0-9]{1,9}+(?=[.)])|(?=[-+*])).(?:(?=[ \t]++[^ \t])|(?P<blank>(?=[ \t]*+\Z)))")

_BREAKS: Final = {
    "*": re.compile(r"(?:\*[ \t]*+)++"),
    "-": re.compile(r"(?:-[ \t]*+)++"),
    "_": re.compile(r"(?:_[ \t]*+)++"),
}


def is_thematic_break(line: Line) -> bool:
    """Return whether the rest of a line is a thematic break."""
    if line.character not in _BREAKS or line.start < line.unbroken_until:
        return False
    match = _BREAKS[line.character].match(line.text, line.start)
    if not match or match.end() < len(line.text):
        # Remember it: a line of n marks is n nested lists, and would otherwise be searched n times.
        line.unbroken_until = match.end() if match else line.start
        return False
    return line.text.count(line.character, line.start) >= 3


def container_mark(line: Line, *, interrupting: bool) -> str | None:
    """Return the mark of the quote or list item that the rest of a line begins, or `None` if it begins neither.

    Args:
        line: The line, read up to the possible mark.
        interrupting: True if the line above is text of a paragraph. Fewer list items can begin there.
    """
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
    """What the last line contains. `None` if the block ends before a blank line."""
    interrupts: bool = True
    """True if it can begin directly after a line of a paragraph."""


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
    """Return the kind of HTML block that the rest of a line begins, if it begins one."""
    return next((kind for kind in _HTML_KINDS if kind.begin.match(line.text, line.start)), None)


_CERTAIN: Final = re.compile(
    rf"""
    [ \t>]*+ (?: (?:[-+*] | [0-9]{{1,9}}+[.)]) [ \t]++ [ \t>]*+ )*+     # marks of containers
    (?: [^ \t\-+*_=\#>`~<|:$0-9]                                        # a character that can only begin text
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


def is_certain(text: str) -> bool:
    """Return whether the kind of a line is certain from its beginning, whatever follows and in any container.

    False does not mean that the kind is uncertain: the test is fast and does not recognize every certain beginning.
    """
    return _CERTAIN.match(text) is not None
