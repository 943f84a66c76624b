import asyncio
import json
import socket
from contextlib import aclosing
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from tailrace_worker.simulator import Simulator
from tests.simulator.clients import Stream, anthropic_deltas, openai_deltas, read

SENT = "1. Water leaves"
both = pytest.mark.parametrize("deltas", [openai_deltas, anthropic_deltas])


@both
@pytest.mark.parametrize("interval_ms", [0, 20])
async def test_a_cut_resets_the_connection_after_the_pieces(
    simulator: Simulator, deltas: Stream, interval_ms: int
) -> None:
    text, error = await read(deltas, simulator, f"demo?cut_after=3&interval_ms={interval_ms}")
    assert text == SENT
    assert error is not None
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ConnectionResetError):
        cause = cause.__cause__ or cause.__context__
    assert cause is not None
    entry = await simulator.journal.until(lambda entry: entry.outcome == "cut")
    assert entry.pieces_sent == 3


async def test_a_cut_does_not_overtake_the_pieces_before_it(simulator: Simulator) -> None:
    model = "demo?pieces=2000&cut_after=2000&interval_ms=0"
    # In a thread, which reads while the server writes.
    body = await asyncio.to_thread(received_until_reset, simulator.url, model)
    assert body.count(b'"text_delta"') == 2000


def received_until_reset(url: str, model: str) -> bytes:
    asked = json.dumps({"model": model, "messages": [{}], "max_tokens": 1, "stream": True}).encode()
    head = b"POST /v1/messages HTTP/1.1\r\nHost: test\r\nX-Api-Key: test\r\nContent-Length: %d\r\n\r\n"
    address = urlsplit(url)
    received = bytearray()
    with socket.create_connection((address.hostname, address.port), timeout=10) as client:
        client.sendall(head % len(asked) + asked)
        try:
            while data := client.recv(4_096):
                received += data
        except ConnectionResetError:
            return bytes(received)
    raise AssertionError("The connection was closed, not reset.")


@both
async def test_an_early_end_of_the_body_is_no_error_on_the_wire(simulator: Simulator, deltas: Stream) -> None:
    text, error = await read(deltas, simulator, "demo?close_after=3")
    assert (text, error) == (SENT, None)
    assert simulator.journal.entries[0].outcome == "closed"


@both
async def test_an_answer_may_end_before_its_first_piece(simulator: Simulator, deltas: Stream) -> None:
    assert await read(deltas, simulator, "demo?close_after=0") == ("", None)


@both
async def test_a_stall_keeps_the_connection_and_says_nothing_more(simulator: Simulator, deltas: Stream) -> None:
    text = ""
    async with aclosing(deltas(simulator, "demo?stall_after=3&interval_ms=1")) as stream:
        while text != SENT:
            text += await anext(stream)
        entry = await simulator.journal.until(lambda entry: entry.outcome == "stalled")
        assert entry.closed_at is None
    entry = await simulator.journal.until(lambda entry: entry.outcome == "client_closed")
    assert entry.pieces_sent == 3


@both
async def test_a_malformed_piece_breaks_the_client_that_parses_it(simulator: Simulator, deltas: Stream) -> None:
    text, error = await read(deltas, simulator, "demo?malformed_after=3")
    assert text == SENT
    assert isinstance(error, json.JSONDecodeError)


async def test_openai_s_error_event_raises_the_sdk_s_error(simulator: Simulator) -> None:
    text, error = await read(openai_deltas, simulator, "demo?error_after=3")
    assert text == SENT
    assert isinstance(error, openai.APIError)
    assert error.type == "server_error"
    assert simulator.journal.entries[0].outcome == "failed"


async def test_anthropic_s_error_event_raises_the_sdk_s_error(simulator: Simulator) -> None:
    text, error = await read(anthropic_deltas, simulator, "demo?error_after=3")
    assert text == SENT
    assert isinstance(error, anthropic.APIStatusError)
    assert error.type == "overloaded_error"
    assert simulator.journal.entries[0].outcome == "failed"


@both
async def test_a_status_with_times_is_only_for_the_first_requests(simulator: Simulator, deltas: Stream) -> None:
    model = "demo?status=503&times=2&pieces=1"
    answers = [await read(deltas, simulator, model) for _ in range(3)]
    assert [text for text, _ in answers] == ["", "", "1."]
    journal = simulator.journal.entries
    assert [(entry.attempt, entry.status, entry.outcome) for entry in journal] == [
        (1, 503, "refused"),
        (2, 503, "refused"),
        (3, 200, "complete"),
    ]


@both
async def test_a_silence_before_the_first_piece_comes_after_the_headers(simulator: Simulator, deltas: Stream) -> None:
    began = asyncio.get_running_loop().time()
    text, _ = await read(deltas, simulator, "demo?first_token_ms=150&pieces=1")
    assert text == "1."
    assert asyncio.get_running_loop().time() - began >= 0.15
