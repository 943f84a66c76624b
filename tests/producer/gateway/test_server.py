"""The gateway as a server: health, the way it ends, outages of Redis, and clients that behave badly."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import suppress

import httpx
import pytest

from tailrace import Settings, Tailrace
from tailrace.broker.client import Broker
from tailrace.gateway import body_limit, create_app, drain, http_protocol
from tailrace.gateway import lasting_tail as lasting_tail_module
from tailrace.protocol.keys import Keys
from tests.producer.gateway.conftest import Worker
from tests.producer.gateway.test_chat import parts_of
from tests.support.eventually import eventually
from tests.support.gateways import NEW_JOB, ServedGateway, data_of, gateway_settings, served


async def read_to_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(20):
        return await reader.read()


async def test_a_gateway_is_alive_and_ready(gateway: ServedGateway) -> None:
    assert (await gateway.client.get("/healthz")).json() == {"status": "ok"}
    assert (await gateway.client.get("/readyz")).json() == {"status": "ready"}


async def test_a_gateway_that_is_about_to_end_is_alive_and_not_ready(gateway: ServedGateway) -> None:
    drain(gateway.app)
    assert (await gateway.client.get("/healthz")).status_code == 200
    response = await gateway.client.get("/readyz")
    assert response.status_code == 503
    assert response.json()["error"]["code"] == "shutting_down"
    assert response.headers["retry-after"]


async def test_at_the_end_a_native_stream_is_closed_with_a_time_to_come_back(
    gateway: ServedGateway, working: Worker
) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).start()
    async with asyncio.timeout(20), gateway.client.stream("GET", created["events_url"]) as response:
        lines = response.aiter_lines()
        while not (await anext(lines)).startswith("event: started"):
            pass
        gateway.server.should_exit = True
        *_, last = [line async for line in lines]
    assert re.fullmatch(r"retry: \d{3,4}", last)


async def test_a_slow_client_that_is_told_to_move_reads_on_without_a_gap(
    gateway: ServedGateway, working: Worker, tailrace: Tailrace, settings: Settings
) -> None:
    ids = [(await gateway.enqueue())["id"] for _ in range(2)]
    path = "/v1/events?" + "&".join(f"job={job_id}" for job_id in ids)
    async with asyncio.timeout(40), gateway.stream(path) as events:
        seen = [await anext(events) for _ in ids]
        for job_id in ids:
            # More than the sockets hold, and then more events than may wait in the gateway.
            await working(job_id).run(*["x" * 60_000] * 100)
        (stream,) = gateway.app.state.gateway.draining.streams
        await eventually(stream._frames._waiting.full)  # noqa: SLF001  # Nothing else tells how much waits.
        drain(gateway.app)
        seen += [event async for event in events]
    async with served(create_app(tailrace, gateway_settings(settings))) as other:
        seen += await other.events(path, **{"Last-Event-ID": seen[-1].id})
    for job_id in ids:
        own = [data_of(event)["id"] for event in seen if data_of(event)["job"] == job_id]
        assert own == ["0-1", *(f"1-{seq}" for seq in range(2, 104))]


async def test_at_the_end_another_stream_runs_on(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue(conversation="chat-42")
    worker = working(created["id"])
    await worker.start()
    reading = asyncio.create_task(gateway.client.get("/v1/chat/chat-42/stream"))
    await eventually(lambda: bool(gateway.app.state.gateway.draining.streams))
    gateway.server.should_exit = True
    await eventually(lambda: gateway.app.state.gateway.draining.has_begun)
    await worker.say("Hello")
    await worker.complete()
    assert parts_of((await reading).text)[-1]["type"] == "finish"
    with pytest.raises(httpx.ConnectError):
        await gateway.client.get("/healthz")


async def test_at_the_end_of_the_grace_time_every_stream_is_closed(
    tailrace: Tailrace, settings: Settings, working: Worker
) -> None:
    app = create_app(tailrace, gateway_settings(settings, gateway_grace_seconds=0.1))
    async with served(app) as gateway:
        created = await gateway.enqueue(conversation="chat-42")
        await working(created["id"]).start()
        reading = asyncio.create_task(gateway.client.get("/v1/chat/chat-42/stream"))
        await eventually(lambda: bool(app.state.gateway.draining.streams))
        gateway.server.should_exit = True
        # Without it the client would show what there is as the whole answer.
        assert parts_of((await reading).text)[-1]["type"] == "error"
    assert (await tailrace.job(created["id"]).status()).state == "running"


async def test_a_silent_stream_has_signs_of_life(
    gateway: ServedGateway, working: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting_tail_module, "KEEP_ALIVE_SECONDS", 0.05)
    created = await gateway.enqueue(conversation="chat-42")
    worker = working(created["id"])
    await worker.start()
    for path in (created["events_url"], "/v1/chat/chat-42/stream"):
        async with asyncio.timeout(20), gateway.client.stream("GET", path) as response:
            lines = response.aiter_lines()
            for _ in range(3):
                while await anext(lines) != ": keep-alive":
                    pass
    await worker.complete()


async def test_the_status_is_held_back_until_an_attempt_starts(
    gateway: ServedGateway, broker: Broker, keys: Keys
) -> None:
    created = await gateway.enqueue()
    asking = asyncio.create_task(gateway.client.get(created["events_url"]))

    async def is_read() -> bool:
        # The reader subscribes once it has caught up.
        return bool((await broker.call("PUBSUB", "NUMSUB", keys.bell(created["id"])))[1])

    await eventually(is_read)
    await gateway.client.delete(f"/v1/jobs/{created['id']}")
    assert (await asking).status_code == 404


async def test_a_body_that_is_too_large_is_refused_by_its_length_and_while_it_arrives(
    tailrace: Tailrace, settings: Settings
) -> None:
    app = create_app(tailrace, gateway_settings(settings, gateway_max_body_bytes=2_000))
    body = json.dumps({**NEW_JOB, "messages": [{"role": "user", "content": "x" * 2_000}]}).encode()

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 100):
            yield body[start : start + 100]

    async with served(app) as gateway:
        headers = {"Content-Type": "application/json"}
        for content in (body, chunks()):
            response = await gateway.client.post("/v1/jobs", content=content, headers=headers)
            assert response.status_code == 413
            assert response.json()["error"]["code"] == "request_too_large"
        assert (await gateway.client.get("/v1/jobs")).json() == {"jobs": []}


async def test_a_body_that_does_not_arrive_in_time_is_refused(
    gateway: ServedGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "_BODY_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(
        b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{"
    )
    answer = await read_to_end(reader)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"request_timeout" in answer
    writer.close()


async def test_a_stream_whose_request_has_an_endless_body_ends(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    await working(created["id"]).start()
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(
        f"GET {created['events_url']} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    )
    await reader.readuntil(b"event: started")
    for _ in range(45):
        writer.write(b"%x\r\n%s\r\n" % (100_000, b"x" * 100_000))
    await eventually(lambda: not gateway.app.state.gateway.draining.streams)
    writer.close()


async def test_a_request_that_is_too_large_for_a_job_is_refused(gateway: ServedGateway) -> None:
    body = {**NEW_JOB, "messages": [{"role": "user", "content": "x" * 1_100_000}]}
    response = await gateway.client.post("/v1/jobs", json=body)
    assert response.status_code == 413


async def test_only_this_machine_is_served_without_keys(gateway: ServedGateway) -> None:
    # A proxy on this machine says for whom it asks.
    response = await gateway.client.get("/v1/jobs", headers={"X-Forwarded-For": "203.0.113.7"})
    assert response.status_code == 401
    assert response.json()["error"]["code"] == "unauthorized"


async def test_foreign_pages_may_call_only_if_their_origin_is_named(tailrace: Tailrace, settings: Settings) -> None:
    own = gateway_settings(settings, gateway_cors_origins="https://a.example,https://b.example")
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    async with served(create_app(tailrace, gateway_settings(settings))) as closed:
        response = await closed.client.options("/v1/jobs", headers=asked)
        assert "access-control-allow-origin" not in response.headers
    async with served(create_app(tailrace, own)) as opened:
        response = await opened.client.options(
            "/v1/jobs", headers={**asked, "Access-Control-Request-Headers": "content-type, authorization"}
        )
        assert response.status_code == 200
        assert response.headers["access-control-allow-origin"] == "https://a.example"
        response = await opened.client.get("/v1/jobs", headers={"Origin": "https://b.example"})
        assert response.headers["access-control-allow-origin"] == "https://b.example"
        assert "x-tailrace-job" in response.headers["access-control-expose-headers"].lower()
        response = await opened.client.get("/v1/jobs", headers={"Origin": "https://c.example"})
        assert "access-control-allow-origin" not in response.headers


async def test_a_foreign_page_may_send_every_header_that_a_route_takes(tailrace: Tailrace, settings: Settings) -> None:
    app = create_app(tailrace, gateway_settings(settings, gateway_cors_origins="https://a.example"))
    taken = {
        parameter["name"]
        for path in app.openapi()["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", [])
        if parameter["in"] == "header"
    }
    assert "X-AI-SDK-Version" in taken
    asked = {
        "Origin": "https://a.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": ",".join(
            sorted({*taken, "Authorization", "X-API-Key", "Content-Type"})
        ).lower(),
    }
    async with served(app) as gateway:
        response = await gateway.client.options("/v1/chat", headers=asked)
        assert response.status_code == 200, response.text


async def test_a_body_that_a_foreign_page_can_send_without_asking_is_refused(gateway: ServedGateway) -> None:
    content = json.dumps(NEW_JOB)
    for headers in ({"Content-Type": "text/plain"}, {}):
        response = await gateway.client.post("/v1/jobs", content=content, headers=headers)
        assert response.status_code == 400
    assert (await gateway.client.get("/v1/jobs")).json() == {"jobs": []}


async def test_the_log_has_a_line_for_a_request_without_its_query(
    gateway: ServedGateway, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        await gateway.client.get("/v1/jobs/x%0Ay?token=secret")
    # httpx logs its URLs too.
    told = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert any(re.fullmatch(r"127\.0\.0\.1 GET /v1/jobs/x%0Ay 404 \d+ ms", line) for line in told)
    assert "secret" not in "".join(told)


async def test_a_defect_is_an_error_whose_message_stays_in_no_log(
    gateway: ServedGateway, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        # The frame in the log has this line, but not what it makes.
        raise RuntimeError("the {}".format("prompt"))

    monkeypatch.setattr(Tailrace, "jobs", fail)
    response = await gateway.client.get("/v1/jobs")
    assert response.status_code == 500
    assert response.json()["error"]["code"] == "internal_error"
    assert "RuntimeError" in caplog.text
    assert "the prompt" not in caplog.text


@pytest.mark.parametrize("value", [b"x" * 300_000, b"x" * 40_000 + b"\r\nb: " + b"x" * 40_000])
async def test_a_head_that_is_too_large_is_refused(gateway: ServedGateway, value: bytes) -> None:
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\na: " + value)
    # A client that still sends may find the connection reset.
    with suppress(ConnectionError):
        assert (await read_to_end(reader)).startswith(b"HTTP/1.1 431 ")
    writer.close()
    await eventually(lambda: not gateway.connections)


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"GET /healthz", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"])
async def test_a_head_that_does_not_come_in_time_ends_its_connection(
    gateway: ServedGateway, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_protocol, "_HEAD_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection(*gateway.address)
    writer.write(sent)
    ended = asyncio.create_task(read_to_end(reader))
    while not ended.done():
        # Something arrives all the time, but no head.
        writer.write(b"x" if sent.endswith(b"z") else b"\r\n")
        await asyncio.wait([ended], timeout=0.1)
    answer = await ended
    assert answer.endswith(b'{"status":"ok"}' if sent.endswith(b"\n\r\n") else b"")
    writer.close()
    await eventually(lambda: not gateway.connections)


async def test_requests_that_break_off_leave_nothing_behind(gateway: ServedGateway) -> None:
    for sent in (
        b"",
        b"GET",
        b"GET / HT\r\n\r\n",
        b"\x00\xff\r\n\r\n",
        b"GET /v1/jobs HTTP/1.1\r\n",
        b"GET /v1/jobs HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 90\r\n\r\n{",
        b"POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ):
        reader, writer = await asyncio.open_connection(*gateway.address)
        writer.write(sent)
        writer.write_eof()
        answer = await read_to_end(reader)
        assert not answer.startswith(b"HTTP/1.1 5")
        writer.close()
    await eventually(lambda: not gateway.connections and not gateway.server.server_state.tasks)


async def test_a_client_that_reads_nothing_is_bounded_and_holds_up_no_other(
    gateway: ServedGateway, working: Worker
) -> None:
    created = await gateway.enqueue()
    worker = working(created["id"])
    await worker.start()
    _, writer = await asyncio.open_connection(*gateway.address, limit=1)
    writer.write(f"GET {created['events_url']} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    await eventually(lambda: bool(gateway.app.state.gateway.draining.streams))
    own_port = writer.get_extra_info("sockname")[1]
    (slow,) = (each for each in gateway.connections if each.client and each.client[1] == own_port)
    async with asyncio.timeout(40), gateway.stream(created["events_url"]) as events:
        for _ in range(8):
            await worker.say(*["x" * 60_000] * 20)
        await worker.complete()
        seen = [event.event async for event in events]
    assert seen.count("delta") == 160
    assert slow.transport.get_write_buffer_size() < 512 * 1024
    writer.transport.abort()
    await eventually(lambda: not gateway.app.state.gateway.draining.streams)
