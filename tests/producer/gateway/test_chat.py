"""The AI SDK's protocol, as bytes."""

import asyncio
import json
from typing import Any

import pytest

from tailrace import GenerationRequest, Job, Settings, Tailrace
from tailrace.events import Completed
from tailrace.gateway import create_app
from tests.producer.gateway.conftest import Worker
from tests.support.eventually import eventually
from tests.support.gateways import ServedGateway, gateway_settings, served

TURN: dict[str, Any] = {
    "id": "chat-42",
    "trigger": "submit-message",
    "messages": [{"id": "m1", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}],
    "provider": "openai",
    "model": "m",
}


class Turn:
    """A turn that a page has started."""

    def __init__(self, gateway: ServedGateway, **fields: Any) -> None:
        self._gateway = gateway
        self._asking = asyncio.create_task(
            gateway.client.post("/v1/chat", json={**TURN, **fields}, headers={"X-AI-SDK-Version": "6"})
        )

    async def job_id(self) -> str:
        """The job, once it is enqueued."""
        async with asyncio.timeout(30):
            while True:
                found = (await self._gateway.client.get("/v1/conversations/chat-42")).json()
                if "active" in found:
                    return str(found["active"]["id"])

    async def parts(self) -> list[dict[str, Any]]:
        """What the page was sent."""
        response = await self._asking
        assert response.status_code == 200, response.text
        return parts_of(response.text)


async def active(tailrace: Tailrace) -> Job:
    """The job of the chat, once it is enqueued."""
    async with asyncio.timeout(30):
        while True:
            job = await tailrace.conversation("chat-42").active()
            if job is not None:
                return job


def parts_of(stream: str) -> list[dict[str, Any]]:
    frames = [frame.removeprefix("data: ") for frame in stream.split("\n\n") if frame.startswith("data: ")]
    assert frames.pop() == "[DONE]"
    return [json.loads(frame) for frame in frames]


async def test_a_turn_streams_the_answer_of_its_job(gateway: ServedGateway, working: Worker) -> None:
    turn = Turn(gateway)
    job_id = await turn.job_id()
    await working(job_id).run("Hel", "lo")
    parts = await turn.parts()
    assert parts[0] == {"type": "start", "messageId": job_id, "messageMetadata": {"jobId": job_id}}
    assert "".join(part["delta"] for part in parts if part["type"] == "text-delta") == "Hello"
    assert parts[-1] == {"type": "finish", "finishReason": "stop"}


async def test_the_headers_are_those_of_the_protocol(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue(conversation="chat-42")
    await working(created["id"]).run()
    async with gateway.client.stream("GET", "/v1/chat/chat-42/stream") as response:
        assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["x-tailrace-job"] == created["id"]


async def test_a_page_that_comes_back_gets_the_answer_from_its_beginning_under_the_same_id(
    gateway: ServedGateway, working: Worker
) -> None:
    turn = Turn(gateway)
    worker = working(await turn.job_id())
    await worker.start()
    await worker.say("Hel")
    resuming = asyncio.create_task(gateway.client.get("/v1/chat/chat-42/stream"))
    await worker.say("lo")
    await worker.complete()
    assert parts_of((await resuming).text) == await turn.parts()


async def test_an_answer_that_has_just_ended_is_replayed(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue(conversation="chat-42")
    await working(created["id"]).run("a")
    response = await gateway.client.get("/v1/chat/chat-42/stream")
    assert response.status_code == 200
    assert parts_of(response.text)[0]["messageId"] == created["id"]


async def test_an_answer_that_ended_long_ago_is_not(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue(conversation="chat-42")
    worker = working(created["id"])
    await worker.start()
    await worker.append(Completed(at=1, finish_reason="stop"))
    assert (await gateway.client.get("/v1/chat/chat-42/stream")).status_code == 204


async def test_a_chat_without_jobs_has_no_content(gateway: ServedGateway) -> None:
    assert (await gateway.client.get("/v1/chat/none/stream")).status_code == 204


async def test_a_chat_is_stopped_by_its_id(gateway: ServedGateway) -> None:
    turn = Turn(gateway)
    await turn.job_id()
    assert (await gateway.client.post("/v1/chat/chat-42/stop")).json() == {"outcome": "cancelled"}
    assert (await turn.parts())[-1] == {"type": "abort"}


async def test_the_next_turn_interrupts_the_one_before(gateway: ServedGateway, working: Worker) -> None:
    first = Turn(gateway)
    before = await first.job_id()
    second = Turn(gateway, trigger="regenerate-message", messageId="m2")
    assert (await first.parts())[-1]["type"] == "abort"
    job_id = await second.job_id()
    assert job_id != before
    await working(job_id).run("x")
    assert (await second.parts())[0]["messageId"] == job_id


async def test_only_version_7_gets_a_reset_after_a_restart(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue(conversation="chat-42")
    worker = working(created["id"])
    await worker.start()
    await worker.say("wrong")
    reading = asyncio.create_task(gateway.client.get("/v1/chat/chat-42/stream"))
    newer = asyncio.create_task(gateway.client.get("/v1/chat/chat-42/stream?sdk_version=7"))
    await eventually(lambda: len(gateway.app.state.gateway.draining.streams) == 2)
    worker.attempt = 2
    await worker.run("right")
    assert parts_of((await reading).text)[-1]["type"] == "error"
    again = parts_of((await gateway.client.get("/v1/chat/chat-42/stream")).text)
    assert [part["delta"] for part in again if part["type"] == "text-delta"] == ["right"]
    assert "reset-step" in [part["type"] for part in parts_of((await newer).text)]


async def test_the_defaults_of_provider_and_model_are_settings(tailrace: Tailrace, settings: Settings) -> None:
    turn = {name: value for name, value in TURN.items() if name not in {"provider", "model"}}
    own = gateway_settings(settings, chat_provider="anthropic", chat_model="opus")
    async with served(create_app(tailrace, own)) as gateway:
        asking = asyncio.create_task(gateway.client.post("/v1/chat", json=turn))
        job = await active(tailrace)
        assert (await job.status()).provider == "anthropic"
        await job.cancel()
        await asking


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"provider": None}, "TAILRACE_CHAT_PROVIDER"),
    ({"unheard_of": 1}, "unheard_of"),
    ({"conversation": "c"}, "conversation"),
    ({"trigger": "resume-stream"}, "trigger"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "user", "parts": [{"type": "data-x"}]}]}, "messages.0.parts"),
    ({"messages": [{"role": "tool", "parts": []}]}, "messages.0.role"),
    ({"temperature": 9}, "temperature"),
]


@pytest.mark.parametrize(("fields", "told"), WRONG)
async def test_a_turn_that_is_not_valid_is_refused_by_name(
    gateway: ServedGateway, fields: dict[str, Any], told: str
) -> None:
    response = await gateway.client.post("/v1/chat", json={**TURN, **fields})
    assert response.status_code == 400
    assert told in response.json()["error"]["message"]


async def test_an_idempotency_key_attaches_a_repeated_turn(
    gateway: ServedGateway, working: Worker, tailrace: Tailrace
) -> None:
    headers = {"Idempotency-Key": "k"}
    asking = [asyncio.create_task(gateway.client.post("/v1/chat", json=TURN, headers=headers)) for _ in range(2)]
    job = await active(tailrace)
    await working(job.id).run("a")
    first, second = await asyncio.gather(*asking)
    assert first.text == second.text


async def test_fields_of_a_request_go_into_the_job(gateway: ServedGateway, tailrace: Tailrace) -> None:
    turn = Turn(gateway, temperature=0.5, labels={"user": "u"})
    job = tailrace.job(await turn.job_id())
    assert await job.request() == GenerationRequest(
        provider="openai",
        model="m",
        temperature=0.5,
        messages=[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    )
    assert (await job.status()).labels == {"user": "u"}
    await job.cancel()
    await turn.parts()
