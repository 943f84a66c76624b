"""Every recorded stream, cut in all ways that a network may cut it: the answer is the same."""

from collections.abc import Callable, Iterable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailrace.api_kinds import ApiKind
from tailrace_worker.providers.anthropic.decoder import MessagesDecoder
from tailrace_worker.providers.base import Piece
from tailrace_worker.providers.errors import ErrorEvent
from tailrace_worker.providers.http.answer_decoder import AnswerDecoder
from tailrace_worker.providers.http.sse import EventStreamDecoder
from tailrace_worker.providers.openai_chat.decoder import ChatDecoder
from tailrace_worker.providers.openai_responses.decoder import ResponsesDecoder
from tailrace_worker.providers.vocabulary import Skipped
from tests.recorded.replay import Transcript, needed, transcripts
from tests.support.event_streams import cut

pytestmark = pytest.mark.slow

needed()

DECODERS: Mapping[ApiKind, Callable[[Skipped], AnswerDecoder]] = {
    "openai": ChatDecoder,
    "openai-responses": ResponsesDecoder,
    "anthropic": MessagesDecoder,
}


def heard(kind: ApiKind, chunks: Iterable[bytes]) -> tuple[list[Piece], object]:
    """What the decoder and an answer make of the chunks, and the error with which they end."""
    decode = EventStreamDecoder().feed
    answer = DECODERS[kind](Skipped("Acme", str))
    pieces: list[Piece] = []
    try:
        for chunk in chunks:
            for name, data in decode(chunk):
                pieces += answer.pieces(data, name) if data != b"[DONE]" else ()
        pieces += answer.end()
    except ErrorEvent as error:
        return pieces, error.body
    return pieces, None


@pytest.mark.parametrize("transcript", transcripts(), ids=str)
def test_bytes_that_come_one_by_one_are_the_same_answer(transcript: Transcript) -> None:
    body = transcript.body()
    for stream in (body, body.replace(b"\n", b"\r\n")):
        one_by_one = (stream[at : at + 1] for at in range(len(stream)))

        assert heard(transcript.kind, one_by_one) == heard(transcript.kind, [body])


@pytest.mark.parametrize("transcript", transcripts(), ids=str)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_bytes_that_come_in_any_chunks_are_the_same_answer(transcript: Transcript, data: st.DataObject) -> None:
    body = transcript.body()

    assert heard(transcript.kind, data.draw(cut(body))) == heard(transcript.kind, [body])
