"""Bad requests: each is refused with its status, none is a 500, and none leaves anything behind."""

import asyncio
import gc
import json
from typing import Any

import psutil
import pytest

from tests.support.eventually import eventually
from tests.support.gateways import NEW_JOB, ServedGateway

JSON = {"content-type": "application/json"}
JOB = "a" * 22


def job(**fields: Any) -> bytes:
    return json.dumps({**NEW_JOB, **fields}).encode()


BAD: list[tuple[int, str, str, dict[str, str], bytes]] = [
    (400, "POST", "/v1/jobs", JSON, b""),
    (400, "POST", "/v1/jobs", JSON, b"{"),
    (400, "POST", "/v1/jobs", JSON, b"null"),
    (400, "POST", "/v1/jobs", JSON, b"[]"),
    (400, "POST", "/v1/jobs", JSON, b'"x"'),
    (400, "POST", "/v1/jobs", JSON, b"\xff\xfe"),
    (400, "POST", "/v1/jobs", JSON, b"[" * 100_000),
    (400, "POST", "/v1/jobs", JSON, b'{"a":' * 50_000),
    (400, "POST", "/v1/jobs", JSON, job(messages=[])),
    (400, "POST", "/v1/jobs", JSON, job(unknown=1)),
    (400, "POST", "/v1/jobs", JSON, job(temperature=float("nan"))),
    (400, "POST", "/v1/jobs", JSON, job(max_output_tokens=10**400)),
    (400, "POST", "/v1/jobs", JSON, job(queue="a b")),
    (400, "POST", "/v1/jobs", JSON, job(queue="")),
    (400, "POST", "/v1/jobs", JSON, job(conversation="")),
    (400, "POST", "/v1/jobs", JSON, job(conversation="x" * 10_000)),
    (400, "POST", "/v1/jobs", JSON, job(conversation="\ud800")),
    (400, "POST", "/v1/jobs", JSON, job(labels={"a": 1})),
    (400, "POST", "/v1/jobs", JSON, job(labels={str(n): "x" for n in range(1_000)})),
    (400, "POST", "/v1/jobs", JSON, job(if_active="never")),
    (400, "POST", "/v1/jobs", JSON, job(defer_seconds=-1)),
    (400, "POST", "/v1/jobs", JSON, job(expires_in_seconds=1e300)),
    (400, "POST", "/v1/jobs", JSON, job(messages=[{"role": "user", "content": "\ud800"}])),
    (400, "POST", "/v1/jobs", {**JSON, "idempotency-key": ""}, job()),
    (400, "POST", "/v1/jobs", {**JSON, "idempotency-key": "x" * 10_000}, job()),
    (400, "POST", "/v1/jobs", {"content-type": "application/x-www-form-urlencoded"}, b"a=b"),
    (400, "POST", "/v1/jobs", {"content-type": "multipart/form-data; boundary=x"}, b"--x--"),
    (400, "GET", "/v1/jobs?limit=0", {}, b""),
    (400, "GET", "/v1/jobs?limit=x", {}, b""),
    (400, "GET", "/v1/jobs?limit=99999999999999999999", {}, b""),
    (400, "GET", "/v1/jobs?state=unknown", {}, b""),
    (400, "GET", "/v1/jobs?conversation=", {}, b""),
    (404, "GET", "/v1/jobs/%00", {}, b""),
    (404, "GET", "/v1/jobs/%FF%FE", {}, b""),
    (404, "GET", f"/v1/jobs/{JOB}", {}, b""),
    (404, "GET", f"/v1/jobs/{JOB}/events", {}, b""),
    (404, "GET", f"/v1/jobs/{JOB}/events?after=x", {}, b""),
    (404, "GET", "/v1/jobs/%C2%85/events", {"last-event-id": "1-x"}, b""),
    (404, "GET", f"/v1/jobs/{JOB}/nothing", {}, b""),
    (400, "POST", f"/v1/jobs/{JOB}/cancel", JSON, b'{"reason": 1}'),
    (400, "POST", f"/v1/jobs/{JOB}/cancel", JSON, json.dumps({"reason": "x" * 2_000}).encode()),
    (400, "POST", f"/v1/jobs/{JOB}/regenerate", JSON, b"[]"),
    (405, "PUT", f"/v1/jobs/{JOB}", JSON, b"{}"),
    (405, "POST", "/v1/events", JSON, b"{}"),
    (400, "GET", "/v1/events", {}, b""),
    (404, "GET", "/v1/events?job=x", {}, b""),
    (404, "GET", "/v1/conversations/", {}, b""),
    (400, "GET", "/v1/conversations/" + "x" * 5_000, {}, b""),
    (400, "GET", "/v1/chat/" + "x" * 5_000 + "/stream", {}, b""),
    (400, "GET", "/v1/chat/c/stream?sdk_version=8", {}, b""),
    (400, "POST", "/v1/chat", JSON, b"{}"),
    (400, "POST", "/v1/chat", JSON, b'{"id": "c", "messages": [{"role": "user", "parts": [{}]}]}'),
    (400, "POST", "/v1/chat", JSON, b'{"id": "c", "messages": [{"role": "user", "parts": null}]}'),
    (404, "GET", "/nothing", {}, b""),
    (404, "GET", f"/v1/jobs/{JOB}/events/?token=secret", {}, b""),
    (404, "POST", "/v1/jobs/", JSON, job()),
    (404, "GET", "/v1/../../etc/passwd", {}, b""),
    (405, "TRACE", "/v1/jobs", {}, b""),
]


async def ask(gateway: ServedGateway, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
    """Sends what a client of HTTP would mend or refuse."""
    reader, writer = await asyncio.open_connection(*gateway.address)
    sent = {"host": "localhost", "connection": "close", **headers}
    if body or method == "POST":
        sent["content-length"] = str(len(body))
    head = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode() + body)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("status", "method", "target", "headers", "body"),
    BAD,
    ids=[f"{number} {method} {target[:40]}" for number, (_, method, target, _, _) in enumerate(BAD)],
)
async def test_a_bad_request_is_refused(
    gateway: ServedGateway, status: int, method: str, target: str, headers: dict[str, str], body: bytes
) -> None:
    answer = await ask(gateway, method, target, headers, body)
    head, _, content = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:500]
    error = json.loads(content)["error"]
    assert error["code"]
    assert error["message"]
    assert len(content) < 5_000


@pytest.mark.timeout(120)
async def test_many_bad_requests_leave_nothing_behind(gateway: ServedGateway) -> None:
    process = psutil.Process()

    async def ask_all() -> None:
        for _, method, target, headers, body in BAD:
            assert not (await ask(gateway, method, target, headers, body)).startswith(b"HTTP/1.1 5")
        await eventually(lambda: not gateway.connections)
        gc.collect()

    await ask_all()
    files, tasks, objects = process.num_fds(), len(asyncio.all_tasks()), len(gc.get_objects())
    for _ in range(5):
        await ask_all()
    assert process.num_fds() <= files
    assert len(asyncio.all_tasks()) <= tasks
    assert len(gc.get_objects()) < objects + 2_000
