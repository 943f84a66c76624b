"""What markdown-it says of a whole text, with formulas, in a form in which blocks can be compared with it."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeAlias

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock, blockquote, fence, heading, hr, html_block, list_block, table
from markdown_it.token import Token

from tailrace.render import Block, FencedCode, Heading, IndentedCode, MarkdownStream, Quote, Table

Said: TypeAlias = tuple[object, ...]
"""Type, line, containers, and what else there is to say of a block."""


def said(block: Block) -> Said:
    """What a block says. White space at the ends of lines of text is left out: it belongs to the inline parser."""
    containers = tuple(
        (each.type, each.line)
        if isinstance(each, Quote)
        else (each.type, each.line, each.list_line, each.marker, each.number)
        for each in block.containers
    )
    return block.type, block.line, containers, *_details(block)


def _details(block: Block) -> Said:
    match block:
        case Heading():
            return block.level, _trimmed(block.text)
        case FencedCode():
            return block.language, block.text
        case IndentedCode():
            return (block.text,)
        case Table():
            width = len(block.header)
            return block.alignments, [list(block.header), *([*row, *[""] * (width - len(row))] for row in block.rows)]
        case _:
            return (_trimmed(block.source),) if block.type in {"paragraph", "html", "math"} else ()


def _trimmed(text: str) -> str:
    return "\n".join(map(str.strip, text.strip().split("\n")))


def parsed(chunks: Iterable[str]) -> list[Block]:
    """The blocks of a text that comes in chunks."""
    stream = MarkdownStream()
    return [block for chunk in chunks for block in stream.feed(chunk)] + stream.end()


class _Reader:
    """Reads blocks off tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens = iter(tokens)
        self._lists: list[Token] = []
        self._containers: list[Said] = []
        self._empty = False
        """Whether the innermost container has just begun."""

    def blocks(self) -> Iterator[Said]:
        for token in self._tokens:
            match token.type:
                case "bullet_list_open" | "ordered_list_open":
                    self._lists.append(token)
                case "bullet_list_close" | "ordered_list_close":
                    self._lists.pop()
                case "blockquote_open":
                    self._begin("quote", _line(token))
                case "list_item_open":
                    number = int(token.info) if token.info else None
                    self._begin("item", _line(token), _line(self._lists[-1]), token.markup, number)
                case "blockquote_close" | "list_item_close":
                    if self._empty:
                        yield self._block("empty", self._containers[-1][1])
                    self._containers.pop()
                case "paragraph_close" | "heading_close":
                    pass
                case _:
                    type_, *details = self._leaf(token)
                    yield self._block(str(type_), _line(token), *details)

    def _begin(self, *container: object) -> None:
        self._containers.append(container)
        self._empty = True

    def _block(self, type_: str, line: object, *details: object) -> Said:
        self._empty = False
        return type_, line, tuple(self._containers), *details

    def _leaf(self, token: Token) -> Said:
        match token.type:
            case "paragraph_open":
                return "paragraph", _trimmed(next(self._tokens).content)
            case "heading_open":
                return "heading", int(token.tag[1]), _trimmed(next(self._tokens).content)
            case "fence":
                return "fenced_code", next(iter(token.info.split()), ""), token.content.removesuffix("\n")
            case "code_block":
                return "indented_code", token.content.removesuffix("\n")
            case "html_block":
                return "html", _trimmed(token.content)
            case "math":
                return "math", _trimmed(token.content)
            case "hr":
                return ("thematic_break",)
            case "definition":
                return ("link_definition",)
            case "table_open":
                return "table", *self._table()
            case _:
                raise AssertionError(token.type)

    def _table(self) -> tuple[tuple[str | None, ...], list[list[str]]]:
        alignments: list[str | None] = []
        rows: list[list[str]] = []
        for token in self._tokens:
            match token.type:
                case "tr_open":
                    rows.append([])
                case "th_open":
                    alignments.append(str(token.attrs.get("style", "")).removeprefix("text-align:") or None)
                case "inline":
                    rows[-1].append(token.content)
                case "table_close":
                    break
                case _:
                    pass
        return tuple(alignments), rows


def _line(token: Token) -> int:
    assert token.map
    return token.map[0]


def _formula(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A rule for formulas, which markdown-it does not know."""
    if state.is_code_block(start):
        return False
    opening = _FORMULA.fullmatch(_text(state, start))
    if not opening:
        return False
    if silent:
        return True
    after = start + 1
    ended = opening["closing"] is not None
    while not ended and after < end and not state.isEmpty(after) and state.sCount[after] >= state.blkIndent:
        ended = _text(state, after).endswith("$$")
        after += 1
    state.line = after
    token = state.push("math", "", 0)
    token.content = state.getLines(start, after, state.blkIndent, False)
    token.map = [start, after]
    return True


def _table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """The rule for tables, but that what begins another block is no header: it was that before its second line came."""
    if state.sCount[start] < state.blkIndent:
        return False
    if silent:
        found = not _begins_other(state, start, end) and table(state, start, end, silent)
        state.env["interrupting"] = start if found else None
        return found
    # Text that it interrupts was told so before; else what comes first in a container may begin any block.
    if state.env.get("interrupting") != start:
        parent, state.parentType = state.parentType, "root"
        other = _begins_other(state, start, end)
        state.parentType = parent
        if other:
            return False
    return table(state, start, end, silent)


def _begins_other(state: StateBlock, start: int, end: int) -> bool:
    return any(rule(state, start, end, True) for rule in _OTHERS)


def _text(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]].rstrip(" \t")


_FORMULA: Final = re.compile(r"\$\$(?!\$)(?:(?!\$\$).)*(?P<closing>\$\$)?")

_OTHERS: Final = (_formula, fence, blockquote, hr, list_block, html_block, heading)


def _parser() -> MarkdownIt:
    options = {"maxNesting": 1_000, "inline_definitions": True}
    return MarkdownIt("commonmark", options).enable("table").disable("inline")


UNCHANGED: Final = _parser()
_MARKDOWN: Final = _parser()
_MARKDOWN.block.ruler.at("table", _table, {"alt": ["paragraph", "reference"]})
_MARKDOWN.block.ruler.before("fence", "math", _formula, {"alt": ["paragraph", "reference", "blockquote", "list"]})


def blocks_of(text: str, parser: MarkdownIt = _MARKDOWN) -> list[Said]:
    """What markdown-it says of a text."""
    return list(_Reader(parser.parse(text)).blocks())


def close_paragraphs(text: str) -> list[bool]:
    """Which paragraphs of a text stand directly in a tight list."""
    return [token.hidden for token in _MARKDOWN.parse(text) if token.type == "paragraph_open"]
