"""Markdown as it arrives, for interfaces that render the open block alone again and again."""

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
