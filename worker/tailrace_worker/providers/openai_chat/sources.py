"""Reads the lists of sources that Perplexity and xAI send beside the choices of a completion."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from tailrace.events import Citation
from tailrace_worker.providers.citations import words
from tailrace_worker.providers.json_decoder import members


def sources(addresses: object, results: object) -> Iterator[Citation]:
    """Yield a citation for each source, in the order in which the text numbers them. None of them has a range.

    Args:
        addresses: The list `citations`, of addresses; anything else if the provider sends none.
        results: The list `search_results`, of objects; anything else if the provider sends none.
    """
    pages = {url: page for page in map(members, _listed(results)) if (url := words(page.get("url")))}
    for url in [url for address in _listed(addresses) if (url := words(address))] or pages:
        yield _source(url, pages.get(url, {}))


def _source(url: str, page: Mapping[str, Any]) -> Citation:
    return Citation(source="web", url=url, title=words(page.get("title")), quote=words(page.get("snippet")))


def _listed(said: object) -> list[object]:
    return cast("list[object]", said) if isinstance(said, list) else []
