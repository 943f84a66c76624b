"""The routes of OpenAI's Responses, without OpenAI's client."""

from typing import Any

import pytest

from tailrace import Tailrace
from tailrace.gateway.fronts.front import LABEL
from tests.producer.gateway.conftest import KeyOf, Worker
from tests.support.gateways import ServedGateway

NEW: dict[str, Any] = {"model": "openai/m", "input": "Why?", "background": True}


async def created(gateway: ServedGateway, **fields: Any) -> dict[str, Any]:
    response = await gateway.client.post("/v1/responses", json={**NEW, **fields})
    assert response.status_code == 200, response.text
    return dict(response.json())


async def refused(gateway: ServedGateway, status: int = 400, **fields: Any) -> str:
    response = await gateway.client.post("/v1/responses", json={**NEW, **fields})
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    return str(error["message"])


def job_of(response: dict[str, Any]) -> str:
    return str(response["id"].removeprefix("resp_"))


async def test_a_background_response_is_queued_and_repeats_its_request(gateway: ServedGateway) -> None:
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "metadata": {"user": "ada"},
        "tools": [{"type": "function", "name": "look", "parameters": {"type": "object"}, "strict": True}],
        "tool_choice": {"type": "function", "name": "look"},
        "text": {"format": {"type": "json_schema", "name": "a", "schema": {"type": "object"}}, "verbosity": "low"},
        "reasoning": {"effort": "low"},
        "max_output_tokens": 7,
        "temperature": 0,
        "user": "u-7",
    }
    response = await created(gateway, **fields)
    assert (response["status"], response["background"], response["output"]) == ("queued", True, [])
    assert response["tools"] == [{**fields["tools"][0], "description": None}]
    assert response["text"]["format"] == {**fields["text"]["format"], "strict": False}
    assert response["reasoning"] == {"effort": "low", "summary": None}
    for name in ("model", "instructions", "metadata", "tool_choice", "max_output_tokens", "temperature", "user"):
        assert response[name] == {**NEW, **fields}[name]
    again = (await gateway.client.get(f"/v1/responses/{response['id']}")).json()
    assert again == response


async def test_the_request_is_that_of_the_provider(gateway: ServedGateway, tailrace: Tailrace) -> None:
    response = await created(
        gateway, input=[{"role": "user", "content": "Why?"}], instructions="Be brief.", reasoning={"effort": "low"}
    )
    job = tailrace.job(job_of(response))
    request: Any = await job.request()
    assert (request.provider, request.model, request.on_interrupt) == ("openai", "m", "continue")
    assert [message["role"] for message in request.messages] == ["system", "user"]
    assert request.extra == {"reasoning_effort": "low"}
    assert (await job.status()).labels == {LABEL: "openai-responses/1"}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"conversation": "c"}, "conversation: "),
        ({"truncation": "auto"}, "truncation: "),
        ({"tools": [{"type": "web_search"}]}, "tools.0.type: "),
        ({"include": ["message.output_text.logprobs"]}, "include: "),
        ({"text": {"format": {"type": "grammar"}}}, "text.format.type: "),
        ({"reasoning": {"effort": "low", "summary": "detailed"}}, "reasoning.summary: "),
        ({"input": [{"type": "reasoning", "summary": 5}]}, "input.0.summary: "),
        ({"input": [{"role": "assistant", "content": [{"type": "input_image"}]}]}, "input.0.content: "),
        ({"input": [{"role": "user", "content": "a"}, {"role": "user", "content": 5}]}, "input.1.content: "),
        ({"input": [{"type": "function_call_output", "call_id": "x", "output": "y"}]}, "input.0.tool_call_id: "),
        ({"metadata": {"a": 5}}, "metadata.a: "),
        ({"input": None}, "input"),
    ],
)
async def test_what_cannot_be_carried_is_refused_by_name(
    gateway: ServedGateway, fields: dict[str, Any], named: str
) -> None:
    assert named in await refused(gateway, **fields)


async def test_the_stream_goes_on_after_each_number(gateway: ServedGateway, working: Worker) -> None:
    response = await created(gateway)
    await working(job_of(response)).run("Because ", "it is.")
    path = f"/v1/responses/{response['id']}?stream=true"
    full = (await gateway.client.get(path)).text
    blocks = full.split("\n\n")
    assert blocks[-2] == "data: [DONE]"
    for number in range(len(blocks) - 2):
        rest = (await gateway.client.get(f"{path}&starting_after={number}")).text
        assert rest.split("\n\n") == blocks[number + 1 :]


async def test_a_response_goes_on_with_a_former_one(
    gateway: ServedGateway, working: Worker, tailrace: Tailrace
) -> None:
    first = await created(gateway, instructions="Be brief.")
    assert "this response is not finished" in await refused(gateway, previous_response_id=first["id"])
    await working(job_of(first)).run("Because.")
    second = await created(gateway, previous_response_id=first["id"], input="Really?", instructions="Be long.")
    assert second["previous_response_id"] == first["id"]
    request: Any = await tailrace.job(job_of(second)).request()
    said = [(message["role"], message.get("content")) for message in request.messages]
    assert said == [("system", "Be long."), ("user", "Why?"), ("assistant", "Because."), ("user", "Really?")]


async def test_a_former_response_may_be_gone_or_not_stored(gateway: ServedGateway, working: Worker) -> None:
    unstored = await created(gateway, store=False)
    await working(job_of(unstored)).run("Because.")
    native = await gateway.enqueue()
    for previous in (unstored["id"], "resp_0123456789abcdef", "nothing", f"resp_{native['id']}"):
        await refused(gateway, 404, previous_response_id=previous)
    assert (await gateway.client.get(f"/v1/responses/{unstored['id']}")).json()["status"] == "completed"


async def test_an_item_of_a_former_response_is_named_instead_of_repeated(
    gateway: ServedGateway, working: Worker, tailrace: Tailrace
) -> None:
    first, second = await created(gateway), await created(gateway)
    waiting = [{"type": "item_reference", "id": f"msg_{job_of(first)}_1_0"}]
    assert "input.0: the response of this item is not finished" in await refused(gateway, input=waiting)
    ids: list[str] = []
    for response, text in ((first, "Because."), (second, "Really.")):
        await working(job_of(response)).run(text)
        (item,) = (await gateway.client.get(f"/v1/responses/{response['id']}")).json()["output"]
        ids.append(item["id"])
    user = {"role": "user", "content": "Why?"}
    references = [{"type": "item_reference", "id": item_id} for item_id in ids]
    third = await created(gateway, input=[user, references[0], user, references[1], user])
    again: Any = await tailrace.job(job_of(third)).request()
    said = [message.get("content") for message in again.messages]
    assert said == ["Why?", "Because.", "Why?", "Really.", "Why?"]
    # A message about another item counts references too.
    assert "input.1.content: " in await refused(gateway, input=[references[0], {"role": "user", "content": 5}])


async def test_an_item_may_be_gone_or_not_stored(gateway: ServedGateway, working: Worker) -> None:
    unstored, stored = await created(gateway, store=False), await created(gateway)
    for response in (unstored, stored):
        await working(job_of(response)).run("Because.")
    (item,) = (await gateway.client.get(f"/v1/responses/{unstored['id']}")).json()["output"]
    missing = (item["id"], f"msg_{job_of(stored)}_9_9", "msg_0123456789abcdef_1_0", "msg_../x_1_0", "msg_1", None)
    for item_id in missing:
        said = await refused(gateway, 404, input=[{"type": "item_reference", "id": item_id}])
        assert said.startswith(f"input.0.id: there is no item {str(item_id)!r}")


async def test_references_to_too_many_responses_are_refused_before_any_is_read(gateway: ServedGateway) -> None:
    references = [{"type": "item_reference", "id": f"msg_{number:022}_1_0"} for number in range(257)]
    assert await refused(gateway, input=references) == "input: it refers to 257 responses. 256 is the limit."
    assert "input.0.id: there is no item" in await refused(gateway, 404, input=references[1:])


async def test_an_item_of_another_tenant_is_not_there(gateway: ServedGateway, working: Worker, key_of: KeyOf) -> None:
    ada, bob = await key_of("ada"), await key_of("bob")
    response = (await gateway.client.post("/v1/responses", json=NEW, headers=ada)).json()
    await working(job_of(response)).run("Because.")
    (item,) = (await gateway.client.get(f"/v1/responses/{response['id']}", headers=ada)).json()["output"]
    named = {**NEW, "input": [{"type": "item_reference", "id": item["id"]}, {"role": "user", "content": "And?"}]}
    statuses = [(await gateway.client.post("/v1/responses", json=named, headers=key)).status_code for key in (bob, ada)]
    assert statuses == [404, 200]


async def test_a_response_is_cancelled_and_deleted(gateway: ServedGateway) -> None:
    response = await created(gateway)
    path = f"/v1/responses/{response['id']}"
    cancelled = [(await gateway.client.post(f"{path}/cancel")).json() for _ in range(2)]
    assert cancelled[0] == cancelled[1]
    assert cancelled[0]["status"] == "cancelled"
    deleted = await gateway.client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (await gateway.client.get(path)).status_code == 404


async def test_a_response_that_never_ran_tells_so_in_its_stream(gateway: ServedGateway) -> None:
    asked: dict[str, Any] = {"url": "/v1/responses", "headers": {"Idempotency-Key": "k"}}
    response = (await gateway.client.post(**asked, json=NEW)).json()
    path = f"/v1/responses/{response['id']}"
    await gateway.client.post(f"{path}/cancel")
    again = await gateway.client.post(**asked, json={**NEW, "stream": True})
    read = await gateway.client.get(f"{path}?stream=true")
    assert again.status_code == 200
    assert again.text == read.text
    assert read.text.split("\n\n")[-3].startswith("event: response.incomplete\n")


async def test_a_response_is_visible_to_its_tenant_only(gateway: ServedGateway, key_of: KeyOf) -> None:
    ada, bob = await key_of("ada"), await key_of("bob")
    response = (await gateway.client.post("/v1/responses", json=NEW, headers=ada)).json()
    path = f"/v1/responses/{response['id']}"
    asked = [await gateway.client.get(path, headers=headers) for headers in (ada, bob, None)]
    assert [found.status_code for found in asked] == [200, 404, 401]


async def test_openais_other_routes_are_not_there(gateway: ServedGateway) -> None:
    for path in ("compact", "input_tokens"):
        assert (await gateway.client.post(f"/v1/responses/{path}", json=NEW)).status_code == 404


async def test_an_idempotency_key_finds_the_response_again(gateway: ServedGateway) -> None:
    headers = {"Idempotency-Key": "k"}
    first, again = [(await gateway.client.post("/v1/responses", json=NEW, headers=headers)).json() for _ in range(2)]
    assert first == again
    other = await gateway.client.post("/v1/responses", json={**NEW, "metadata": {"a": "b"}}, headers=headers)
    assert other.status_code == 409
