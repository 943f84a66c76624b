"""Reads the citations of Messages, each of which belongs to a text block."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from tailrace.events import Citation
from tailrace_worker.providers.citations import number, words
from tailrace_worker.providers.json_decoder import members

_Unit: TypeAlias = Literal["chars", "pages", "blocks"]

_SOURCES: Final[Mapping[object, Literal["web", "search_result"]]] = {
    "web_search_result_location": "web",
    "search_result_location": "search_result",
}
"""The kinds of citations whose source is not a document."""
_PLACES: Final[Mapping[object, tuple[_Unit, str, str]]] = {
    "char_location": ("chars", "start_char_index", "end_char_index"),
    "page_location": ("pages", "start_page_number", "end_page_number"),
    "content_block_location": ("blocks", "start_block_index", "end_block_index"),
    "search_result_location": ("blocks", "start_block_index", "end_block_index"),
}
"""What the kinds of citations count their places in, and the fields of these places."""


def citation_of(said: object) -> Citation:
    """Return a citation without its range, which is that of its text block.

    Args:
        said: The citation, as decoded JSON.
    """
    fields = members(said)
    kind = str(fields.get("type"))
    unit, first, last = _PLACES.get(kind, (None, "", ""))
    index = number(fields.get("search_result_index"))
    return Citation(
        source=_SOURCES.get(kind, "document"),
        url=words(fields.get("url")) or words(fields.get("source")),
        title=words(fields.get("title")) or words(fields.get("document_title")),
        quote=words(fields.get("cited_text")),
        source_index=number(fields.get("document_index")) if index is None else index,
        file_id=words(fields.get("file_id")),
        unit=unit,
        source_start=number(fields.get(first)),
        source_end=number(fields.get(last)),
    )
