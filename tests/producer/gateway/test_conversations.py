"""The routes of conversations."""

import asyncio

from tests.producer.gateway.conftest import Worker
from tests.support.gateways import ServedGateway, data_of


async def test_a_conversation_has_its_active_job_and_the_recent_ones(gateway: ServedGateway, working: Worker) -> None:
    first = await gateway.enqueue(conversation="chat-42")
    await working(first["id"]).run("a")
    second = await gateway.enqueue(conversation="chat-42")
    found = (await gateway.client.get("/v1/conversations/chat-42")).json()
    assert found["id"] == "chat-42"
    assert found["active"]["id"] == second["id"]
    assert [job["id"] for job in found["jobs"]] == [second["id"], first["id"]]


async def test_a_conversation_without_jobs_is_empty(gateway: ServedGateway) -> None:
    assert (await gateway.client.get("/v1/conversations/none")).json() == {"id": "none", "jobs": []}
    assert (await gateway.client.get("/v1/conversations/none/stream")).status_code == 204
    assert (await gateway.client.post("/v1/conversations/none/stop")).json() == {"outcome": "idle"}


async def test_an_id_with_a_slash_or_other_characters_is_an_id_if_it_is_encoded(gateway: ServedGateway) -> None:
    created = await gateway.enqueue(conversation="ü 1")
    found = (await gateway.client.get("/v1/conversations/%C3%BC%201")).json()
    assert found["active"]["id"] == created["id"]


async def test_a_conversation_is_stopped_by_its_id(gateway: ServedGateway) -> None:
    created = await gateway.enqueue(conversation="c")
    stopped = await gateway.client.post("/v1/conversations/c/stop", json={"reason": "enough"})
    assert stopped.json() == {"outcome": "cancelled"}
    assert (await gateway.client.post("/v1/conversations/c/stop")).json() == {"outcome": "idle"}
    assert (await gateway.client.get(f"/v1/jobs/{created['id']}")).json()["state"] == "cancelled"


async def test_the_stream_is_that_of_the_active_job_which_its_events_name(
    gateway: ServedGateway, working: Worker
) -> None:
    created = await gateway.enqueue(conversation="c")
    worker = working(created["id"])
    await worker.start()
    async with asyncio.timeout(20), gateway.stream("/v1/conversations/c/stream") as events:
        assert data_of(await anext(events))["job"] == created["id"]
        await worker.say("a")
        await worker.complete()
        assert [event.event async for event in events] == ["started", "delta", "completed"]


async def test_a_client_that_comes_back_reads_its_job_to_the_end_and_then_the_next_one(
    gateway: ServedGateway, working: Worker
) -> None:
    path = "/v1/conversations/c/stream"
    first = await gateway.enqueue(conversation="c")
    worker = working(first["id"])
    await worker.start()
    async with asyncio.timeout(20), gateway.stream(path) as events:
        seen = [await anext(events), await anext(events)]
    await worker.say("a")
    await worker.complete()
    second = await gateway.enqueue(conversation="c")
    await working(second["id"]).start()
    rest = await gateway.events(path, **{"Last-Event-ID": seen[-1].id})
    assert [event.event for event in rest] == ["delta", "completed"]
    async with asyncio.timeout(20), gateway.stream(path, **{"Last-Event-ID": rest[-1].id}) as events:
        assert data_of(await anext(events)) | {"at": 0} == {
            "job": second["id"],
            "type": "queued",
            "id": "0-1",
            "at": 0,
            "queue": "default",
        }
