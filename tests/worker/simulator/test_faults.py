import asyncio
import json
import socket
import time
from contextlib import aclosing
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anthropic
import openai
import pytest

from tailrace_worker.simulator import Scenario, Simulator
from tests.support.simulator_clients import Stream, anthropic_deltas, openai_deltas, read, responses_deltas

SENT = "1. Water leaves"
every = pytest.mark.parametrize("deltas", [openai_deltas, responses_deltas, anthropic_deltas])


@every
@pytest.mark.parametrize("interval_ms", [0, 20])
@pytest.mark.slow
async def test_a_cut_resets_the_connection_after_the_pieces(
    simulator: Simulator, deltas: Stream, interval_ms: int
) -> None:
    text, error = await read(deltas, simulator, f"demo?pieces=20&cut_after=3&interval_ms={interval_ms}")
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


@every
async def test_an_early_end_of_the_body_is_no_error_on_the_wire(simulator: Simulator, deltas: Stream) -> None:
    text, error = await read(deltas, simulator, "demo?pieces=20&close_after=3")
    assert (text, error) == (SENT, None)
    assert simulator.journal.entries[0].outcome == "closed"


@every
async def test_an_answer_may_end_before_its_first_piece(simulator: Simulator, deltas: Stream) -> None:
    assert await read(deltas, simulator, "demo?pieces=20&close_after=0") == ("", None)


@every
async def test_a_stall_keeps_the_connection_and_says_nothing_more(simulator: Simulator, deltas: Stream) -> None:
    text = ""
    async with aclosing(deltas(simulator, "demo?pieces=20&stall_after=3&interval_ms=1")) as stream:
        while text != SENT:
            text += await anext(stream)
        entry = await simulator.journal.until(lambda entry: entry.outcome == "stalled")
        assert entry.closed_at is None
    entry = await simulator.journal.until(lambda entry: entry.outcome == "client_closed")
    assert entry.pieces_sent == 3


@every
async def test_a_malformed_piece_breaks_the_client_that_parses_it(simulator: Simulator, deltas: Stream) -> None:
    text, error = await read(deltas, simulator, "demo?pieces=20&malformed_after=3")
    assert text == SENT
    assert isinstance(error, json.JSONDecodeError)


async def test_openai_s_error_event_raises_the_sdk_s_error(simulator: Simulator) -> None:
    text, error = await read(openai_deltas, simulator, "demo?pieces=20&error_after=3")
    assert text == SENT
    assert isinstance(error, openai.APIError)
    assert error.type == "server_error"
    assert simulator.journal.entries[0].outcome == "failed"


async def test_anthropic_s_error_event_raises_the_sdk_s_error(simulator: Simulator) -> None:
    text, error = await read(anthropic_deltas, simulator, "demo?pieces=20&error_after=3")
    assert text == SENT
    assert isinstance(error, anthropic.APIStatusError)
    assert error.type == "overloaded_error"
    assert simulator.journal.entries[0].outcome == "failed"


@every
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


@every
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [("cut", "cut"), ("close", "closed"), ("malformed", "complete"), ("error", "failed")],
)
@pytest.mark.slow
async def test_a_fault_with_times_is_only_for_the_first_requests(
    simulator: Simulator, deltas: Stream, fault: str, outcome: str
) -> None:
    model = f"demo?{fault}_after=3&times=1&pieces=6&interval_ms=0"
    first, _ = await read(deltas, simulator, model)
    assert first == SENT
    assert await read(deltas, simulator, model) == (f"{SENT} the mill wheel", None)
    # Who reads malformed events leaves.
    outcomes = [entry.outcome for entry in simulator.journal.entries]
    assert outcomes[0] in {outcome, "client_closed" if fault == "malformed" else outcome}
    assert outcomes[1] == "complete"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("", ("requests", "rate_limit_exceeded", "Rate limit reached for demo")),
        (
            "&error_code=insufficient_quota",
            ("insufficient_quota", "insufficient_quota", "You exceeded your current"),
        ),
        ("&error_code=slow_down", ("slow_down", "slow_down", "The server had an error")),
    ],
)
@pytest.mark.parametrize("path", ["chat/completions", "responses"])
async def test_openai_s_errors_have_the_code_that_is_asked_for(
    simulator: Simulator, path: str, option: str, expected: tuple[str, str, str]
) -> None:
    asked: dict[str, Any] = {"model": f"demo?pieces=20&status=429{option}", "messages": [{}], "input": "Hi"}
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer test"}) as session,
        session.post(f"{simulator.url}/v1/{path}", json=asked) as response,
    ):
        error = (await response.json())["error"]
    *names, message = expected
    assert [error["type"], error["code"]] == names
    assert error["message"].startswith(message)


async def test_chat_s_error_event_has_the_code_that_is_asked_for(simulator: Simulator) -> None:
    _, error = await read(openai_deltas, simulator, "demo?pieces=20&error_after=3&error_code=rate_limit_exceeded")
    assert isinstance(error, openai.APIError)
    assert (error.type, error.code) == ("requests", "rate_limit_exceeded")


@pytest.mark.parametrize("options", ["error_after=3", "status=400"])
async def test_anthropic_s_errors_have_the_type_that_is_asked_for(simulator: Simulator, options: str) -> None:
    _, error = await read(anthropic_deltas, simulator, f"demo?pieces=20&{options}&error_code=rate_limit_error")
    assert isinstance(error, anthropic.APIStatusError)
    assert error.type == "rate_limit_error"
    assert "organization's rate limit" in str(error)


@every
async def test_when_to_come_back_may_be_told_as_a_date(simulator: Simulator, deltas: Stream) -> None:
    began = time.time()
    _, error = await read(deltas, simulator, "demo?pieces=20&status=429&retry_after=90&retry_after_date=1")
    assert isinstance(error, openai.RateLimitError | anthropic.RateLimitError)
    told = parsedate_to_datetime(error.response.headers["retry-after"]).timestamp()
    assert began + 90 <= told <= time.time() + 91


async def test_a_fault_counts_the_pieces_of_all_that_is_said(simulator: Simulator) -> None:
    model = "demo?reasoning=2&pieces=3&tools=1&cut_after=4&interval_ms=0"
    text, error = await read(anthropic_deltas, simulator, model)
    assert text == Scenario.parse(model).text_sent == "1. Water"
    assert error is not None
    entry = await simulator.journal.until(lambda entry: entry.outcome == "cut")
    assert entry.pieces_sent == 4


@every
@pytest.mark.slow
async def test_a_silence_before_the_first_piece_comes_after_the_headers(simulator: Simulator, deltas: Stream) -> None:
    began = asyncio.get_running_loop().time()
    text, _ = await read(deltas, simulator, "demo?first_token_ms=150&pieces=1")
    assert text == "1."
    assert asyncio.get_running_loop().time() - began >= 0.15
