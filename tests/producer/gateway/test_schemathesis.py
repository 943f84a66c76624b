"""Requests that schemathesis makes from the OpenAPI document, good ones and bad ones."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from hypothesis import HealthCheck, given, settings

from tailrace import JobNotFound, JobState, Settings, Tailrace
from tailrace.gateway import create_app
from tests.support.gateways import gateway_settings, served

schemathesis = pytest.importorskip("schemathesis")
openapi = pytest.importorskip("schemathesis.specs.openapi.checks")

pytestmark = [pytest.mark.timeout(300)]

DOCUMENT: dict[str, Any] = create_app().openapi()
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]
CHECKS = (
    schemathesis.checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
)


async def cancel_all(tailrace: Tailrace) -> None:
    """Ends whatever is enqueued, so that no stream stays open."""
    while True:
        for status in await tailrace.jobs(state=JobState.QUEUED):
            with suppress(JobNotFound):
                await tailrace.job(status.job_id).cancel()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def serving(settings: Settings) -> AsyncGenerator[str]:
    async with Tailrace.connect(**settings.model_dump()) as tailrace:
        cancelling = asyncio.create_task(cancel_all(tailrace))
        app = create_app(tailrace, gateway_settings(settings, chat_provider="openai", chat_model="m"))
        async with served(app) as gateway:
            yield gateway.url
        cancelling.cancel()


@pytest.fixture(scope="module")
def url(broker_url: str) -> Iterator[str]:
    """A gateway beside the test."""
    own = Settings.read(redis_url=broker_url, prefix="test-schemathesis")
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving(own)) as url:
        yield url


@pytest.mark.parametrize(("path", "method"), OPERATIONS, ids=[f"{method} {path}" for path, method in OPERATIONS])
def test_every_answer_is_one_that_the_document_names(url: str, path: str, method: str) -> None:
    operation = schemathesis.openapi.from_dict(DOCUMENT)[path][method.upper()]

    @given(case=operation.as_strategy())
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
    def ask(case: Any) -> None:
        response = case.call(base_url=url, timeout=60)
        case.validate_response(response, checks=CHECKS)

    ask()
