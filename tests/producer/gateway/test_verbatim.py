"""Requests that go to a provider of the front's own kind as they are, and what comes of them."""

import asyncio
import json
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import httpx
import pytest

from tailrace import Cancelled, Failed, GenerationRequest, Settings, Tailrace, VerbatimRequest
from tailrace.broker.client import Broker, Command
from tailrace.gateway import create_app
from tailrace.gateway.fronts.front import LABEL
from tailrace.protocol.fleet import beat_commands, leave_commands
from tailrace.protocol.keys import Keys
from tailrace.raw_frames import encode_frame
from tests.producer.gateway.conftest import KeyOf, Worker
from tests.support.eventually import eventually
from tests.support.gateways import HandWorker, ServedGateway, gateway_settings, served

pytestmark = pytest.mark.slow

HI: Any = [{"role": "user", "content": "Hi"}]
PATHS = {"openai": "/v1/chat/completions", "openai-responses": "/v1/responses", "anthropic": "/v1/messages"}
BODIES: dict[str, dict[str, Any]] = {
    "openai": {"messages": HI},
    "openai-responses": {"input": "Hi"},
    "anthropic": {"messages": HI, "max_tokens": 50},
}
FRONTS = {"openai": "openai-chat", "openai-responses": "openai-responses", "anthropic": "anthropic-messages"}
MODELS: dict[str, Any] = {
    "same": {"provider": "openai", "model": "m", "fallbacks": [{"provider": "openai", "model": "n"}]},
    "other": {"provider": "openai", "fallbacks": [{"provider": "anthropic", "model": "n"}]},
    "limited": {"provider": "openai", "max_output_tokens": 100},
    "local": {"provider": "local"},
    "mixed": {"provider": "mixed"},
    "unknown": {"provider": "unknown"},
}
PATH = "/v1/responses/resp_0123456789abcdef01"
OPEN: dict[str, Any] = {"id": "resp_0123456789abcdef01", "object": "response", "status": "in_progress", "x": [1, 1.0]}
DONE = {**OPEN, "status": "completed"}
every_kind = pytest.mark.parametrize("kind", list(PATHS))


class Asking:
    """A request to a front, whose job a test runs by hand."""

    def __init__(self, gateway: ServedGateway, tailrace: Tailrace, working: Worker, *, tenant: str = "default") -> None:
        self._gateway = gateway
        self._tailrace = tailrace
        self.working = working
        self._tenant = tenant

    async def ask(
        self, kind: str, *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> tuple[asyncio.Task[httpx.Response], HandWorker]:
        """Begins a request; returns it with the worker of its new job."""
        before = await self._jobs()
        body = {"model": f"{kind}/m", **BODIES[kind], **fields}
        calling = asyncio.create_task(self._gateway.client.post(PATHS[kind], json=body, headers=headers))
        new: set[str] = set()

        async def is_enqueued() -> bool:
            new.update(await self._jobs() - before)
            return bool(new) or calling.done()

        await eventually(is_enqueued)
        assert new, calling.result().text
        return calling, self.working(new.pop())

    async def _jobs(self) -> set[str]:
        return {status.job_id for status in await self._tailrace.jobs(tenant=self._tenant)}

    async def request(self, worker: HandWorker) -> VerbatimRequest:
        request = await self._tailrace.job(worker.job_id).request()
        assert isinstance(request, VerbatimRequest)
        return request

    async def front(self, worker: HandWorker) -> str:
        return (await self._tailrace.job(worker.job_id).status()).labels[LABEL]

    async def cancel(self, calling: asyncio.Task[httpx.Response], worker: HandWorker) -> None:
        await self._tailrace.job(worker.job_id).cancel()
        await calling


@pytest.fixture
def asking(gateway: ServedGateway, tailrace: Tailrace, working: Worker) -> Asking:
    return Asking(gateway, tailrace, working)


def sse(*frames: tuple[str, str]) -> str:
    return "".join(f"event: {name}\ndata: {data}\n\n" if name else f"data: {data}\n\n" for name, data in frames)


def raw(*frames: tuple[str, str]) -> bytes:
    return b"".join(encode_frame(name.encode(), data.encode()) for name, data in frames)


def response_frame(number: int, kind: str, **fields: Any) -> tuple[str, str]:
    return f"response.{kind}", json.dumps({"type": f"response.{kind}", "sequence_number": number, **fields})


@every_kind
async def test_a_request_goes_on_as_it_came_and_its_frames_come_back_as_they_are(asking: Asking, kind: str) -> None:
    unknown: dict[str, Any] = {"new_field": {"a": [1, 1.0, None, "é"]}, "n": 2, "top_logprobs": 5}
    calling, worker = await asking.ask(kind, stream=True, **unknown)
    request = await asking.request(worker)
    assert request.body == {"model": "m", **BODIES[kind], "stream": True, **unknown}
    assert [type(value) for value in request.body["new_field"]["a"]] == [int, float, type(None), str]
    assert (request.provider, request.api, request.stream) == (kind, kind, True)
    assert await asking.front(worker) == f"{FRONTS[kind]}-verbatim/1"
    frames = [("a", '{"id": "x",  "é": 1}'), ("", "two\nlines".replace("\n", " ")), ("", "[DONE]")]
    await worker.start()
    await worker.pass_on(raw(*frames[:2]))
    await worker.complete(raw(*frames[2:]))
    response = await calling
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["x-tailrace-job"] == worker.job_id
    assert response.text == sse(*frames)


@every_kind
async def test_a_call_that_is_not_streamed_gets_the_body_of_the_last_attempt(asking: Asking, kind: str) -> None:
    calling, worker = await asking.ask(kind)
    assert (await asking.request(worker)).stream is False
    await worker.start()
    await worker.pass_on(encode_frame(b"", b'{"id": "first"}'))
    worker.attempt = 2
    await worker.start()
    body = b'{\r\n  "id": "\xff second"\n}'
    await worker.complete(encode_frame(b"", body))
    response = await calling
    assert (response.content, response.headers["content-type"]) == (body, "application/json")
    assert response.headers["x-tailrace-job"] == worker.job_id


@every_kind
async def test_a_failure_is_an_http_error_and_in_a_stream_the_error_of_the_protocol(asking: Asking, kind: str) -> None:
    failure = Failed(at=1, code="provider_overloaded", message="Too many.")
    calling, worker = await asking.ask(kind)
    await worker.start()
    await worker.append(failure)
    assert (await calling).status_code == 503
    calling, worker = await asking.ask(kind, stream=True)
    await worker.start()
    await worker.append(failure)
    response = await calling
    assert response.status_code == 200
    assert "Too many." in response.text


@pytest.mark.parametrize(
    ("kind", "sent", "passed"),
    [
        (
            "anthropic",
            {"anthropic-beta": "a,b", "anthropic-version": "2023-06-01"},
            {"anthropic-beta", "anthropic-version"},
        ),
        ("openai", {"openai-beta": "x=1", "anthropic-beta": "a"}, {"openai-beta"}),
        ("openai-responses", {"openai-beta": "x=1", "openai-organization": "o"}, {"openai-beta"}),
    ],
)
async def test_only_the_headers_of_the_protocol_go_along_and_no_key(
    asking: Asking, kind: str, sent: dict[str, str], passed: set[str]
) -> None:
    secret = {"authorization": "Bearer trk_x", "x-api-key": "trk_x", "cookie": "c"}
    calling, worker = await asking.ask(kind, headers={**sent, **secret})
    assert (await asking.request(worker)).headers == {name: sent[name] for name in passed}
    await asking.cancel(calling, worker)


@pytest.mark.parametrize(
    ("model", "fields", "is_verbatim"),
    [
        ("same", {}, True),
        ("other", {}, False),
        ("limited", {}, False),
        ("limited", {"max_completion_tokens": 101}, False),
        ("limited", {"max_completion_tokens": 100}, True),
        ("limited", {"max_completion_tokens": -1}, None),
        ("limited", {"max_completion_tokens": 100, "max_tokens": 101}, None),
        ("limited", {"max_completion_tokens": 100, "n": 1}, True),
        ("limited", {"max_completion_tokens": 100, "n": 2}, None),
        ("same", {"n": 2}, True),
        ("local", {}, True),
        ("mixed", {}, False),
        ("unknown", {}, False),
        ("anthropic/m", {}, False),
    ],
)
async def test_a_request_is_translated_only_if_something_asks_for_it(
    tailrace: Tailrace,
    settings: Settings,
    working: Worker,
    broker: Broker,
    keys: Keys,
    model: str,
    fields: dict[str, Any],
    *,
    is_verbatim: bool | None,
) -> None:
    for name, kind in (("a:1", "openai"), ("b:1", "anthropic")):
        await broker.pipeline(*reported(keys, name, {"local": "openai", "mixed": kind}))
    async with served(create_app(tailrace, gateway_settings(settings, models=MODELS))) as gateway:
        asking = Asking(gateway, tailrace, working)
        if is_verbatim is None:
            # The translation refuses a limit below 1, two limits, and two answers.
            response = await gateway.client.post(PATHS["openai"], json={"model": model, "messages": HI, **fields})
            assert response.status_code == 400
            return
        calling, worker = await asking.ask("openai", model=model, **fields)
        assert await asking.front(worker) == ("openai-chat-verbatim/1" if is_verbatim else "openai-chat/1")
        if model == "same":
            request = await asking.request(worker)
            assert (request.body["model"], list(request.fallbacks)) == ("m", MODELS["same"]["fallbacks"])
        await asking.cancel(calling, worker)


async def test_a_response_is_found_by_the_id_that_its_provider_gave_it(
    gateway: ServedGateway, tailrace: Tailrace, working: Worker, key_of: KeyOf
) -> None:
    ada, bob = await key_of("ada"), await key_of("bob")
    asking = Asking(gateway, tailrace, working, tenant="ada")
    calling, worker = await asking.ask("openai-responses", headers={**ada, "Idempotency-Key": "k"}, stream=True)
    created, last = response_frame(0, "created", response=OPEN), response_frame(2, "completed", response=DONE)
    frames = [created, response_frame(1, "output_text.delta", delta="a")]
    await worker.start()
    await worker.pass_on(raw(*frames))

    async def is_found() -> bool:
        return (await gateway.client.get(PATH, headers=ada)).status_code == 200

    await eventually(is_found)
    assert (await gateway.client.get(PATH, headers=ada)).json() == OPEN
    assert (await gateway.client.get(PATH, headers=bob)).status_code == 404
    await worker.complete(raw(last))
    assert (await calling).text == sse(*frames, last)
    assert (await gateway.client.get(PATH, headers=ada)).json() == DONE
    for number in range(-1, 3):
        rest = await gateway.client.get(f"{PATH}?stream=true&starting_after={number}", headers=ada)
        assert rest.text == sse(*[*frames, last][number + 1 :])
    assert (await gateway.client.get(f"{PATH}/input_items", headers=ada)).status_code == 400
    assert (await gateway.client.delete(PATH, headers=ada)).status_code == 204
    assert (await gateway.client.get(PATH, headers=ada)).status_code == 404


async def test_a_response_that_is_cancelled_is_its_newest_object_with_that_status(
    asking: Asking, gateway: ServedGateway
) -> None:
    calling, worker = await asking.ask("openai-responses", stream=True)
    created = response_frame(0, "created", response=OPEN)
    await worker.start()
    await worker.pass_on(raw(created))

    async def is_found() -> bool:
        return (await gateway.client.get(PATH)).status_code == 200

    await eventually(is_found)
    cancelling = asyncio.create_task(gateway.client.post(f"{PATH}/cancel"))
    await worker.append(Cancelled(at=1))
    cancelled = {**OPEN, "status": "cancelled"}
    assert (await cancelling).json() == cancelled
    assert (await gateway.client.get(PATH)).json() == cancelled
    told = {"type": "response.incomplete", "response": cancelled, "sequence_number": 1}
    end = ("response.incomplete", json.dumps(told, separators=(",", ":")))
    assert (await calling).text == sse(created, end, ("", "[DONE]"))


async def test_a_response_that_was_not_streamed_is_found_and_has_no_events(
    asking: Asking, gateway: ServedGateway
) -> None:
    calling, worker = await asking.ask("openai-responses")
    await worker.start()
    await worker.complete(encode_frame(b"", json.dumps(DONE, indent=1).encode()))
    assert (await calling).text == json.dumps(DONE, indent=1)
    assert (await gateway.client.get(PATH)).json() == DONE
    assert (await gateway.client.get(f"{PATH}?stream=true")).status_code == 400


@pytest.mark.parametrize("value", ["NaN", "-Infinity", '"\\ud83d"', '"é"'])
async def test_a_response_with_values_that_are_no_json_is_shown_as_the_provider_sent_it(
    asking: Asking, gateway: ServedGateway, value: str
) -> None:
    calling, worker = await asking.ask("openai-responses", stream=True)
    body = f'{json.dumps(DONE)[:-1]}, "value": {value}}}'
    await worker.start()
    await worker.complete(raw(("", f'{{"response": {body}, "sequence_number": 0}}')))
    assert body in (await calling).text
    shown = await gateway.client.get(PATH)
    assert shown.status_code == 200
    assert repr(json.loads(shown.text)) == repr(json.loads(body))


async def test_the_second_answer_after_a_restart_is_found_by_both_ids(asking: Asking, gateway: ServedGateway) -> None:
    calling, worker = await asking.ask("openai-responses", headers={"Idempotency-Key": "k"}, stream=True)
    other = {**DONE, "id": "resp_of_the_second_answer"}
    await worker.start()
    await worker.pass_on(raw(response_frame(0, "created", response=OPEN)))
    worker.attempt = 2
    await worker.start()
    assert "started again" in (await calling).text
    assert (await gateway.client.get(PATH)).json() == OPEN
    await worker.complete(raw(response_frame(0, "completed", response=other)))
    for asked in (OPEN["id"], other["id"]):
        assert (await gateway.client.get(f"/v1/responses/{asked}")).json() == other


async def test_a_former_response_is_passed_on_unless_tailrace_translated_it(
    asking: Asking, gateway: ServedGateway, working: Worker
) -> None:
    translated = (
        await gateway.client.post("/v1/responses", json={"model": "openai/m", "input": "Why?", "background": True})
    ).json()
    await working(translated["id"].removeprefix("resp_")).run("Because.")
    calling, worker = await asking.ask("openai-responses", previous_response_id=translated["id"])
    assert await asking.front(worker) == "openai-responses/1"
    await asking.cancel(calling, worker)
    calling, worker = await asking.ask("openai-responses", previous_response_id="resp_of_the_provider_itself")
    assert (await asking.request(worker)).body["previous_response_id"] == "resp_of_the_provider_itself"
    await worker.start()
    await worker.complete(encode_frame(b"", json.dumps(DONE).encode()))
    await calling
    calling, worker = await asking.ask("openai-responses", previous_response_id=DONE["id"])
    assert await asking.front(worker) == "openai-responses-verbatim/1"
    await asking.cancel(calling, worker)
    refused = await gateway.client.post(
        "/v1/responses",
        json={"model": "openai-responses/m", "input": "a", "background": True, "previous_response_id": DONE["id"]},
    )
    assert (refused.status_code, "only the provider knows" in refused.text) == (400, True)


async def test_a_response_in_the_background_is_translated(asking: Asking, gateway: ServedGateway) -> None:
    body = {"model": "openai-responses/m", "input": "Why?", "background": True}
    response = (await gateway.client.post("/v1/responses", json=body)).json()
    assert (response["status"], response["background"]) == ("queued", True)


@pytest.mark.parametrize("was_verbatim", [True, False])
async def test_a_key_finds_the_job_with_the_mapping_that_it_has(
    tailrace: Tailrace, settings: Settings, working: Worker, broker: Broker, keys: Keys, *, was_verbatim: bool
) -> None:
    asked = {"model": "fast", "messages": HI, "stream": True}
    named = {"Idempotency-Key": "k"}
    app = partial(
        create_app, tailrace, gateway_settings(settings, models={"fast": {"provider": "local", "model": "m"}})
    )
    # A gateway knows the kind of the provider only while a worker reports it.
    report = partial(reported, keys, "a:1", {"local": "openai"})
    if was_verbatim:
        await broker.pipeline(*report())
    async with served(app()) as first:
        calling, worker = await Asking(first, tailrace, working).ask("openai", headers=named, **asked)
        await worker.start()
        await worker.pass_on(raw(("", '{"id":"c"}')))
        await worker.complete(raw(("", "[DONE]")))
        said = (await calling).text
    assert ('"id":"c"' in said) is was_verbatim
    await broker.pipeline(*(leave_commands(keys, "a:1") if was_verbatim else report()))
    async with served(app()) as second:
        again = await second.client.post(PATHS["openai"], json=asked, headers=named)
        assert (again.headers["x-tailrace-job"], again.text) == (worker.job_id, said)
        other = await second.client.post(PATHS["openai"], json={**asked, "temperature": 1}, headers=named)
        assert other.status_code == 409


def reported(keys: Keys, worker: str, kinds: Mapping[str, str]) -> tuple[Command, ...]:
    """A heartbeat with the kinds of providers."""
    at = round(time.time() * 1000)
    said: Any = {"providers": list(kinds), "kinds": kinds}
    return beat_commands(keys, worker, queues=["default"], running=0, max_jobs=9, at=at, **said)


@pytest.mark.parametrize("kind", PATHS)
async def test_no_request_waits_for_a_thread(asking: Asking, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("FastAPI runs what is not a coroutine function in a thread.")

    monkeypatch.setattr("anyio.to_thread.run_sync", refuse)
    calling, worker = await asking.ask(kind, stream=True)
    await asking.cancel(calling, worker)
    assert (await calling).status_code != 500


async def test_a_translated_request_has_the_form_of_the_api_that_the_workers_report(
    asking: Asking, tailrace: Tailrace, broker: Broker, keys: Keys
) -> None:
    await broker.pipeline(*reported(keys, "a:1", {"groq": "openai", "openai-eu": "anthropic"}))
    of_claude: dict[str, Any] = {"thinking": {"type": "disabled"}, "metadata": {}, "output_config": {"effort": "low"}}
    asked: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = [
        ("anthropic", "groq/m", of_claude, {"reasoning_effort": "low"}),
        ("openai", "openai-eu/m", {"reasoning_effort": "low"}, {"output_config": {"effort": "low"}}),
        ("openai-responses", "openai-eu/m", {"reasoning": {"effort": "low"}}, {"output_config": {"effort": "low"}}),
    ]
    for kind, model, fields, extra in asked:
        calling, worker = await asking.ask(kind, model=model, **fields)
        request = await tailrace.job(worker.job_id).request()
        assert isinstance(request, GenerationRequest)
        assert request.extra == extra
        await asking.cancel(calling, worker)


async def test_the_native_route_takes_a_verbatim_request(gateway: ServedGateway, tailrace: Tailrace) -> None:
    job: dict[str, Any] = {"provider": "openai", "body": {"model": "m", "messages": HI, "x": 1}, "labels": {"a": "b"}}
    created = await gateway.client.post("/v1/jobs", json=job)
    assert (created.status_code, created.json()["model"]) == (201, "m")
    request = await tailrace.job(created.json()["id"]).request()
    assert isinstance(request, VerbatimRequest)
    assert request.body == job["body"]
    refusals: list[tuple[dict[str, Any], str]] = [
        ({"body": {}}, "body.model: "),
        ({"messages": HI}, "messages: "),
        ({"guards": [{"type": "clean"}]}, "guards.0: "),
        ({"queue": 5}, "queue: "),
    ]
    for wrong, told in refusals:
        refused = await gateway.client.post("/v1/jobs", json={**job, **wrong})
        assert refused.status_code == 400
        assert refused.json()["error"]["message"].startswith(told)
    again = await gateway.client.post(
        f"/v1/jobs/{created.json()['id']}/regenerate", json={"body": {"model": "n", "messages": HI}}
    )
    assert (again.status_code, again.json()["model"]) == (201, "n")
