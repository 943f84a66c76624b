"""Incremental Markdown, for interfaces that render only the open block again as text arrives."""

from tailrace.render.blocks import (
    Block,
    Container,
    Empty,
    FencedCode,
    Heading,
    Html,
    IndentedCode,
    Item,
    LinkDefinition,
    Math,
    Paragraph,
    Quote,
    Table,
    ThematicBreak,
)
from tailrace.render.stream import MarkdownStream, follow
from tailrace.render.table import Alignment

__all__ = [
    "Alignment",
    "Block",
    "Container",
    "Empty",
    "FencedCode",
    "Heading",
    "Html",
    "IndentedCode",
    "Item",
    "LinkDefinition",
    "MarkdownStream",
    "Math",
    "Paragraph",
    "Quote",
    "Table",
    "ThematicBreak",
    "follow",
]
