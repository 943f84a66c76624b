"""The OpenAPI document describes what the gateway does, and the gateway does no more."""

import re
from typing import Any

import jsonschema
import pytest
from starlette.routing import Route

import tailrace
from tailrace import event_json_schema
from tailrace.gateway import create_app
from tests.producer.gateway.conftest import Worker
from tests.support.gateways import ServedGateway, data_of

METHODS = {"get", "post", "delete"}


@pytest.fixture
def document() -> dict[str, Any]:
    return create_app().openapi()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_every_route_is_described_with_its_answers_and_its_errors(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.")
    assert document["info"]["version"] == tailrace.__version__
    for operation in operations(document):
        assert operation["summary"]
        assert operation["description"]
        success = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
        assert success
        assert "422" not in operation["responses"]
        if "/healthz" not in operation["operationId"] and "v1" in operation["operationId"]:
            assert "401" in operation["responses"]


def test_every_body_has_a_schema_and_an_example_that_the_schema_allows(document: dict[str, Any]) -> None:
    bodies = [operation["requestBody"] for operation in operations(document) if "requestBody" in operation]
    assert len(bodies) >= 5
    for body in bodies:
        (content,) = body["content"].values()
        for example in content.get("examples", {}).values():
            jsonschema.validate(example["value"], {**content["schema"], "components": document["components"]})


def test_all_references_lead_somewhere(document: dict[str, Any]) -> None:
    found = set(re.findall(r"'\$ref': '([^']+)'", str(document)))
    assert found
    for reference in found:
        here: Any = document
        for step in reference.removeprefix("#/").split("/"):
            here = here[step]


def test_every_event_is_among_the_schemas(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, schema in event_json_schema()["$defs"].items():
        assert schemas[name]["properties"]["type"] == schema["properties"]["type"]
        assert {"$ref": f"#/components/schemas/{name}"} in schemas["Event"]["oneOf"]


async def test_the_events_of_a_stream_are_what_the_document_says(gateway: ServedGateway, working: Worker) -> None:
    document = (await gateway.client.get("/openapi.json")).json()
    created = await gateway.enqueue()
    await working(created["id"]).run("a")
    content = document["paths"]["/v1/jobs/{job_id}/events"]["get"]["responses"]["200"]["content"]
    schema = content["text/event-stream"]["itemSchema"]["properties"]["data"]["contentSchema"]
    for event in await gateway.events(created["events_url"]):
        jsonschema.validate(data_of(event), {**schema, "components": document["components"]})


def test_every_path_of_the_application_is_in_the_document(document: dict[str, Any]) -> None:
    paths = {route.path for route in create_app().routes if isinstance(route, Route)}
    assert {path for path in paths if path.startswith("/v1")} <= set(document["paths"])
