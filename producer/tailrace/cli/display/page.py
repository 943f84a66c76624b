"""`Page`: turns the blocks of a Markdown text into what rich draws on a terminal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, repeat
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.markdown import Markdown
from rich.rule import Rule
from rich.segment import Segment
from rich.syntax import Syntax
from rich.text import Text

from tailrace.render import (
    Block,
    Container,
    Empty,
    FencedCode,
    Html,
    IndentedCode,
    Item,
    LinkDefinition,
    Math,
    Quote,
    Table,
    ThematicBreak,
)

_HIGHLIGHTED_SCREENS: Final = 2
"""How many screens of open code are highlighted. One is shown, and its colours depend on the code above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PageLimits:
    """How much of a block is drawn at once. The defaults suit every terminal; tests pass others."""

    highlighted_chars: int = 65_536
    """Longer code has no colours. Colouring this many characters takes about a second."""
    piece_chars: int = 16_384
    """Longer blocks are drawn in pieces of this many characters."""


class Page:
    """Draws blocks one below the other. It remembers the last one, whose list or quote the next one may continue."""

    def __init__(self, limits: PageLimits) -> None:
        """Start before the first block.

        Args:
            limits: How much of a block is drawn at once.
        """
        self._limits = limits
        self._last: Block | None = None
        self._numbers: dict[int, int] = {}
        """The number of the last item of each ordered list, by the line in which the list begins."""

    def add(self, block: Block) -> list[RenderableType]:
        """Return what draws a closed block. A large block is drawn in several pieces."""
        drawn = self._placed(block, _bodies(block, self._limits))
        for container in block.containers[self._shared_with(block) :]:
            if isinstance(container, Item) and container.number is not None:
                self._numbers[container.list_line] = self._number(container, container.number, is_new=True)
        self._last = block
        return drawn

    def preview(self, block: Block, *, width: int, height: int) -> RenderableType:
        """Return what draws an open block. If it is larger than the screen, only about its last screen is drawn.

        Args:
            block: The open block.
            width: The width of the screen in columns.
            height: The height of the screen in lines.
        """
        return Group(*self._placed(block, _end_of(block, self._limits, width=width, height=height)))

    def _placed(self, block: Block, bodies: Iterable[RenderableType]) -> list[RenderableType]:
        shared = self._shared_with(block)
        first, rest, between = Text(), Text(), Text()
        for depth, container in enumerate(block.containers):
            mark = self._mark(container, is_new=depth >= shared)
            blank = mark if isinstance(container, Quote) else Text(" " * mark.cell_len)
            rest.append_text(blank)
            first.append_text(mark if depth >= shared else blank)
            between.append_text(blank if depth < shared else Text())
        between.rstrip()
        marks = chain([first], repeat(rest))
        placed = [_Placed(mark, rest, body) for mark, body in zip(marks, bodies, strict=False)]
        is_apart = self._last is not None and (block.apart or not block.containers)
        return [between, *placed] if is_apart else [*placed]

    def _shared_with(self, block: Block) -> int:
        """Return how many of its containers a block shares with the last one. The others begin with this block."""
        last = self._last.containers if self._last else ()
        pairs = enumerate(zip(block.containers, last, strict=False))
        return next((depth for depth, (ours, theirs) in pairs if ours != theirs), min(len(block.containers), len(last)))

    def _mark(self, container: Container, *, is_new: bool) -> Text:
        if isinstance(container, Quote):
            return Text("▌ ", style="bright_black")
        if container.number is None:
            return Text(" • ", style="cyan")
        return Text(f" {self._number(container, container.number, is_new=is_new)}. ", style="cyan")

    def _number(self, item: Item, written: int, *, is_new: bool) -> int:
        """Return the number to draw for an item. As in CommonMark, only the number of a list's first item counts."""
        last = self._numbers.get(item.list_line)
        return written if last is None else last + is_new


class _Placed:
    """A block after the marks of its containers. Its lines have no white space at their ends."""

    def __init__(self, first: Text, rest: Text, body: RenderableType) -> None:
        self._first = first
        self._rest = rest
        self._body = body

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # The marks take at most half of the width, however deep the block is nested.
        width = min(self._rest.cell_len, options.max_width // 2)
        inner = options.update(width=options.max_width - width)
        lines = [_stripped(line) for line in console.render_lines(self._body, inner, pad=False)]
        if isinstance(self._body, Markdown):
            # rich puts blank lines around some blocks.
            written = [at for at, line in enumerate(lines) if line] or [0]
            lines = lines[written[0] : written[-1] + 1]
        marks = self._first
        for line in lines:
            marks = marks.copy()
            marks.truncate(width)
            marks.end = ""
            if not line:
                marks.rstrip()
            yield marks
            yield from line
            yield Segment.line()
            marks = self._rest


def _stripped(line: Sequence[Segment]) -> list[Segment]:
    stripped = list(line)
    while stripped and not stripped[-1].text.rstrip():
        stripped.pop()
    if stripped:
        text, style, control = stripped[-1]
        stripped[-1] = Segment(text.rstrip(), style, control)
    return stripped


def _bodies(block: Block, limits: PageLimits) -> Iterable[RenderableType]:
    match block:
        case FencedCode() | IndentedCode():
            is_highlighted = len(block.text) <= limits.highlighted_chars
            return [_code(block, block.text)] if is_highlighted else _plain(block.text, limits)
        case Html() | LinkDefinition():
            return _plain(block.source, limits, "dim")
        case Math():
            return _plain(block.source, limits, "italic")
        case ThematicBreak():
            return [Rule(style="bright_black")]
        case Empty():
            return [Text()]
        case _:
            is_small = len(block.source) <= limits.piece_chars
            return [_markdown(block.source)] if is_small else _plain(block.source, limits)


def _end_of(block: Block, limits: PageLimits, *, width: int, height: int) -> Iterable[RenderableType]:
    area = width * height
    match block:
        case FencedCode() | IndentedCode():
            lines = block.text[-area * _HIGHLIGHTED_SCREENS :].rsplit("\n", height * _HIGHLIGHTED_SCREENS)
            return [_code(block, "\n".join(lines[-height * _HIGHLIGHTED_SCREENS :]))]
        case Table():
            head, delimiters, *rows = block.source.split("\n")
            return [_markdown("\n".join([head, delimiters, *rows[-height:]]))]
        case _ if len(block.source) <= area:
            return _bodies(block, limits)
        case _:
            return [Text("…" + block.source[-area:])]


def _plain(text: str, limits: PageLimits, style: str = "") -> Iterable[Text]:
    pieces = _pieces(text.rstrip(), limits.piece_chars)
    return (Text(piece.removesuffix("\n"), style=style) for piece in pieces)


def _pieces(text: str, size: int) -> Iterable[str]:
    """Cut a text into pieces at line ends. Only a line that is longer than a piece is cut in the middle."""
    begin = 0
    while len(text) - begin > size:
        end = text.rfind("\n", begin, begin + size) + 1 or begin + size
        yield text[begin:end]
        begin = end
    yield text[begin:]


def _markdown(source: str) -> Markdown:
    # Without hyperlinks rich shows the address: the text of a link may not say where it leads.
    return Markdown(source, hyperlinks=False)


def _code(block: FencedCode | IndentedCode, text: str) -> Text:
    code = _syntax(block.language if isinstance(block, FencedCode) else "").highlight(text.rstrip())
    code.remove_suffix("\n")
    return code


@lru_cache(maxsize=64)
def _syntax(language: str) -> Syntax:
    # Cached, because pygments searches all installed lexers for a name that it does not know.
    lexer = Syntax("", language or "text").lexer
    # This theme uses the colours of the terminal, and its background.
    return Syntax("", lexer or "text", theme="ansi_dark", word_wrap=True)
