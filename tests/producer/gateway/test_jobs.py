"""The routes of jobs, as a client in any language sees them."""

from typing import Any

import pytest

from tailrace import GenerationRequest, Tailrace
from tests.producer.gateway.conftest import Worker
from tests.support.gateways import NEW_JOB, ServedGateway


async def test_a_new_job_is_created_and_says_where_it_is_read_and_stopped(gateway: ServedGateway) -> None:
    response = await gateway.client.post("/v1/jobs", json={**NEW_JOB, "labels": {"user": "u-7"}, "conversation": "c"})
    created = response.json()
    assert response.status_code == 201
    assert response.headers["x-tailrace-job"] == created["id"]
    assert created["state"] == "queued"
    assert created["tenant"] == "default"
    assert created["labels"] == {"user": "u-7"}
    assert created["conversation"] == "c"
    assert created["events_url"] == f"/v1/jobs/{created['id']}/events"
    assert created["cancel_url"] == f"/v1/jobs/{created['id']}/cancel"
    assert None not in created.values()


async def test_the_request_of_the_job_has_the_fields_of_the_body_and_nothing_else(
    gateway: ServedGateway, tailrace: Tailrace
) -> None:
    created = await gateway.enqueue(temperature=0.5, labels={"a": "b"}, queue="other", expires_in_seconds=60)
    request = await tailrace.job(created["id"]).request()
    assert request.model_dump(exclude_defaults=True) == {**NEW_JOB, "temperature": 0.5}
    assert created["queue"] == "other"


async def test_an_idempotency_key_attaches_to_the_first_job(gateway: ServedGateway) -> None:
    headers = {"Idempotency-Key": "k"}
    first = await gateway.client.post("/v1/jobs", json=NEW_JOB, headers=headers)
    second = await gateway.client.post("/v1/jobs", json=NEW_JOB, headers=headers)
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]
    other = await gateway.client.post("/v1/jobs", json={**NEW_JOB, "model": "n"}, headers=headers)
    assert other.status_code == 409
    assert other.json()["error"]["code"] == "idempotency_conflict"


async def test_a_busy_conversation_names_its_job_unless_it_is_interrupted(gateway: ServedGateway) -> None:
    first = await gateway.enqueue(conversation="c")
    refused = await gateway.client.post("/v1/jobs", json={**NEW_JOB, "conversation": "c"})
    assert refused.status_code == 409
    assert refused.json()["error"]["code"] == "conversation_busy"
    assert refused.json()["error"]["job"] == refused.headers["x-tailrace-job"] == first["id"]
    second = await gateway.enqueue(conversation="c", if_active="interrupt")
    assert (await gateway.client.get(f"/v1/jobs/{first['id']}")).json()["state"] == "cancelled"
    assert second["id"] != first["id"]


async def test_no_cache_keeps_what_the_routes_of_jobs_return(gateway: ServedGateway) -> None:
    created = await gateway.client.post("/v1/jobs", json=NEW_JOB)
    job = f"/v1/jobs/{created.json()['id']}"
    for response in (created, await gateway.client.get(job), await gateway.client.post(f"{job}/cancel")):
        assert response.headers["cache-control"] == "no-store"


async def test_a_job_that_has_ended_has_its_answer(gateway: ServedGateway, working: Worker) -> None:
    created = await gateway.enqueue()
    job = f"/v1/jobs/{created['id']}"
    assert "answer" not in (await gateway.client.get(job)).json()
    await working(created["id"]).run("Hel", "lo")
    response = await gateway.client.get(job)
    whole = response.json()
    assert response.headers["x-tailrace-job"] == created["id"]
    assert whole["state"] == "completed"
    assert whole["answer"]["text"] == "Hello"
    assert whole["answer"]["finish_reason"] == "stop"
    assert whole["answer"]["usage"] == {"output_tokens": 3}
    assert "worker" not in whole


async def test_to_cancel_twice_is_to_cancel_once(gateway: ServedGateway) -> None:
    created = await gateway.enqueue()
    path = created["cancel_url"]
    assert (await gateway.client.post(path, json={"reason": "enough"})).json() == {"outcome": "cancelled"}
    assert (await gateway.client.post(path)).json() == {"outcome": "ended"}
    events = await gateway.events(created["events_url"])
    assert '"reason": "enough"' in events[-1].data


async def test_a_job_is_regenerated_with_changes(gateway: ServedGateway, tailrace: Tailrace) -> None:
    created = await gateway.enqueue()
    response = await gateway.client.post(f"/v1/jobs/{created['id']}/regenerate", json={"temperature": 1})
    again = response.json()
    assert response.status_code == 201
    assert again["regenerated_from"] == created["id"]
    request: Any = await tailrace.job(again["id"]).request()
    assert request.temperature == 1
    assert (await gateway.client.get(f"/v1/jobs/{created['id']}")).json()["regenerated_as"] == [again["id"]]


@pytest.mark.parametrize("changes", [{"self": 1}, {"temperature": 9}, {"if_active": "never"}])
async def test_changes_that_are_not_valid_are_refused(gateway: ServedGateway, changes: dict[str, Any]) -> None:
    created = await gateway.enqueue()
    response = await gateway.client.post(f"/v1/jobs/{created['id']}/regenerate", json=changes)
    assert response.status_code == 400
    assert next(iter(changes)) in response.json()["error"]["message"]


async def test_a_deleted_job_is_gone(gateway: ServedGateway) -> None:
    path = f"/v1/jobs/{(await gateway.enqueue())['id']}"
    assert (await gateway.client.delete(path)).status_code == 204
    for response in (await gateway.client.get(path), await gateway.client.delete(path)):
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "job_not_found"


async def test_jobs_are_listed_from_the_newest_on(gateway: ServedGateway) -> None:
    first = await gateway.enqueue(conversation="c")
    second = await gateway.enqueue()
    await gateway.client.post(first["cancel_url"])

    async def ids(**params: Any) -> list[str]:
        response = await gateway.client.get("/v1/jobs", params=params)
        return [job["id"] for job in response.json()["jobs"]]

    assert await ids() == [second["id"], first["id"]]
    assert await ids(limit=1) == [second["id"]]
    assert await ids(conversation="c") == [first["id"]]
    assert await ids(state="cancelled") == [first["id"]]


async def test_a_malformed_id_and_the_id_of_another_tenant_are_as_unknown_as_one_that_never_was(
    gateway: ServedGateway, tailrace: Tailrace
) -> None:
    foreign = await tailrace.enqueue(request_of(), tenant="other")
    answers = [
        (response.status_code, response.content)
        for job_id in ("x", "%00", "a" * 22, foreign.id)
        for response in [
            await gateway.client.get(f"/v1/jobs/{job_id}"),
            await gateway.client.get(f"/v1/jobs/{job_id}/events"),
            await gateway.client.get("/v1/events", params={"job": job_id}),
            await gateway.client.post(f"/v1/jobs/{job_id}/cancel"),
            await gateway.client.post(f"/v1/jobs/{job_id}/regenerate"),
            await gateway.client.delete(f"/v1/jobs/{job_id}"),
        ]
    ]
    assert len(set(answers)) == 1
    assert answers[0][0] == 404
    assert (await foreign.status()).state == "queued"


def request_of() -> GenerationRequest:
    return GenerationRequest.model_validate(NEW_JOB)
