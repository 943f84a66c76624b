"""The sources that providers cite, with the range of the text for which each is cited."""

from collections.abc import Iterable
from typing import Any

import pytest
from anthropic.types import (
    CitationCharLocation,
    CitationContentBlockLocation,
    CitationPageLocation,
    CitationsDelta,
    CitationsSearchResultLocation,
    CitationsWebSearchResultLocation,
)
from openai.types.chat import chat_completion_message as chat
from openai.types.responses import ResponseOutputTextAnnotationAddedEvent
from openai.types.responses import response_output_text as responses
from pydantic import BaseModel

from tailrace.events import Citation, Delta
from tailrace_worker.providers.base import Piece
from tests.recorded.folded import folded
from tests.support.wire import read, sse

END: list[dict[str, Any]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
    {"type": "message_stop"},
]
PAGE = CitationsWebSearchResultLocation(
    type="web_search_result_location",
    url="https://mill.example/tailrace",
    title="The tailrace",
    cited_text="Water leaves by it.",
    encrypted_index="Eo8B",
)
CITED_PAGE: dict[str, Any] = {
    "source": "web",
    "url": "https://mill.example/tailrace",
    "title": "The tailrace",
    "quote": "Water leaves by it.",
}


def citations(pieces: Iterable[Piece]) -> list[Citation]:
    return folded(pieces).citations


def block(index: int, text: str, *cited: Any, late: bool = False) -> list[dict[str, Any]]:
    """A text block in two fragments, with its citations before the text, as Anthropic sends them, or after it."""

    def delta(**said: Any) -> dict[str, Any]:
        return {"type": "content_block_delta", "index": index, "delta": said}

    texts = [delta(type="text_delta", text=text[:2]), delta(type="text_delta", text=text[2:])]
    sources = [delta(type="citations_delta", citation=each.to_dict()) for each in cited]
    begin = {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
    said = [*texts, *sources] if late else [*sources, *texts]
    return [begin, *said, {"type": "content_block_stop", "index": index}]


def model(kind: type[BaseModel], **fields: Any) -> Any:
    """An object of an SDK. Its fields have to be those of the SDK's class."""
    assert set(fields) <= set(kind.model_fields)
    return kind.model_validate(fields)


class TestMessages:
    @pytest.mark.parametrize("late", [False, True])
    async def test_a_citation_has_the_range_of_its_text_block(self, late: bool) -> None:
        events = [*block(0, "Mills: "), *block(1, "water leaves", PAGE, late=late), *block(2, "."), *END]
        pieces = await read("anthropic", sse(*events))
        assert citations(pieces) == [Citation(start=7, end=19, **CITED_PAGE)]
        # It comes before the text after it.
        assert [type(piece) for piece in pieces[:6]] == [Delta, Delta, Delta, Delta, Citation, Delta]

    async def test_the_delta_is_the_one_of_the_sdk(self) -> None:
        assert model(CitationsDelta, type="citations_delta", citation=PAGE).to_dict() == {
            "type": "citations_delta",
            "citation": PAGE.to_dict(),
        }

    async def test_one_passage_may_have_several_sources(self) -> None:
        other = PAGE.model_copy(update={"url": "https://other.example"})
        pieces = await read("anthropic", sse(*block(0, "Mills.", PAGE, other, PAGE), *END))
        assert [(each.url, each.start, each.end) for each in citations(pieces)] == [
            ("https://mill.example/tailrace", 0, 6),
            ("https://other.example", 0, 6),
        ]

    @pytest.mark.parametrize(
        ("said", "cited"),
        [
            (
                model(
                    CitationCharLocation,
                    type="char_location",
                    cited_text="Water.",
                    document_index=0,
                    document_title="Mills",
                    file_id="file_1",
                    start_char_index=10,
                    end_char_index=16,
                ),
                {"title": "Mills", "source_index": 0, "file_id": "file_1"}
                | {"unit": "chars", "source_start": 10, "source_end": 16},
            ),
            (
                model(
                    CitationPageLocation,
                    type="page_location",
                    cited_text="Water.",
                    document_index=1,
                    start_page_number=3,
                    end_page_number=4,
                ),
                {"source_index": 1, "unit": "pages", "source_start": 3, "source_end": 4},
            ),
            (
                model(
                    CitationContentBlockLocation,
                    type="content_block_location",
                    cited_text="Water.",
                    document_index=2,
                    start_block_index=0,
                    end_block_index=2,
                ),
                {"source_index": 2, "unit": "blocks", "source_start": 0, "source_end": 2},
            ),
            (
                model(
                    CitationsSearchResultLocation,
                    type="search_result_location",
                    cited_text="Water.",
                    search_result_index=4,
                    source="https://wiki.example/mills",
                    title="Mills",
                    start_block_index=0,
                    end_block_index=1,
                ),
                {"source": "search_result", "url": "https://wiki.example/mills", "title": "Mills", "source_index": 4}
                | {"unit": "blocks", "source_start": 0, "source_end": 1},
            ),
        ],
        ids=lambda value: type(value).__name__,
    )
    async def test_a_place_in_a_document_or_a_search_result_is_told(self, said: Any, cited: dict[str, Any]) -> None:
        pieces = await read("anthropic", sse(*block(0, "Mills.", said), *END))
        expected: dict[str, Any] = {"source": "document", "quote": "Water.", "start": 0, "end": 6, **cited}
        assert citations(pieces) == [Citation(**expected)]

    async def test_an_answer_that_is_not_streamed_has_them_too(self) -> None:
        content = [{"type": "text", "text": "Mills: "}, {"type": "text", "text": "mm", "citations": [PAGE.to_dict()]}]
        message = {"type": "message", "content": content, "stop_reason": "end_turn"}
        pieces = await read("anthropic", _plain(message), stream=False)
        assert citations(pieces) == [Citation(start=7, end=9, **CITED_PAGE)]

    async def test_a_long_quote_is_cut(self) -> None:
        said = PAGE.model_copy(update={"cited_text": "é" * 100_000})
        (cited,) = citations(await read("anthropic", sse(*block(0, "Mills.", said), *END)))
        assert cited.quote == "é" * 8_192

    @pytest.mark.parametrize("said", [None, {}, [], {"type": "page_location"}, {"url": 1, "cited_text": ["x"]}, "x"])
    async def test_one_that_names_no_source_is_left_out(self, said: object) -> None:
        begin, *rest = block(0, "Mills.")
        delta = {"type": "citations_delta", "citation": said}
        cited = {"type": "content_block_delta", "index": 0, "delta": delta}
        pieces = await read("anthropic", sse(begin, cited, *rest, *END))
        assert folded(pieces).text == "Mills."
        assert citations(pieces) == []


URL = model(
    responses.AnnotationURLCitation,
    type="url_citation",
    url="https://mill.example",
    title="Mill",
    start_index=3,
    end_index=7,
)
FILE = model(responses.AnnotationFileCitation, type="file_citation", file_id="file-1", filename="mills.pdf", index=4)
CONTAINER_FILE = model(
    responses.AnnotationContainerFileCitation,
    type="container_file_citation",
    container_id="cntr_1",
    file_id="cfile_1",
    filename="mills.csv",
    start_index=0,
    end_index=2,
)
CITED_URL = Citation(source="web", url="https://mill.example", title="Mill", start=3, end=7)


def response(*events: dict[str, Any], output: Iterable[object] = ()) -> bytes:
    done = {"type": "response.completed", "response": {"status": "completed", "output": list(output)}}
    return sse(*events, done)


def said(text: str, item: str = "m", part: int = 0) -> dict[str, Any]:
    return {
        "type": "response.output_text.delta",
        "item_id": item,
        "output_index": int(item != "m"),
        "content_index": part,
        "delta": text,
    }


def annotated(annotation: Any, index: int = 0, item: str = "m", part: int = 0) -> dict[str, Any]:
    added: Any = model(
        ResponseOutputTextAnnotationAddedEvent,
        type="response.output_text.annotation.added",
        annotation=annotation.to_dict(),
        annotation_index=index,
        content_index=part,
        item_id=item,
        output_index=int(item != "m"),
        sequence_number=0,
    )
    event: dict[str, Any] = added.to_dict()
    del event["sequence_number"]
    return event


def message(text: str, *annotations: Any, item: str = "m") -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [each.to_dict() for each in annotations]}
    return {"type": "message", "id": item, "content": [part]}


class TestResponses:
    async def test_each_annotation_comes_once_although_it_is_repeated_three_times(self) -> None:
        whole = message("So mills turn.", URL)
        part = {"type": "response.content_part.done", "item_id": "m", "output_index": 0, "content_index": 0}
        pieces = await read(
            "openai-responses",
            response(
                said("So mills"),
                annotated(URL),
                said(" turn."),
                {**part, "part": whole["content"][0]},
                {"type": "response.output_item.done", "output_index": 0, "item": whole},
                output=[whole],
            ),
        )
        assert citations(pieces) == [CITED_URL]
        assert pieces[1] == CITED_URL

    @pytest.mark.parametrize(
        ("annotation", "cited"),
        [
            (URL, CITED_URL),
            (FILE, Citation(source="file", file_id="file-1", title="mills.pdf", start=4, end=4)),
            (
                CONTAINER_FILE,
                Citation(source="file", file_id="cfile_1", container_id="cntr_1", title="mills.csv", start=0, end=2),
            ),
        ],
    )
    @pytest.mark.parametrize("streamed", [True, False])
    async def test_every_kind_is_read_streamed_or_not(self, annotation: Any, cited: Citation, streamed: bool) -> None:
        if streamed:
            pieces = await read("openai-responses", response(said("So mills turn."), annotated(annotation)))
        else:
            body = {"status": "completed", "output": [message("So mills turn.", annotation)]}
            pieces = await read("openai-responses", _plain(body), stream=False)
        assert citations(pieces) == [cited]

    @pytest.mark.parametrize("streamed", [True, False])
    async def test_the_range_counts_from_the_beginning_of_the_answer_and_not_of_the_part(self, streamed: bool) -> None:
        first, second = message("One. "), message("So mills turn.", URL, item="n")
        first["content"].append({"type": "output_text", "text": "Two. So mills.", "annotations": [URL.to_dict()]})
        if streamed:
            pieces = await read(
                "openai-responses",
                response(
                    said("One. "),
                    said("Two. So mills.", part=1),
                    annotated(URL, part=1),
                    {"type": "response.output_item.done", "output_index": 0, "item": first},
                    said("So mills turn.", item="n"),
                    annotated(URL, item="n"),
                    output=[first, second],
                ),
            )
        else:
            body = {"status": "completed", "output": [first, second]}
            pieces = await read("openai-responses", _plain(body), stream=False)
        assert [(each.start, each.end) for each in citations(pieces)] == [(8, 12), (22, 26)]

    async def test_a_range_that_the_text_does_not_have_is_left_out(self) -> None:
        beyond = URL.model_copy(update={"end_index": 99})
        pieces = await read("openai-responses", response(said("So mills turn."), annotated(beyond)))
        assert citations(pieces) == [Citation(source="web", url="https://mill.example", title="Mill")]

    async def test_a_citation_that_comes_before_its_text_waits_for_it(self) -> None:
        pieces = await read("openai-responses", response(said("So"), annotated(URL), said(" mills turn.")))
        assert [type(piece) for piece in pieces[:3]] == [Delta, Delta, Citation]
        assert citations(pieces) == [CITED_URL]

    @pytest.mark.parametrize("annotation", [None, [], {}, {"type": "file_path", "file_id": "f", "index": 0}, "x"])
    async def test_what_is_no_citation_is_skipped(self, annotation: object) -> None:
        event = {**annotated(URL), "annotation": annotation}
        assert citations(await read("openai-responses", response(said("So mills turn."), event))) == []


def chunk(choice: dict[str, Any], **others: object) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "choices": [choice], **others}


ANNOTATION = model(
    chat.Annotation,
    type="url_citation",
    url_citation=model(
        chat.AnnotationURLCitation, url="https://mill.example", title="Mill", start_index=3, end_index=7
    ),
).to_dict()


class TestChatCompletions:
    async def test_annotations_are_read_and_repeated_ones_come_once(self) -> None:
        pieces = await read(
            "openai",
            sse(
                chunk({"delta": {"content": "So mills"}}),
                chunk({"delta": {"content": "", "annotations": [ANNOTATION]}}),
                chunk({"delta": {"content": " turn.", "annotations": [ANNOTATION]}}),
                chunk({"delta": {}, "finish_reason": "stop"}),
            ),
        )
        assert citations(pieces) == [CITED_URL]

    async def test_an_answer_that_is_not_streamed_has_them_too(self) -> None:
        message = {"content": "So mills turn.", "annotations": [ANNOTATION]}
        completion = {"object": "chat.completion", "choices": [{"message": message, "finish_reason": "stop"}]}
        assert citations(await read("openai", _plain(completion), stream=False)) == [CITED_URL]

    async def test_the_content_of_the_page_is_the_quote_where_a_server_sends_it(self) -> None:
        page = {**ANNOTATION["url_citation"], "content": "Water leaves."}
        annotation = {"type": "url_citation", "url_citation": page}
        delta = {"content": "So mills", "annotations": [annotation]}
        pieces = await read("openai", sse(chunk({"delta": delta, "finish_reason": "stop"})))
        (cited,) = citations(pieces)
        assert (cited.quote, cited.start, cited.end) == ("Water leaves.", 3, 7)

    async def test_a_list_of_sources_beside_the_text_comes_in_its_order_at_the_end(self) -> None:
        sources = {
            "citations": ["https://b.example", "https://a.example"],
            "search_results": [{"title": "A", "url": "https://a.example", "snippet": "Water."}],
        }
        pieces = await read(
            "openai",
            sse(
                chunk({"delta": {"content": "Mills [2]"}}, **sources),
                chunk({"delta": {"content": " turn [1]."}, "finish_reason": "stop"}, **sources),
            ),
        )
        assert citations(pieces) == [
            Citation(source="web", url="https://b.example"),
            Citation(source="web", url="https://a.example", title="A", quote="Water."),
        ]

    @pytest.mark.parametrize(
        "annotations", ["x", {}, [None], [{"type": "url_citation"}], [{"type": "file", "file": {"hash": "x"}}]]
    )
    async def test_what_is_no_citation_is_skipped(self, annotations: object) -> None:
        delta = {"content": "Mills.", "annotations": annotations}
        pieces = await read("openai", sse(chunk({"delta": delta, "finish_reason": "stop"})))
        assert folded(pieces).text == "Mills."
        assert citations(pieces) == []


def _plain(body: object) -> bytes:
    return sse(body).partition(b"data: ")[2]
