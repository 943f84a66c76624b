"""The streams of events: native, of one job and of several."""

import asyncio
import itertools

import httpx
import pytest

from tailrace import Tailrace
from tailrace.broker.client import Broker
from tests.producer.gateway.conftest import Worker
from tests.support.gateways import ServedGateway, data_of


async def test_a_stream_has_all_events_and_ends_with_the_ending(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).run("Hel", "lo")
    events = await gateway.events(created["events_url"])
    assert [event.event for event in events] == ["queued", "started", "delta", "delta", "completed"]
    assert [event.id for event in events] == ["0-1", "1-2", "1-3", "1-4", "1-5"]
    assert all(data_of(event)["id"] == event.id for event in events)


async def test_the_headers_forbid_to_hold_a_stream_back(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).run()
    response = await gateway.client.get(created["events_url"], headers={"Accept-Encoding": "gzip, br"})
    assert response.headers["content-type"] == "text/event-stream"
    assert response.headers["cache-control"] == "no-cache, no-transform"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["x-tailrace-job"] == created["id"]
    assert "content-encoding" not in response.headers
    assert "content-length" not in response.headers
    assert response.text.startswith("retry: ")


async def test_a_resumed_stream_is_the_rest_of_the_whole_one(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).run("a", "b", "c")
    path = created["events_url"]
    whole = await gateway.events(path)
    for number, event in enumerate(whole[:-1], start=1):
        assert await gateway.events(path, **{"Last-Event-ID": event.id}) == whole[number:]
        assert await gateway.events(f"{path}?after={event.id}") == whole[number:]


async def test_behind_the_ending_there_is_no_content_which_stops_an_event_source(
    gateway: ServedGateway, working: Worker
) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).run()
    last = (await gateway.events(created["events_url"]))[-1].id
    response = await gateway.client.get(created["events_url"], headers={"Last-Event-ID": last})
    assert (response.status_code, response.content) == (204, b"")


@pytest.mark.parametrize("cursor", ["x", "1-", "9-9", "1-99999999999999999999"])
async def test_a_cursor_that_is_none_is_told_before_the_stream(
    gateway: ServedGateway, working: Worker, cursor: str
) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).run()
    response = await gateway.client.get(created["events_url"], params={"after": cursor})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_cursor"


async def test_what_is_appended_is_sent_at_once(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    worker = working(created["id"])
    await worker.start()
    async with asyncio.timeout(10), gateway.stream(created["events_url"]) as events:
        assert [(await anext(events)).event for _ in range(2)] == ["queued", "started"]
        for text in ("a", "b"):
            await worker.say(text)
            assert data_of(await anext(events))["text"] == text


async def test_to_leave_does_not_touch_the_job(gateway: ServedGateway, working: Worker, tailrace: Tailrace) -> None:
    created = await gateway.enqueue()
    worker = working(created["id"])
    await worker.start()
    async with gateway.stream(created["events_url"]) as events:
        await anext(events)
    assert (await tailrace.job(created["id"]).status()).state == "running"
    await worker.complete()
    assert (await gateway.events(created["events_url"]))[-1].event == "completed"


async def test_events_that_are_ready_together_come_in_one_chunk(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).run(*"abcdefgh")
    async with gateway.client.stream("GET", created["events_url"]) as response:
        # httpx gives the chunks as they are framed.
        chunks = [chunk async for chunk in response.aiter_raw()]
    assert b"".join(chunks).count(b"\nevent: ") == 11
    assert len(chunks) < 6


async def test_several_jobs_share_a_stream_that_names_them_and_can_be_resumed(
    gateway: ServedGateway, working: Worker
) -> None:
    ids = [(await gateway.enqueue())["id"] for _ in range(3)]
    path = "/v1/events?" + "&".join(f"job={job_id}" for job_id in ids)
    async with asyncio.timeout(20), gateway.stream(path) as events:
        seen = [await anext(events) for _ in ids]
        for job_id in ids:
            await working(job_id).run(job_id)
        seen += [event async for event in events]
    for job_id in ids:
        own = [data_of(event) for event in seen if data_of(event)["job"] == job_id]
        assert [event["type"] for event in own] == ["queued", "started", "delta", "completed"]
        assert own[2]["text"] == job_id
    for before, after in itertools.pairwise([*range(0, len(seen), 4), len(seen)]):
        if before:
            rest = await gateway.events(path, **{"Last-Event-ID": seen[before - 1].id})
            told = sorted((data_of(event)["job"], event.event) for event in seen[before:])
            assert sorted((data_of(event)["job"], event.event) for event in rest) == told
        assert after
    response = await gateway.client.get(path, headers={"Last-Event-ID": seen[-1].id})
    assert response.status_code == 204


async def test_each_job_of_a_shared_stream_may_name_its_own_cursor(gateway: ServedGateway, working: Worker) -> None:
    old, new = [(await gateway.enqueue())["id"] for _ in range(2)]
    for job_id in (old, new):
        await working(job_id).run("a", "b")
    events = await gateway.events(f"/v1/events?job={old}:1-3&job={new}")
    told = [(data_of(event)["job"], data_of(event)["id"]) for event in events]
    assert sorted(told) == sorted(
        [(old, "1-4"), (old, "1-5"), *((new, cursor) for cursor in ("0-1", "1-2", "1-3", "1-4", "1-5"))]
    )
    # A browser that comes back by itself asks at the same address.
    path = f"/v1/events?job={old}:1-3&job={new}"
    assert await gateway.events(path, **{"Last-Event-ID": events[-2].id}) == events[-1:]
    response = await gateway.client.get(f"/v1/events?job={old}:1-5&job={new}:1-5")
    assert response.status_code == 204


@pytest.mark.parametrize("cursor", ["x", "1-", "9-9", "1-2:3"])
async def test_a_cursor_of_one_job_that_is_none_is_told_before_the_shared_stream(
    gateway: ServedGateway, working: Worker, cursor: str
) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).run()
    response = await gateway.client.get("/v1/events", params={"job": f"{created['id']}:{cursor}"})
    assert response.status_code == 400
    assert response.json()["error"]["code"] == "invalid_cursor"


@pytest.mark.parametrize("jobs", [0, 51])
async def test_a_stream_has_a_limited_number_of_jobs(gateway: ServedGateway, jobs: int) -> None:
    response = await gateway.client.get("/v1/events", params={"job": ["a" * 22] * jobs})
    assert response.status_code == 400


async def test_a_deleted_job_ends_its_stream(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).start()
    async with asyncio.timeout(20), gateway.stream(created["events_url"]) as events:
        await anext(events)
        await gateway.client.delete(f"/v1/jobs/{created['id']}")
        assert [event.event async for event in events] == ["started"]


async def test_many_streams_share_few_connections_to_redis(
    gateway: ServedGateway, working: Worker, broker: Broker
) -> None:
    created = await gateway.enqueue()
    worker = working(created["id"])
    await worker.start()
    before = len((await broker.call("CLIENT", "LIST")).splitlines())

    async def read(client: httpx.AsyncClient) -> list[str]:
        async with client.stream("GET", created["events_url"]) as response:
            return [line async for line in response.aiter_lines() if line.startswith("event: ")]

    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=gateway.url, limits=limits, timeout=20, trust_env=False) as client:
        reading = [asyncio.create_task(read(client)) for _ in range(50)]
        async with gateway.stream(created["events_url"]) as events:
            await anext(events)
            # One of the four connections was there before.
            assert len((await broker.call("CLIENT", "LIST")).splitlines()) - before <= 3
        await worker.complete()
        assert {tuple(lines) for lines in await asyncio.gather(*reading)} == {
            ("event: queued", "event: started", "event: completed")
        }
