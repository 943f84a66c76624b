"""Reads the citations among the annotations of OpenAI's protocols."""

from tailrace.events import Citation
from tailrace_worker.providers.citations import text_range, words
from tailrace_worker.providers.json_decoder import members


def cited(said: object, *, offset: int = 0) -> Citation | None:
    """Return the citation of an annotation; `None` if the annotation is of another kind.

    Responses has the fields beside the type, and Chat Completions in an object that is named after the type. A file is
    cited at one position, which is its `index`. Other servers add the `content` of the page.

    Args:
        said: The annotation, as decoded JSON.
        offset: Where the text that the annotation counts from begins in the answer's text.
    """
    annotation = members(said)
    kind = str(annotation.get("type"))
    if not kind.endswith("_citation"):
        return None
    fields = members(annotation.get(kind)) or annotation
    place = fields.get("index")
    start, end = text_range(fields.get("start_index", place), fields.get("end_index", place), offset=offset)
    return Citation(
        source="web" if kind == "url_citation" else "file",
        start=start,
        end=end,
        url=words(fields.get("url")),
        title=words(fields.get("title")) or words(fields.get("filename")),
        quote=words(fields.get("content")),
        file_id=words(fields.get("file_id")),
        container_id=words(fields.get("container_id")),
    )
