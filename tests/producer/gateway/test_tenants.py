"""What a tenant sees of another one: nothing, and nobody can tell that there is something to see."""

from typing import Any

import pytest

from tailrace.gateway import create_app
from tests.producer.gateway.conftest import KeyOf, Worker
from tests.support.gateways import NEW_JOB, ServedGateway

DOCUMENT: dict[str, Any] = create_app().openapi()
ROUTES = [
    (method, path)
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
    if "{" in path or any(parameter["name"] in {"job", "conversation"} for parameter in operation.get("parameters", ()))
]
MISSING = "A" * 22


async def ask(gateway: ServedGateway, headers: Any, method: str, path: str, job: str, chat: str) -> tuple[int, str]:
    filled = (
        path.replace("{name}", "openai/m")
        .replace("{response_id}", f"resp_{job}")
        .replace("{job_id}", job)
        .replace("{conversation}", chat)
        .replace("{chat}", chat)
    )
    assert "{" not in filled
    query = {"/v1/events": {"job": job}, "/v1/jobs": {"conversation": chat}}.get(path, {})
    response = await gateway.client.request(method, filled, params=query, headers=headers)
    return response.status_code, response.text.replace(chat, "CHAT")


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES])
async def test_an_id_of_another_tenant_is_the_same_as_one_that_is_missing(
    gateway: ServedGateway, key_of: KeyOf, working: Worker, method: str, path: str
) -> None:
    ours, theirs = await key_of("a"), await key_of("b")
    body = {**NEW_JOB, "conversation": "secret-chat"}
    created = (await gateway.client.post("/v1/jobs", json=body, headers=theirs)).json()
    await working(created["id"]).start()
    foreign = await ask(gateway, ours, method, path, created["id"], "secret-chat")
    missing = await ask(gateway, ours, method, path, MISSING, "none-of-all")
    assert foreign == missing
    if "{job_id}" in path or path == "/v1/events":
        assert foreign[0] == 404
    seen = (await gateway.client.get("/v1/conversations/secret-chat", headers=theirs)).json()
    assert (seen["active"]["id"], seen["active"]["state"]) == (created["id"], "running")


def test_the_routes_are_those_that_take_ids() -> None:
    assert len(ROUTES) >= 12
    assert ("get", "/v1/events") in ROUTES


async def test_a_chat_of_the_same_id_is_another_chat(gateway: ServedGateway, key_of: KeyOf) -> None:
    ours, theirs = await key_of("a"), await key_of("b")
    body = {**NEW_JOB, "conversation": "chat"}
    created = [(await gateway.client.post("/v1/jobs", json=body, headers=headers)).json() for headers in (ours, theirs)]
    for headers, job in zip((ours, theirs), created, strict=True):
        found = (await gateway.client.get("/v1/conversations/chat", headers=headers)).json()
        assert [each["id"] for each in found["jobs"]] == [job["id"]]
        assert [each["id"] for each in (await gateway.client.get("/v1/jobs", headers=headers)).json()["jobs"]] == [
            job["id"]
        ]


async def test_an_idempotency_key_of_another_tenant_attaches_to_nothing(gateway: ServedGateway, key_of: KeyOf) -> None:
    created = [
        await gateway.client.post("/v1/jobs", json=NEW_JOB, headers={**await key_of(tenant), "Idempotency-Key": "k"})
        for tenant in ("a", "b")
    ]
    assert [response.status_code for response in created] == [201, 201]
