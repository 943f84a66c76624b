import json
from typing import Any

import aiohttp
import openai
import pytest

from tailrace_worker.simulator import Scenario, Simulator
from tailrace_worker.simulator.script import signature
from tests.support.simulator_clients import openai_client, read, responses_deltas


async def body_of(simulator: Simulator, model: str, **parameters: object) -> list[dict[str, Any]]:
    """The data of the events as they come."""
    asked = {"model": model, "input": "Hi", "stream": True, **parameters}
    async with (
        aiohttp.ClientSession(headers={"authorization": "Bearer test"}) as session,
        session.post(f"{simulator.url}/v1/responses", json=asked) as response,
    ):
        lines = (await response.text()).splitlines()
    events = [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data")]
    assert [line.removeprefix("event: ") for line in lines if line.startswith("event")] == [
        event["type"] for event in events
    ]
    return events


@pytest.mark.slow
async def test_the_sdk_streams_text_status_and_usage(simulator: Simulator) -> None:
    model = "demo?pieces=30&interval_ms=1"
    async with (
        openai_client(simulator) as client,
        client.responses.stream(model=model, input="Hi") as stream,
    ):
        deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
        response = await stream.get_final_response()
    assert "".join(deltas) == response.output_text == Scenario.parse(model).text_sent
    assert len(deltas) == 30
    assert (response.status, response.model) == ("completed", "demo")
    assert response.id.startswith("resp_")
    assert response.usage is not None
    assert response.usage.output_tokens == 30
    assert response.usage.total_tokens == response.usage.input_tokens + 30


async def test_the_events_come_in_the_provider_s_order_and_are_numbered_through(simulator: Simulator) -> None:
    events = await body_of(simulator, "demo?pieces=2&reasoning=2&interval_ms=0")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
async def test_an_answer_that_was_stopped_is_incomplete(simulator: Simulator, finish: str, reason: str) -> None:
    *_, last = await body_of(simulator, f"demo?pieces=2&interval_ms=0&finish={finish}")
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": reason}
    assert last["response"]["usage"]["output_tokens"] == 2
    assert [item["status"] for item in last["response"]["output"]] == ["incomplete"]


async def test_encrypted_reasoning_comes_to_who_asks_for_it(simulator: Simulator) -> None:
    model = "demo?pieces=20&reasoning=3&interval_ms=0"
    thoughts = Scenario.parse(model).reasoning_sent
    for include in ([], ["reasoning.encrypted_content"]):
        added, done, *_ = [
            event["item"]
            for event in await body_of(simulator, model, include=include)
            if event["type"].startswith("response.output_item")
        ]
        assert done["summary"] == [{"type": "summary_text", "text": thoughts}]
        assert done.get("encrypted_content") == (signature(thoughts) if include else None)
        # As the provider does it: what comes with the beginning is another.
        assert (added.get("encrypted_content") != done.get("encrypted_content")) is bool(include)


async def test_a_field_that_is_null_is_as_one_that_is_not_given(simulator: Simulator) -> None:
    *_, last = await body_of(simulator, "demo?pieces=2&interval_ms=0", include=None, tools=None, reasoning=None)
    assert last["type"] == "response.completed"


@pytest.mark.parametrize("code", ["server_error", "insufficient_quota"])
async def test_the_error_event_holds_the_error_and_the_response_has_failed(simulator: Simulator, code: str) -> None:
    given = "" if code == "server_error" else f"&error_code={code}"
    events = await body_of(simulator, f"demo?pieces=20&error_after=3&interval_ms=0{given}")
    error, failed = events[-2:]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (error["type"], error["error"]["type"], error["error"]["code"]) == ("error", code, code)
    assert (failed["type"], failed["response"]["status"]) == ("response.failed", "failed")
    assert failed["response"]["error"] == {"code": code, "message": error["error"]["message"]}


async def test_the_error_event_may_be_the_error(simulator: Simulator) -> None:
    *_, before, error = await body_of(
        simulator, "demo?pieces=20&error_after=3&error_shape=flat&error_code=rate_limit_exceeded"
    )
    assert before["type"] == "response.output_text.delta"
    assert (error["type"], error["code"], error["param"]) == ("error", "rate_limit_exceeded", None)
    assert error["message"].startswith("Rate limit reached for demo")


async def test_a_response_may_fail_without_an_error_event(simulator: Simulator) -> None:
    *_, before, failed = await body_of(simulator, "demo?pieces=20&error_after=3&error_shape=failed")
    assert (before["type"], failed["type"]) == ("response.output_text.delta", "response.failed")


async def test_the_error_event_raises_the_sdk_s_error(simulator: Simulator) -> None:
    text, error = await read(responses_deltas, simulator, "demo?pieces=20&error_after=3&error_code=insufficient_quota")
    assert text == "1. Water leaves"
    assert isinstance(error, openai.APIError)
    assert error.code == "insufficient_quota"
    assert simulator.journal.entries[0].outcome == "failed"


@pytest.mark.parametrize(
    ("authorization", "body", "expected"),
    [
        ("", b"{}", (401, None, None)),
        ("Bearer k", b"[]", (400, None, None)),
        ("Bearer k", b'{"input":"Hi"}', (400, "model", "missing_required_parameter")),
        ("Bearer k", b'{"model":"demo"}', (400, "input", "missing_required_parameter")),
        ("Bearer k", b'{"model":"demo?pieces=20&peices=1","input":"Hi"}', (400, "model", None)),
        ("Bearer k", b'{"model":"demo?pieces=20&status=404","input":"Hi"}', (404, None, "model_not_found")),
    ],
)
async def test_a_bad_request_gets_the_provider_s_error(
    simulator: Simulator, authorization: str, body: bytes, expected: tuple[int, str | None, str | None]
) -> None:
    async with (
        aiohttp.ClientSession(headers={"authorization": authorization}) as session,
        session.post(f"{simulator.url}/v1/responses", data=body) as response,
    ):
        error = (await response.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (response.status, error["param"], error["code"]) == expected
    assert response.headers["x-request-id"].startswith("req_")
